"""Worker processes whose control speaks nonsense: they end by themselves, with nothing left behind."""

import os
import socket
import sys
from pathlib import Path

import pytest

from tests.peers.processes import Process

pytestmark = pytest.mark.peer

CONFIGURE = b"\x00\x04_ask\x00\x011\x00\x08_command\x00\x09Configure\x00\x08settings\x00\x04null\x00\x00"
"""Well-formed AMP with settings that are none: refused in words, and not the end."""


@pytest.mark.parametrize("kind", ["sip_worker", "media_worker"])
@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff" * 5000,
        b"GET / HTTP/1.1\r\n\r\n" * 50,
        b"\x00\x08_command\x00\x04Ping\x00\x04_ask\xff\xff" + b"x" * 65535 + b"\x00\x00" * 3 + b"\xff\xff",
        CONFIGURE + b"\xff\xff",
        b"\x00\x00",  # an empty box
        b"\x00\x04_ask\x00\x011\x00\x08_command\x00\x02P\xe9\x00\x00",  # a command that is no ASCII
    ],
)
def test_a_worker_ends_when_its_control_speaks_nonsense(tmp_path: Path, kind: str, nonsense: bytes) -> None:
    ours, theirs = socket.socketpair()
    descriptor = theirs.fileno()
    run = f'exec 3<&{descriptor} {descriptor}<&-; exec "$0" -m avisiod.gateway.{kind}'
    with ours, Process(["bash", "-c", run, sys.executable], log=tmp_path / "log", pass_fds=[descriptor]) as process:
        theirs.close()
        ours.sendall(nonsense)
        assert process.wait(20) == 0


def as_nobody(argv: list[str]) -> list[str]:
    """Root may read everything, so it is another user who runs it."""
    return argv if os.geteuid() else ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]


@pytest.mark.parametrize("kind", ["sip_worker", "media_worker"])
def test_no_process_of_the_same_user_can_read_a_workers_memory(tmp_path: Path, kind: str) -> None:
    """The kernel gives /proc/PID/mem of such a process to root."""
    ours, theirs = socket.socketpair()
    descriptor = theirs.fileno()
    python = " ".join(as_nobody([sys.executable]))
    run = f"exec 3<&{descriptor} {descriptor}<&-; exec {python} -m avisiod.gateway.{kind}"
    with ours, Process(["bash", "-c", run], log=tmp_path / "log", pass_fds=[descriptor]) as process:
        theirs.close()
        ours.settimeout(20)
        ours.sendall(CONFIGURE)
        assert b"_error" in ours.recv(4096), "it serves"
        assert Path(f"/proc/{process.pid}/mem").stat().st_uid == 0
        assert Path(f"/proc/{process.pid}/stat").read_text().split()[3] == str(os.getpid())


def test_the_daemon_hides_its_memory_and_still_counts_its_own_descriptors(tmp_path: Path) -> None:
    script = (
        "import os, sys, avisiod.__main__ as program, avisiod.config.check as check, avisiod.daemon as daemon\n"
        "sys.argv = ['avisiod']\n"
        "check.load = lambda *_, **__: None\n"
        "program.install_reactor = lambda: None\n"
        "daemon.run = lambda *_: print(os.stat('/proc/self/mem').st_uid, len(os.listdir('/proc/self/fd')) > 3)\n"
        "program.main()\n"
    )
    argv = as_nobody([sys.executable, "-c", script])
    with Process(argv, log=tmp_path / "log") as process:
        process.wait(30)
    assert (tmp_path / "log").read_text().splitlines()[-1:] == ["0 True"]
