"""Hours: for any windows, exceptions, zone and instant the answer is that of a walk, minute by minute."""

import datetime
import zoneinfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avisiod.calls.people import SITE, Detainee, Scope
from avisiod.calls.schedule import Opening, ScheduleException, Window, extra_at, opening, window_text

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
ZONES = ["Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "America/Sao_Paulo", "UTC"]
REGIME, ME = Scope("regime", "ordinary"), Scope("detainee", "d1")
SCOPES = (ME, REGIME, Scope("building", "b"), SITE)
MINUTE = datetime.timedelta(minutes=1)
HORIZON = 2 * 1440


def utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def local(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def open_at(
    windows: list[Window], exceptions: list[ScheduleException], zone: datetime.tzinfo, at: datetime.datetime
) -> bool:
    """The slow, obvious reading of the rules, for one minute of the site's clock."""
    clock = at.astimezone(zone)
    wall = clock.replace(tzinfo=None, fold=0)
    for scope in SCOPES:
        kinds = {e.kind for e in exceptions if e.scope == scope and e.from_local <= wall < e.to_local}
        if kinds:
            return "closed" not in kinds
    for scope in SCOPES:
        today = [
            w
            for w in windows
            if w.scope == scope
            and not (w.valid_from and wall.date() < w.valid_from)
            and not (w.valid_to and wall.date() > w.valid_to)
        ]
        if today:
            minute = wall.hour * 60 + wall.minute
            return any(w.weekday == wall.weekday() and minute in range(w.begins, w.ends) for w in today)
    return False


# Half an hour on either side of every change of clocks of 2026 and 2027 is where mistakes live.
NIGHTS = ["2026-03-29T00:00", "2026-10-25T00:00", "2026-11-01T05:00", "2026-04-04T14:00", "2018-02-17T23:00"]
INSTANTS = st.one_of(
    st.datetimes(local("2017-01-01"), local("2028-01-01")),
    st.builds(
        lambda night, minutes: local(night) + minutes * MINUTE, st.sampled_from(NIGHTS), st.integers(-1500, 1500)
    ),
).map(lambda naive: naive.replace(second=0, microsecond=0, tzinfo=datetime.UTC))


@st.composite
def weeks(draw: st.DrawFn) -> tuple[list[Window], list[ScheduleException], datetime.tzinfo, datetime.datetime]:
    at = draw(INSTANTS)
    zone = zoneinfo.ZoneInfo(draw(st.sampled_from(ZONES)))
    today = at.astimezone(zone).date()
    days = st.none() | st.integers(-9, 9).map(lambda n: today + datetime.timedelta(days=n))
    minutes = st.one_of(st.integers(0, 1439), st.sampled_from([0, 60, 119, 120, 121, 150, 179, 180, 181, 1439]))

    def window(number: int) -> Window:
        begins = draw(minutes)
        return Window(
            id=f"w{number}",
            scope=draw(st.sampled_from(SCOPES)),
            weekday=draw(st.one_of(st.just(today.weekday()), st.integers(0, 6))),
            begins=begins,
            ends=draw(st.one_of(st.just(1440), st.integers(begins + 1, 1440))),
            valid_from=draw(days),
            valid_to=draw(days),
        )

    def exception(number: int) -> ScheduleException:
        begins = at.astimezone(zone).replace(tzinfo=None) + draw(st.integers(-3000, 3000)) * MINUTE
        return ScheduleException(
            id=f"e{number}",
            scope=draw(st.sampled_from(SCOPES)),
            kind=draw(st.sampled_from(["closed", "open", "extra"])),
            from_local=begins,
            to_local=begins + draw(st.integers(1, 3000)) * MINUTE,
        )

    windows = [window(n) for n in range(draw(st.integers(0, 5)))]
    return windows, [exception(n) for n in range(draw(st.integers(0, 3)))], zone, at


@given(weeks())
@settings(max_examples=150, deadline=None)
def test_opening_agrees_with_a_walk_minute_by_minute(
    week: tuple[list[Window], list[ScheduleException], datetime.tzinfo, datetime.datetime],
) -> None:
    windows, exceptions, zone, at = week
    told = opening(windows, exceptions, zone, SCOPES, at)
    now = open_at(windows, exceptions, zone, at)
    assert told.open is now
    change = told.until_utc if now else told.next_utc
    assert (told.next_utc if now else told.until_utc) is None
    assert change is None or change > at
    moment = at
    for _ in range(HORIZON):
        moment += MINUTE
        if open_at(windows, exceptions, zone, moment) is not now:
            assert change == moment
            return
    assert change is None or change > moment


def paris(window: tuple[int, int, int], at: str, *exceptions: ScheduleException) -> Opening:
    weekday, begins, ends = window
    windows = [Window(id="w", scope=SITE, weekday=weekday, begins=begins, ends=ends)]
    return opening(windows, exceptions, PARIS, SCOPES, utc(at))


SUNDAY, HALF_PAST = 6, 150


def test_a_window_that_the_spring_night_skips_is_empty_and_the_next_one_is_a_week_later() -> None:
    told = paris((SUNDAY, 120, 180), "2026-03-29T00:59:59")
    assert not told.open
    assert told.next_utc == utc("2026-04-05T00:00")


def test_a_window_that_runs_into_the_skipped_hour_ends_where_the_clock_jumps() -> None:
    told = paris((SUNDAY, 60, HALF_PAST), "2026-03-29T00:30")
    assert told.open
    assert told.until_utc == utc("2026-03-29T01:00")


def test_both_hours_count_on_the_autumn_night() -> None:
    told = paris((SUNDAY, 120, 180), "2026-10-25T00:00")
    assert told.until_utc == utc("2026-10-25T02:00")
    half = paris((SUNDAY, 120, HALF_PAST), "2026-10-25T00:00")
    assert half.until_utc == utc("2026-10-25T00:30")
    again = paris((SUNDAY, 120, HALF_PAST), "2026-10-25T00:30")
    assert again.next_utc == utc("2026-10-25T01:00")
    second = paris((SUNDAY, 120, HALF_PAST), "2026-10-25T01:00")
    assert second.until_utc == utc("2026-10-25T01:30")


def test_seconds_of_the_last_minute_are_inside() -> None:
    assert paris((0, 840, 960), "2026-11-23T14:59:59.9").open
    assert not paris((0, 840, 960), "2026-11-23T15:00").open


def test_two_windows_that_meet_at_midnight_are_one_evening() -> None:
    windows = [
        Window(id="a", scope=SITE, weekday=0, begins=1380, ends=1440),
        Window(id="b", scope=SITE, weekday=1, begins=0, ends=30),
    ]
    told = opening(windows, [], PARIS, SCOPES, utc("2026-11-23T22:30"))
    assert told.until_utc == utc("2026-11-23T23:30")


def test_an_opening_far_away_is_found() -> None:
    window = Window(id="w", scope=SITE, weekday=0, begins=0, ends=60, valid_from=datetime.date(2027, 6, 1))
    assert opening([window], [], PARIS, SCOPES, utc("2026-11-23T12:00")).next_utc == utc("2027-06-06T22:00")
    fair = ScheduleException(
        id="e", scope=SITE, kind="open", from_local=local("2027-07-14T09:30"), to_local=local("2027-07-14T10:00")
    )
    assert opening([], [fair], PARIS, SCOPES, utc("2026-11-23T12:00")).next_utc == utc("2027-07-14T07:30")


def test_what_is_always_open_has_no_end_and_what_never_opens_no_beginning() -> None:
    always = [Window(id=str(day), scope=SITE, weekday=day, begins=0, ends=1440) for day in range(7)]
    told = opening(always, [], PARIS, SCOPES, utc("2026-10-24T12:00"))
    assert (told.open, told.until_utc, told.next_utc) == (True, None, None)
    never = opening([], [], PARIS, SCOPES, utc("2026-10-24T12:00"))
    assert (never.open, never.until_utc, never.next_utc) == (False, None, None)


def test_the_detainees_own_windows_replace_those_of_the_regime() -> None:
    own = Window(id="own", scope=ME, weekday=2, begins=600, ends=660)
    regime = Window(id="r", scope=REGIME, weekday=0, begins=840, ends=960)
    told = opening([own, regime], [], PARIS, SCOPES, utc("2026-11-23T14:00"))
    assert not told.open
    assert told.because == "outside of the windows of detainee d1"
    stranger = opening([own, regime], [], PARIS, Detainee(id="d2").scopes, utc("2026-11-23T14:00"))  # type: ignore[arg-type]
    assert stranger.because == "window r of regime ordinary: Monday 14:00 to 16:00"


def during(scope: Scope, kind: str, ident: str = "e") -> ScheduleException:
    return ScheduleException(
        id=ident,
        scope=scope,
        kind=kind,  # type: ignore[arg-type]
        from_local=local("2026-11-23T14:00"),
        to_local=local("2026-11-23T15:00"),
    )


@pytest.mark.parametrize(
    ("exceptions", "is_open"),
    [
        ([during(SITE, "closed")], False),
        ([during(SITE, "closed"), during(ME, "open")], True),
        ([during(SITE, "open"), during(ME, "closed")], False),
        ([during(ME, "open"), during(ME, "closed")], False),
        ([during(SITE, "closed"), during(ME, "extra")], True),
    ],
)
def test_of_exceptions_the_more_specific_counts_and_among_equals_closed(
    exceptions: list[ScheduleException], is_open: bool
) -> None:
    assert paris((0, 780, 1020), "2026-11-23T13:30", *exceptions).open is is_open


def test_the_extra_call_that_ends_first_is_used_first() -> None:
    long = ScheduleException(
        id="a", scope=ME, kind="extra", from_local=local("2026-11-23T00:00"), to_local=local("2026-11-30T00:00")
    )
    short = during(ME, "extra", "z")
    assert extra_at([long, short], SCOPES, utc("2026-11-23T13:30").astimezone(PARIS)) == short
    assert extra_at([long, short], SCOPES, utc("2026-11-23T15:30").astimezone(PARIS)) == long
    assert extra_at([during(Scope("detainee", "d2"), "extra")], SCOPES, utc("2026-11-23T13:30")) is None


@given(st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440))
@example(6, 0, 1440)
def test_windows_read_as_a_person_reads_them(weekday: int, begins: int, length: int) -> None:
    ends = min(begins + length, 1440)
    text = window_text(Window(id="w", scope=SITE, weekday=weekday, begins=begins, ends=ends))
    day, first, to, last = text.split()
    assert (day[:3].lower(), to) == (["mon", "tue", "wed", "thu", "fri", "sat", "sun"][weekday], "to")
    assert [int(t[:2]) * 60 + int(t[3:]) for t in (first, last)] == [begins, ends]
