"""A roll-out tells one, ten, all; waits; stops by itself; and no order of events makes it tell one too many."""

import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.ids import PhoneId
from avisiod.calls.rollout import (
    Care,
    PhoneStep,
    Rollout,
    RolloutState,
    Seen,
    advanced,
    not_told,
    planned,
    window_open,
)

NAMES = [PhoneId(f"cell{n:02}") for n in range(20)]
CARE = Care(back_within_s=600.0)
OLD, NEW = "1.0", "2.0"


def rollout(count: int = 20, sizes: tuple[int, ...] = (1, 10, 0)) -> Rollout:
    phones = planned([(name, OLD) for name in NAMES[:count]], sizes)
    return Rollout(id="r", version=NEW, state=RolloutState.RUNNING, stage=0, stages=len(sizes), phones=phones)


class Site:
    """Phones that do as they are told, or not."""

    def __init__(self, rolling: Rollout, care: Care = CARE) -> None:
        self.rollout, self.care, self.now = rolling, care, 0.0
        self.versions = {rolled.phone: OLD for rolled in rolling.phones}
        self.away: set[PhoneId] = set()
        self.told: list[PhoneId] = []
        self.stubborn: set[PhoneId] = set()
        self.dead: set[PhoneId] = set()

    def step(self, passed: float = 10.0, *, open_now: bool = True) -> tuple[PhoneId, ...]:
        self.now += passed
        there = {name: version for name, version in self.versions.items() if name not in self.away | self.dead}
        seen = Seen(versions=there, idle=set(there))
        self.rollout, told = advanced(self.rollout, seen, self.care, self.now, open_now=open_now)
        self.told += told
        self.away |= set(told)
        return told

    def back(self) -> None:
        for name in self.away - self.dead:
            self.versions[name] = OLD if name in self.stubborn else NEW
        self.away.clear()

    @property
    def state(self) -> RolloutState:
        return self.rollout.state


def test_one_then_ten_then_all_each_stage_after_the_one_before() -> None:
    site = Site(rollout())
    assert len(site.step()) == 1
    assert site.step() == ()
    site.back()
    assert len(site.step()) == 10
    assert site.step() == (), "it waits for them"
    site.back()
    assert len(site.step()) == 9
    site.back()
    site.step()
    assert site.state is RolloutState.DONE
    assert sorted(site.told) == NAMES


def test_a_phone_that_comes_back_with_the_old_version_stops_it() -> None:
    site = Site(rollout())
    site.stubborn.add(NAMES[0])
    site.step()
    site.back()
    site.step(599.0)
    assert site.state is RolloutState.RUNNING
    site.step(1.0)
    assert site.state is RolloutState.STOPPED
    assert "1 of stage 1 did not come back with 2.0" in site.rollout.why
    assert site.step(9999.0) == ()
    assert site.told == NAMES[:1]


def test_a_phone_that_never_comes_back_stops_the_second_stage_and_the_third_never_begins() -> None:
    site = Site(rollout())
    site.step()
    site.back()
    site.dead.add(NAMES[3])
    site.dead.discard(NAMES[3])
    site.step()
    site.dead.add(NAMES[3])
    site.back()
    site.step(600.0)
    assert site.state is RolloutState.STOPPED
    assert len(site.told) == 11


def test_so_many_failures_as_are_allowed_do_not_stop_it() -> None:
    site = Site(rollout(), Care(back_within_s=600.0, failures=1))
    site.stubborn.add(NAMES[2])
    for _ in range(3):
        site.step()
        site.back()
        site.step(600.0)
        site.back()
    site.step(600.0)
    site.back()
    site.step()
    assert site.state is RolloutState.DONE
    assert [rolled.phone for rolled in site.rollout.phones if rolled.step is PhoneStep.FAILED] == [NAMES[2]]


def test_nobody_is_told_outside_of_the_window_but_who_was_told_is_still_judged() -> None:
    site = Site(rollout())
    assert site.step(open_now=False) == ()
    site.step()
    site.step(600.0, open_now=False)
    assert site.state is RolloutState.STOPPED


def test_only_so_many_are_away_at_once() -> None:
    site = Site(rollout(sizes=(0,)), Care(back_within_s=600.0, at_once=3))
    assert len(site.step()) == 3
    assert site.step() == ()
    site.back()
    assert len(site.step()) == 3


