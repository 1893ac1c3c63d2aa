"""What a site may not set, and that each problem says what is wrong and what to do."""

import dataclasses
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avisiod.calls.ids import ClassId
from avisiod.calls.people import SITE, Scope
from avisiod.calls.quotas import Allowance
from avisiod.calls.schedule import ScheduleException, Window
from avisiod.calls.site_rules import allowance_problems, exception_problems, tariff_problems, window_problems
from avisiod.calls.tariff import Tariff

DAY = datetime.date(2026, 1, 5)
ORDINARY = ClassId("ordinary")


def window(ident: str, begins: int, ends: int, **more: object) -> Window:
    values: dict[str, object] = {"scope": SITE, "weekday": 0, **more}
    return Window(id=ident, begins=begins, ends=ends, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("windows", "texts"),
    [
        ([window("a", 840, 960), window("b", 960, 1000)], []),
        ([window("a", 840, 960), window("b", 900, 1000, weekday=1)], []),
        ([window("a", 840, 960), window("b", 900, 1000, scope=Scope("regime", "r"))], []),
        ([window("a", 840, 960, valid_to=DAY), window("b", 900, 1000, valid_from=DAY + datetime.timedelta(1))], []),
        (
            [window("a", 840, 960), window("b", 900, 1000)],
            [
                (
                    "b: Monday 15:00 to 16:40 overlaps window a, Monday 14:00 to 16:00, of site: "
                    "make them one, or let one end where the other begins"
                )
            ],
        ),
        (
            [window("a", 960, 840)],
            ["a: ends at 14:00, not after it begins at 16:00: write what goes past midnight as two"],
        ),
        ([window("a", 0, 1441)], ["a: the hours are not between 00:00 and 24:00"]),
        ([window("a", 0, 60, weekday=7)], ["a: 7 is no weekday: Monday is 0 and Sunday 6"]),
        (
            [window("a", 0, 60, valid_from=DAY, valid_to=DAY - datetime.timedelta(1))],
            ["a: is valid until 2026-01-04, before it becomes valid on 2026-01-05"],
        ),
    ],
)
def test_windows(windows: list[Window], texts: list[str]) -> None:
    assert [f"{p.id}: {p.text}" for p in window_problems(windows)] == texts


def test_exceptions() -> None:
    noon = datetime.datetime.fromisoformat("2026-05-01T12:00")
    good = ScheduleException(id="a", scope=SITE, kind="closed", from_local=noon, to_local=noon.replace(hour=13))
    assert exception_problems([good]) == []
    bad = [
        dataclasses.replace(good, id="b", to_local=noon),
        dataclasses.replace(good, id="c", kind="extra"),
        dataclasses.replace(good, id="d", **{e: noon.replace(tzinfo=datetime.UTC, hour=h) for e, h in EDGES}),
    ]
    assert [(p.id, p.text.split(":")[0][:30]) for p in exception_problems(bad)] == [
        ("b", "ends at 2026-05-01 12"),
        ("c", "an extra call is granted to on"),
        ("d", "has a time zone"),
    ]


EDGES = (("from_local", 12), ("to_local", 13))


def test_allowances() -> None:
    assert allowance_problems([Allowance(scope=SITE, calls_day=0, rolling_days=7, rolling_calls=1)]) == []
    bad = [
        Allowance(scope=SITE, calls_day=-1),
        Allowance(scope=SITE, rolling_days=7),
        Allowance(scope=Scope("regime", "r"), rolling_days=0, rolling_calls=1),
    ]
    assert [p.text for p in allowance_problems(bad)] == [
        "calls_day of site is -1: give 0 or more, or leave it out",
        "site has two allowances: write one",
        "rolling_days and rolling_calls of site go together",
        "rolling_days of regime r is 0: today alone is 1",
    ]


def tariff(ident: str = "t", **more: object) -> Tariff:
    values: dict[str, object] = {"unit": "minute", "price": 1200, "valid_from": DAY, **more}
    return Tariff(id=ident, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tariffs", "text"),
    [
        ([], ""),
        ([tariff()], ""),
        ([tariff(price=-1)], "its price is -1: give hundredths of a cent, 0 or more"),
        ([tariff(unit="free")], "is free and has a price: take another unit, or price 0"),
        ([tariff(weekdays=frozenset())], "holds on no weekday, or on one that is none: Monday is 0 and Sunday 6"),
        (
            [tariff(), tariff("u", begins=600)],
            "overlaps tariff t on Monday 10:00 to 24:00: let one end before the other begins",
        ),
        ([tariff(), tariff("u", cls=ORDINARY, begins=600)], ""),
        (
            [tariff(cls=ORDINARY, ends=1200)],
            "class ordinary has no tariff on Monday 20:00 to 24:00, from 2026-01-05 on: add one",
        ),
        (
            [tariff(valid_to=datetime.date(2026, 3, 31)), tariff("u", valid_from=datetime.date(2026, 4, 2))],
            "class ordinary has no tariff on Wednesday 00:00 to 24:00, from 2026-04-01 to 2026-04-01: add one",
        ),
        (
            [tariff(valid_to=datetime.date(2026, 3, 31))],
            "class ordinary has no tariff on Monday 00:00 to 24:00, from 2026-04-01 on: add one",
        ),
    ],
)
def test_tariffs(tariffs: list[Tariff], text: str) -> None:
    assert next((p.text for p in tariff_problems(tariffs, [ORDINARY], DAY)), "") == text


def test_what_was_wrong_in_the_past_is_of_no_interest() -> None:
    late = [tariff(ends=600, valid_to=DAY), tariff("u", valid_from=DAY + datetime.timedelta(1))]
    assert tariff_problems(late, [ORDINARY], DAY)
    assert not tariff_problems(late, [ORDINARY], DAY + datetime.timedelta(1))


HOURS = st.sampled_from([0, 360, 720, 1440])
DAYS = st.integers(0, 12).map(lambda n: DAY + datetime.timedelta(n))


@st.composite
def several(draw: st.DrawFn) -> list[Tariff]:
    def one(number: int) -> Tariff:
        begins = draw(st.sampled_from([0, 0, 360, 720]))
        first = draw(DAYS)
        return tariff(
            f"t{number}",
            cls=draw(st.sampled_from([None, ORDINARY])),
            valid_from=first,
            valid_to=draw(st.none() | DAYS.filter(lambda d: d >= first)),
            weekdays=draw(st.sampled_from([frozenset(range(7)), frozenset(range(5)), frozenset({5, 6})])),
            begins=begins,
            ends=draw(HOURS.filter(lambda e: e > begins)),
        )

    return [one(n) for n in range(draw(st.integers(1, 4)))]


@given(several())
@settings(max_examples=150, deadline=None)
def test_tariffs_are_sound_exactly_where_each_hour_of_each_day_has_one_of_its_class(tariffs: list[Tariff]) -> None:
    first = min(t.valid_from for t in tariffs)
    sound = True
    for number in range(40):
        day = first + datetime.timedelta(number)
        for hour in range(0, 1440, 360):
            there = [
                t.cls
                for t in tariffs
                if t.valid_from <= day <= (t.valid_to or datetime.date.max)
                and day.weekday() in t.weekdays
                and t.begins <= hour < t.ends
            ]
            sound = sound and bool(there) and len(there) == len(set(there))
    assert (tariff_problems(tariffs, [ORDINARY], DAY) == []) is sound
