"""From RTP packets to whole frames: reordering, duplicates, loss, and H.264 as RFC 6184 carries it. Pure.

A frame is kept out when a packet of it is missing: half a picture shows what a decoder makes up, and a browser would
not have shown it either. The loss is counted and handed on with the next frame that is whole. Every frame of which
all packets came is handed on, whatever was lost around it; it says whether something before it is missing.

All NAL unit packets of packetization-modes 0 and 1 are understood whatever was declared: some phones declare mode 0
and send FU-A.
"""

import contextlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from avisiod.gateway import h264
from avisiod.gateway.parameter_sets import parameter_set_id
from avisiod.gateway.rtp import ssrc as read_ssrc
from avisiod.gateway.rtp import timestamp as read_timestamp

REORDER_S = 0.5
"""A missing packet is waited for this long: a retransmission over a mobile network comes in time."""
MAX_DROPOUT = 3000
"""A sequence number further ahead than this is a new start, not a loss (RFC 3550 A.1)."""
MAX_WAITING = 512
"""More packets than this are not kept behind a missing one: memory and time stay bounded whatever comes."""
START_S = 0.1
"""A source's first packets are put in order for this long before the first is taken to be its first."""
MAX_MISORDER = 512
"""A sequence number further behind than this is a new start, not a latecomer."""
FORMER_SSRC_S = 2.0
"""Stragglers of the source that was replaced are left out for this long."""
SETTLED_S = 0.2
"""A frame whose marker came is complete when nothing more of it comes for this long."""

_START_CODE = b"\x00\x00\x00\x01"


class Frame(NamedTuple):
    """One whole frame: a picture or one packet's sound."""

    rtp_time: int
    """RTP timestamp, extended beyond 32 bits, counted anew with each epoch."""
    arrival: float
    """When its first packet came, seconds of CLOCK_MONOTONIC."""
    nals: tuple[bytes, ...]
    """Video: its NAL units without start codes. Audio: the one payload."""
    key: bool
    epoch: int
    """Grows when the source starts anew: another SSRC, or a leap of its sequence numbers."""
    lost_before: int
    """Packets lost since the frame before."""
    gap_before: bool
    """Whether something is missing since the frame before, lost packets or a frame that was kept out: what is no
    keyframe builds on it."""


class Counters:
    """What a depacketizer saw."""

    __slots__ = ("duplicates", "foreign", "incomplete", "lost", "malformed", "packets")

    def __init__(self) -> None:
        self.packets = 0
        """Packets of this stream that were taken, duplicates not counted."""
        self.duplicates = 0
        """Came again, or too late to be of use."""
        self.lost = 0
        self.malformed = 0
        self.foreign = 0
        """Of another payload type, or stragglers of a replaced source."""
        self.incomplete = 0
        """Frames kept out since a packet of them is missing."""


class Assembler(Protocol):
    """Makes frames of one codec out of payloads that come in order."""

    epoch: int

    def add(
        self, lost: int, rtp_time: int, marker: bool, packet: bytes, start: int, end: int, arrival: float, /
    ) -> None:
        """Take the next payload, from `start` to `end`, before which `lost` packets are missing."""

    def finish(self) -> None:
        """Hand on the frame in hand if it is whole."""

    def settle(self, now: float) -> None:
        """Hand on a frame of which nothing more is to be expected."""


class AudioAssembler:
    """Each packet is a frame."""

    __slots__ = ("_frames", "_lost", "epoch")

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self._lost = 0
        self.epoch = 0

    def add(
        self, lost: int, rtp_time: int, _marker: bool, packet: bytes, start: int, end: int, arrival: float
    ) -> None:
        """Take the next payload, from `start` to `end`, before which `lost` packets are missing."""
        self._lost += lost
        if start < end:
            lost = self._lost
            self._frames.append(Frame(rtp_time, arrival, (packet[start:end],), True, self.epoch, lost, lost > 0))
            self._lost = 0

    def finish(self) -> None:
        """Nothing is ever in hand."""

    def settle(self, now: float) -> None:
        """Nothing is ever in hand."""


