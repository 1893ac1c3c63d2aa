"""What became of the last run of the retention: for metrics, alerts, doctor and status. A file on a local disk."""

import contextlib
import datetime
import os
from pathlib import Path

import msgspec

from avisiod.gateway.manifest import write_durably


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The last run. Times are UTC, ISO 8601; empty: never."""

    tried_utc: str = ""
    run_utc: str = ""
    """When one went through last, whatever it left."""
    problem: str = ""
    """Why the last one did nothing, or what it could not destroy; empty where all is as it has to be."""
    destroyed: int = 0
    """By the last run that went through."""
    held: int = 0
    """Old enough to be destroyed, and under hold."""
    overdue: int = 0
    """Old enough to be destroyed, and still there, or nobody knows where."""

    def age_s(self, now: datetime.datetime) -> float:
        """Seconds since a run went through; infinite where none ever did."""
        if not self.run_utc:
            return float("inf")
        return max(0.0, (now - datetime.datetime.fromisoformat(self.run_utc)).total_seconds())


_decoder: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)


def read(path: Path) -> Outcome:
    """What is known; nothing where the file is not there or is no such file."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, ValueError):
        found = _decoder.decode(path.read_bytes())
        if not found.run_utc or datetime.datetime.fromisoformat(found.run_utc).tzinfo is not None:
            return found
    return Outcome()


def note(path: Path, outcome: Outcome) -> None:
    """Write it down, so that the daemon can read it whoever we are. OSError where that is not possible."""
    write_durably(path, msgspec.json.encode(outcome) + b"\n")
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
