"""What the daemon's processes hold while a soak runs, and what is left at rest."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.stage import Stage
from tests.peers.workers import command, udp_ports_between, workers

EVERY_S = 10.0
WARM_S = 60.0
"""A process has loaded and made what it needs by then."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One process at one moment."""

    at: float
    pid: int
    kind: str
    rss_kb: int
    descriptors: int
    threads: int


def look(stage: Stage) -> list[Sample]:
    """Every process of the daemon, now."""
    now = time.monotonic()
    found = []
    for pid in (stage.daemon.pid, *workers(stage.daemon.pid)):
        with contextlib.suppress(OSError, KeyError, ValueError):
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            name = command(pid)
            kind = next((kind for kind in ("media", "sip", "transcode") if f"{kind}_worker" in name), "control")
            found.append(
                Sample(
                    now,
                    pid,
                    kind,
                    int(status["VmRSS"].split()[0]),
                    len(list(Path(f"/proc/{pid}/fd").iterdir())),
                    int(status["Threads"]),
                )
            )
    return found


class Watch(threading.Thread):
    """Looks every EVERY_S until `stop`."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(name="watch", daemon=True)
        self.samples: list[Sample] = []
        self._stage = stage
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self.samples += look(self._stage)

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def lives(self) -> Iterator[tuple[str, int, list[Sample]]]:
        """Kind, process id and samples of each process after it was warm."""
        for pid in dict.fromkeys(sample.pid for sample in self.samples):
            of_one = [sample for sample in self.samples if sample.pid == pid]
            warm = [sample for sample in of_one if sample.at >= of_one[0].at + WARM_S]
            if len(warm) >= 2:
                yield of_one[0].kind, pid, warm


def ports_held(stage: Stage) -> list[int]:
    """UDP ports of calls that are bound now."""
    media = stage.settings["media"]
    return [
        port
        for first, last in (media["phone_ports"], media["outside_ports"])
        for port in udp_ports_between(first, last)
    ]
