"""What the bench wants of a gateway.

A class gives `name` and overrides `start`, `ready`, `connect`, `record` and `version`:

- `start` spawns the gateway by `launch`, which pins it to its core;
- `ready` returns once it takes calls;
- `connect` makes call number `i`: the browser offers (`await browser.offer()`), the phone answers a plain SDP
  (`phone.answer(sdp)`) or offers itself (`phone.sdp()`, then `phone.set_remote(answer)`), and the gateway's answer
  goes to `await browser.accept(answer)`, which returns when DTLS is done;
- `record` has call `i` recorded, where that is a command of its own;
- `stop` ends what `launch` started, by its pid.
"""

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.bench.load.browsers import Browser
from tests.bench.load.phones import Phone


class Gateway:
    """One gateway in processes of its own."""

    name = ""
    bundle = True
    """False where it needs one ICE and DTLS transport for each m-line."""
    static = False
    """True for the floors, whose browser leg has SRTP keys that are given, no ICE and no DTLS."""

    def __init__(
        self, folder: Path, cpu: int | None, priority: int, recording: bool, options: dict[str, str]
    ) -> None:
        self.folder, self.cpu, self.priority = folder, cpu, priority
        self.recording, self.options = recording, options
        self.processes: list[subprocess.Popen[bytes]] = []
        self.recordings = folder / "recordings"
        self.recordings.mkdir()

    def start(self) -> None:
        raise NotImplementedError

    async def ready(self) -> None:
        """Nothing to wait for."""

    async def connect(self, i: int, browser: Browser, phone: Phone) -> None:
        raise NotImplementedError

    async def record(self, i: int) -> None:
        raise NotImplementedError

    def version(self) -> str:
        return ""

    def launch(
        self, argv: list[str], env: dict[str, str] | None = None, *, cpu: int | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """`cpu` in place of the gateway's own."""
        before = ["chrt", "--rr", str(self.priority)] if self.priority else []
        before += ["nice", "-n", self.options["nice"]] if "nice" in self.options else []
        pinned = self.cpu if cpu is None else cpu
        before += ["taskset", "-c", str(pinned)] if pinned is not None else []
        with (self.folder / "gateway.log").open("ab") as log:
            process = subprocess.Popen(
                [*before, *argv],
                stdout=options.pop("stdout", log),
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                **options,
            )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for each in self.processes:
            each.terminate()
        for each in self.processes:
            try:
                each.wait(5)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()

    def sample(self) -> dict[str, float]:
        """CPU by two clocks, memory, threads and voluntary context switches of all its processes."""
        out = dict.fromkeys(("ticks", "cpu_ns", "wait_ns", "rss_kb", "anon_kb", "threads", "switches"), 0.0)
        for each in self.processes:
            proc = Path(f"/proc/{each.pid}")
            fields = (proc / "stat").read_text().rsplit(")", 1)[1].split()
            out["ticks"] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            for task in (proc / "task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    ran, waited, _ = (task / "schedstat").read_text().split()
                    out["cpu_ns"] += int(ran)
                    out["wait_ns"] += int(waited)
                    out["switches"] += _value((task / "status").read_text(), "voluntary_ctxt_switches")
                    out["threads"] += 1
            status = (proc / "status").read_text()
            out["rss_kb"] += _value(status, "VmRSS")
            out["anon_kb"] += _value(status, "RssAnon")
        return out


def _value(status: str, name: str) -> int:
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name + ":"))


def installed(package: str) -> str:
    """The version of a Debian package."""
    query = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout
