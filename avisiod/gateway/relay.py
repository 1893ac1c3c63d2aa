"""The hot path: packets of one leg become one continuous stream to the other.

A receiver sees one SSRC, one run of sequence numbers and one timeline per kind of media, whatever happens behind it:
prompts, hold, another page, a sender that begins anew. What the network lost stays lost, what it reordered stays
reordered, so that the receiver can tell and ask. What *we* leave out (not bridged, before a keyframe, an event that
the receiver does not take) leaves no hole.

Nothing here allocates, logs or looks up more than it must: it runs for every packet.
"""

import struct
from collections.abc import Callable

from avisiod.gateway import h264
from avisiod.gateway.leg import Kind, MediaLine
from avisiod.gateway.rtp import header_length
from avisiod.gateway.rtp import ssrc as read_ssrc
from avisiod.gateway.rtp import timestamp as read_timestamp

MAX_DROPOUT = 3000
"""A jump ahead by more packets than this is a sender that began anew (RFC 3550 section A.1)."""

MAX_MISORDER = 100
"""A packet later than this is not worth a place in the stream (RFC 3550 section A.1)."""

JUMP_S = 10.0
"""A timestamp that leaps further than this, while the clock on the wall did not, is a new timeline."""

KEPT_PACKETS = 256
"""Of a stream whose receiver may ask for packets again: more than a second of the fastest video that phones take."""

Send = Callable[[Kind, bytes], None]

NO_SOURCE = -1
OURSELVES = -2
NOT_TAKEN = 255

_HEADER = struct.Struct("!BBHII")
_packed = _HEADER.pack


class OutStream:
    """One stream as its receiver sees it."""

    __slots__ = (
        "_at",
        "_expected",
        "_in_highest",
        "_in_timestamp",
        "_jump",
        "_kept",
        "_mark",
        "_out_sequence",
        "_out_timestamp",
        "_own_type",
        "_position",
        "_shift",
        "_source",
        "_types",
        "clock_rate",
        "octets",
        "packets",
        "ssrc",
    )

    def __init__(self, kind: Kind, clock_rate: int, ssrc: int, sequence: int, timestamp: int) -> None:
        self.ssrc = ssrc
        self.packets = 0
        self.octets = 0
        """Payload sent, as sender reports want it (RFC 3550 section 6.4.1)."""
        self.clock_rate = clock_rate
        self._jump = int(JUMP_S * clock_rate)
        self._mark = 0x80 if kind is Kind.AUDIO else 0
        self._types = bytearray([NOT_TAKEN]) * 128
        self._own_type = 0
        self._source = NO_SOURCE
        self._in_highest = 0
        self._in_timestamp = 0
        self._position = 0
        self._expected = -1
        self._out_sequence = sequence
        self._out_timestamp = timestamp
        self._shift = 0
        self._at = 0.0
        self._kept: list[bytes] | None = None

    def keep(self) -> list[bytes]:
        """From now on the latest packets are kept, each at its sequence number modulo KEPT_PACKETS."""
        if self._kept is None:
            self._kept = [b""] * KEPT_PACKETS
        return self._kept

    def translate(self, sender: MediaLine, receiver: MediaLine) -> None:
        """Payload types from now on; telephone-event is left out where one side has none."""
        self._types = bytearray([NOT_TAKEN]) * 128
        if sender.event_payload_type is not None and receiver.event_payload_type is not None:
            self._types[sender.event_payload_type] = receiver.event_payload_type
        self._types[sender.codec.payload_type] = receiver.codec.payload_type
        self._own_type = receiver.codec.payload_type

    def seam(self) -> None:
        """The next packet is joined on without a hole, whoever sends it."""
        self._source = NO_SOURCE

    def timestamp_at(self, now: float) -> int:
        """What this stream's clock shows at `now`, for a sender report."""
        return (self._out_timestamp + round((now - self._at) * self.clock_rate)) & 0xFFFFFFFF

    @property
    def shift(self) -> int | None:
        """What is added to the present sender's timestamps; None while there is no sender."""
        return None if self._source == NO_SOURCE else self._shift

    @property
    def source(self) -> int:
        """SSRC of the present sender, or NO_SOURCE."""
        return self._source

    def rewritten(self, packet: bytes, arrival: float) -> bytes | None:
        """The packet as the receiver gets it; None where it gets nothing."""
        payload_type = self._types[packet[1] & 0x7F]
        timestamp, source = read_timestamp(packet), read_ssrc(packet)
        sequence = packet[2] << 8 | packet[3]
        marker = packet[1] & 0x80
        if source != self._source:
            if payload_type == NOT_TAKEN:
                return None
            self._join(source, sequence, timestamp, arrival)
            marker |= self._mark
            out = self._out_sequence
        else:
            ahead = (sequence - self._in_highest) & 0xFFFF
            if ahead < 0x8000:
                if ahead > MAX_DROPOUT:
                    return self._leapt(packet, sequence, arrival)
                if payload_type == NOT_TAKEN:
                    self._left_out(sequence, ahead)
                    return None
                step = (timestamp - self._in_timestamp) & 0xFFFFFFFF
                if self._jump < step < 0x100000000 - self._jump:
                    self._rejoin(timestamp, step, arrival)
                self._in_highest = sequence
                self._in_timestamp = timestamp
                self._position += ahead
                self._out_sequence = out = (self._out_sequence + ahead) & 0xFFFF
                self._out_timestamp = (timestamp + self._shift) & 0xFFFFFFFF
                self._at = arrival
            else:
                late = 0x10000 - ahead
                if late > self._position or late > MAX_MISORDER:
                    return self._leapt(packet, sequence, arrival) if late > MAX_MISORDER else None
                if payload_type == NOT_TAKEN:
                    return None
                out = (self._out_sequence - late) & 0xFFFF
        first = packet[0]
        start = header_length(packet) if first & 0x1F else 12
        self.packets += 1
        self.octets += len(packet) - start
        header: bytes = _packed(
            0x80 | first & 0x20,
            marker | payload_type,
            out,
            (timestamp + self._shift) & 0xFFFFFFFF,
            self.ssrc,
        )
        built = header + packet[start:]
        kept = self._kept
        if kept is not None:
            kept[out % KEPT_PACKETS] = built
        return built

    def inserted(self, payload: bytes, timestamp: int, marker: bool, now: float) -> bytes:
        """A packet of our own, a prompt or a picture, on a timeline of its own, in place of any sender's."""
        timestamp &= 0xFFFFFFFF
        mark = 0x80 if marker else 0
        if self._source != OURSELVES:
            self._join(OURSELVES, 0, timestamp, now)
            mark |= self._mark
        else:
            self._out_sequence = (self._out_sequence + 1) & 0xFFFF
            self._out_timestamp = (timestamp + self._shift) & 0xFFFFFFFF
            self._at = now
        self.packets += 1
        self.octets += len(payload)
        out = self._out_sequence
        built: bytes = _packed(0x80, mark | self._own_type, out, self._out_timestamp, self.ssrc) + payload
        if self._kept is not None:
            self._kept[out % KEPT_PACKETS] = built
        return built

    def _join(self, source: int, sequence: int, timestamp: int, arrival: float) -> None:
        """Another sender: its first packet follows ours at once, later by the time that has passed."""
        if self._at:
            passed = max(round((arrival - self._at) * self.clock_rate), 1)
            self._out_timestamp = (self._out_timestamp + passed) & 0xFFFFFFFF
        self._out_sequence = (self._out_sequence + 1) & 0xFFFF
        self._shift = (self._out_timestamp - timestamp) & 0xFFFFFFFF
        self._source = source
        self._in_highest = sequence
        self._in_timestamp = timestamp
        self._position = 0
        self._expected = -1
        self._at = arrival

    def _rejoin(self, timestamp: int, step: int, arrival: float) -> None:
        """A leap of the timestamp: real time after a long silence, or a new timeline under the old SSRC."""
        passed = round((arrival - self._at) * self.clock_rate)
        if not -self._jump < step - passed < self._jump:
            self._shift = (self._out_timestamp + max(passed, 1) - timestamp) & 0xFFFFFFFF

    def _leapt(self, packet: bytes, sequence: int, arrival: float) -> bytes | None:
        """Two packets in a row far away from the rest are a sender that began anew; a single one is a stray."""
        if sequence != self._expected:
            self._expected = (sequence + 1) & 0xFFFF
            return None
        self._source = NO_SOURCE
        return self.rewritten(packet, arrival)

    def _left_out(self, sequence: int, ahead: int) -> None:
        """A packet of a type that the receiver does not take: the numbers close over it."""
        if ahead:
            self._in_highest = sequence
            self._out_sequence = (self._out_sequence + ahead - 1) & 0xFFFF
            self._position += ahead - 1


