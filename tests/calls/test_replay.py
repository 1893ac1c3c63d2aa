"""A report counts once, by whatever its reporter sends to tell one from another."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.replay import REMEMBERED, Heard, Reports, Stamp

WALL = 1_800_000_000.0


def fresh(reports: Reports, at: float = 0.0, what: str = "off_hook", *, anew: bool = False, **stamp: object) -> bool:
    return reports.fresh(what, Stamp(**stamp), at, WALL + at, anew=anew)  # type: ignore[arg-type]


def test_a_number_that_does_not_grow_is_a_replay() -> None:
    reports = Reports()
    assert [fresh(reports, sequence=n) for n in (5, 5, 4, 6, 6, 7)] == [True, False, False, True, False, True]
    assert fresh(reports, sequence=1, anew=True), "it has started"
    assert fresh(reports, sequence=2)


def test_a_start_that_is_told_twice_does_not_bring_back_what_was_counted() -> None:
    reports = Reports()
    assert fresh(reports, sequence=1, nonce="start", anew=True)
    assert fresh(reports, sequence=2, nonce="a")
    assert not fresh(reports, sequence=1, nonce="start", anew=True)
    assert not fresh(reports, sequence=2)


def test_what_was_heard_before_a_restart_of_ours_is_known_after_it() -> None:
    reports = Reports()
    assert fresh(reports, sequence=5, time_s=WALL, nonce="a")
    assert fresh(reports, sequence=6, time_s=WALL + 1, nonce="b")
    again = Reports(msgspec.json.Decoder(Heard).decode(msgspec.json.encode(reports.heard)))
    assert not fresh(again, sequence=6)
    assert not fresh(again, time_s=WALL)
    assert not fresh(again, nonce="a")
    assert not fresh(again, nonce="b")
    assert fresh(again, sequence=7, time_s=WALL + 2, nonce="c")


def test_a_nonce_is_spent_and_only_so_many_are_remembered() -> None:
    reports = Reports()
    assert [fresh(reports, nonce=n) for n in ("a", "a", "b")] == [True, False, True]
    assert all(fresh(reports, nonce=str(n)) for n in range(REMEMBERED * 2))
    assert len(reports._nonces) == REMEMBERED
    assert not fresh(reports, nonce=str(REMEMBERED * 2 - 1), anew=True), "a restart does not bring it back"


@pytest.mark.parametrize(("off", "good"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)])
def test_a_time_that_is_far_off_is_a_replay(off: float, good: bool) -> None:
    assert fresh(Reports(), time_s=WALL + off) is good


def test_a_time_before_the_latest_one_is_a_replay() -> None:
    reports = Reports()
    assert fresh(reports, time_s=WALL)
    assert not fresh(reports, time_s=WALL - 10)
    assert fresh(reports, time_s=WALL + 1)


def test_without_any_of_these_the_same_again_at_once_is_one_report() -> None:
    reports = Reports()
    assert [fresh(reports, at) for at in (0.0, 1.9, 2.0, 4.1)] == [True, False, True, True]
    assert fresh(reports, 4.2, "on_hook"), "another one is another one"


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "a", "b"])), max_size=30))
def test_nothing_that_carries_a_stamp_counts_twice(steps: list[tuple[int, str]]) -> None:
    reports, taken = Reports(), set()
    for sequence, nonce in steps:
        if fresh(reports, sequence=sequence, nonce=nonce):
            assert (sequence, nonce) not in taken
            taken.add((sequence, nonce))
