"""Digits out of telephone-event packets (RFC 4733). Pure. Digits are codes and PINs: never to be logged."""

import struct

from avisiod.gateway import rtp

DIGITS = "0123456789*#ABCD"

_EVENT = struct.Struct("!BBH")
_END = 0x80
_SEGMENT = 0xFFFF
"""An event that lasts longer goes on in another segment under a new timestamp (RFC 4733 section 2.5.1.3)."""


class DigitReader:
    """Hears one phone's event packets and tells each key press once, as early as any of its packets arrives.

    Repeated and late packets tell nothing new, and a press whose first or last packets were lost is told all the
    same: what makes a press is its RTP timestamp. Phones that move the timestamp on within one press, against the
    RFC, are borne with.
    """

    __slots__ = ("_duration", "_ended", "_event", "_source", "_timestamp")

    def __init__(self) -> None:
        self._source: int | None = None
        self._timestamp = 0
        self._event = -1
        self._duration = 0
        self._ended = True

    def read(self, packet: bytes) -> str | None:
        """The digit that this valid RTP packet of the event payload type begins; None where it begins none."""
        start = rtp.header_length(packet)
        if len(packet) < start + _EVENT.size:
            return None
        event, flags, duration = _EVENT.unpack_from(packet, start)
        if event >= len(DIGITS):
            return None
        timestamp, source = rtp.timestamp(packet), rtp.ssrc(packet)
        known = source == self._source
        ahead = rtp.timestamp_distance(self._timestamp, timestamp) if known else 1
        if ahead < 0:
            return None  # late: its press has been told
        same = ahead == 0 or (known and self._goes_on(event, ahead, duration, marker=rtp.marker(packet)))
        self._source = source
        self._timestamp = timestamp
        self._event = event
        self._duration = max(duration, self._duration) if ahead == 0 else duration
        self._ended = bool(flags & _END) or (same and self._ended)
        return None if same else DIGITS[event]

    def _goes_on(self, event: int, ahead: int, duration: int, *, marker: bool) -> bool:
        """Whether a packet with a later timestamp belongs to the press before."""
        if event != self._event or self._ended or marker:
            return False
        return ahead == _SEGMENT or duration > self._duration