def test_a_phone_that_has_the_version_already_is_not_told() -> None:
    site = Site(rollout())
    site.versions[NAMES[0]] = NEW
    assert len(site.step()) == 10


def test_a_phone_in_a_call_waits_and_one_that_could_not_be_told_waits_a_while() -> None:
    rolling, told = advanced(rollout(1), Seen(versions={NAMES[0]: OLD}, idle=set()), CARE, 0.0, open_now=True)
    assert told == ()
    seen = Seen(versions={NAMES[0]: OLD}, idle={NAMES[0]})
    rolling, told = advanced(rolling, seen, CARE, 10.0, open_now=True)
    assert told == (NAMES[0],)
    rolling = not_told(rolling, NAMES[0], 70.0)
    assert advanced(rolling, seen, CARE, 69.0, open_now=True)[1] == ()
    assert advanced(rolling, seen, CARE, 70.0, open_now=True)[1] == (NAMES[0],)


def test_after_a_restart_who_was_told_has_its_whole_time_again() -> None:
    site = Site(rollout())
    site.step()
    (first, *rest) = site.rollout.phones
    forgotten = msgspec.structs.replace(first, asked_at=None)
    site.rollout = msgspec.structs.replace(site.rollout, phones=(forgotten, *rest))
    site.step(5000.0)
    assert site.state is RolloutState.RUNNING
    site.step(600.0)
    assert site.state is RolloutState.STOPPED


@pytest.mark.parametrize("state", [RolloutState.PAUSED, RolloutState.STOPPED, RolloutState.DONE])
def test_what_does_not_run_does_nothing(state: RolloutState) -> None:
    paused = msgspec.structs.replace(rollout(), state=state)
    seen = Seen(versions=dict.fromkeys(NAMES, OLD), idle=set(NAMES))
    assert advanced(paused, seen, CARE, 0.0, open_now=True) == (paused, ())


@pytest.mark.parametrize("sizes", [(), (0, 1), (-1,)])
def test_stages_that_make_no_sense_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="stages"):
        planned([(NAMES[0], OLD)], sizes)
    with pytest.raises(ValueError, match="phones"):
        planned([], (1,))


@pytest.mark.parametrize(
    ("begins", "ends", "hour", "is_open"),
    [(60, 300, 3, True), (60, 300, 5, False), (1380, 300, 23, True), (1380, 300, 2, True), (1380, 300, 12, False)],
)
def test_a_window_may_pass_midnight(begins: int, ends: int, hour: int, is_open: bool) -> None:
    local = datetime.datetime(2026, 11, 25, hour, 15)  # noqa: DTZ001 - the site's own time
    assert window_open(begins, ends, local) is is_open


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["pass", "back", "stubborn", "dead", "night", "day"]), st.integers(0, 19), st.floats(0, 700)
    ),
    max_size=60,
)


@given(ACTIONS, st.integers(0, 2))
def test_promises_hold_whatever_phones_do(actions: list[tuple[str, int, float]], failures: int) -> None:
    site = Site(rollout(), Care(back_within_s=600.0, failures=failures, at_once=4))
    open_now = True
    for action, number, passed in actions:
        match action:
            case "back":
                site.back()
            case "stubborn":
                site.stubborn.add(NAMES[number])
            case "dead":
                site.dead.add(NAMES[number])
            case "night" | "day":
                open_now = action == "night"
            case _:
                pass
        before = site.state
        told = site.step(passed, open_now=open_now)
        phones = site.rollout.phones
        assert not told or (open_now and before is RolloutState.RUNNING)
        assert sum(rolled.step is PhoneStep.ASKED for rolled in phones) <= 4
        failed = [
            rolled for rolled in phones if rolled.step is PhoneStep.FAILED and rolled.stage == site.rollout.stage
        ]
        assert len(failed) <= failures or site.state is RolloutState.STOPPED
        for rolled in phones:
            if rolled.step is not PhoneStep.WAITING and site.versions[rolled.phone] != NEW:
                assert rolled.stage <= site.rollout.stage
    assert len(site.told) == len(set(site.told)), "nobody is told twice"
