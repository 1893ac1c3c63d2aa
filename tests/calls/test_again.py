"""When a refused call may be made: for any hours, quotas and pauses what a walk minute by minute finds."""

import dataclasses
import datetime
import zoneinfo
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avisiod.calls.admission import Facts, Granted, Refused, decide
from avisiod.calls.again import HORIZON, TimeRules, next_time
from avisiod.calls.ids import ClassId, ContactId
from avisiod.calls.people import SITE
from avisiod.calls.quotas import Allowance, PastCall
from avisiod.calls.reasons import EndReason
from avisiod.calls.schedule import ScheduleException, Window

from .test_admission import AFTERNOON, CONFIDENTIAL, FACTS, ME, MINE, YES, call, closure, facts, granted, refused
from .test_schedule import ME as MYSELF
from .test_schedule import MINUTE, NIGHTS, SCOPES, local, open_at, utc, weeks

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
WALK = 2 * 1440


def free_at(rules: TimeRules, at: datetime.datetime) -> bool:
    """The slow, obvious reading, for one minute."""
    zone, windows = rules.zone, list(rules.windows or [])
    needed = max(1, int(rules.shortest_s // 60))

    def open_long_enough(exceptions: list[ScheduleException]) -> bool:
        return all(open_at(windows, exceptions, zone, at + n * MINUTE) for n in range(needed))

    ordinary = [each for each in rules.exceptions if each.kind != "extra"]
    wall = at.astimezone(zone).replace(tzinfo=None, fold=0)
    for extra in rules.exceptions:
        mine = extra.kind == "extra" and extra.scope in SCOPES
        if mine and extra.from_local <= wall < extra.to_local and open_long_enough([*ordinary, extra]):
            return True
    if rules.windows is not None and not open_long_enough(ordinary):
        return False
    (allowance,) = rules.allowances
    if rules.paused and allowance.pause_s:
        last = max(past.ended_utc for past in rules.paused)
        if at < last + datetime.timedelta(seconds=allowance.pause_s):
            return False
    today = wall.date()
    days = [past.connected_utc.astimezone(zone).date() for past in rules.counted or []]
    if rules.counted is not None and allowance.calls_day is not None and days.count(today) >= allowance.calls_day:
        return False
    if rules.counted is None or allowance.rolling_days is None or allowance.rolling_calls is None:
        return True
    return sum((today - day).days in range(allowance.rolling_days) for day in days) < allowance.rolling_calls


@st.composite
def cases(draw: st.DrawFn) -> tuple[TimeRules, datetime.datetime]:
    windows, exceptions, zone, at = draw(weeks())

    def past() -> PastCall:
        ended = at - draw(st.integers(1, 3000)) * MINUTE
        return PastCall(
            connected_utc=ended - 10 * MINUTE,
            ended_utc=ended,
            connected_s=600.0,
            contact=ContactId("sister"),
            cls=ClassId("ordinary"),
        )

    history = [past() for _ in range(draw(st.integers(0, 3)))]
    rolling = draw(st.none() | st.integers(1, 4))
    allowance = Allowance(
        scope=SITE,
        calls_day=draw(st.none() | st.integers(0, 2)),
        rolling_days=rolling,
        rolling_calls=None if rolling is None else draw(st.integers(1, 2)),
        pause_s=draw(st.none() | st.integers(0, 1500).map(lambda minutes: minutes * 60)),
    )
    # An extra call is a detainee's own: admission looks for it among the detainee's scopes only.
    own = [dataclasses.replace(each, scope=MYSELF) if each.kind == "extra" else each for each in exceptions]
    rules = TimeRules(
        zone=zone,
        scopes=SCOPES,
        windows=draw(st.just(tuple(windows)) | st.none()),
        exceptions=tuple(own),
        allowances=(allowance,),
        counted=draw(st.just(history) | st.none()),
        paused=draw(st.just(history) | st.none()),
        shortest_s=draw(st.sampled_from([1.0, 60.0, 300.0])),
    )
    return rules, at


@given(cases())
@settings(max_examples=120, deadline=None)
def test_it_agrees_with_a_walk_minute_by_minute(case: tuple[TimeRules, datetime.datetime]) -> None:
    rules, at = case
    told = next_time(rules, at)
    moment = at
    for _ in range(WALK):
        if free_at(rules, moment):
            assert told == moment
            return
        assert told is None or told > moment, moment
        moment += MINUTE
    assert told is None or told >= moment


@given(
    night=st.sampled_from(NIGHTS[:2]),
    minutes=st.integers(-1500, 1500),
    begins=st.integers(0, 1439),
    length=st.integers(1, 300),
)
@settings(max_examples=60, deadline=None)
def test_across_both_changes_of_the_clocks_a_window_of_each_day_is_next_where_the_clock_on_the_wall_says_so(
    night: str, minutes: int, begins: int, length: int
) -> None:
    at = utc(night) + minutes * MINUTE
    ends = min(1440, begins + length)
    windows = tuple(Window(id=str(day), scope=SITE, weekday=day, begins=begins, ends=ends) for day in range(7))
    told = next_time(TimeRules(zone=PARIS, scopes=SCOPES, windows=windows), at)
    assert told is not None
    wall = told.astimezone(PARIS)
    assert begins <= wall.hour * 60 + wall.minute < ends
    moment = at
    while moment < told:
        assert not open_at(list(windows), [], PARIS, moment)
        moment += MINUTE


def again(**changes: Any) -> str:
    """As the clock on the wall shows it; empty where nothing is said."""
    told = refused(**changes).again_utc
    return "" if told is None else told.astimezone(PARIS).strftime("%a %H:%M")


TUESDAY = Window(id="t", scope=SITE, weekday=1, begins=600, ends=660)
MONDAY_5PM = FACTS.at_utc + datetime.timedelta(hours=2)


def test_who_is_refused_for_the_hour_is_told_the_next_one() -> None:
    assert again(at_utc=MONDAY_5PM, windows=(AFTERNOON, TUESDAY)) == "Tue 10:00"
    assert again(at_utc=MONDAY_5PM - 30 * datetime.timedelta(seconds=1), windows=(AFTERNOON, TUESDAY)) == "Tue 10:00"
    assert again(at_utc=MONDAY_5PM) == "Mon 14:00"
    assert again(windows=()) == ""
    assert again(exceptions=(closure(),)) == "Mon 14:00"
    assert again(exceptions=(closure(hour=15),), windows=(dataclasses.replace(AFTERNOON, ends=1200),)) == "Mon 18:00"


def test_who_has_used_a_quota_is_told_when_it_is_free_within_the_hours() -> None:
    once = (Allowance(scope=SITE, calls_day=1),)
    assert again(allowances=once, history=(call(3600),), windows=(AFTERNOON, TUESDAY)) == "Tue 10:00"
    weekly = (Allowance(scope=SITE, rolling_days=7, rolling_calls=1),)
    assert again(allowances=weekly, history=(call(3600),), windows=(AFTERNOON, TUESDAY)) == "Mon 14:00"
    monthly = (Allowance(scope=SITE, calls_month=0),)
    assert again(allowances=monthly) == "", "never, as far as a week can tell"
    none = (Allowance(scope=SITE, call_s=0),)
    assert again(allowances=none) == ""


def test_who_must_wait_is_told_until_when() -> None:
    pause = (Allowance(scope=SITE, pause_s=1800),)
    assert again(allowances=pause, history=(call(600),)) == "Mon 15:20"


def test_an_extra_call_that_begins_later_counts() -> None:
    extra = dataclasses.replace(closure("extra", MINE, 18), from_local=local("2026-11-23T19:00"))
    extra = dataclasses.replace(extra, to_local=local("2026-11-23T20:00"))
    assert again(at_utc=MONDAY_5PM, exceptions=(extra,)) == "Mon 19:00"


def test_nothing_is_said_where_time_is_not_all_that_is_in_the_way() -> None:
    assert refused(balance_cents=0).reason is EndReason.BALANCE_TOO_LOW
    assert again(balance_cents=0) == ""
    assert again(detainee=dataclasses.replace(ME, suspended=True)) == ""
    ends_today = dataclasses.replace(YES, ends_on=datetime.date(2026, 11, 23))
    assert again(at_utc=MONDAY_5PM, windows=(AFTERNOON, TUESDAY), authorisation=ends_today) == ""


def test_whoever_is_exempt_from_hours_is_told_nothing_of_hours() -> None:
    exempt = {CONFIDENTIAL.id: dataclasses.replace(CONFIDENTIAL, exempt=frozenset({"schedule", "authorisation"}))}
    protected = dataclasses.replace(FACTS.dossier.callee, cls=CONFIDENTIAL.id)  # type: ignore[type-var]
    once = (Allowance(scope=SITE, calls_day=1),)
    past = call(3600, cls=CONFIDENTIAL.id)
    assert again(callee=protected, classes=exempt, allowances=once, history=(past,)) == "Tue 00:00"


@given(st.integers(0, 7 * 1440), st.data())
@settings(max_examples=60, deadline=None)
def test_the_call_is_granted_then_and_not_before(minutes: int, data: st.DataObject) -> None:
    windows = tuple(
        Window(id=str(day), scope=SITE, weekday=day, begins=540, ends=data.draw(st.integers(541, 720)))
        for day in data.draw(st.sets(st.integers(0, 6), min_size=1))
    )
    allowances = (Allowance(scope=SITE, calls_day=1, pause_s=7200, minutes_week=data.draw(st.integers(0, 30))),)
    history = tuple(call(data.draw(st.integers(0, 3)) * 86_400.0) for _ in range(2))
    at = FACTS.at_utc + minutes * MINUTE
    given_: dict[str, Any] = {"windows": windows, "allowances": allowances, "history": history}

    def verdict(moment: datetime.datetime) -> Granted | Refused:
        case: Facts = facts(at_utc=moment, **given_)
        return decide(case)

    now = verdict(at)
    if isinstance(now, Granted):
        return
    until = now.again_utc or at + HORIZON
    if now.again_utc is not None:
        assert granted(at_utc=now.again_utc, **given_)
    for share in data.draw(st.lists(st.floats(0, 0.999), max_size=10)):
        assert isinstance(verdict(at + share * (until - at)), Refused)


@pytest.mark.parametrize("reason", [EndReason.NOT_AUTHORISED, EndReason.UNKNOWN_NUMBER])
def test_other_refusals_have_no_time(reason: EndReason) -> None:
    changes: dict[str, Any] = {"authorisation": None} if reason is EndReason.NOT_AUTHORISED else {"callee": None}
    assert refused(**changes).reason is reason
    assert again(**changes) == ""
