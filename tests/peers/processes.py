"""Child processes that never outlive the run that started them, waited for by what they print."""

import atexit
import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from tests.peers.namespace import inside, network_of_this_thread
from tests.peers.waiting import Feed

_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")
"""The parent-death signal follows the parent's *thread*: one that lives as long as the interpreter spawns all."""

_alive: "set[Process]" = set()

STOP_TIMEOUT_S = 5.0


class Process:
    """A running program, the leader of its own process group, killed with whoever started it, in the network of the
    thread that starts it.

    Standard output and error arrive line by line in `lines`, and in the file `log` when one is named.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        name: str = "",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """`env` is added to our own environment."""
        self.name = name or Path(argv[0]).name
        self.lines: Feed[str] = Feed(self.name)
        self._log = log.open("a", encoding="utf-8") if log else None
        network = network_of_this_thread()
        try:
            self._popen = _spawner.submit(self._spawn, argv, cwd, env, pass_fds, network).result()
        finally:
            os.close(network)
        _alive.add(self)
        self._reader = threading.Thread(target=self._read, name=f"read-{self.name}", daemon=True)
        self._reader.start()

    @staticmethod
    def _spawn(
        argv: Sequence[str | Path],
        cwd: Path | None,
        env: Mapping[str, str] | None,
        pass_fds: Sequence[int],
        network: int,
    ) -> "subprocess.Popen[str]":
        with inside(network):
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                bufsize=1,
                start_new_session=True,
                pass_fds=pass_fds,
            )

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            if self._log:
                self._log.write(line)
                self._log.flush()
            self.lines.add(line.rstrip("\n"))
        self.lines.close(f"it exited with status {self._popen.wait()}")
        if self._log:
            self._log.close()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def wait_for_line(self, pattern: str, timeout: float = 10.0, since: int = 0) -> "re.Match[str]":
        """The first line from `since` on that matches; NotSeen with the last lines when it does not come."""
        expression = re.compile(pattern)
        line = self.lines.wait(lambda line: bool(expression.search(line)), timeout, f"line like {pattern!r}", since)
        match = expression.search(line)
        assert match
        return match

    def wait(self, timeout: float = STOP_TIMEOUT_S) -> int:
        """Its exit status; subprocess.TimeoutExpired when it goes on running."""
        status = self._popen.wait(timeout)
        self._reader.join(timeout)
        return status

    def signal(self, number: signal.Signals) -> None:
        """Signal the program itself, not its group."""
        self._popen.send_signal(number)

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM, then SIGKILL to the whole group; its exit status. Harmless when it is over."""
        if self._popen.poll() is None:
            self._popen.terminate()
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self._kill_group()

    def kill(self) -> int:
        """SIGKILL to the whole group."""
        self._kill_group()
        return self.wait()

    def _kill_group(self) -> None:
        _alive.discard(self)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@atexit.register
def _kill_all() -> None:
    for process in list(_alive):
        process._kill_group()
