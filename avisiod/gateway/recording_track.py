"""One track of a recording: its packets become blocks of the file, and the manifest's account of them."""

import contextlib
import enum
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from avisiod.gateway import h264, matroska
from avisiod.gateway.depacketizer import Depacketizer, Frame, H264Assembler
from avisiod.gateway.leg import Codec, Kind
from avisiod.gateway.manifest import Gap, PictureSize, TrackFacts
from avisiod.gateway.parameter_sets import Size, picture_size
from avisiod.gateway.timeline import TrackClock

SILENCE_S = 2.0
"""A source that sends nothing for longer is noted as a gap though nothing was lost."""
MAX_HEADER_SETS = 1000
"""Bytes of parameter sets of one track in the file's header; real ones take some 30. In the stream all are kept."""
MAX_LISTED = 60
"""Gaps and sizes listed for each track: the manifest passes through one message of 64 KiB."""


class Track(enum.StrEnum):
    """The four tracks, as the file and the manifest name them."""

    PHONE_AUDIO = "phone-audio"
    PHONE_VIDEO = "phone-video"
    OUTSIDE_AUDIO = "outside-audio"
    OUTSIDE_VIDEO = "outside-video"

    @property
    def kind(self) -> Kind:
        """Sound or pictures."""
        return Kind.VIDEO if self in (Track.PHONE_VIDEO, Track.OUTSIDE_VIDEO) else Kind.AUDIO

    @property
    def audio_beside(self) -> "Track":
        """The sound of the same party."""
        return Track.PHONE_AUDIO if self in (Track.PHONE_AUDIO, Track.PHONE_VIDEO) else Track.OUTSIDE_AUDIO


class TrackFormat(msgspec.Struct, frozen=True, kw_only=True):
    """One track and what its source sends, payload type included."""

    track: Track
    codec: Codec


class Block(NamedTuple):
    """One frame as it goes into the file; sorts by time."""

    at_ms: int
    number: int
    key: bool
    data: tuple[bytes, ...]
    """In pieces, which the file joins."""


