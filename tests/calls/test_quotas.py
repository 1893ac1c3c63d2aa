"""How often: what the past leaves agrees with counting, day by day, on the site's calendar."""

import datetime
import zoneinfo

from hypothesis import given, settings
from hypothesis import strategies as st

from avisiod.calls.ids import ClassId, ContactId
from avisiod.calls.people import SITE, Scope
from avisiod.calls.quotas import Allowance, PastCall, history_since, pause_until, set_by, uses

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
ME, REGIME, BUILDING = Scope("detainee", "d1"), Scope("regime", "r"), Scope("building", "b")
SCOPES = (ME, REGIME, BUILDING, SITE)
DAY = datetime.timedelta(days=1)


def utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def call(at: datetime.datetime, seconds: float = 600.0) -> PastCall:
    return PastCall(
        connected_utc=at,
        ended_utc=at + datetime.timedelta(seconds=seconds),
        connected_s=seconds,
        contact=ContactId("c"),
        cls=ClassId("ordinary"),
    )


AT = st.datetimes(datetime.datetime.fromisoformat("2026-01-01"), datetime.datetime.fromisoformat("2027-03-01")).map(
    lambda naive: naive.replace(tzinfo=datetime.UTC)
)
NUMBERS = st.none() | st.integers(0, 9)
FIELDS = ["calls_day", "calls_week", "calls_month", "minutes_day", "minutes_week", "minutes_month"]


@st.composite
def allowance(draw: st.DrawFn, scope: Scope) -> Allowance:
    values = {name: draw(NUMBERS) for name in FIELDS}
    rolling = draw(st.none() | st.integers(1, 40))
    return Allowance(
        scope=scope,
        **values,
        rolling_days=rolling,
        rolling_calls=None if rolling is None else draw(st.integers(0, 5)),
        pause_s=draw(st.none() | st.integers(0, 7200)),
    )


ALLOWANCES = st.tuples(*[allowance(scope) for scope in (*SCOPES, Scope("regime", "other"))])


@st.composite
def pasts(draw: st.DrawFn) -> tuple[datetime.datetime, list[PastCall]]:
    at = draw(AT)
    ago = st.one_of(st.integers(0, 60 * 24 * 60), st.integers(0, 3 * 24 * 60))
    calls = st.builds(lambda minutes, s: call(at - datetime.timedelta(minutes=minutes), s), ago, st.floats(1, 1200))
    return at, draw(st.lists(calls, max_size=12))


def days_of(period: str, today: datetime.date) -> list[datetime.date]:
    """Today and every day before it that belongs to the same period, found one by one."""
    same = {
        "day": lambda day: day == today,
        "week": lambda day: day.isocalendar()[:2] == today.isocalendar()[:2],
        "month": lambda day: (day.year, day.month) == (today.year, today.month),
    }[period]
    return [day for day in (today - n * DAY for n in range(40)) if same(day)]


@given(pasts(), ALLOWANCES)
@settings(max_examples=150, deadline=None)
def test_what_is_used_agrees_with_counting_day_by_day(
    past: tuple[datetime.datetime, list[PastCall]], allowances: tuple[Allowance, ...]
) -> None:
    at, history = past
    today = at.astimezone(PARIS).date()
    found = {use.name: use for use in uses(allowances, SCOPES, history, PARIS, at)}
    for name in FIELDS:
        setting = [a for s in SCOPES for a in allowances if a.scope == s and getattr(a, name) is not None]
        assert (name in found) == bool(setting)
        if not setting:
            continue
        measure, period = name.split("_")
        lengths = [
            c.connected_s
            for day in days_of(period, today)
            for c in history
            if c.connected_utc.astimezone(PARIS).date() == day
        ]
        used = len(lengths) if measure == "calls" else sum(lengths) / 60
        value = getattr(setting[0], name)
        factor = 1 if measure == "calls" else 60
        assert abs(found[name].used - used * factor) < 1e-6
        assert abs(found[name].left - max(0, value - used) * factor) < 1e-6
        assert found[name].scope == setting[0].scope
    rolling = [a for s in SCOPES for a in allowances if a.scope == s and a.rolling_calls is not None]
    if rolling:
        days = {today - n * DAY for n in range(rolling[0].rolling_days or 0)}
        used = len([c for c in history if c.connected_utc.astimezone(PARIS).date() in days])
        assert found["rolling_calls"].left == max(0, (rolling[0].rolling_calls or 0) - used)


@given(pasts(), ALLOWANCES)
def test_nothing_before_history_since_matters(
    past: tuple[datetime.datetime, list[PastCall]], allowances: tuple[Allowance, ...]
) -> None:
    at, history = past
    since = history_since(allowances, PARIS, at)
    recent = [c for c in history if c.connected_utc >= since]
    assert uses(allowances, SCOPES, history, PARIS, at) == uses(allowances, SCOPES, recent, PARIS, at)
    whole, cut = (pause_until(allowances, SCOPES, each, at) for each in (history, recent))
    assert (whole is not None and whole > at) == (cut is not None and cut > at)


def test_a_clock_that_was_put_back_makes_nobody_wait_for_longer_than_two_pauses() -> None:
    half_an_hour = [Allowance(scope=SITE, pause_s=1800)]
    ended = utc("2026-11-24T10:00")
    past = [call(ended - datetime.timedelta(minutes=10))]
    for ahead_s in (-3600, -60, 0, 60, 1800, 1801, 86_400, 10**8):
        now = past[0].ended_utc - datetime.timedelta(seconds=ahead_s)
        until = pause_until(half_an_hour, SCOPES, past, now)
        assert (until is None) is (ahead_s > 1800)
        assert until is None or (until - now).total_seconds() <= 3600


def test_one_call_in_seven_days_may_be_made_again_on_the_same_weekday_at_any_hour() -> None:
    weekly = Allowance(scope=REGIME, rolling_days=7, rolling_calls=1)
    history = [call(utc("2026-10-18T14:30"))]  # the Sunday before clocks are put back
    assert uses([weekly], SCOPES, history, PARIS, utc("2026-10-24T21:59"))[0].left == 0
    assert uses([weekly], SCOPES, history, PARIS, utc("2026-10-24T22:00"))[0].left == 1


def test_a_call_that_begins_before_midnight_counts_for_the_day_it_began_on() -> None:
    daily = Allowance(scope=SITE, calls_day=1)
    history = [call(utc("2026-11-23T22:55"))]  # 23:55 in Paris
    assert uses([daily], SCOPES, history, PARIS, utc("2026-11-23T22:59"))[0].left == 0
    assert uses([daily], SCOPES, history, PARIS, utc("2026-11-23T23:01"))[0].left == 1


def test_a_wider_scope_holds_only_for_what_the_narrower_one_leaves_open() -> None:
    own, site = Allowance(scope=ME, calls_day=9), Allowance(scope=SITE, calls_day=1, calls_week=5)
    assert set_by("calls_day", [site, own], SCOPES) == own
    assert set_by("calls_week", [site, own], SCOPES) == site
    assert set_by("calls_month", [site, own], SCOPES) is None


def test_a_use_reads_as_a_sentence() -> None:
    site = Allowance(scope=SITE, minutes_week=60, calls_day=2)
    told = [str(u) for u in uses([site], SCOPES, [call(utc("2026-11-24T10:00"))], PARIS, utc("2026-11-24T12:00"))]
    assert told == ["calls_day of site: 1 of 2 calls used", "minutes_week of site: 10 of 60 minutes used"]
