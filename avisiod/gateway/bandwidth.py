"""How much video a sender may send, by what is lost and held up on the way. Pure.

As the loss-based controller of draft-ietf-rmcat-gcc-02 section 6: a tenth lost is too much, a fiftieth is nothing. In
between it is tried out: a radio link loses the same share at any rate, and to send less would help nobody; a full
link loses what is too much, and no more when less comes. A queue that does not empty is a full link before it loses.
"""

import math
from collections import deque

FLOOR = 100_000
"""Bit/s; less is no picture."""

HIGH_LOSS = 0.10
LOW_LOSS = 0.02
GROWTH_PER_S = 0.06
RECOVERY_PER_S = 0.2
"""Far below the rate at which the link was full: a cut is deeper than needed, because loss makes for more traffic."""
CAREFUL_GROWTH_PER_S = 0.015
"""Near the rate at which the link was full the last time."""
FAR, NEAR, BEYOND = 0.75, 0.88, 1.08
"""Parts of that rate: below the first, and between the others."""
BACK_OFF = 0.85
MAX_USUAL_LOSS = 0.10

WINDOW_S = 1.0
WINDOW_PACKETS = 150
LONGEST_WINDOW_S = 3.0
"""A window of a second with few packets says little: it waits for more of them, so long at most."""
FEWEST_PACKETS = 20
"""A window with fewer says nothing."""

MAX_DELAY_S = 0.25
"""A queue that never was shorter than this within a second does not empty any more."""
BASE_SECONDS = 30
LEAP_S = 5.0
"""A delay that leaps by more is another clock."""


TRIAL_WINDOWS = 2
"""The first still holds packets of before."""
HOLD_WINDOWS = 1
"""After a cut nothing is decided for so long: it takes time to arrive, and a queue to empty."""
EPISODE_WINDOWS = 6
"""Cuts within so many windows have one cause; the link takes the most that came meanwhile."""


class _Trial:
    """Less is sent, to see whether less is lost."""

    __slots__ = ("excess", "loss", "rate", "received", "windows")

    def __init__(self, rate: float, received: float, loss: float, excess: float) -> None:
        self.rate = rate
        self.received = received
        self.loss = loss
        self.excess = excess
        self.windows = 0


class Bitrate:
    """What one sender may send, in bit/s, between the floor and what its receiver takes."""

    def __init__(self, start: int, ceiling: int) -> None:
        self.ceiling = ceiling
        """What the receiver takes at most; may change."""
        self._rate = float(start)
        self._usual = 0.0
        self._smooth: float | None = None
        self._full_at = 0.0
        self._trial: _Trial | None = None
        self._windows_since_cut = EPISODE_WINDOWS
        self._since: float | None = None
        self._packets = 0
        self._lost = 0
        self._bits = 0
        self._delay_s = 0.0
        self._reported = 0.0

    @property
    def bitrate(self) -> int:
        """Bit/s."""
        return round(self._within(self._rate))

    @property
    def usual_loss(self) -> float:
        """The share that the link loses at any rate, as far as it was found out."""
        return self._usual

    def _within(self, rate: float) -> float:
        return max(min(rate, self.ceiling), min(FLOOR, self.ceiling))

    def observe(
        self, now: float, *, packets: int, lost: int, bits: int, delay_s: float = 0.0, reported: float = 0.0
    ) -> None:
        """What came since the last time, and what did not; call about once a second.

        `delay_s` is what the packets waited on the way; `reported` is the share that was lost further on.
        """
        if self._since is None:
            self._since = now
            return
        self._packets += packets
        self._lost += lost
        self._bits += bits
        self._delay_s = delay_s
        self._reported = max(self._reported, reported)
        seconds = now - self._since
        if seconds < WINDOW_S or (self._packets + self._lost < WINDOW_PACKETS and seconds < LONGEST_WINDOW_S):
            return
        expected = self._packets + self._lost
        if expected >= FEWEST_PACKETS:
            loss = min(max(self._lost / expected, self._reported), 1.0)
            self._decide(loss, expected, self._bits / seconds, seconds)
        self._since = now
        self._packets = self._lost = self._bits = 0
        self._reported = 0.0

    def _decide(self, loss: float, expected: int, received: float, seconds: float) -> None:
        before = self._rate = self._within(self._rate)
        self._smooth = loss if self._smooth is None else 0.6 * self._smooth + 0.4 * loss
        excess = loss - self._usual
        sent = min(self._rate, max(received / max(1 - loss, 0.1), FLOOR))
        self._windows_since_cut += 1
        if self._windows_since_cut <= HOLD_WINDOWS:
            self._smooth = None
            return
        if self._delay_s > MAX_DELAY_S:
            self._cut(sent * BACK_OFF, received)
        elif excess > HIGH_LOSS + 1.5 * _noise(self._smooth, expected):
            self._cut(min(sent * (1 - 0.5 * excess), received * 0.95), received)
        elif self._trial is not None:
            self._judge(self._trial, loss)
        elif self._smooth - self._usual > LOW_LOSS + _noise(self._usual, expected):
            self._trial = _Trial(self._rate, received, loss, excess)
            self._rate = sent * BACK_OFF
        else:
            self._usual += 0.1 * min(self._smooth - self._usual, 0.0)
            if received > 0.5 * self._rate:
                self._grow(seconds)
        self._rate = self._within(self._rate)
        if self._rate < before:
            self._smooth = None

    def _cut(self, rate: float, received: float) -> None:
        self._trial = None
        self._full_at = max(received, self._full_at if self._windows_since_cut < EPISODE_WINDOWS else 0.0)
        self._windows_since_cut = 0
        self._rate = min(rate, self._rate)

    def _judge(self, trial: "_Trial", loss: float) -> None:
        """After two windows with less sent: where less was lost the link was full, where not it loses that anyway."""
        trial.windows += 1
        if trial.windows < TRIAL_WINDOWS:
            return
        self._trial = None
        if loss < trial.loss - trial.excess / 2:
            self._full_at = trial.received
        else:
            self._usual = min((loss + trial.loss) / 2, MAX_USUAL_LOSS)
            self._rate = trial.rate

    def _grow(self, seconds: float) -> None:
        part = self._rate / self._full_at if self._full_at else math.inf
        growth = RECOVERY_PER_S if part < FAR else CAREFUL_GROWTH_PER_S if NEAR < part < BEYOND else GROWTH_PER_S
        self._rate *= (1 + growth) ** seconds


def _noise(share: float, expected: int) -> float:
    """How far chance alone takes a share of so many packets, as a rule."""
    return math.sqrt(share * (1 - share) / expected)


class StandingDelay:
    """The queue on the way: by how much the shortest delay of a second exceeds the shortest of half a minute."""

    def __init__(self) -> None:
        self._base: deque[float] = deque(maxlen=BASE_SECONDS)
        self._least = math.inf
        self._last: float | None = None
        self._second_ends = 0.0

    def sample(self, delay: float, now: float) -> float:
        """A packet's delay by any clock, in seconds; returns the standing delay of the second before."""
        if self._last is None or abs(delay - self._last) > LEAP_S:
            self._base.clear()
            self._least = math.inf
            self._second_ends = now + 1.0
        self._last = delay
        if now >= self._second_ends and self._least < math.inf:
            self._base.append(self._least)
            self._least = math.inf
            self._second_ends = now + 1.0
        self._least = min(self._least, delay)
        return self._base[-1] - min(self._base) if self._base else 0.0
