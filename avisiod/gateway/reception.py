"""What arrives of one stream: counters, loss and jitter as RFC 3550 wants them (appendix A.1, A.3, A.8). Pure."""

from collections.abc import Callable

from avisiod.gateway import h264, vp8
from avisiod.gateway.leg import Kind
from avisiod.gateway.losses import Losses
from avisiod.gateway.rtcp import ReportBlock, SenderReport
from avisiod.gateway.rtp import header_length
from avisiod.gateway.rtp import ssrc as read_ssrc
from avisiod.gateway.rtp import timestamp as read_timestamp
from avisiod.gateway.stats import StreamStats

MAX_DROPOUT = 3000
"""A jump ahead by this many packets is a sender that began anew (RFC 3550 section A.1)."""
MAX_MISORDER = 100
"""A packet older than this many is the same."""


def _nothing(_: float) -> None:
    """Nobody looks after gaps."""


class Reception:
    """One kind of media of one sender, whatever SSRCs it uses one after the other. `count` runs for every packet."""

    __slots__ = (
        "_base",
        "_expected_before",
        "_expected_sequence",
        "_highest",
        "_last_sr",
        "_last_sr_at",
        "_lost_before",
        "_rate",
        "_received_before",
        "_since_base",
        "_timestamp",
        "_transit",
        "_video",
        "_vp8",
        "extended",
        "jitter",
        "keyframe_at",
        "keyframe_timestamp",
        "keyframes",
        "losses",
        "octets",
        "on_gap",
        "packets",
        "ssrc",
    )

    def __init__(self, kind: Kind, clock_rate: int, *, vp8: bool = False) -> None:
        """Video is H.264 unless it is `vp8`."""
        self.ssrc: int | None = None
        """The sender's present SSRC; None before its first packet."""
        self.packets = 0
        self.octets = 0
        """Whole RTP packets, headers included."""
        self.keyframes = 0
        self.keyframe_at = 0.0
        """Arrival of the last keyframe's first packet."""
        self.keyframe_timestamp = -1
        self.jitter = 0.0
        """In units of the codec's clock."""
        self.extended = 0
        """Highest sequence number, with cycles."""
        self.losses: Losses | None = None
        """What is missing, where somebody looks after it."""
        self.on_gap: Callable[[float], None] = _nothing
        """Called with the arrival of the packet before which something is missing."""
        self._video = kind is Kind.VIDEO
        self._vp8 = vp8
        self._rate = clock_rate
        self._lost_before = 0
        self._base = 0
        self._highest = 0
        self._since_base = 0
        self._expected_before = 0
        self._received_before = 0
        self._expected_sequence = -1
        self._timestamp = -1
        self._transit = 0
        self._last_sr = 0
        self._last_sr_at = 0.0

    def count(self, packet: bytes, arrival: float) -> None:
        """One valid RTP packet; `arrival` is monotonic, in seconds."""
        self.packets += 1
        self.octets += len(packet)
        sequence = packet[2] << 8 | packet[3]
        timestamp, ssrc = read_timestamp(packet), read_ssrc(packet)
        if ssrc != self.ssrc:
            self._another(ssrc, sequence)
        self._since_base += 1
        ahead = (sequence - self._highest) & 0xFFFF
        if ahead == 1:
            self._highest = sequence
            self.extended += 1
        elif ahead < MAX_DROPOUT:
            self._highest = sequence
            self.extended += ahead
            if ahead and self.losses is not None:
                self.losses.gap(self.extended - ahead + 1, self.extended, arrival)
                self.on_gap(arrival)
        elif ahead <= 0x10000 - MAX_MISORDER:
            self._leapt(sequence)
        elif self.losses is not None:
            self.losses.came(self.extended + ahead - 0x10000)
        if timestamp != self._timestamp:
            self._timestamp = timestamp
            transit = int(arrival * self._rate) - timestamp
            step = ((transit - self._transit + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            self._transit = transit
            if self._since_base > 1:
                self.jitter += (abs(step) - self.jitter) / 16
        if self._video:
            start = header_length(packet) if packet[0] & 0x1F else 12
            if len(packet) > start + 1:
                unit = packet[start] & 0x1F
                if self._vp8 or (
                    unit != 1 and (unit != h264.FU_A or packet[start + 1] & 0x80)
                ):  # else no keyframe can begin here
                    self._look(packet, start, timestamp, arrival)

    @property
    def delay_s(self) -> float:
        """How long the latest frame was under way, by clocks that differ: only its changes tell something."""
        return self._transit / self._rate

    def repaired(self, packet: bytes, arrival: float) -> bool:  # noqa: ARG002 - as count
        """A packet that came by retransmission (RFC 4588); whether it was missing.

        It is lost no more in our reports, as if it had come again under its own number: browsers that hear of a few
        percent send no more than at the start, and what the network loses reaches them as a bitrate of ours. A
        keyframe whose beginning came late does not count as seen, because nobody can begin with it.
        """
        if self.losses is None or read_ssrc(packet) != self.ssrc:
            return False
        late = (self._highest - (packet[2] << 8 | packet[3])) & 0xFFFF
        if late >= MAX_MISORDER or not self.losses.came(self.extended - late):
            return False
        self._since_base += 1
        self.octets += len(packet)
        return True

    @property
    def lost(self) -> int:
        """Expected less received since the beginning; negative with duplicates (RFC 3550 section A.3)."""
        return self._lost_before + (self._lost_since_base() if self.ssrc is not None else 0)

    def heard_report(self, report: SenderReport, now: float) -> None:
        """The sender's SR, whose time our next report block returns."""
        if report.ssrc == self.ssrc:
            self._last_sr = report.ntp >> 16 & 0xFFFFFFFF
            self._last_sr_at = now

    def block(self, now: float) -> ReportBlock | None:
        """The report block of what came since the last one (RFC 3550 section A.3); None before the first packet."""
        if self.ssrc is None:
            return None
        expected = self.extended - self._base + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._since_base - self._received_before)
        self._expected_before = expected
        self._received_before = self._since_base
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(lost_now * 256 // expected_now, 255) if expected_now > 0 and lost_now > 0 else 0,
            lost=self._lost_since_base(),
            highest_sequence=self.extended & 0xFFFFFFFF,
            jitter=int(self.jitter),
            last_sr=self._last_sr,
            delay_since_last_sr=min(int((now - self._last_sr_at) * 65536), 0xFFFFFFFF) if self._last_sr else 0,
        )

    def stats(self) -> StreamStats:
        """The counters as they are told to control."""
        return StreamStats(
            packets=self.packets,
            bytes=self.octets,
            lost=max(self.lost, 0),
            jitter_ms=self.jitter * 1000 / self._rate,
            keyframes=self.keyframes,
            asked_again=self.losses.asked if self.losses is not None else 0,
            resent=self.losses.repaired if self.losses is not None else 0,
            freezes=self.losses.freezes if self.losses is not None else 0,
            frozen_ms=round(self.losses.frozen_s * 1000) if self.losses is not None else 0,
        )

    def _lost_since_base(self) -> int:
        return self.extended - self._base + 1 - self._since_base

    def _begin(self, sequence: int) -> None:
        self._base = sequence
        self.extended = sequence
        self._highest = sequence
        self._since_base = 0
        self._expected_before = 0
        self._received_before = 0
        self._expected_sequence = -1
        self._timestamp = -1
        self._transit = 0
        if self.losses is not None:
            self.losses.forget()

    def _another(self, ssrc: int, sequence: int) -> None:
        """Another source, of which nothing is known yet; what was lost before stays counted."""
        if self.ssrc is not None:
            self._lost_before += self._lost_since_base()
        self.ssrc = ssrc
        self.jitter = 0.0
        self._last_sr = 0
        self._begin(sequence)

    def _leapt(self, sequence: int) -> None:
        """Two packets in a row far from the rest are a sender that began anew; a single one is a stray."""
        if sequence != self._expected_sequence:
            self._expected_sequence = (sequence + 1) & 0xFFFF
            self._since_base -= 1
            return
        self._lost_before += self._lost_since_base() + 1
        self._begin(sequence)
        self._since_base = 1

    def _look(self, packet: bytes, start: int, timestamp: int, arrival: float) -> None:
        is_keyframe = vp8.starts_keyframe if self._vp8 else h264.is_keyframe
        if timestamp != self.keyframe_timestamp and is_keyframe(packet, start):
            self.keyframe_timestamp = timestamp
            self.keyframe_at = arrival
            self.keyframes += 1
            if self.losses is not None:
                self.losses.keyframe(self.extended, arrival)
