"""One direction of a converted call: RTP packets of one codec in, RTP packets of the other out. No socket, no thread.

Timestamps and SSRC are those of the sender, so that its reports and the other stream of the same party still fit.
A frame that lacks a packet is not shown, nor is anything that builds on it: the picture stands still until the
keyframe that is asked for has come. Where the processor is too slow pictures are left out, never piled up.
"""

import collections
import math

import av

from avisiod.gateway.depacketizer import Depacketizer, Frame, H264Assembler
from avisiod.gateway.picture_codecs import (
    H264Decoder,
    Limits,
    PictureDecoder,
    PictureEncoder,
    Undecodable,
    Vp8Decoder,
)
from avisiod.gateway.rtp import pack_header
from avisiod.gateway.vp8 import Vp8Assembler

ASK_EVERY_S = 1.0
"""Between requests for a keyframe of the sender; whoever carries them repeats them by itself too."""
FIRST_ASK_S = 0.3
"""A sender begins with a keyframe, as a rule, whose packets are put in order first."""
KEY_EVERY_S = 0.5
"""Between keyframes that the receiver asks for: each is a burst on the network."""
LATE_S = 1.0
"""Packets that waited longer for the processor are given up, up to the next keyframe."""


class Converter:
    """Feed it with `push`, then `work`. It is made for one pair of payload types and one receiver."""

    def __init__(self, sent: int, received: int, limits: Limits | None, bitrate: int, sequence: int) -> None:
        """VP8 of payload type `sent` becomes H.264 of type `received` within `limits`; None: the other way round.

        `sequence` is the number of the first packet.
        """
        self.sequence = sequence
        """Number of the next packet."""
        self.dropped: collections.Counter[str] = collections.Counter()
        """Frames that were not shown: `incomplete`, `undecodable`, `awaiting` (a keyframe), `late`, `surplus`."""
        self.pictures = 0
        """Pictures that were made."""
        self.encoder = PictureEncoder(limits, bitrate)
        self._received = received
        self._to_h264 = limits is not None
        self._sent = sent
        self._ssrc = 0
        self._ask_due = 0.0
        self._key_wanted = True
        self._key_due = 0.0
        self._last_time: int | None = None
        self._settles = False
        self._waiting = True
        self._parameter_sets: tuple[bytes, ...] = ()
        self._start()

    def _start(self) -> None:
        if self._to_h264:
            self._depacketizer = Depacketizer(self._sent, video=True, assembling=Vp8Assembler)
        else:
            self._depacketizer = Depacketizer(self._sent, video=True)
        self.learn(self._parameter_sets)
        self._epoch = self._incomplete = 0
        self._decoder = self._made()

    def _made(self) -> PictureDecoder:
        return Vp8Decoder() if self._to_h264 else H264Decoder()

    def learn(self, parameter_sets: tuple[bytes, ...]) -> None:
        """SPS and PPS that the sender's SDP told."""
        self._parameter_sets = parameter_sets
        if isinstance(self._depacketizer.assembler, H264Assembler):
            self._depacketizer.assembler.learn(parameter_sets)

    def refresh(self) -> None:
        """The receiver needs a keyframe."""
        self._key_wanted = True

    def push(self, packet: bytes, arrival: float) -> None:
        """One packet of the sender."""
        if not self._ssrc:
            self._ask_due = arrival + FIRST_ASK_S
        self._ssrc = int.from_bytes(packet[8:12], "big")
        self._depacketizer.push(packet, arrival)

    def skip(self) -> None:
        """Packets were lost before they got here, or come too late: begin anew with a keyframe."""
        self.dropped["late"] += 1
        self._start()
        self._waiting = True

    def work(self, now: float) -> list[bytes]:
        """The packets that go out now."""
        out: list[bytes] = []
        frames = self._frames(now)
        for number, frame in enumerate(frames, 1):
            for picture in self._pictures(frame):
                if number < len(frames) or self.encoder.is_early(picture):
                    self.dropped["surplus"] += 1
                else:
                    out += self._packets(picture, now)
        return out

    def asks(self, now: float) -> bool:
        """Whether the sender has to be asked for a keyframe, once in a while."""
        if not self._waiting or now < self._ask_due or not self._ssrc:
            return False
        self._ask_due = now + ASK_EVERY_S
        return True

    def _frames(self, now: float) -> list[Frame]:
        """Whole frames, the last one as soon as its marker has come.

        A sender that sets the marker before the end of its pictures is waited for, as the recorder does.
        """
        if not self._settles:
            self._depacketizer.assembler.settle(math.inf)
        frames = self._depacketizer.frames(now)
        if frames and frames[0].rtp_time == self._last_time:
            self._settles = True
        if frames:
            self._last_time = frames[-1].rtp_time
        return frames

    def _pictures(self, frame: Frame) -> list[av.VideoFrame]:
        """What the decoder makes of a frame; nothing until a keyframe where one before it is missing."""
        incomplete = self._depacketizer.counters.incomplete
        self.dropped["incomplete"] += incomplete - self._incomplete
        if frame.epoch != self._epoch or frame.gap_before:
            self._waiting = True
        self._epoch, self._incomplete = frame.epoch, incomplete
        if self._waiting and not frame.key:
            self.dropped["awaiting"] += 1
            return []
        try:
            pictures = list(self._decoder.decode(frame.nals, frame.rtp_time, key=frame.key))
        except Undecodable:
            self.dropped["undecodable"] += 1
            self._waiting = True
            return []
        self._waiting = False
        return pictures

    def _packets(self, picture: av.VideoFrame, now: float) -> list[bytes]:
        key = self._key_wanted and now >= self._key_due
        if key:
            self._key_wanted, self._key_due = False, now + KEY_EVERY_S
        time = (picture.pts or 0) & 0xFFFFFFFF
        payloads = self.encoder.encode(picture, now, key=key)
        if payloads:
            self.pictures += 1
        return [self._packet(payload, time, marker=n == len(payloads)) for n, payload in enumerate(payloads, 1)]

    def _packet(self, payload: bytes, time: int, *, marker: bool) -> bytes:
        sequence, self.sequence = self.sequence, (self.sequence + 1) & 0xFFFF
        return pack_header(0x80, self._received | (0x80 if marker else 0), sequence, time, self._ssrc) + payload
