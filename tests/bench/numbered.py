"""Media whose every frame bears a number: found again at the other end, packet by packet, and in a recording.

A packet of sound bears it in its first millisecond, in the quietest codes of A-law; a picture in a message of its own
that no decoder minds (SEI user data, H.264 annex D). What avisiod itself says and shows bears none.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import av

from tests.peers.rtp_phone import AUDIO_TICK_S, VIDEO_PT, VIDEO_TICK_S, RtpPhone, Stream

LABEL = bytes.fromhex("a3c15e6b9d2f4c78b1e0d47f3a8c6e52")
DIGITS = 10
QUIET = 0xD5
"""A-law's zero; with its lowest four bits changed it stays below 1 % of full scale."""
PARITY = 0xA5


def numbered_sound(payload: bytes, number: int) -> bytes:
    """Sound that bears the number, of 24 bits."""
    octets = number.to_bytes(3)
    octets += bytes([octets[0] ^ octets[1] ^ octets[2] ^ PARITY])
    return bytes(QUIET ^ half for octet in octets for half in (octet >> 4, octet & 15)) + payload[8:]


def number_of_sound(payload: bytes) -> int | None:
    """The number that a packet of sound bears."""
    halves = [octet ^ QUIET for octet in payload[:8]]
    if len(halves) < 8 or max(halves) > 15:
        return None
    octets = [high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True)]
    return int.from_bytes(octets[:3]) if octets[0] ^ octets[1] ^ octets[2] ^ PARITY == octets[3] else None


def numbered_message(number: int) -> bytes:
    """The NAL unit to be sent before a picture's first slice."""
    return bytes((6, 5, len(LABEL) + DIGITS)) + LABEL + b"%0*d" % (DIGITS, number) + b"\x80"


def number_of_picture(data: bytes) -> int | None:
    """The number that a picture bears, anywhere in `data`."""
    at = data.find(LABEL)
    return None if at < 0 else int(data[at + len(LABEL) : at + len(LABEL) + DIGITS])


class Arrival(NamedTuple):
    """One RTP packet, and when it came, on the monotonic clock."""

    at: float
    packet: bytes

    @property
    def timestamp(self) -> int:
        return int.from_bytes(self.packet[4:8])


class NumberedStream(Stream):
    """Numbers what it sends, keeps what comes."""

    def __init__(self, address: str, port: int, payload_type: int, rate: int) -> None:
        super().__init__(address, port, payload_type, rate)
        self.sent_at: dict[int, float] = {}
        """By number: when the first packet of this frame was sent."""
        self.arrivals: list[Arrival] = []
        self.tick_s = VIDEO_TICK_S if payload_type == VIDEO_PT else AUDIO_TICK_S

    def began(self) -> float:
        """The instant of frame 0, by the frame that left with the least delay: frame n is due n ticks later."""
        return min(at - number * self.tick_s for number, at in self.sent_at.items())

    def send(self, payload: bytes, media_s: float, *, marker: bool) -> None:
        if self.remote is None:
            return
        video = self.payload_type == VIDEO_PT
        number = round(media_s / self.tick_s)
        if not video:
            payload = numbered_sound(payload, number)
        elif number not in self.sent_at and payload[0] & 31 in (1, 5):
            self.sent_at[number] = time.monotonic()
            super().send(numbered_message(number), media_s, marker=False)
        if not video:
            self.sent_at[number] = time.monotonic()
        super().send(payload, media_s, marker=marker)

    def take(self, packet: bytes, now: float) -> None:
        super().take(packet, now)
        self.arrivals.append(Arrival(now, packet))

    def numbers_forwarded(self) -> list[int]:
        """Of the other party's frames, as they came."""
        read = number_of_picture if self.payload_type == VIDEO_PT else number_of_sound
        return [number for each in self.arrivals if (number := read(each.packet[12:])) is not None]

    def forwarded(self) -> list[Arrival]:
        """What came of the other party, in order: packets that bear a number, or belong to a picture that does."""
        if self.payload_type != VIDEO_PT:
            return [each for each in self.arrivals if number_of_sound(each.packet[12:]) is not None]
        stamps = {each.timestamp for each in self.arrivals if number_of_picture(each.packet) is not None}
        return [each for each in self.arrivals if each.timestamp in stamps]


class NumberedPhone(RtpPhone):
    """An RtpPhone of numbered streams."""

    STREAM = NumberedStream
    audio: NumberedStream
    video: NumberedStream

    def last_forwarded(self) -> float:
        """When the last packet of the other party came; 0 where none did."""
        return max((each.at for stream in (self.audio, self.video) for each in stream.forwarded()), default=0.0)


class Block(NamedTuple):
    """One frame of a recording, at this second of the file; `number` where it bears one."""

    at_s: float
    number: int | None


def blocks(recording: Path) -> dict[str, list[Block]]:
    """Every frame of every track, in order, by the track's name."""
    found: dict[str, list[Block]] = {}
    with av.open(str(recording)) as container:
        names = {stream.index: stream.metadata.get("title", str(stream.index)) for stream in container.streams}
        found = {name: [] for name in names.values()}
        for packet in container.demux():
            if packet.pts is None:
                continue
            data = bytes(packet)
            number = number_of_picture(data) if packet.stream.type == "video" else number_of_sound(data)
            found[names[packet.stream.index]].append(Block(float(packet.pts * packet.time_base), number))
    return found


def numbers(found: Iterable[Block]) -> list[int]:
    """Of those that bear one."""
    return [block.number for block in found if block.number is not None]
