"""What a media worker and a transcoder say to each other: one message a packet of a SOCK_SEQPACKET socket pair.

Control makes the pair and hands each its end (wire.OpenTranscoding, wire.OpenBrowserLeg): no address, no port, no
file, and whoever ends is noticed by the other at once. The first byte is a `Word` plus a `Way`; the rest goes by it.
"""

import enum
import socket

import msgspec

MAX_MESSAGE = 4096
BUFFER_BYTES = 1 << 20
"""Asked of the kernel for each end: a keyframe's packets come at once while the other side encodes."""


class Way(enum.IntEnum):
    """Which way a picture goes."""

    TO_PAGE = 0
    """The phone's H.264 becomes VP8."""
    TO_PHONE = 1
    """The page's VP8 becomes H.264."""


class Word(enum.IntEnum):
    """The kinds of message."""

    PACKET = 0x10
    """An RTP packet: as it came to the transcoder, converted from it."""
    KEYFRAME = 0x20
    """To the transcoder: the receiver of this way needs a keyframe. From it: the sender of this way must send one."""
    BITRATE = 0x30
    """To the transcoder: bit/s that this way may have, 4 bytes, most significant first."""
    SETTINGS = 0x40
    """To the transcoder, first: JSON of `ConversionSettings`. Again when something changed."""


class ConversionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed with both ends."""

    phone_payload_type: int
    phone_fmtp: dict[str, str]
    """The phone's own H.264 parameters."""
    page_payload_type: int
    to_page_bitrate: int
    to_phone_bitrate: int
    to_page_sequence: int
    to_phone_sequence: int
    """Numbers of the first packets: those of another transcoder go on behind a gap, where the former one ended."""


conversion_settings: msgspec.json.Decoder[ConversionSettings] = msgspec.json.Decoder(ConversionSettings)
"""Made once: two threads that learn a type at the same time crash msgspec."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends, neither of which ever blocks. OSError where the system has no descriptor left."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
        for size in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, size, BUFFER_BYTES)
    return ends


def head(word: Word, way: Way = Way.TO_PAGE) -> bytes:
    """The first byte of a message."""
    return bytes((word | way,))


def read_head(message: bytes) -> tuple[Word, Way] | None:
    """What a message is; None where it is none of ours."""
    try:
        return Word(message[0] & 0xF0), Way(message[0] & 0x0F)
    except (IndexError, ValueError):
        return None
