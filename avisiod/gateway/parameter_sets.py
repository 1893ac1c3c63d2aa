"""What H.264 parameter sets say of a stream, and their place in a Matroska header."""

from collections.abc import Iterable
from typing import NamedTuple

from avisiod.gateway.h264 import PPS, SPS

GENERIC_SPS = bytes.fromhex("6742c01fda0280f684000003000400000300f23c60ca80")
GENERIC_PPS = bytes.fromhex("68ce0fc8")
"""Constrained baseline, level 3.1, 640 x 480: stands in a header until the stream's own parameter sets are known."""


class Size(NamedTuple):
    """A picture's size in pixels, as shown."""

    width: int
    height: int


class _Bits:
    """Reads the bits of an RBSP (ITU-T H.264 section 7.2); IndexError past its end."""

    def __init__(self, nal: bytes) -> None:
        self._data = nal.replace(b"\x00\x00\x03", b"\x00\x00")
        self._at = 8

    def bit(self) -> int:
        value = self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
        self._at += 1
        return value

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self.bit()
        return value

    def ue(self) -> int:
        """Unsigned Exp-Golomb code (section 9.1)."""
        zeros = 0
        while not self.bit():
            zeros += 1
            if zeros > 32:
                raise ValueError("an Exp-Golomb code of more than 32 bits")
        return (1 << zeros) - 1 + self.bits(zeros)

    def se(self) -> int:
        """Signed Exp-Golomb code (section 9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})


def picture_size(sps: bytes) -> Size:
    """Read the size of the pictures that follow an SPS (ITU-T H.264 section 7.3.2.1.1); ValueError for nonsense."""
    try:
        return _picture_size(sps)
    except IndexError:
        raise ValueError("a sequence parameter set that ends too early") from None


def parameter_set_id(nal: bytes) -> int:
    """Id of an SPS or PPS (sections 7.3.2.1.1 and 7.3.2.2); ValueError for nonsense."""
    reader = _Bits(nal)
    try:
        if nal[0] & 0x1F == SPS:
            reader.bits(24)
        return reader.ue()
    except IndexError:
        raise ValueError("a parameter set that ends too early") from None


def _picture_size(sps: bytes) -> Size:
    reader = _Bits(sps)
    profile = reader.bits(8)
    reader.bits(16)
    reader.ue()
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = _skip_high_profile(reader)
    reader.ue()
    order_count_type = reader.ue()
    if order_count_type == 0:
        reader.ue()
    elif order_count_type == 1:
        reader.bit()
        reader.se()
        reader.se()
        for _ in range(min(reader.ue(), 256)):
            reader.se()
    reader.ue()
    reader.bit()
    width, map_units = (reader.ue() + 1) * 16, reader.ue() + 1
    frame_only = reader.bit()
    if not frame_only:
        reader.bit()
    height = map_units * 16 * (2 - frame_only)
    reader.bit()
    if reader.bit():
        unit_x = 2 if chroma in (1, 2) else 1
        unit_y = (2 if chroma == 1 else 1) * (2 - frame_only)
        width -= unit_x * (reader.ue() + reader.ue())
        height -= unit_y * (reader.ue() + reader.ue())
    if not (0 < width <= 16384 and 0 < height <= 16384):
        raise ValueError(f"a picture of {width} x {height}")
    return Size(width, height)


def _skip_high_profile(reader: _Bits) -> int:
    """Skip what only the high profiles carry; return chroma_format_idc."""
    chroma = reader.ue()
    if chroma == 3:
        reader.bit()
    reader.ue()
    reader.ue()
    reader.bit()
    if reader.bit():
        for index in range(12 if chroma == 3 else 8):
            if reader.bit():
                _skip_scaling_list(reader, 16 if index < 6 else 64)
    return chroma


def _skip_scaling_list(reader: _Bits, size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + reader.se()) % 256
        last = following or last


def decoder_configuration(parameter_sets: Iterable[bytes]) -> bytes:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1) with 4-byte NAL unit lengths.

    The generic parameter sets take the place of whichever kind is missing.
    """
    known = [nal for nal in parameter_sets if len(nal) >= 4 or (nal[:1] and nal[0] & 0x1F == PPS)]
    sps = [nal for nal in known if nal[0] & 0x1F == SPS][:31]
    pps = [nal for nal in known if nal[0] & 0x1F == PPS][:255]
    if not sps or not pps:
        sps, pps = [GENERIC_SPS], [GENERIC_PPS]
    record = bytearray((1, *sps[0][1:4], 0xFF, 0xE0 | len(sps)))
    for nal in sps:
        record += len(nal).to_bytes(2, "big") + nal
    record.append(len(pps))
    for nal in pps:
        record += len(nal).to_bytes(2, "big") + nal
    return bytes(record)