class H264Assembler:
    """Gathers the NAL units of one timestamp into a frame (RFC 6184 sections 5.6 to 5.8)."""

    __slots__ = (
        "_arrival",
        "_broken",
        "_counters",
        "_fragments",
        "_frames",
        "_kept_out",
        "_loss_before",
        "_lost",
        "_marked",
        "_nals",
        "_parameter_sets",
        "_rtp_time",
        "epoch",
    )

    def __init__(self, frames: list[Frame], counters: Counters) -> None:
        self._frames = frames
        self._counters = counters
        self._parameter_sets: dict[tuple[int, int], bytes] = {}
        self._lost = 0
        self._kept_out = False
        self.epoch = 0
        self._begin(None, 0.0)

    def learn(self, nals: tuple[bytes, ...]) -> None:
        """Keep parameter sets that were signalled, for keyframes that come without (RFC 6184 section 8.2.2)."""
        for nal in nals:
            with contextlib.suppress(ValueError):
                self._parameter_sets[nal[0] & 0x1F, parameter_set_id(nal)] = nal

    def _begin(self, rtp_time: int | None, arrival: float) -> None:
        self._rtp_time = rtp_time
        self._arrival = arrival
        self._nals: list[bytes] = []
        self._fragments: list[bytes] = []
        self._broken = False
        self._marked = False
        self._loss_before = False

    def add(
        self, lost: int, rtp_time: int, marker: bool, packet: bytes, start: int, end: int, arrival: float
    ) -> None:
        """Take the next payload, from `start` to `end`, before which `lost` packets are missing."""
        if lost and not (self._marked and rtp_time != self._rtp_time):
            self._broken = True
        if rtp_time != self._rtp_time:
            self.finish()
            self._begin(rtp_time, arrival)
            self._loss_before = lost > 0
        self._lost += lost
        if start >= end:
            return
        if arrival < self._arrival:
            self._arrival = arrival
        if marker:
            self._marked = True
        kind = packet[start] & 0x1F
        if kind == h264.FU_A and self._fragments and end - start > 2 and packet[start + 1] < 0x40:
            self._fragments.append(packet[start + 2 : end])  # as _fragment, in the middle of a unit
            return
        if kind == h264.FU_A:
            self._fragment(packet, start, end)
            return
        if self._fragments:
            self._broken, self._fragments = True, []
        self._whole(kind, packet[start:end])

    def _whole(self, kind: int, payload: bytes) -> None:
        if 1 <= kind <= 23:
            self._nals.append(payload)
        elif kind == 24:
            self._aggregate(payload)
        else:
            self._malformed()

    def _aggregate(self, payload: bytes) -> None:
        """STAP-A (RFC 6184 section 5.7.1)."""
        at, end = 1, len(payload)
        while at < end:
            size = int.from_bytes(payload[at : at + 2], "big")
            at += 2
            if not size or at + size > end:
                self._malformed()
                return
            self._nals.append(payload[at : at + size])
            at += size

    def _fragment(self, packet: bytes, start: int, end: int) -> None:
        """FU-A (RFC 6184 section 5.8)."""
        if end - start < 3:
            self._malformed()
            return
        header = packet[start + 1]
        if header & 0x80:
            if self._fragments:
                self._broken = True
            self._fragments = [bytes((packet[start] & 0xE0 | header & 0x1F,)), packet[start + 2 : end]]
        elif self._fragments:
            self._fragments.append(packet[start + 2 : end])
        else:
            self._broken = True
        if header & 0x40 and self._fragments:
            self._nals.append(b"".join(self._fragments))
            self._fragments = []

    def _malformed(self) -> None:
        self._counters.malformed += 1
        self._broken = True

    def finish(self) -> None:
        """Hand on the frame in hand if it is whole."""
        if self._rtp_time is None:
            return
        nals = self._nals
        self.learn(tuple(nal for nal in nals if nal[0] & 0x1F in (h264.SPS, h264.PPS)))
        slices = [nal for nal in nals if 1 <= nal[0] & 0x1F <= 5]
        if self._broken or self._fragments or (slices and self._loss_before and not _begins_picture(slices[0])):
            self._counters.incomplete += 1
            self._kept_out = True
        elif slices:
            key = any(nal[0] & 0x1F == h264.SLICE_IDR for nal in slices)
            if key and not any(nal[0] & 0x1F == h264.SPS for nal in nals):
                nals = [nal for _, nal in sorted(self._parameter_sets.items())] + nals
            gap = self._lost > 0 or self._kept_out
            self._frames.append(Frame(self._rtp_time, self._arrival, tuple(nals), key, self.epoch, self._lost, gap))
            self._lost, self._kept_out = 0, False
        self._begin(None, 0.0)

    def settle(self, now: float) -> None:
        """Hand on a frame whose marker came a while ago: nothing else may follow for long."""
        if self._marked and now - self._arrival > SETTLED_S:
            self.finish()


def _begins_picture(nal: bytes) -> bool:
    """first_mb_in_slice is 0, whose Exp-Golomb code is the single bit 1 (ITU-T H.264 section 7.3.3)."""
    return len(nal) > 1 and nal[1] & 0x80 != 0


