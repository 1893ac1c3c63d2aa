"""The Matroska file of a recording (RFC 9559), as bytes: no I/O here.

The file begins with a header region of fixed length, padded with Void, and goes on with clusters of known size, each
handed to the kernel in one write: whatever moment the process dies, the file ends after a whole cluster. Sealing
appends the cues and writes the header region again, with what is known by then: duration, length, position of the
cues, and the parameter sets and picture size that the streams really had.

PyAV's own muxer would be the obvious choice, but refuses G.711 and G.722 in Matroska: it asks for codecs that are
listed under FF_COMPLIANCE_NORMAL, and these travel as A_MS/ACM.
"""

import datetime
import itertools
import struct
from collections.abc import Iterable, Sequence

import msgspec

from avisiod import __version__
from avisiod.gateway.leg import Codec, Kind
from avisiod.gateway.parameter_sets import Size, decoder_configuration

HEADER_BYTES = 8192
"""Length of the header region."""

_BLOCK = struct.Struct(">BhB")
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
_EPOCH = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
_LIVE_SEEK_PRE_ROLL_NS = 80_000_000
_G7XX_TAGS = {"PCMA": 0x0006, "PCMU": 0x0007, "G722": 0x028F}


class TrackHeader(msgspec.Struct, frozen=True, kw_only=True):
    """One track as the header describes it; `number` counts from 1."""

    number: int
    name: str
    kind: Kind
    codec: Codec
    size: Size | None = None
    """Picture size; None while unknown."""
    parameter_sets: tuple[bytes, ...] = ()


class Cue(msgspec.Struct, frozen=True):
    """Where to find a moment: a keyframe of `track` at `at_ms`, in the cluster at byte `position` of the file."""

    at_ms: int
    track: int
    position: int


def element(identifier: int, payload: bytes) -> bytes:
    """One EBML element (RFC 8794): its id as it stands in the tables, its size, its payload."""
    return _head(identifier, len(payload)) + payload


def _head(identifier: int, size: int) -> bytes:
    length = ((size + 1).bit_length() + 6) // 7
    return identifier.to_bytes((identifier.bit_length() + 7) // 8, "big") + (size | 1 << 7 * length).to_bytes(
        length, "big"
    )


