"""A phone's health: each state with its patience, and nothing that a single sight could change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.phone_health import (
    Absent,
    Answered,
    Booted,
    CaseOpened,
    Cleared,
    Fact,
    Health,
    Missed,
    Passed,
    Patience,
    PhoneState,
    Registered,
    Wanted,
    observed,
    remembered,
)

PATIENCE = Patience()
NEVER, UP, SILENT = PhoneState.NEVER_SEEN, PhoneState.UP, PhoneState.SILENT
GONE, LOOP, WRONG, TAMPERED = (
    PhoneState.UNREGISTERED,
    PhoneState.REBOOTING,
    PhoneState.WRONG_FIRMWARE,
    PhoneState.TAMPERED,
)
Sights = list[tuple[float, Fact]]
HERE = Registered("a")


def after(sights: Sights, health: Health = Health()) -> Health:  # noqa: B008 - it is immutable
    for at, fact in sights:
        health = observed(health, fact, PATIENCE, at)
    return health


@pytest.mark.parametrize(
    ("sights", "state"),
    [
        ([], NEVER),
        ([(0, Absent()), (9999, Absent())], NEVER),
        ([(0, HERE)], UP),
        # gone: after a while, and for a while
        ([(0, HERE), (10, Absent()), (129, Absent())], UP),
        ([(0, HERE), (10, Absent()), (130, Absent())], GONE),
        ([(0, HERE), (10, Absent()), (130, Passed())], GONE),
        ([(0, HERE), (10, Absent()), (100, HERE), (110, Absent()), (229, Absent())], UP),
        ([(0, HERE), (10, Absent()), (130, Absent()), (140, HERE), (199, HERE)], GONE),
        ([(0, HERE), (10, Absent()), (130, Absent()), (140, HERE), (200, HERE)], UP),
        # silent: three misses, two answers
        ([(0, HERE), (1, Missed()), (2, Missed())], UP),
        ([(0, HERE), (1, Missed()), (2, Missed()), (3, Missed())], SILENT),
        ([(0, HERE), (1, Missed()), (2, Missed()), (3, Answered()), (4, Missed())], UP),
        ([(0, HERE), *[(n, Missed()) for n in (1, 2, 3)], (4, Answered())], SILENT),
        ([(0, HERE), *[(n, Missed()) for n in (1, 2, 3)], (4, Answered()), (5, Answered())], UP),
        ([(0, HERE), *[(n, Missed()) for n in (1, 2, 3)], (4, Answered()), (5, Missed()), (6, Answered())], SILENT),
        ([*[(n, Missed()) for n in (1, 2, 3)]], NEVER),
        # rebooting: three starts in a quarter of an hour; over after half an hour of peace
        ([(0, HERE), (10, Booted()), (400, Booted())], UP),
        ([(0, HERE), (10, Booted()), (400, Booted()), (800, Booted())], LOOP),
        ([(0, HERE), (10, Booted()), (20, Booted()), (30, Booted())], UP),
        ([(0, HERE), (10, Booted()), (400, Booted()), (911, Booted())], UP),
        ([(0, HERE), (10, Registered("b")), (300, Registered("c")), (600, Registered("d"))], LOOP),
        ([(0, HERE), (10, Registered("b")), (20, Booted()), (300, Registered("c"))], UP),
        ([(0, HERE), (0, Booted()), (400, Booted()), (800, Booted()), (2599, Passed())], LOOP),
        ([(0, HERE), (0, Booted()), (400, Booted()), (800, Booted()), (2600, Passed())], UP),
        # firmware
        ([(0, Wanted("2")), (1, Registered("a", "1")), (600, Passed())], UP),
        ([(0, Wanted("2")), (1, Registered("a", "1")), (601, Passed())], WRONG),
        ([(0, Wanted("2")), (1, Registered("a", "1")), (601, Passed()), (602, Registered("a", "2"))], UP),
        ([(0, Wanted("2")), (1, Registered("a")), (9999, Passed())], UP),
        ([(0, Wanted("")), (1, Registered("a", "1")), (9999, Passed())], UP),
        # tampered: at once, and until somebody has looked
        ([(0, HERE), (1, CaseOpened())], TAMPERED),
        ([(0, HERE), (1, CaseOpened()), (9999, HERE), (9999, Answered())], TAMPERED),
        ([(0, HERE), (1, CaseOpened()), (2, Cleared())], UP),
        ([(0, HERE), (1, CaseOpened()), (2, Absent()), (200, Absent())], TAMPERED),
        ([(0, HERE), (1, CaseOpened()), (2, Absent()), (200, Absent()), (201, Cleared())], GONE),
    ],
)
def test_a_state_is_believed_with_patience(sights: Sights, state: PhoneState) -> None:
    assert after(sights).state is state


def test_a_phone_that_is_gone_is_not_silent_as_well() -> None:
    silent = after([(0, HERE), *[(n, Missed()) for n in (1, 2, 3)]])
    assert after([(4, Absent())], silent).state is UP
    assert after([(4, Absent()), (5, HERE)], silent).state is UP


@pytest.mark.parametrize("state", list(PhoneState))
def test_what_was_believed_before_a_restart_holds_until_something_else_was_seen(state: PhoneState) -> None:
    health = remembered(state, firmware="1", tampered=False, now=50.0)
    assert health.state is state
    assert after([(51, Passed()), (100, Passed())], health).state in (state, UP if state is WRONG else state)


def test_an_opened_case_outlives_a_restart() -> None:
    health = remembered(GONE, firmware="", tampered=True, now=0.0)
    assert health.state is TAMPERED
    assert observed(health, Cleared(), PATIENCE, 1.0).state is GONE


FACTS = st.one_of(
    st.builds(Registered, st.sampled_from(["", "a", "b"]), st.sampled_from(["", "1", "2"])),
    st.sampled_from([Absent(), Answered(), Missed(), Booted(), Passed()]),
    st.builds(Wanted, st.sampled_from(["", "1", "2"])),
)
SIGHTS = st.lists(st.tuples(st.floats(0, 400), st.one_of(FACTS, st.sampled_from([CaseOpened(), Cleared()]))))


@given(SIGHTS)
def test_promises_hold_in_any_order_of_events(steps: list[tuple[float, Fact]]) -> None:
    health, now, opened, seen = Health(), 0.0, False, False
    for passed, fact in steps:
        now += passed
        before, health = health, observed(health, fact, PATIENCE, now)
        opened = isinstance(fact, CaseOpened) or (opened and not isinstance(fact, Cleared))
        seen = seen or isinstance(fact, Registered | Answered | Booted | CaseOpened)
        assert (health.state is TAMPERED) == opened
        assert (health.state is NEVER) == (not seen), "never seen until it was, and never again"
        assert len(health.boots) <= PATIENCE.boots
        if before.state is UP and isinstance(fact, Missed) and health.state is SILENT:
            assert health.misses >= PATIENCE.misses
        if GONE in health.holds and GONE not in before.holds:
            assert now - health.turned_at >= PATIENCE.absent_s
        assert observed(health, Passed(), PATIENCE, now) == health, "time that does not pass changes nothing"


@given(st.lists(st.floats(0.1, 59.9), min_size=1, max_size=40))
def test_a_phone_that_flaps_faster_than_anyone_looks_changes_its_state_at_most_once(steps: list[float]) -> None:
    health, now, changes = after([(0, HERE)]), 0.0, 0
    here = True
    for passed in steps:
        now += passed
        here = not here
        before, health = health, observed(health, HERE if here else Absent(), PATIENCE, now)
        changes += before.state is not health.state
    assert changes == 0
