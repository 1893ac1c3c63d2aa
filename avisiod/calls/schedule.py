"""When calls may be made: weekly windows and exceptions, in the site's own time."""

import dataclasses
import datetime
import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from avisiod.calls.people import Scope

DAY_MINUTES = 1440
ExceptionKind = Literal["closed", "open", "extra"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours of one weekday, every week. What goes past midnight is two windows."""

    id: str
    scope: Scope
    weekday: int
    """0 is Monday."""
    begins: int
    ends: int
    """Minutes of the local day, 0 <= begins < ends <= 1440; `ends` itself is outside."""
    valid_from: datetime.date | None = None
    valid_to: datetime.date | None = None
    """First and last day on which it holds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleException:
    """One stretch of time in which something else holds than the windows say."""

    id: str
    scope: Scope
    kind: ExceptionKind
    """`extra`: one call of a detainee is granted in this time, whatever hours, quota and pause say. Once such a call
    counts, the exception is used up and no longer among the facts."""
    from_local: datetime.datetime
    to_local: datetime.datetime
    """The site's own time, without zone; `to_local` itself is outside."""
    why: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Whether it is open at an instant, until when, and when it opens next."""

    open: bool
    until_utc: datetime.datetime | None
    """End of what is open; None where none is in sight, or it is closed."""
    next_utc: datetime.datetime | None
    """Next opening; None where none is in sight, or it is open."""
    because: str
    exception: str | None = None
    """The exception that decides, where one does."""


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LOOKAHEAD_DAYS = 15
"""Two weeks, so that a window which one night of the year skips is still found the week after."""
_DAY = datetime.timedelta(days=1)
_MINUTE = datetime.timedelta(minutes=1)
_FARTHEST_JUMP = datetime.timedelta(hours=26)
"""More than any clock was ever put forward or back; a whole day it was where the date line moved."""


def opening(
    windows: Sequence[Window],
    exceptions: Sequence[ScheduleException],
    zone: datetime.tzinfo,
    scopes: Sequence[Scope],
    at_utc: datetime.datetime,
) -> Opening:
    """Whether somebody of these scopes, the most specific first, may call at an instant.

    The most specific scope with a window that is valid on the local day decides; where there is none it is closed.
    An exception overrules all windows; of several the one with the most specific scope counts, of those of one scope
    `closed` before the others. A local hour that a night skips is never; one that a night repeats counts twice.
    """
    mine = [each for each in windows if each.scope in scopes]
    others = [each for each in exceptions if each.scope in scopes]
    now, because, exception = _holds(mine, others, scopes, at_utc.astimezone(zone))
    change = next(
        (
            instant
            for instant in _instants(mine, others, zone, at_utc)
            if _holds(mine, others, scopes, instant.astimezone(zone))[0] is not now
        ),
        None,
    )
    return Opening(
        open=now,
        until_utc=change if now else None,
        next_utc=None if now else change,
        because=because,
        exception=exception,
    )


def extra_at(
    exceptions: Iterable[ScheduleException], scopes: Sequence[Scope], local: datetime.datetime
) -> ScheduleException | None:
    """The extra call that is granted at this moment of the site's clock, if one is; the one that ends first."""
    naive = local.replace(tzinfo=None, fold=0)
    there = [each for each in exceptions if each.kind == "extra" and each.scope in scopes and _covers(each, naive)]
    return min(there, key=lambda each: (each.to_local, each.id), default=None)


def _holds(
    windows: Sequence[Window],
    exceptions: Sequence[ScheduleException],
    scopes: Sequence[Scope],
    local: datetime.datetime,
) -> tuple[bool, str, str | None]:
    """Open or not at this moment of the site's clock, why, and by which exception."""
    naive = local.replace(tzinfo=None, fold=0)
    covering = [each for each in exceptions if _covers(each, naive)]
    if covering:
        first = min(covering, key=lambda each: (scopes.index(each.scope), each.kind != "closed", each.id))
        return first.kind != "closed", f"exception {first.id} of {first.scope}: {first.kind}", first.id
    valid = [each for each in windows if _valid(each, naive.date())]
    scope = min((each.scope for each in valid), key=scopes.index, default=None)
    if scope is None:
        return False, "no window is set for anybody here", None
    minute = naive.hour * 60 + naive.minute
    for each in valid:
        if each.scope == scope and each.weekday == naive.weekday() and each.begins <= minute < each.ends:
            return True, f"window {each.id} of {scope}: {window_text(each)}", None
    return False, f"outside of the windows of {scope}", None


def window_text(window: Window) -> str:
    """As a person reads it: `Monday 14:00 to 16:00`."""
    return f"{WEEKDAYS[window.weekday]} {clock_text(window.begins)} to {clock_text(window.ends)}"


def clock_text(minute: int) -> str:
    """A minute of the day as a clock shows it; 24:00 is the end of the day."""
    return f"{minute // 60:02}:{minute % 60:02}"


def _covers(exception: ScheduleException, naive: datetime.datetime) -> bool:
    return exception.from_local <= naive < exception.to_local


def _valid(window: Window, day: datetime.date) -> bool:
    return (window.valid_from is None or window.valid_from <= day) and (
        window.valid_to is None or day <= window.valid_to
    )


def _instants(
    windows: Sequence[Window],
    exceptions: Sequence[ScheduleException],
    zone: datetime.tzinfo,
    after: datetime.datetime,
) -> Iterator[datetime.datetime]:
    """Every instant after `after` at which something may change, in order."""
    minutes = sorted({0, *(each.begins for each in windows), *(each.ends for each in windows)} - {DAY_MINUTES})
    edges = [edge for each in exceptions for edge in (each.from_local, each.to_local)]
    found: list[datetime.datetime] = []
    for day in _days(windows, edges, after.astimezone(zone).date()):
        midnight = datetime.datetime.combine(day, datetime.time())
        begins = midnight.replace(tzinfo=zone).astimezone(datetime.UTC)
        # What a clock put back or forward moves out of its own day waits for its turn.
        while found and found[0] < begins - _FARTHEST_JUMP:
            yield heapq.heappop(found)
        local = [midnight + minute * _MINUTE for minute in minutes]
        local += [edge for edge in edges if edge.date() == day]
        instants = {
            moment.replace(tzinfo=zone, fold=fold).astimezone(datetime.UTC) for moment in local for fold in (0, 1)
        }
        instants.update(_jumps(zone, begins))
        for instant in instants:
            if instant > after:
                heapq.heappush(found, instant)
    yield from sorted(set(found))


def _days(windows: Sequence[Window], edges: Iterable[datetime.datetime], today: datetime.date) -> list[datetime.date]:
    """The local days to look at: the next two weeks, and as much from each day on which the rules change."""
    begins = {today - _DAY}
    for each in windows:
        begins.update([each.valid_from] if each.valid_from else [])
        begins.update([each.valid_to + _DAY] if each.valid_to and each.valid_to < datetime.date.max else [])
    begins.update(edge.date() for edge in edges)
    days = {
        first + number * _DAY
        for first in begins
        for number in range(min(LOOKAHEAD_DAYS + 1, (datetime.date.max - first).days))
    }
    return sorted(day for day in days if day >= today - _DAY)


def _jumps(zone: datetime.tzinfo, begins: datetime.datetime) -> list[datetime.datetime]:
    """The instants of the day that begins then at which the zone's clock is put forward or back."""
    marks = [begins + datetime.timedelta(hours=hour) for hour in (-3, 3, 9, 15, 21, 27)]
    return [
        _jump_between(zone, low, high)
        for low, high in itertools.pairwise(marks)
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset()
    ]


def _jump_between(zone: datetime.tzinfo, low: datetime.datetime, high: datetime.datetime) -> datetime.datetime:
    before = low.astimezone(zone).utcoffset()
    while high - low > datetime.timedelta(seconds=1):
        middle = low + datetime.timedelta(seconds=(high - low) // datetime.timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high
