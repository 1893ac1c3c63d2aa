"""How often and how long a detainee may call: allowances of the scopes, and what the past leaves of them."""

import dataclasses
import datetime
from collections.abc import Iterable

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
