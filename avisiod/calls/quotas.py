"""How often and how long a detainee may call: allowances of the scopes, and what the past leaves of them."""

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from typing import Literal

from avisiod.calls.ids import ClassId, ContactId
from avisiod.calls.people import Scope

LONGEST_CALL_S = 86_400
"""No call lasts longer than this, so what ended within a pause was connected at most so long before it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a scope sets; None leaves it to the next wider scope. Days, weeks and months are the site's calendar."""

    scope: Scope
    call_s: int | None = None
    """Longest time connected of one call, in seconds."""
    calls_day: int | None = None
    calls_week: int | None = None
    """A week begins on Monday."""
    calls_month: int | None = None
    minutes_day: int | None = None
    minutes_week: int | None = None
    minutes_month: int | None = None
    rolling_days: int | None = None
    rolling_calls: int | None = None
    """At most so many calls in `rolling_days` days: today and those before it. Both are set, or neither."""
    pause_s: int | None = None
    """Shortest time between the end of a call and the next one, in seconds."""
    contacts_max: int | None = None
    """Granted authorisations at once; looked at when one is granted, never when a call is made."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """A call that counts: it was connected, and its end was no failure of ours (`EndReason.charged`)."""

    connected_utc: datetime.datetime
    ended_utc: datetime.datetime
    connected_s: float
    contact: ContactId
    cls: ClassId
    """As it was when the call was admitted; calls to a class that is exempt from quotas use nothing up."""
    extra: bool = False
    """It was a granted extra call: it uses nothing up either, but the pause after it counts."""


def history_since(
    allowances: Iterable[Allowance], zone: datetime.tzinfo, at_utc: datetime.datetime
) -> datetime.datetime:
    """From when on the past matters: calls connected before this use nothing up at `at_utc`."""
    today = at_utc.astimezone(zone).date()
    days = [allowance.rolling_days or 0 for allowance in allowances]
    pauses = [allowance.pause_s or 0 for allowance in allowances]
    first = min(
        today.replace(day=1),
        today - datetime.timedelta(days=today.weekday()),
        today - datetime.timedelta(days=max([1, *days]) - 1),
    )
    begins = datetime.datetime.combine(first, datetime.time(), zone).astimezone(datetime.UTC)
    return min(begins, at_utc - datetime.timedelta(seconds=max([0, *pauses]) + LONGEST_CALL_S))


Measure = Literal["calls", "seconds"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What an allowance gives in a period, and what of it is used."""

    name: str
    """The allowance's field."""
    measure: Measure
    allowed: float
    used: float
    scope: Scope
    """The one that sets it."""

    @property
    def left(self) -> float:
        """What remains; never below zero."""
        return max(0.0, self.allowed - self.used)

    def __str__(self) -> str:
        """As staff read it."""
        unit = "calls" if self.measure == "calls" else "minutes"
        allowed, used = (n if self.measure == "calls" else n / 60 for n in (self.allowed, self.used))
        return f"{self.name} of {self.scope}: {used:g} of {allowed:g} {unit} used"


def set_by(name: str, allowances: Iterable[Allowance], scopes: Sequence[Scope]) -> Allowance | None:
    """The allowance whose `name` holds: of the most specific scope that sets it."""
    setting = [each for each in allowances if each.scope in scopes and getattr(each, name) is not None]
    return min(setting, key=lambda each: scopes.index(each.scope), default=None)


def uses(
    allowances: Sequence[Allowance],
    scopes: Sequence[Scope],
    history: Iterable[PastCall],
    zone: datetime.tzinfo,
    at_utc: datetime.datetime,
) -> list[Use]:
    """Each quota that is set, with what the calls of its period have used. A call belongs to the day it began on."""
    today = at_utc.astimezone(zone).date()
    past = [(call.connected_utc.astimezone(zone).date(), call.connected_s) for call in history]
    found: list[Use] = []
    for period, first in (
        ("day", today),
        ("week", today - datetime.timedelta(days=today.weekday())),
        ("month", today.replace(day=1)),
    ):
        lengths = [seconds for day, seconds in past if first <= day <= today]
        if (calls := set_by(f"calls_{period}", allowances, scopes)) is not None:
            allowed = getattr(calls, f"calls_{period}")
            found.append(_use(f"calls_{period}", "calls", allowed, len(lengths), calls))
        if (minutes := set_by(f"minutes_{period}", allowances, scopes)) is not None:
            allowed = 60 * getattr(minutes, f"minutes_{period}")
            found.append(_use(f"minutes_{period}", "seconds", allowed, sum(lengths), minutes))
    rolling = set_by("rolling_calls", allowances, scopes)
    if rolling is not None and rolling.rolling_calls is not None:
        first = today - datetime.timedelta(days=(rolling.rolling_days or 1) - 1)
        count = sum(first <= day <= today for day, _ in past)
        found.append(_use("rolling_calls", "calls", rolling.rolling_calls, count, rolling))
    return found


def _use(name: str, measure: Measure, allowed: float, used: float, allowance: Allowance) -> Use:
    return Use(name=name, measure=measure, allowed=allowed, used=used, scope=allowance.scope)


def pause_until(
    allowances: Sequence[Allowance],
    scopes: Sequence[Scope],
    history: Iterable[PastCall],
    at_utc: datetime.datetime,
) -> datetime.datetime | None:
    """When the pause after the last call is over; None where none is set, or there was no call.

    A call that ended further in the future than a pause is long tells that the wall clock was put back: nobody waits
    until it has caught up.
    """
    allowance = set_by("pause_s", allowances, scopes)
    if allowance is None or allowance.pause_s is None:
        return None
    pause = datetime.timedelta(seconds=allowance.pause_s)
    last = max((call.ended_utc for call in history if call.ended_utc <= at_utc + pause), default=None)
    return None if last is None else last + pause
