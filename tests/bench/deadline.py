"""How far from its limit a call really ends: the last packets that the parties got of each other."""

import contextlib
import datetime
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.exact_relative import ExactRelative
from tests.bench.numbered import NumberedPhone
from tests.bench.scene import Dialled, Lines, dialled, new_folder, pause_until
from tests.e2e.stage import Stage
from tests.peers.waiting import NotSeen, wait_until

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), Path("libfaketimeMT.so.1"))
AVISIOD = (sys.executable, "-m", "avisiod")
BLOCKABLE = (sys.executable, "-m", "tests.bench.blockable")
SET_BACK = datetime.timedelta(hours=1)
STOPPED_S = 5.0
EDGE_S = 0.005
"""What is sent in the limit's last milliseconds may arrive after it."""
BLOCKED_BEFORE_S = 1.0


class Trouble(NamedTuple):
    """What is done to the daemon around the limit, and for how long the parties listen after it."""

    limit_s: float
    listen_s: float
    make: Callable[[Dialled, float], dict[str, Any]]
    """Called once connected, with the limit; it returns facts that show that the trouble was real."""
    environment: Callable[[Path], Mapping[str, str]] = lambda _folder: {}
    """What is added to the daemon's, given the stage's folder."""
    program: Sequence[str] = AVISIOD


def _none(_call: Dialled, _limit: float) -> dict[str, Any]:
    return {}


def _faketime(folder: Path) -> Mapping[str, str]:
    _set_clock(folder, datetime.timedelta())
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "faketime"),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


def _set_clock(folder: Path, back: datetime.timedelta) -> None:
    aside = folder / "faketime.new"
    aside.write_text(f"-{int(back.total_seconds())}s\n")
    aside.rename(folder / "faketime")


def _wall_clock_back(call: Dialled, limit: float) -> dict[str, Any]:
    """In mid-call; that the daemon saw it is read off the wall-clock times of its own journal afterwards."""
    pause_until(limit - 4)
    _set_clock(call.stage.folder, SET_BACK)
    return {"under_libfaketime": _under_libfaketime(call.stage.daemon.pid)}


def _under_libfaketime(group: int) -> bool:
    """Whether every process of the daemon's group is: control and its workers."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(process.name)) == group:
                found.append("libfaketime" in (process / "maps").read_text())
    return len(found) > 1 and all(found)


def _wall_clock_step_s(journal: list[dict[str, Any]]) -> float:
    """By how much the wall clock leapt against the monotonic one, between two lines of the journal."""
    ahead = [
        datetime.datetime.fromisoformat(row["at_utc"]).timestamp() - float(row["at_monotonic"]) for row in journal
    ]
    return min((b - a for a, b in itertools.pairwise(ahead)), default=0.0)


def _stopped(call: Dialled, limit: float) -> dict[str, Any]:
    pid = call.stage.daemon.pid
    pause_until(limit - STOPPED_S)
    os.kill(pid, signal.SIGSTOP)
    try:
        pause_until(limit)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        pause_until(limit + STOPPED_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    return {"state_at_limit": state}


def _blocked(call: Dialled, limit: float) -> dict[str, Any]:
    """Its loop is busy from one second before to one second after the limit; /health answers only then."""
    pause_until(limit - BLOCKED_BEFORE_S)
    began = time.monotonic()
    os.kill(call.stage.daemon.pid, signal.SIGUSR2)
    with contextlib.suppress(OSError):
        call.stage.health()
    return {"unanswered_s": round(time.monotonic() - began, 3)}


TROUBLES = {
    "quiet": Trouble(6.0, 1.5, _none),
    "clock": Trouble(8.0, 1.5, _wall_clock_back, environment=_faketime),
    "stopped": Trouble(8.0, STOPPED_S + 0.5, _stopped),
    "blocked": Trouble(6.0, 2.5, _blocked, program=BLOCKABLE),
}


def measure(lines: Lines, calls: int, names: Sequence[str] = tuple(TROUBLES)) -> None:
    """So many calls for each trouble, one after the other."""
    for name in names:
        trouble = TROUBLES[name]
        settings = {"calls": {"limit_s": trouble.limit_s, "warnings_s": []}}
        folder = new_folder(f"deadline-{name}")
        environment = trouble.environment(folder)
        with Stage(folder, settings=settings, program=trouble.program, environment=environment) as stage:
            for number in range(calls):
                try:
                    lines.add("call", trouble=name, number=number, **_call(stage, name, trouble))
                except (NotSeen, OSError, RuntimeError, ValueError) as error:
                    lines.add("failed", trouble=name, number=number, why=str(error).partition("\n")[0])


def _call(stage: Stage, name: str, trouble: Trouble) -> dict[str, Any]:
    if name == "clock":
        _set_clock(stage.folder, datetime.timedelta())
    with dialled(stage) as call, ExactRelative(stage.portal_url) as relative:
        relative.join(call.code)
        wait_until(call.is_connected, 10, "connected")
        limit = call.connected_at() + trouble.limit_s
        facts = trouble.make(call, limit)
        pause_until(limit + trouble.listen_s)
        reason = call.wait_ended()
        told = relative.heard.wait(lambda each: each[1]["type"] == "ended", 5, "ended")[0]
        if name == "clock":
            facts["wall_clock_step_s"] = round(_wall_clock_step_s(call.journal()), 1)
        parties = {"phone": (call.phone, relative.media), "outside": (relative.media, call.phone)}
        ends = {leg: listener.last_forwarded() for leg, (listener, _) in parties.items()}
        return {
            **{f"{leg}_ms": round((end - limit) * 1000, 1) for leg, end in ends.items()},
            "cut_early": sum(_cut_early(*each, limit) for each in parties.values()),
            **facts,
            "reason": reason,
            "page_told_ms": round((told - limit) * 1000, 1),
        }


def _cut_early(listener: NumberedPhone, speaker: NumberedPhone, limit: float) -> int:
    """Frames that were sent in time before the limit, after the last that came."""
    found = 0
    for heard, said in ((listener.audio, speaker.audio), (listener.video, speaker.video)):
        last = max(heard.numbers_forwarded(), default=-1)
        found += sum(number > last and at < limit - EDGE_S for number, at in said.sent_at.items())
    return found