class TrackWriter:
    """One track; used by the writer thread alone, but for its counters."""

    def __init__(self, number: int, form: TrackFormat) -> None:
        self.track = form.track
        self.codec = form.codec
        self.number = number
        self.clock = TrackClock(form.codec.clock_rate)
        self.depacketizer = Depacketizer(form.codec.payload_type, video=form.track.kind is Kind.VIDEO)
        self.parameter_sets = _header_sets(h264.parameter_sets(form.codec.fmtp))
        if isinstance(self.depacketizer.assembler, H264Assembler):
            self.depacketizer.assembler.learn(self.parameter_sets)
        self.frames = self.keyframes = self.bytes = self.gap_count = 0
        self.left_out = 0
        """Whole pictures that build on one that is missing."""
        self.wants_keyframe = False
        """Whether a picture was left out for want of a keyframe; whoever asks the source for one takes this back."""
        self._awaits_keyframe = form.track.kind is Kind.VIDEO
        self._epoch = 0
        self._lost = 0
        """Packets lost before pictures that were left out."""
        self._left_out_since = False
        self.first_ms: int | None = None
        self.last_ms = -1
        self.gaps: list[Gap] = []
        self.sizes: list[PictureSize] = []
        self._last_sps = b""
        self.takes = True
        """Whether packets are taken still."""

    def take(self, packet: bytes, arrival: float) -> None:
        """One RTP packet as received, with its arrival. Never blocks and never raises."""
        if self.takes:
            self.depacketizer.push(packet, arrival)

    def header(self) -> matroska.TrackHeader:
        """The track as the file's header tells it, by what is known so far."""
        size = Size(self.sizes[0].width, self.sizes[0].height) if self.sizes else None
        for nal in self.parameter_sets if size is None else ():
            if nal[0] & 0x1F == h264.SPS:
                with contextlib.suppress(ValueError):
                    size = picture_size(nal)
        return matroska.TrackHeader(
            number=self.number,
            name=self.track.value,
            kind=self.track.kind,
            codec=self.codec,
            size=size,
            parameter_sets=self.parameter_sets,
        )

    def report(self, ntp: float, rtp: int, arrival: float) -> None:
        """Take a sender report, its RTP timestamp as it came."""
        self.clock.report(ntp, self.depacketizer.extended(rtp), arrival)

    def blocks(self, now: float, zero: float, party_offset: float | None, *, final: bool) -> list[Block]:
        """The frames that are whole by `now`, placed in time; `zero` is the monotonic instant of the file's start."""
        frames = self.depacketizer.flush() if final else self.depacketizer.frames(now)
        times = self.clock.times(frames, party_offset)
        placed = zip(frames, times, strict=True)
        return [self._block(frame, round((at - zero) * 1000)) for frame, at in placed if self._decodes(frame)]

    def _decodes(self, frame: Frame) -> bool:
        """Whether a player can show it; what builds on a picture that is missing is left out until a keyframe."""
        if self.track.kind is not Kind.VIDEO:
            return True
        if frame.key:
            self._awaits_keyframe = self.wants_keyframe = False
        elif frame.gap_before or frame.epoch != self._epoch:
            self._awaits_keyframe = True
        self._epoch = frame.epoch
        if self._awaits_keyframe:
            self._lost += frame.lost_before
            self.left_out += 1
            self.wants_keyframe = self._left_out_since = True
        return not self._awaits_keyframe

    def _block(self, frame: Frame, at_ms: int) -> Block:
        at_ms = max(at_ms, self.last_ms + 1, 0)
        self._note_gap(frame.lost_before + self._lost, at_ms)
        self._lost, self._left_out_since = 0, False
        if self.track.kind is Kind.VIDEO:
            data = tuple(piece for nal in frame.nals for piece in (len(nal).to_bytes(4, "big"), nal))
            if frame.key:
                self.keyframes += 1
                self._note_size(frame.nals, at_ms)
        else:
            data = frame.nals
        if self.first_ms is None:
            self.first_ms = at_ms
        self.last_ms = at_ms
        self.frames += 1
        self.bytes += sum(map(len, data))
        return Block(at_ms, self.number, frame.key, data)

    def _note_gap(self, lost: int, at_ms: int) -> None:
        """What is missing before this moment, if anything is."""
        begun = self.first_ms is not None
        since = self.last_ms if begun else at_ms
        if lost or (begun and self._left_out_since) or at_ms - since > SILENCE_S * 1000:
            self.gap_count += 1
            if len(self.gaps) < MAX_LISTED:
                self.gaps.append(Gap(from_s=since / 1000, to_s=at_ms / 1000, lost_packets=lost))

    def _note_size(self, nals: Sequence[bytes], at_ms: int) -> None:
        sps = next((nal for nal in nals if nal[0] & 0x1F == h264.SPS), b"")
        if not sps or sps == self._last_sps:
            return
        self._last_sps = sps
        if not self.sizes:
            self.parameter_sets = _header_sets(nals) or self.parameter_sets
        with contextlib.suppress(ValueError):
            width, height = picture_size(sps)
            known = self.sizes[-1] if self.sizes else None
            if (known is None or (known.width, known.height) != (width, height)) and len(self.sizes) < MAX_LISTED:
                self.sizes.append(PictureSize(at_s=at_ms / 1000, width=width, height=height))

    def facts(self) -> TrackFacts:
        """The track as the manifest tells it."""
        counters = self.depacketizer.counters
        return TrackFacts(
            name=self.track.value,
            codec=self.codec.name,
            frames=self.frames,
            keyframes=self.keyframes if self.track.kind is Kind.VIDEO else self.frames,
            bytes=self.bytes,
            first_s=None if self.first_ms is None else self.first_ms / 1000,
            last_s=None if self.first_ms is None else self.last_ms / 1000,
            packets=counters.packets,
            lost_packets=counters.lost,
            incomplete_frames=counters.incomplete + self.left_out,
            duplicate_packets=counters.duplicates,
            malformed_packets=counters.malformed,
            gaps=tuple(self.gaps),
            gaps_left_out=self.gap_count - len(self.gaps),
            sizes=tuple(self.sizes),
        )


def _header_sets(nals: Sequence[bytes]) -> tuple[bytes, ...]:
    """The parameter sets among NAL units as the header takes them; none where they are larger than any real ones."""
    sets = tuple(nal for nal in nals if nal[0] & 0x1F in (h264.SPS, h264.PPS))
    return sets if sum(map(len, sets)) <= MAX_HEADER_SETS else ()
