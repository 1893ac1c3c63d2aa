"""The bitrate follows what the network takes: down when it is too much, not down for what a radio loses anyway."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway.bandwidth import FLOOR, Bitrate, StandingDelay

CEILING = 1_500_000
PACKET_BITS = 8 * 1000


class Network:
    """A sender that sends what it may, over a link of a certain rate that loses a share at random besides."""

    def __init__(self, *, capacity=10_000_000, loss=0.0, start=800_000, ceiling=CEILING, wants=CEILING, seed=1):
        self.bitrate = Bitrate(start, ceiling)
        self.capacity, self.loss, self.wants, self.now = capacity, loss, wants, 100.0
        self._random = random.Random(seed)
        self.rates, self.losses = [], []
        self.bitrate.observe(self.now, packets=0, lost=0, bits=0)

    def run(self, seconds, **more):
        for _ in range(seconds):
            self.now += 1.0
            sent = round(min(self.bitrate.bitrate, self.wants) / PACKET_BITS)
            passes = min(sent, round(self.capacity / PACKET_BITS))
            came = sum(self._random.random() >= self.loss for _ in range(passes))
            self.bitrate.observe(self.now, packets=came, lost=sent - came, bits=came * PACKET_BITS, **more)
            self.rates.append(self.bitrate.bitrate)
            self.losses.append((sent - came) / max(sent, 1))
        return self


def test_without_loss_it_rises_to_what_the_receiver_takes():
    assert Network().run(20).bitrate.bitrate == CEILING


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.02, 0.05, 0.08])
def test_loss_that_does_not_depend_on_the_rate_does_not_press_it_down(share, seed):
    network = Network(loss=share, seed=seed).run(60)
    assert max(network.rates[40:]) > 1_000_000
    assert network.bitrate.usual_loss == pytest.approx(share, abs=0.04) or share == 0.02


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.0, 0.03, 0.05])
@pytest.mark.parametrize("missing", [30_000, 100_000, 400_000])
def test_a_link_that_takes_less_than_wanted_is_not_overfilled_for_long(missing, share, seed):
    network = Network(capacity=800_000 - missing, loss=share, ceiling=800_000, seed=seed).run(60)
    lost, rates = network.losses[20:], network.rates[20:]
    assert sum(lost) / len(lost) < share + 0.06
    assert sum(rates) / len(rates) > 0.6 * network.capacity


def test_it_rises_again_when_the_link_takes_more():
    network = Network(capacity=400_000).run(30)
    assert network.bitrate.bitrate < 500_000
    network.capacity = 10_000_000
    assert network.run(60).bitrate.bitrate > 1_000_000


def test_a_queue_that_does_not_empty_presses_it_down_before_anything_is_lost():
    network = Network().run(20).run(5, delay_s=0.4)
    assert FLOOR < network.bitrate.bitrate < CEILING * 0.75
    assert max(network.losses) == 0


def test_what_the_phone_reports_counts_as_what_we_see_ourselves():
    assert Network().run(20).run(3, reported=0.2).bitrate.bitrate < CEILING * 0.9


def test_a_sender_that_sends_next_to_nothing_proves_nothing():
    assert Network(wants=0).run(60).bitrate.bitrate == 800_000


@pytest.mark.parametrize(("ceiling", "least"), [(CEILING, FLOOR), (64_000, 64_000)])
def test_heavy_loss_never_presses_it_below_the_floor_nor_above_what_is_taken(ceiling, least):
    assert Network(loss=0.7, ceiling=ceiling).run(60).bitrate.bitrate == least


@given(
    st.integers(1, 10_000_000),
    st.lists(
        st.tuples(
            st.floats(0.0, 30.0), st.integers(0, 5000), st.integers(0, 5000), st.floats(0, 5), st.floats(0.0, 1.0)
        ),
        max_size=60,
    ),
)
def test_it_stays_within_its_bounds_whatever_is_observed(ceiling, observed):
    bitrate, now = Bitrate(800_000, ceiling), 100.0
    for after, packets, lost, delay, reported in observed:
        now += after
        bitrate.observe(now, packets=packets, lost=lost, bits=packets * 8000, delay_s=delay, reported=reported)
        assert min(FLOOR, ceiling) <= bitrate.bitrate <= ceiling
        assert 0 <= bitrate.usual_loss <= 0.1


def test_a_standing_queue_shows_a_passing_one_does_not():
    delay = StandingDelay()
    quiet = [delay.sample(5.0 + 0.3 * (n % 4 > 0), 100 + n / 4) for n in range(40)]
    standing = [delay.sample(5.3, 110 + n / 4) for n in range(12)]
    assert max(quiet) < 0.01
    assert standing[-1] == pytest.approx(0.3)


def test_another_clock_is_no_queue():
    delay = StandingDelay()
    for n in range(20):
        delay.sample(5.0, 100 + n / 4)
    assert max(delay.sample(-900.0, 105 + n / 4) for n in range(20)) == 0.0