class Path:
    """One kind of media in one direction: counted, tapped by the recorder, and forwarded until the deadline."""

    __slots__ = (
        "_keyframe_wanted",
        "_kind",
        "_send",
        "_tap",
        "_until",
        "_video",
        "count",
        "last_forwarded",
        "parameter_sets",
        "repair",
        "stream",
    )

    def __init__(self, kind: Kind, stream: OutStream, count: Callable[[bytes, float], None]) -> None:
        self.stream = stream
        self.last_forwarded = 0.0
        """When the last packet left, on CLOCK_MONOTONIC; 0 before the first."""
        self._kind = kind
        self.count = count
        self.repair: Callable[[bytes, float], bool] = _not_missed
        """Takes note of a packet that came by retransmission; whether it was missing."""
        self.parameter_sets: tuple[bytes, ...] = ()
        """SPS and PPS as last known, for a keyframe that comes without (from the SDP, RFC 6184 section 8.1)."""
        self._video = kind is Kind.VIDEO
        self._keyframe_wanted = self._video
        self._tap: Callable[[bytes, float], None] | None = None
        self._send: Send | None = None
        self._until = 0.0

    def open(
        self,
        until: float,
        send: Send,
        tap: Callable[[bytes, float], None] | None,
    ) -> None:
        """Forward with `send` what arrives before `until`; `tap` gets all of it as it came."""
        self._keyframe_wanted = self._video
        self._send = send
        self._tap = tap
        self._until = until
        self.stream.seam()

    def shut(self) -> None:
        """Forward nothing more."""
        self._until = 0.0
        self._send = None
        self._tap = None

    def mute(self) -> None:
        """Leave the stream to a prompt: counted and recorded, not forwarded."""
        self._send = None

    def unmute(self, send: Send) -> None:
        """The prompt is over; video begins again with a keyframe."""
        if self._until:
            self._keyframe_wanted = self._video
            self._send = send
            self.stream.seam()

    @property
    def muted(self) -> bool:
        """Whether a prompt has the stream."""
        return self._send is None and self._until > 0.0

    @property
    def waits_for_keyframe(self) -> bool:
        """Whether video is held back until one comes."""
        return self._keyframe_wanted and self._send is not None

    def packet(self, packet: bytes, arrival: float) -> None:
        """One packet of the sender."""
        self.count(packet, arrival)
        if arrival >= self._until:
            return
        tap = self._tap
        if tap is not None:
            tap(packet, arrival)
        send = self._send
        if send is None:
            return
        if self._keyframe_wanted and not self._begins(packet, arrival, send):
            return
        out = self.stream.rewritten(packet, arrival)
        if out is not None:
            send(self._kind, out)
            self.last_forwarded = arrival

    def repaired(self, packet: bytes, arrival: float) -> None:
        """One packet that came by retransmission: it takes its place, unless it has come before."""
        if not self.repair(packet, arrival) or arrival >= self._until:
            return
        if self._tap is not None:
            self._tap(packet, arrival)
        send = self._send
        if send is None or self._keyframe_wanted:  # what followed a late beginning was held back
            return
        out = self.stream.rewritten(packet, arrival)
        if out is not None:
            send(self._kind, out)
            self.last_forwarded = arrival

    def _begins(self, packet: bytes, arrival: float, send: Send) -> bool:
        """Whether a receiver that knows nothing can begin with this packet, sending first what else it needs."""
        start = header_length(packet)
        sets = h264.parameter_sets_of(packet, start)
        if sets:
            kinds = {each[0] & 0x1F for each in sets}
            others = (each for each in self.parameter_sets if each[0] & 0x1F not in kinds)
            self.parameter_sets = tuple(sorted((*others, *sets), key=_nal_type))
            self._keyframe_wanted = h264.SPS not in kinds
            return not self._keyframe_wanted
        if not _first_slice(packet, start):
            return False
        self._keyframe_wanted = False
        before = len(self.parameter_sets)
        for number, each in enumerate(self.parameter_sets):
            sequence = ((packet[2] << 8 | packet[3]) - before + number) & 0xFFFF
            header = bytes((0x80, packet[1] & 0x7F)) + sequence.to_bytes(2, "big") + packet[4:12]
            out = self.stream.rewritten(header + each, arrival)
            if out is not None:
                send(self._kind, out)
        return True


def _not_missed(_packet: bytes, _arrival: float) -> bool:
    """Where nothing is asked for again, nothing comes again."""
    return False


def _nal_type(unit: bytes) -> int:
    return unit[0] & 0x1F


def _first_slice(packet: bytes, start: int) -> bool:
    """Whether an IDR picture begins here: its slice whose first_mb_in_slice is 0 (H.264 section 7.3.3)."""
    if len(packet) < start + 3:
        return False
    kind = packet[start] & 0x1F
    if kind == h264.FU_A:
        return packet[start + 1] & 0x9F == 0x80 | h264.SLICE_IDR and packet[start + 2] > 0x7F
    return kind == h264.SLICE_IDR and packet[start + 1] > 0x7F
