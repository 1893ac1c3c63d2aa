"""What became of the last backup: written by avisioctl, read by the daemon for its metrics."""

import contextlib
import datetime
from pathlib import Path

import msgspec

from avisiod.gateway.manifest import write_durably


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The last backup that was tried, and the last one that came to be. Times are UTC, ISO 8601; empty: never."""

    tried_utc: str = ""
    problem: str = ""
    """Why the last one failed; empty where it did not."""
    good_utc: str = ""
    bytes: int = 0
    """Of the last good one."""

    def age_s(self, now: datetime.datetime) -> float:
        """Seconds since the last good one; infinite where there is none."""
        if not self.good_utc:
            return float("inf")
        return max(0.0, (now - datetime.datetime.fromisoformat(self.good_utc)).total_seconds())


_decoder: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)


def read(path: Path) -> Outcome:
    """What is known; nothing where the file is not there or is no such file."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        found = _decoder.decode(path.read_bytes())
        with contextlib.suppress(ValueError):
            if not found.good_utc or datetime.datetime.fromisoformat(found.good_utc).tzinfo is not None:
                return found
    return Outcome()


def note(path: Path, now: datetime.datetime, *, problem: str = "", octets: int = 0) -> None:
    """Write down what became of a backup. OSError where that cannot be written."""
    before = read(path)
    if problem:
        after = msgspec.structs.replace(before, tried_utc=now.isoformat(), problem=problem)
    else:
        after = Outcome(tried_utc=now.isoformat(), good_utc=now.isoformat(), bytes=octets)
    write_durably(path, msgspec.json.encode(after) + b"\n")