class Depacketizer:
    """One direction of one kind of media. Never raises, whatever the packets hold."""

    def __init__(
        self,
        payload_type: int,
        *,
        video: bool,
        assembling: Callable[[list[Frame], Counters], Assembler] | None = None,
    ) -> None:
        """Video is H.264 unless `assembling` makes what puts another codec's frames together."""
        self.payload_type = payload_type
        self.counters = Counters()
        self._frames: list[Frame] = []
        self.assembler: Assembler
        if assembling is not None:
            self.assembler = assembling(self._frames, self.counters)
        else:
            self.assembler = H264Assembler(self._frames, self.counters) if video else AudioAssembler(self._frames)
        self._ssrc: int | None = None
        self._former: tuple[int, float] | None = None
        self._expected = 0
        self._fresh_since: float | None = None
        """When the source started, until its first packets are in order."""
        self._time = 0
        self._waiting: dict[int, tuple[int, bool, bytes, float]] = {}
        """Packets ahead of a missing one, by sequence number."""

    def push(self, packet: bytes, arrival: float) -> None:
        """Take one RTP packet (RFC 3550 section 5.1)."""
        if len(packet) < 12:
            self.counters.malformed += 1
            return
        flags, kind, sequence = packet[0], packet[1], packet[2] << 8 | packet[3]
        timestamp, ssrc = read_timestamp(packet), read_ssrc(packet)
        if kind & 0x7F != self.payload_type:
            self.counters.foreign += 1
            return
        start, end = 12, len(packet)
        if flags != 0x80:
            start += 4 * (flags & 0x0F)
            if flags & 0x10:
                start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
            if flags & 0x20:
                end -= packet[-1]
            if flags & 0xC0 != 0x80 or start > end:
                self.counters.malformed += 1
                return
        if ssrc != self._ssrc:
            if self._former is not None and ssrc == self._former[0] and arrival - self._former[1] < FORMER_SSRC_S:
                self.counters.foreign += 1
                return
            self._start_anew(ssrc, sequence, timestamp, arrival)
        if sequence == self._expected and self._fresh_since is None and not self._waiting:  # as _accept, at once
            self.counters.packets += 1
            self._expected = (sequence + 1) & 0xFFFF
            time = self._time
            if timestamp != time & 0xFFFFFFFF:
                self._time = time = self.extended(timestamp)
            self.assembler.add(0, time, kind > 0x7F, packet, start, end, arrival)
            return
        self._accept(ssrc, sequence, timestamp, kind >= 0x80, packet[start:end], arrival)

    def _accept(self, ssrc: int, sequence: int, timestamp: int, marker: bool, payload: bytes, arrival: float) -> None:
        """Deliver a packet that is next, keep one that is ahead, drop one that is late."""
        ahead = (sequence - self._expected) & 0xFFFF
        if ahead > MAX_DROPOUT:
            if ahead < 0x10000 - MAX_MISORDER:
                self._start_anew(ssrc, sequence, timestamp, arrival)
            elif self._fresh_since is not None:
                self._expected = sequence
            else:
                self.counters.duplicates += 1
                return
        if sequence in self._waiting:
            self.counters.duplicates += 1
            return
        self.counters.packets += 1
        if sequence == self._expected and self._fresh_since is None:
            self._deliver(0, timestamp, marker, payload, 0, len(payload), arrival)
            if self._waiting:
                self._drain()
            return
        self._waiting[sequence] = (timestamp, marker, payload, arrival)
        if len(self._waiting) > MAX_WAITING:
            self._skip()

    def frames(self, now: float) -> list[Frame]:
        """Hand out the frames that are whole by `now`; missing packets are given up after REORDER_S."""
        if self._fresh_since is not None and now - self._fresh_since > START_S:
            self._fresh_since = None
            self._drain()
        while self._waiting and now - min(entry[3] for entry in self._waiting.values()) > REORDER_S:
            self._skip()
        self.assembler.settle(now)
        return self._take()

    def flush(self) -> list[Frame]:
        """Hand out all that is whole: no more packets come."""
        while self._waiting:
            self._skip()
        self.assembler.finish()
        return self._take()

    def extended(self, timestamp: int) -> int:
        """Place a 32-bit timestamp next to the latest one."""
        return self._time + ((timestamp - self._time + 0x80000000) & 0xFFFFFFFF) - 0x80000000

    def _take(self) -> list[Frame]:
        frames = self._frames.copy()
        self._frames.clear()
        return frames

    def _start_anew(self, ssrc: int, sequence: int, timestamp: int, arrival: float) -> None:
        while self._waiting:
            self._skip()
        self.assembler.finish()
        if self._ssrc is not None:
            self.assembler.epoch += 1
            if ssrc != self._ssrc:
                self._former = (self._ssrc, arrival)
        self._ssrc, self._expected, self._time, self._fresh_since = ssrc, sequence, timestamp, arrival

    def _deliver(
        self, lost: int, timestamp: int, marker: bool, packet: bytes, start: int, end: int, arrival: float
    ) -> None:
        self._time = self.extended(timestamp)
        self._expected = (self._expected + 1) & 0xFFFF
        self.assembler.add(lost, self._time, marker, packet, start, end, arrival)

    def _deliver_late(self, lost: int, sequence: int) -> None:
        """A packet that waited."""
        timestamp, marker, payload, arrival = self._waiting.pop(sequence)
        self._deliver(lost, timestamp, marker, payload, 0, len(payload), arrival)

    def _drain(self) -> None:
        """Deliver what waited for the packet that just came."""
        while self._expected in self._waiting:
            self._deliver_late(0, self._expected)

    def _skip(self) -> None:
        """Give up the missing packets before the first that waits."""
        self._fresh_since = None
        lost = min((sequence - self._expected) & 0xFFFF for sequence in self._waiting)
        self.counters.lost += lost
        self._expected = (self._expected + lost) & 0xFFFF
        self._deliver_late(lost, self._expected)
        self._drain()
