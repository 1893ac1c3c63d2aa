"""RTP packets (RFC 3550 section 5.1) on the hot path: bytes in, bytes out, no object for a packet.

The readers take a packet that `is_valid` has accepted; on others they raise IndexError or struct.error.
"""

import struct

_HEADER = struct.Struct("!BBHII")

pack_header = _HEADER.pack
unpack_header = _HEADER.unpack_from
"""First octet, marker and payload type, sequence number, timestamp, SSRC."""

SEQUENCE_MODULO = 1 << 16
TIMESTAMP_MODULO = 1 << 32


def is_valid(packet: bytes) -> bool:
    """Whether this is RTP version 2 whose header, extension and padding fit its length, and not RTCP (RFC 5761)."""
    size = len(packet)
    if size < 12 or packet[0] & 0xC0 != 0x80 or 192 <= packet[1] <= 223:
        return False
    if packet[0] & 0x3F == 0:
        return True
    length = header_length(packet)
    if packet[0] & 0x20:
        return length < size and 0 < packet[-1] <= size - length
    return length <= size


def header_length(packet: bytes) -> int:
    """Octets before the payload: fixed header, CSRC list and header extension."""
    first = packet[0]
    length = 12 + ((first & 0x0F) << 2)
    if first & 0x10:
        if len(packet) < length + 4:
            return len(packet) + 1  # longer than the packet: not valid
        length += 4 + ((packet[length + 2] << 8 | packet[length + 3]) << 2)
    return length


def padding_length(packet: bytes) -> int:
    """Octets of padding at the end."""
    return packet[-1] if packet[0] & 0x20 else 0


def payload(packet: bytes) -> bytes:
    """The payload without header and padding; a copy, not for the hot path."""
    return packet[header_length(packet) : len(packet) - padding_length(packet)]


def marker(packet: bytes) -> bool:
    """The marker bit: last packet of a frame, or first of a talkspurt."""
    return packet[1] > 0x7F


def payload_type(packet: bytes) -> int:
    """The payload type, 0 to 127."""
    return packet[1] & 0x7F


def sequence(packet: bytes) -> int:
    """The sequence number, 16 bits."""
    return packet[2] << 8 | packet[3]


def timestamp(packet: bytes) -> int:
    """The RTP timestamp, 32 bits, in units of the codec's clock."""
    return packet[4] << 24 | packet[5] << 16 | packet[6] << 8 | packet[7]


def ssrc(packet: bytes) -> int:
    """The synchronisation source, 32 bits."""
    return packet[8] << 24 | packet[9] << 16 | packet[10] << 8 | packet[11]


def rewritten(packet: bytes, payload_type: int, sequence: int, timestamp: int, ssrc: int) -> bytes:
    """The packet under other header fields; marker and padding stay, extension and CSRC list go.

    The fields must be within their ranges: struct.error otherwise.
    """
    first = packet[0]
    return (
        _HEADER.pack(0x80 | first & 0x20, packet[1] & 0x80 | payload_type, sequence, timestamp, ssrc)
        + packet[header_length(packet) if first & 0x1F else 12 :]
    )


def packet(
    payload: bytes, *, payload_type: int, sequence: int, timestamp: int, ssrc: int, marker: bool = False
) -> bytes:
    """A new packet with this payload."""
    return _HEADER.pack(0x80, payload_type | (0x80 if marker else 0), sequence, timestamp, ssrc) + payload


def sequence_distance(earlier: int, later: int) -> int:
    """How many packets `later` is after `earlier`, -32768 to 32767, across the wrap."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


def timestamp_distance(earlier: int, later: int) -> int:
    """How many clock units `later` is after `earlier`, across the wrap."""
    return ((later - earlier + 0x80000000) & 0xFFFFFFFF) - 0x80000000
