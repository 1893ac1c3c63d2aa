"""When a recording has to be destroyed, and when it must not be yet. Pure."""

import datetime
from enum import StrEnum

import msgspec


class Standing(StrEnum):
    """Where a recording stands on a day."""

    KEPT = "kept"
    """Younger than the limit."""
    HELD = "held"
    """Under hold: never destroyed, whatever its age."""
    DUE = "due"
    """Older than the limit: it has to be destroyed."""
    UNDATED = "undated"
    """Old by its own time, but made after something younger than the limit: the clock was wrong then. It is kept
    until what came before it is old enough."""
    MISSING = "missing"
    """Due, and not where it was: nobody knows whether it is destroyed, or on a disk that is not mounted."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a recording."""

    call: str
    ended_utc: datetime.datetime
    """The end of its call, or of the file where the call is not known."""
    held: bool = False
    there: bool = True
    younger: bool = False
    """The journal proves that it is younger than the limit, whatever time it bears."""


def before(now: datetime.datetime, days: int) -> datetime.datetime:
    """What ended before this is due."""
    return now - datetime.timedelta(days=days)


def standing(kept: Kept, now: datetime.datetime, days: int) -> Standing:
    """Where it stands `now`, where recordings are kept for so many days. A hold comes before everything."""
    if kept.held:
        return Standing.HELD
    if kept.ended_utc >= before(now, days):
        return Standing.KEPT
    if not kept.there:
        return Standing.MISSING
    return Standing.UNDATED if kept.younger else Standing.DUE
