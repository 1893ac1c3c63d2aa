"""When somebody who may not call now may call again, as far as hours, quotas and pauses say."""

import dataclasses
import datetime
from collections.abc import Sequence

from avisiod.calls import quotas
from avisiod.calls.people import Scope
from avisiod.calls.quotas import Allowance, PastCall
from avisiod.calls.schedule import ScheduleException, Window, opening

HORIZON = datetime.timedelta(days=7)
"""Exceptions beyond it are not among the facts, and «on Monday» would have two meanings."""
_DAY = datetime.timedelta(days=1)
_SECOND = datetime.timedelta(seconds=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TimeRules:
    """What of the site's rules depends on time, for one detainee and one class of contact; None: does not hold."""

    zone: datetime.tzinfo
    scopes: tuple[Scope, ...]
    """The detainee's, the most specific first."""
    windows: tuple[Window, ...] | None
    exceptions: tuple[ScheduleException, ...] = ()
    """With the extra calls that are not used up."""
    allowances: tuple[Allowance, ...] = ()
    counted: Sequence[PastCall] | None = None
    """Past calls that use up quotas."""
    paused: Sequence[PastCall] | None = None
    """Past calls that a pause follows."""
    shortest_s: float = 1.0
    """Less than this is too short for a call."""


def next_time(rules: TimeRules, at_utc: datetime.datetime) -> datetime.datetime | None:
    """The first instant from `at_utc` on at which nothing of this is in the way; None where none is within a week.

    As things stand: calls that are made meanwhile may change it.
    """
    end = at_utc + HORIZON
    ordinary = dataclasses.replace(rules, exceptions=tuple(e for e in rules.exceptions if e.kind != "extra"))
    found = [_first(ordinary, at_utc, end)]
    for extra in rules.exceptions:
        if extra.kind == "extra" and extra.scope in rules.scopes:
            granted = dataclasses.replace(ordinary, exceptions=(*ordinary.exceptions, extra))
            alone = dataclasses.replace(granted, counted=None, paused=None)
            begins, ends = (_utc(moment, rules.zone) for moment in (extra.from_local, extra.to_local))
            found.append(_first(alone, max(at_utc, begins), min(end, ends)))
    return min((each for each in found if each is not None), default=None)


def _first(rules: TimeRules, begin: datetime.datetime, end: datetime.datetime) -> datetime.datetime | None:
    """The first instant from `begin` on, and before `end`."""
    at = begin
    while at < end:
        later = _in_the_way_until(rules, at, end)
        if later is None:
            return at
        at = max(later, at + _SECOND)
    return None


def _in_the_way_until(rules: TimeRules, at: datetime.datetime, end: datetime.datetime) -> datetime.datetime | None:
    """When to look again, because something is in the way at `at`; None where nothing is."""
    if rules.windows is not None:
        told = opening(rules.windows, rules.exceptions, rules.zone, rules.scopes, at)
        if not told.open:
            return told.next_utc or end
        if told.until_utc is not None and (told.until_utc - at).total_seconds() < rules.shortest_s:
            return told.until_utc
    if rules.paused is not None:
        until = quotas.pause_until(rules.allowances, rules.scopes, rules.paused, at)
        if until is not None and until > at:
            return until
    if rules.counted is not None:
        for use in quotas.uses(rules.allowances, rules.scopes, rules.counted, rules.zone, at):
            if use.left < (1 if use.measure == "calls" else rules.shortest_s):
                return _midnight_after(at, rules.zone)  # quotas are of calendar days
    return None


def _midnight_after(at: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    return _utc(datetime.datetime.combine(at.astimezone(zone).date() + _DAY, datetime.time()), zone)


def _utc(local: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    return local.replace(tzinfo=zone).astimezone(datetime.UTC)
