"""What prefork makes, with workers that say on their socket what they found in their process, and wait for its end.

`python -m tests.gateway.a_forked_worker CASE` is control; it prints what it saw as JSON.
"""

import json
import os
import random
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from avisiod.config.settings import Config
from avisiod.gateway import prefork, wire

HERE = "tests.gateway.a_forked_worker"


def openssl_random() -> str:
    """From OpenSSL's own generator, which DTLS uses."""
    return X25519PrivateKey.generate().private_bytes_raw().hex()


def main() -> int:
    """The worker."""
    found = {
        "pid": os.getpid(),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "cmdline": Path("/proc/self/cmdline").read_text().replace("\0", " ").strip(),
        "random": [random.random(), openssl_random()],
        "terminate": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
    }
    with socket.socket(fileno=wire.WORKER_FD) as link:
        link.sendall(json.dumps(found).encode() + b"\n")
        while link.recv(100):
            pass
    if os.environ.get("FAILS"):
        raise RuntimeError("of the worker")
    return 7


def ask(forked: prefork.Forked) -> dict[str, Any]:
    """What a worker found, and how it ended once its socket was closed."""
    with socket.socket(fileno=forked.link) as link, link.makefile() as lines:
        found: dict[str, Any] = json.loads(lines.readline())
    pid, status = os.waitpid(forked.pid, 0)
    return {**found, "child": pid, "status": os.waitstatus_to_exitcode(status)}


def control(case: str) -> dict[str, Any]:
    """The process that becomes control."""
    random.seed(1)
    openssl_random()
    readers, writer = os.pipe()

    def read() -> Config:
        os.write(writer, str(os.getpid()).encode())
        if case == "wrong":
            raise ValueError("a secret")
        return Config()

    prefork.LIBRARIES = ("tests.gateway.a_forked_worker",)
    prefork.counts = lambda _config: {HERE: 2}
    prefork.prepare(read)
    os.close(writer)
    taken = [forked for forked in (prefork.take(HERE), prefork.take(HERE)) if forked is not None]
    return {
        "control": os.getpid(),
        "settings_read_by": os.read(readers, 100).decode(),
        "workers": [ask(forked) for forked in taken],
        "left": prefork.take(HERE) is not None,
        "threads": threading.active_count(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(control(sys.argv[1])))