def _uint(identifier: int, value: int) -> bytes:
    return element(identifier, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _float(identifier: int, value: float) -> bytes:
    return element(identifier, struct.pack(">d", value))


def _text(identifier: int, value: str) -> bytes:
    return element(identifier, value.encode())


def _void(length: int) -> bytes:
    """Padding of exactly `length` bytes, at least 9."""
    return b"\xec\x01" + (length - 9).to_bytes(7, "big") + bytes(length - 9)


_EBML = element(
    0x1A45DFA3,
    _uint(0x4286, 1)
    + _uint(0x42F7, 1)
    + _uint(0x42F2, 4)
    + _uint(0x42F3, 8)
    + _text(0x4282, "matroska")
    + _uint(0x4287, 4)
    + _uint(0x4285, 2),
)
_SEGMENT_AT = len(_EBML) + 12
"""Byte at which the segment's content begins; positions inside the segment count from here."""


def _codec_id_and_private(track: TrackHeader) -> tuple[str, bytes]:
    codec = track.codec
    if codec.name == "H264":
        return "V_MPEG4/ISO/AVC", decoder_configuration(track.parameter_sets)
    if codec.name == "OPUS":
        # RFC 7845 section 5.1; nothing to skip at the start, the stream was joined while it ran.
        return "A_OPUS", b"OpusHead" + struct.pack("<BBHIHB", 1, codec.channels, 0, 48000, 0, 0)
    tag = _G7XX_TAGS[codec.name]
    # WAVEFORMATEX; G.722 carries 16 kHz sound in 8000 bytes a second, its RTP clock notwithstanding (RFC 3551 4.5.2).
    bits = 4 if codec.name == "G722" else 8
    return "A_MS/ACM", struct.pack("<HHIIHHH", tag, codec.channels, sampling_rate(codec), 8000, 1, bits, 0)


def sampling_rate(codec: Codec) -> int:
    """Samples a second of the sound itself."""
    return 16000 if codec.name == "G722" else codec.clock_rate


def is_storable(codec: Codec) -> bool:
    """Whether a recording can hold this codec as it is."""
    return codec.name in _G7XX_TAGS or codec.name in ("H264", "OPUS")


def _track_entry(track: TrackHeader) -> bytes:
    codec_id, private = _codec_id_and_private(track)
    entry = (
        _uint(0xD7, track.number)
        + _uint(0x73C5, track.number)
        + _uint(0x83, 1 if track.kind is Kind.VIDEO else 2)
        + _uint(0x9C, 0)
        + _text(0x22B59C, "und")
        + _text(0x536E, track.name)
        + _text(0x86, codec_id)
        + element(0x63A2, private)
    )
    if track.kind is Kind.VIDEO:
        size = track.size or Size(640, 480)
        entry += element(0xE0, _uint(0x9A, 2) + _uint(0xB0, size.width) + _uint(0xBA, size.height))
    else:
        sound = _float(0xB5, sampling_rate(track.codec)) + _uint(0x9F, track.codec.channels)
        if track.codec.name == "OPUS":
            entry += _uint(0x56BB, _LIVE_SEEK_PRE_ROLL_NS)
        entry += element(0xE1, sound)
    return element(0xAE, entry)


def header(
    tracks: Sequence[TrackHeader],
    *,
    title: str,
    started: datetime.datetime,
    duration_ms: int | None = None,
    cues_at: int | None = None,
    file_bytes: int | None = None,
) -> bytes:
    """Build the header region, HEADER_BYTES long; the last three arguments are known when the file is sealed.

    ValueError where the tracks' parameter sets do not fit.
    """
    if file_bytes is None:
        segment = b"\x18\x53\x80\x67" + _UNKNOWN_SIZE
    else:
        segment = b"\x18\x53\x80\x67\x01" + (file_bytes - _SEGMENT_AT).to_bytes(7, "big")
    since = started - _EPOCH
    nanoseconds = ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
    info = (
        _uint(0x2AD7B1, 1_000_000)
        + _text(0x4D80, "avisiod")
        + _text(0x5741, f"avisiod {__version__}")
        + _text(0x7BA9, title)
        + element(0x4461, nanoseconds.to_bytes(8, "big", signed=True))
    )
    if duration_ms is not None:
        info += _float(0x4489, max(1, duration_ms))
    body = element(0x1549A966, info) + element(0x1654AE6B, b"".join(_track_entry(track) for track in tracks))
    if cues_at is not None:
        seek = element(0x4DBB, element(0x53AB, b"\x1c\x53\xbb\x6b") + _uint(0x53AC, cues_at - _SEGMENT_AT))
        body = element(0x114D9B74, seek) + body
    start = _EBML + segment + body
    if len(start) > HEADER_BYTES - 9:
        raise ValueError(f"a header of {len(start)} bytes, more than {HEADER_BYTES}")
    return start + _void(HEADER_BYTES - len(start))


def block(track: int, offset_ms: int, data: Sequence[bytes], *, key: bool) -> tuple[bytes, ...]:
    """One SimpleBlock (RFC 9559 section 10.2), in pieces: `offset_ms` is relative to its cluster, -32768 to 32767."""
    head = _head(0xA3, 4 + sum(map(len, data)))
    return (head + _BLOCK.pack(0x80 | track, offset_ms, 0x80 if key else 0), *data)


def cluster(at_ms: int, blocks: Iterable[Sequence[bytes]]) -> bytes:
    """One cluster of blocks that are relative to `at_ms`. Media is copied once, here."""
    pieces = [_uint(0xE7, at_ms), *itertools.chain.from_iterable(blocks)]
    return b"".join((_head(0x1F43B675, sum(map(len, pieces))), *pieces))


def cues(points: Iterable[Cue]) -> bytes:
    """The index of keyframes; `position` of each point is that of its cluster in the file."""
    return element(
        0x1C53BB6B,
        b"".join(
            element(
                0xBB,
                _uint(0xB3, point.at_ms)
                + element(0xB7, _uint(0xF7, point.track) + _uint(0xF1, point.position - _SEGMENT_AT)),
            )
            for point in points
        ),
    )
