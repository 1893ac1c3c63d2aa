"""Sending again what a receiver missed (RFC 4585 section 6.2.1), as a stream of its own where agreed (RFC 4588).

A stream of its own leaves the receiver's count of losses what it is, by which we steer bitrates.
"""

import secrets
from collections.abc import Iterable

from avisiod.gateway import rtp
from avisiod.gateway.leg import MediaLine
from avisiod.gateway.relay import KEPT_PACKETS, OutStream

MAX_AGE_S = 1.0
"""An older packet comes too late for any receiver that is still in conversation."""

RESENT_SHARE = 0.2
"""Most packets sent again, of those sent: on a link that is full each of them has another one lost."""
BURST = 40
"""Most at once: what a short gap of the network may take."""

SOONEST_S = 0.01
LATEST_S = 0.2
"""A packet is not sent again within three quarters of a round trip of the last time, which lies between these."""


def rtx_ssrc(ssrc: int) -> int:
    """The SSRC of the retransmissions of a stream of ours, as random as the stream's own."""
    return ssrc ^ 0x80000000


def original(packet: bytes, payload_type: int, ssrc: int) -> bytes | None:
    """The packet that an RTX packet carries (RFC 4588 section 4), None where it carries none, as padding does."""
    if not rtp.is_valid(packet):
        return None
    start = rtp.header_length(packet)
    end = len(packet) - rtp.padding_length(packet)
    if end < start + 3:
        return None
    marker = packet[1] & 0x80
    return b"".join(
        (bytes((0x80, marker | payload_type)), packet[start : start + 2], packet[4:8], ssrc.to_bytes(4, "big"),
         packet[start + 2 : end])
    )  # fmt: skip


class Retransmission:
    """Answers one receiver's NACKs about one stream of ours; the stream keeps what it sent from now on."""

    def __init__(self, stream: OutStream, line: MediaLine) -> None:
        self.wanted = 0
        """Packets asked for, each time counted."""
        self.resent = 0
        """Packets sent again."""
        self._stream = stream
        self._kept = stream.keep()
        self._payload_type = line.rtx_payload_type
        self._sequence = secrets.randbits(15)
        self._sent_at = [0.0] * KEPT_PACKETS
        self._tokens = float(BURST)
        self._filled_at = stream.packets

    def agree(self, line: MediaLine) -> None:
        """What the receiver takes from now on."""
        self._payload_type = line.rtx_payload_type

    def asked(self, lost: Iterable[int], now: float, round_trip_s: float) -> list[bytes]:
        """The packets to send for a NACK of these sequence numbers, as many as there are and may be."""
        sent = self._stream.packets
        self._tokens = min(BURST, self._tokens + (sent - self._filled_at) * RESENT_SHARE)
        self._filled_at = sent
        patience = min(max(0.75 * round_trip_s, SOONEST_S), LATEST_S)
        found = []
        for sequence in lost:
            self.wanted += 1
            if self._tokens < 1:
                continue
            place = sequence % KEPT_PACKETS
            packet = self._kept[place]
            if not packet or rtp.sequence(packet) != sequence or now - self._sent_at[place] < patience:
                continue
            if self._age_s(packet, now) > MAX_AGE_S:
                continue
            self._sent_at[place] = now
            self._tokens -= 1
            found.append(self._again(packet))
        self.resent += len(found)
        return found

    def _age_s(self, packet: bytes, now: float) -> float:
        stream = self._stream
        return rtp.timestamp_distance(rtp.timestamp(packet), stream.timestamp_at(now)) / stream.clock_rate

    def _again(self, packet: bytes) -> bytes:
        """As it was, or as RTX; what a stream keeps has neither CSRC list nor extension."""
        if self._payload_type is None:
            return packet
        self._sequence = (self._sequence + 1) & 0xFFFF
        return (
            rtp.pack_header(
                packet[0],
                packet[1] & 0x80 | self._payload_type,
                self._sequence,
                rtp.timestamp(packet),
                rtx_ssrc(self._stream.ssrc),
            )
            + packet[2:4]
            + packet[12:]
        )
