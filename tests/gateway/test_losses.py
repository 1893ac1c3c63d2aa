"""What is missing is asked for a bounded number of times, then given up; nothing is kept for ever."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway.leg import Kind
from avisiod.gateway.losses import GIVE_UP_S, MAX_LATE, MAX_TRIES, REORDER_S, Losses
from avisiod.gateway.reception import Reception
from avisiod.gateway.rtp import packet


def test_a_gap_is_asked_for_once_it_is_more_than_reordering():
    losses = Losses(asks=True)
    losses.gap(10, 13, 100.0)
    assert losses.look(13, 100.0 + REORDER_S / 2, 0.05) == []
    assert losses.look(13, 100.0 + REORDER_S, 0.05) == [10, 11, 12]
    assert losses.look(13, 100.0 + REORDER_S + 0.03, 0.05) == []
    assert losses.look(13, 100.0 + REORDER_S + 0.07, 0.05) == [10, 11, 12]


@pytest.mark.parametrize(("round_trip_s", "most"), [(0.0, 5), (0.02, MAX_TRIES), (0.2, 3), (1.0, 2)])
def test_a_packet_is_asked_for_again_only_after_a_round_trip_and_not_for_ever(round_trip_s, most):
    losses = Losses(asks=True)
    losses.gap(10, 11, 100.0)
    asked = [now / 100 for now in range(10000, 10200) if losses.look(11, now / 100, round_trip_s)]
    assert 1 <= len(asked) <= most
    assert all(later - earlier >= round_trip_s for earlier, later in itertools.pairwise(asked))
    assert not losses.waits
    assert (losses.given_up, losses.broken) == (1, True)


def test_a_packet_that_comes_is_waited_for_no_more_and_counts_once():
    losses = Losses(asks=True)
    losses.gap(10, 12, 100.0)
    losses.look(12, 100.1, 0.05)
    assert [losses.came(number) for number in (10, 10, 9)] == [True, False, False]
    assert losses.look(12, 100.2, 0.05) == [11]
    assert (losses.repaired, losses.gaps) == (1, 2)


def test_what_came_late_by_itself_was_no_loss():
    losses = Losses(asks=True)
    losses.gap(10, 11, 100.0)
    assert losses.came(10)
    assert (losses.repaired, losses.gaps, losses.given_up) == (0, 0, 0)


@pytest.mark.parametrize(
    ("keyframe", "broken"), [(9, True), (11, True), (12, True), (20, False)],
    ids=["before", "begins right after: its parameter sets", "two packets after", "later"],
)  # fmt: skip
def test_a_later_keyframe_makes_up_for_what_was_given_up(keyframe, broken):
    losses = Losses(asks=False)
    losses.gap(10, 11, 100.0)
    losses.keyframe(keyframe, 100.9)
    losses.look(30, 100.1, 0.05)
    assert losses.broken is broken


def test_a_gap_that_cannot_be_filled_in_time_is_not_asked_for_in_whole():
    losses = Losses(asks=True)
    losses.gap(10, 1010, 100.0)
    assert losses.look(1010, 100.1, 0.05) == list(range(1010 - MAX_LATE + 1, 1010))
    assert losses.broken


@given(
    st.lists(
        st.tuples(st.floats(0.0, 0.2), st.one_of(st.just(1), st.integers(1, 2999), st.integers(-100, 0))), max_size=80
    )
)
def test_whatever_comes_memory_and_requests_stay_bounded(steps):
    reception = Reception(Kind.VIDEO, 90000)
    reception.losses = losses = Losses(asks=True)
    now, sequence, asked, beginnings = 100.0, 65000, {}, 0
    for after, step in steps:
        now += after
        sequence += step
        highest = reception.extended
        reception.count(packet(b"x", payload_type=1, sequence=sequence & 0xFFFF, timestamp=0, ssrc=7), now)
        beginnings += reception.extended < highest
        for number in losses.look(reception.extended, now, 0.05):
            asked.setdefault((beginnings, number), []).append(now)
            assert reception.extended - MAX_LATE < number < reception.extended
    assert all(len(times) <= MAX_TRIES and times[-1] - times[0] <= GIVE_UP_S for times in asked.values())
    losses.look(reception.extended, now + GIVE_UP_S, 0.05)
    assert not losses.waits


def test_a_repaired_packet_is_lost_no_more_and_taken_once():
    reception = Reception(Kind.VIDEO, 90000)
    reception.losses = Losses(asks=True)
    packets = [packet(b"x", payload_type=1, sequence=n & 0xFFFF, timestamp=0, ssrc=7) for n in range(65534, 65540)]
    for n in (0, 1, 2, 5):
        reception.count(packets[n], 100.0)
    reception.losses.look(reception.extended, 100.1, 0.05)
    assert [reception.repaired(packets[n], 100.2) for n in (3, 3, 1, 4)] == [True, False, False, True]
    assert (reception.lost, reception.stats().resent, reception.stats().asked_again) == (0, 2, 2)


def test_another_source_begins_with_nothing_missing():
    reception = Reception(Kind.VIDEO, 90000)
    reception.losses = Losses(asks=True)
    for ssrc, sequence in ((7, 1), (7, 5), (8, 1000)):
        reception.count(packet(b"x", payload_type=1, sequence=sequence, timestamp=0, ssrc=ssrc), 100.0)
    assert not reception.losses.waits
    assert reception.losses.gaps == 3, "of the source before"
    late = packet(b"x", payload_type=1, sequence=3, timestamp=0, ssrc=7)
    assert reception.repaired(late, 100.1) is False


def test_a_picture_that_breaks_is_counted_once_until_the_next_keyframe_and_so_is_its_time():
    losses = Losses(asks=False)
    losses.gap(10, 11, 100.0)
    losses.look(11, 100.2, 0.05)
    losses.gap(20, 22, 100.3)
    losses.look(22, 100.5, 0.05)
    assert (losses.freezes, losses.frozen_s) == (1, 0.0), "it was broken already"
    losses.keyframe(30, 101.2)
    assert (losses.freezes, losses.frozen_s) == (1, pytest.approx(1.0))
    losses.keyframe(40, 105.0)
    losses.gap(50, 51, 110.0)
    losses.look(51, 110.25, 0.05)
    losses.keyframe(60, 110.5)
    assert (losses.freezes, losses.frozen_s) == (2, pytest.approx(1.25))


def test_a_packet_that_is_repaired_in_time_breaks_nothing():
    losses = Losses(asks=True)
    losses.gap(10, 11, 100.0)
    losses.look(11, 100.2, 0.05)
    losses.came(10)
    losses.look(12, 101.0, 0.05)
    assert losses.freezes == 0
