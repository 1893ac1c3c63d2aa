"""Prices: rounded in the detainee's favour, never falling with time, and the inverse of what a balance pays."""

import datetime
import fractions
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.ids import ClassId
from avisiod.calls.tariff import Tariff, Unit, affordable_s, price_of, tariff_for

DAY = datetime.date(2026, 1, 1)
TARIFFS = st.builds(
    lambda unit, price: Tariff(id="t", unit=unit, price=0 if unit == "free" else price, valid_from=DAY),
    st.sampled_from(["call", "minute", "second", "free"]),
    st.one_of(st.integers(0, 300), st.integers(0, 20_000)),
)


def tariff(unit: Unit, price: int) -> Tariff:
    return Tariff(id="t", unit=unit, price=price, valid_from=DAY)


@pytest.mark.parametrize(
    ("unit", "price", "seconds", "cents"),
    [
        ("call", 5000, 0.0, 0),
        ("call", 5000, 0.9, 0),
        ("call", 5000, 1.0, 50),
        ("call", 5000, 1200.0, 50),
        ("minute", 1250, 60.9, 12),
        ("minute", 1250, 61.0, 25),
        ("minute", 1250, 1200.0, 250),
        ("second", 7, 100.0, 7),
        ("second", 7, 14.99, 0),
        ("free", 0, 1200.0, 0),
    ],
)
def test_prices(unit: Unit, price: int, seconds: float, cents: int) -> None:
    assert price_of(tariff(unit, price), seconds) == cents


@given(TARIFFS, st.floats(0, 90_000), st.floats(0, 90_000))
def test_more_time_never_costs_less(tariff: Tariff, one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert 0 <= price_of(tariff, shorter) <= price_of(tariff, longer)


@given(TARIFFS, st.floats(0, 90_000))
def test_never_more_than_the_exact_price_of_the_begun_units(tariff: Tariff, seconds: float) -> None:
    units = {"call": 1 if seconds > 0 else 0, "minute": math.ceil(seconds / 60), "second": seconds, "free": 0}
    exact = fractions.Fraction(units[tariff.unit]) * tariff.price / 100
    assert price_of(tariff, seconds) <= exact


@given(TARIFFS, st.integers(0, 5000))
def test_what_a_balance_pays_is_the_inverse_of_the_price(tariff: Tariff, balance: int) -> None:
    longest = affordable_s(tariff, balance)
    if longest is None:
        assert price_of(tariff, 10_000_000) <= balance
        return
    assert price_of(tariff, longest) <= balance
    assert price_of(tariff, longest + 1) > balance


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def test_a_class_pays_its_own_tariff_where_it_has_one_at_that_hour() -> None:
    every = Tariff(id="every", unit="minute", price=1000, valid_from=DAY)
    evening = Tariff(
        id="evening",
        cls=ClassId("ordinary"),
        unit="minute",
        price=500,
        valid_from=DAY,
        valid_to=datetime.date(2026, 12, 31),
        weekdays=frozenset({0, 1}),
        begins=1080,
        ends=1200,
    )
    both = [every, evening]
    assert tariff_for(both, ClassId("ordinary"), at("2026-11-23T18:00")) == evening
    assert tariff_for(both, ClassId("ordinary"), at("2026-11-23T20:00")) == every
    assert tariff_for(both, ClassId("ordinary"), at("2026-11-25T18:00")) == every
    assert tariff_for(both, ClassId("ordinary"), at("2027-01-04T18:00")) == every
    assert tariff_for(both, ClassId("other"), at("2026-11-23T18:00")) == every
    assert tariff_for([evening], ClassId("other"), at("2026-11-23T18:00")) is None
    assert tariff_for(both, ClassId("ordinary"), at("2025-12-31T18:00")) is None
