"""Whether the site's windows, exceptions, allowances and tariffs make sense: each problem in a sentence."""

import dataclasses
import datetime
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence

from avisiod.calls.ids import ClassId
from avisiod.calls.quotas import Allowance
from avisiod.calls.schedule import DAY_MINUTES, WEEKDAYS, ScheduleException, Window, clock_text, window_text
from avisiod.calls.tariff import Tariff

_DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and with which entry; `id` is empty where it is no single one."""

    id: str
    text: str


def window_problems(windows: Sequence[Window]) -> list[Problem]:
    """Find windows that end before they begin, lie outside of a day, or overlap one of the same scope."""
    found = [problem for window in windows for problem in _window(window)]
    sound = [window for window in windows if not any(_window(window))]
    for one, other in itertools.combinations(sound, 2):
        same = one.scope == other.scope and one.weekday == other.weekday
        hours = one.begins < other.ends and other.begins < one.ends
        if same and hours and one.weekday in _common_days(one, other):
            text = f"{window_text(other)} overlaps window {one.id}, {window_text(one)}, of {one.scope}"
            found.append(Problem(other.id, f"{text}: make them one, or let one end where the other begins"))
    return found


def _window(window: Window) -> Iterator[Problem]:
    if window.weekday not in range(7):
        yield Problem(window.id, f"{window.weekday} is no weekday: Monday is 0 and Sunday 6")
    yield from _hours(window.id, window.begins, window.ends)
    yield from _validity(window.id, window.valid_from, window.valid_to)


def _hours(ident: str, begins: int, ends: int) -> Iterator[Problem]:
    if not (0 <= begins < DAY_MINUTES and 0 < ends <= DAY_MINUTES):
        yield Problem(ident, "the hours are not between 00:00 and 24:00")
    elif ends <= begins:
        text = f"ends at {clock_text(ends)}, not after it begins at {clock_text(begins)}"
        yield Problem(ident, f"{text}: write what goes past midnight as two")


def _validity(ident: str, first: datetime.date | None, last: datetime.date | None) -> Iterator[Problem]:
    if first is not None and last is not None and last < first:
        yield Problem(ident, f"is valid until {last}, before it becomes valid on {first}")


def _common_days(one: Window | Tariff, other: Window | Tariff) -> set[int]:
    """The weekdays that occur while both are valid."""
    first = max(each.valid_from or datetime.date.min for each in (one, other))
    last = min(each.valid_to or datetime.date.max for each in (one, other))
    length = min(7, (last - first).days + 1)
    return {(first.weekday() + number) % 7 for number in range(length)}


def exception_problems(exceptions: Iterable[ScheduleException]) -> list[Problem]:
    """Find exceptions that end before they begin, and extra calls that are nobody's."""
    found: list[Problem] = []
    for each in exceptions:
        if each.to_local <= each.from_local:
            found.append(Problem(each.id, f"ends at {each.to_local}, not after it begins at {each.from_local}"))
        if each.from_local.tzinfo is not None or each.to_local.tzinfo is not None:
            found.append(Problem(each.id, "has a time zone: write the site's own time"))
        if each.kind == "extra" and each.scope.kind != "detainee":
            found.append(Problem(each.id, f"an extra call is granted to one detainee, not to {each.scope}"))
    return found


def allowance_problems(allowances: Iterable[Allowance]) -> list[Problem]:
    """Find numbers below zero, half a rolling quota, and a second allowance for one scope."""
    found: list[Problem] = []
    seen: set[str] = set()
    for each in allowances:
        scope = str(each.scope)
        if scope in seen:
            found.append(Problem(scope, f"{scope} has two allowances: write one"))
        seen.add(scope)
        for field in dataclasses.fields(each):
            value = getattr(each, field.name)
            if field.name != "scope" and value is not None and value < 0:
                found.append(Problem(scope, f"{field.name} of {scope} is {value}: give 0 or more, or leave it out"))
        if (each.rolling_days is None) != (each.rolling_calls is None):
            found.append(Problem(scope, f"rolling_days and rolling_calls of {scope} go together"))
        if each.rolling_days == 0:
            found.append(Problem(scope, f"rolling_days of {scope} is 0: today alone is 1"))
    return found


def tariff_problems(tariffs: Sequence[Tariff], paying: Collection[ClassId], since: datetime.date) -> list[Problem]:
    """Find tariffs that make no sense by themselves, overlap, or leave a class that pays without one from `since` on.

    `paying`: the classes that are not exempt from the price. Where there is no tariff at all everything is free.
    """
    found = [problem for tariff in tariffs for problem in _tariff(tariff)]
    if found:
        return found
    for one, other in itertools.combinations(tariffs, 2):
        days = one.weekdays & other.weekdays & _common_days(one, other)
        if one.cls == other.cls and days and one.begins < other.ends and other.begins < one.ends:
            hours = f"{clock_text(max(one.begins, other.begins))} to {clock_text(min(one.ends, other.ends))}"
            text = f"overlaps tariff {one.id} on {WEEKDAYS[min(days)]} {hours}"
            found.append(Problem(other.id, f"{text}: let one end before the other begins"))
    if tariffs:
        for cls in sorted(paying):
            found.extend(_gaps(tariffs, cls, max(since, min(tariff.valid_from for tariff in tariffs))))
    return found


def _tariff(tariff: Tariff) -> Iterator[Problem]:
    yield from _hours(tariff.id, tariff.begins, tariff.ends)
    yield from _validity(tariff.id, tariff.valid_from, tariff.valid_to)
    if tariff.price < 0:
        yield Problem(tariff.id, f"its price is {tariff.price}: give hundredths of a cent, 0 or more")
    if tariff.unit == "free" and tariff.price:
        yield Problem(tariff.id, "is free and has a price: take another unit, or price 0")
    if not tariff.weekdays or not tariff.weekdays <= set(range(7)):
        yield Problem(tariff.id, "holds on no weekday, or on one that is none: Monday is 0 and Sunday 6")


def _gaps(tariffs: Sequence[Tariff], cls: ClassId, since: datetime.date) -> Iterator[Problem]:
    """The first time of each weekday and stretch of days in which no tariff holds for the class."""
    holding = [tariff for tariff in tariffs if tariff.cls in (cls, None)]
    edges = {since, *(each.valid_from for each in holding)}
    edges.update(each.valid_to + _DAY for each in holding if each.valid_to and each.valid_to < datetime.date.max)
    days = sorted(day for day in edges if day >= since)
    for first, following in itertools.zip_longest(days, days[1:]):
        valid = [e for e in holding if e.valid_from <= first and (e.valid_to is None or first <= e.valid_to)]
        length = 7 if following is None else min(7, (following - first).days)
        for weekday in sorted((first + number * _DAY).weekday() for number in range(length)):
            gap = _first_gap(sorted((e.begins, e.ends) for e in valid if weekday in e.weekdays))
            if gap is not None:
                when = f"from {first} on" if following is None else f"from {first} to {following - _DAY}"
                hours = f"{clock_text(gap[0])} to {clock_text(gap[1])}"
                yield Problem("", f"class {cls} has no tariff on {WEEKDAYS[weekday]} {hours}, {when}: add one")


def _first_gap(hours: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    reached = 0
    for begins, ends in hours:
        if begins > reached:
            return reached, begins
        reached = max(reached, ends)
    return None if reached >= DAY_MINUTES else (reached, DAY_MINUTES)
