"""When a frame was captured, on the one clock of the recording. Pure.

Each track has an offset from its RTP clock to CLOCK_MONOTONIC. Arrivals give it: the packet that spent the least time
in the network within the last seconds shows it best, and following that minimum also follows a clock that runs too
fast or too slow. A party's video is then moved to where its sender reports say it belongs beside its audio
(RFC 3550 section 6.4.1), since pictures take longer to encode than sound.
"""

import math
from collections.abc import Sequence

from avisiod.gateway.depacketizer import Frame

BUCKET_S = 5.0
"""The minimum is taken over this and the former bucket of arrivals."""
STEP_S = 2.0
"""An arrival further than this from where the clock says is a new start of the clock: a hold, a timestamp jump."""
MAX_LIP_SYNC_S = 1.0
"""Sender reports that would move pictures further than this are not believed: some phones' clocks are never set."""
JUMP_S = 0.25
"""An offset that is off by more is put right at once: nothing arrives before it was sent."""
SLEW_PER_S = 0.02
"""An offset moves towards its estimate at least this fast, s per s; too slow to be seen or heard."""


class TrackClock:
    """Maps the RTP timestamps of one track to CLOCK_MONOTONIC."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._epoch = -1
        self._bucket_end = 0.0
        self._minimum = math.inf
        self._former_minimum = math.inf
        self._applied: float | None = None
        self._applied_at = 0.0
        self._report: tuple[float, int] | None = None

    def times(self, frames: Sequence[Frame], party_offset: float | None = None) -> list[float]:
        """When each frame was captured, plus the party's least network delay, s of CLOCK_MONOTONIC.

        The more frames at once, the better the first are placed: all arrivals are looked at before. `party_offset`
        is the wall-clock offset of the party's audio, which this track then follows.
        """
        times: list[float] = []
        rate = self._rate
        for index, frame in enumerate(frames):
            arrival = frame.arrival
            offset = arrival - frame.rtp_time / rate
            if frame.epoch != self._epoch or abs(offset - min(self._minimum, self._former_minimum)) > STEP_S:
                times += self._placed(frames[len(times) : index], party_offset)
                self._start_anew(frame)
            elif arrival >= self._bucket_end:
                self._former_minimum, self._minimum = self._minimum, offset
                self._bucket_end = arrival + BUCKET_S
            elif offset < self._minimum:
                self._minimum = offset
        return times + self._placed(frames[len(times) :], party_offset)

    def _start_anew(self, frame: Frame) -> None:
        self._epoch = frame.epoch
        self._minimum, self._former_minimum = frame.arrival - frame.rtp_time / self._rate, math.inf
        self._bucket_end = frame.arrival + BUCKET_S
        self._applied = self._report = None

    def report(self, ntp: float, rtp_time: int, arrival: float) -> None:
        """Take a sender report, its RTP timestamp extended; one that is far from the stream is left aside."""
        if abs(rtp_time / self._rate + self.arrival_offset() - arrival) <= STEP_S:
            self._report = (ntp, rtp_time)

    def arrival_offset(self) -> float:
        """Offset by arrivals alone, s; infinite before any frame."""
        return min(self._minimum, self._former_minimum)

    def wallclock_offset(self) -> float | None:
        """What to add to the sender's own NTP time to have CLOCK_MONOTONIC, by arrivals; None without a report."""
        if self._report is None or math.isinf(self.arrival_offset()):
            return None
        ntp, rtp_time = self._report
        return rtp_time / self._rate + self.arrival_offset() - ntp

    def _placed(self, frames: Sequence[Frame], party_offset: float | None) -> list[float]:
        """The times of frames whose arrivals have been looked at."""
        if not frames:
            return []
        target = self.arrival_offset()
        own = self.wallclock_offset()
        if party_offset is not None and own is not None and abs(party_offset - own) <= MAX_LIP_SYNC_S:
            target += party_offset - own
        if self._applied is None or abs(target - self._applied) > JUMP_S:
            self._applied = target
        applied, applied_at = self._applied, self._applied_at
        times = []
        for frame in frames:
            arrival = frame.arrival
            error = target - applied
            if error and arrival > applied_at:
                most = (SLEW_PER_S + abs(error) / 2) * (arrival - applied_at)
                applied += max(-most, min(most, error))
            if arrival > applied_at:
                applied_at = arrival
            times.append(frame.rtp_time / self._rate + applied)
        self._applied, self._applied_at = applied, applied_at
        return times
