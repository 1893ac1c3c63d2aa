"""The way of a call's pictures through a transcoder, seen from the media worker: out at one end, back at the other.

Sound, recording, feedback and the deadline stay where they are. The phone's picture is recorded as it came, before
the detour; the page's behind it, as the phone gets it, so that one track holds one codec whichever browser the
relative comes back with.
"""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from avisiod.gateway.bandwidth import Bitrate
from avisiod.gateway.leg import Kind
from avisiod.gateway.relay import OutStream, Send
from avisiod.gateway.rtp import is_valid
from avisiod.gateway.steering import FIRST_BITRATE, INTERVAL_S
from avisiod.gateway.transcode_link import MAX_MESSAGE, ConversionSettings, Way, Word, head, read_head

log = logging.getLogger(__name__)

READ_AT_ONCE = 64

Tap = Callable[[bytes, float], None]


class Outlet:
    """What comes back, joined to the receiver's stream: from a keyframe on, until the deadline; as relay.Path."""

    def __init__(self, stream: OutStream, begins: Callable[[bytes, int], bool]) -> None:
        """`begins` tells whether a packet, its payload at an offset, begins a keyframe."""
        self.stream = stream
        self.last_forwarded = 0.0
        self.sequence = secrets.randbits(15)
        """Number of the latest packet, or the one that comes before the first."""
        self._begins = begins
        self._begun = False
        self._send: Send | None = None
        self._tap: Tap | None = None
        self._until = 0.0

    def open(self, until: float, send: Send, tap: Tap | None) -> None:
        """Forward with `send` what arrives before `until`; `tap` gets all of it."""
        self._until, self._send, self._tap = until, send, tap
        self.seam()

    def shut(self) -> None:
        """Forward nothing more."""
        self._until, self._send, self._tap = 0.0, None, None

    def mute(self) -> None:
        """Leave the stream to a prompt."""
        self._send = None

    def unmute(self, send: Send) -> None:
        """The prompt is over."""
        if self._until:
            self._send = send
            self.seam()

    def seam(self) -> None:
        """Another sender, which begins with a keyframe."""
        self._begun = False
        self.stream.seam()

    def packet(self, packet: bytes, arrival: float) -> None:
        """One packet of the transcoder."""
        self.sequence = packet[2] << 8 | packet[3]
        if arrival >= self._until:
            return
        if self._tap is not None:
            self._tap(packet, arrival)
        if self._send is None:
            return
        if not self._begun:
            self._begun = self._begins(packet, 12)
            if not self._begun:
                return
        out = self.stream.rewritten(packet, arrival)
        if out is not None:
            self._send(Kind.VIDEO, out)
            self.last_forwarded = arrival


class Taker(Protocol):
    """What a receiver of pictures tells of itself: LegFeedback."""

    def takes(self, now: float) -> tuple[int, float]:
        """Bit/s that it wants at most, 0 where it does not say; the share that it lost since the last time."""


class _Rate:
    """What one way may have: by what its receiver asks for and loses. Once a second."""

    def __init__(self, stream: OutStream, ceiling: int) -> None:
        self.told = min(FIRST_BITRATE, ceiling)
        self._stream = stream
        self._ceiling = ceiling
        self._rate = Bitrate(self.told, ceiling)
        self._due = 0.0
        self._packets, self._octets = stream.packets, stream.octets

    def look(self, now: float, receiver: Taker) -> bool:
        """Whether `told` has changed."""
        if now < self._due:
            return False
        self._due = now + INTERVAL_S
        takes, lost = receiver.takes(now)
        stream = self._stream
        self._rate.ceiling = min(self._ceiling, takes) if takes else self._ceiling
        self._rate.observe(
            now,
            packets=stream.packets - self._packets,
            lost=0,
            bits=8 * (stream.octets - self._octets),
            reported=lost,
        )
        self._packets, self._octets = stream.packets, stream.octets
        before, self.told = self.told, self._rate.bitrate
        return before != self.told


class Detour:
    """One call's link to its transcoder; see the module."""

    def __init__(
        self,
        link: socket.socket,
        outlets: Mapping[Way, Outlet],
        wanted: Callable[[Way], None],
        ceilings: Mapping[Way, int],
        extra: dict[str, str],
    ) -> None:
        """`wanted`: the sender of this way must send a keyframe. `ceilings` in bit/s. The link stays the caller's."""
        self.dropped = 0
        """Packets that no transcoder took, or that were none."""
        self._loop = asyncio.get_running_loop()
        self._outlets = outlets
        self._wanted = wanted
        self._extra = extra
        self._agreed: tuple[int, dict[str, str], int] | None = None
        self._rates = {way: _Rate(outlet.stream, ceilings[way]) for way, outlet in outlets.items()}
        self._link: socket.socket | None = None
        self._full = False
        self.relink(link)

    def relink(self, link: socket.socket) -> None:
        """Go on with another transcoder, which knows nothing yet. The link stays the caller's to close."""
        self.close()
        link = link.dup()
        link.setblocking(False)
        self._link = link
        self._loop.add_reader(link, self._read)
        for outlet in self._outlets.values():
            outlet.seam()
        if self._agreed is not None:
            self._settle(*self._agreed)

    def settle(self, phone_payload_type: int, phone_fmtp: dict[str, str], page_payload_type: int) -> None:
        """What was agreed with both ends; again when it changed."""
        self._agreed = phone_payload_type, phone_fmtp, page_payload_type
        self._settle(*self._agreed)

    def _settle(self, phone_payload_type: int, phone_fmtp: dict[str, str], page_payload_type: int) -> None:
        settings = ConversionSettings(
            phone_payload_type=phone_payload_type,
            phone_fmtp=phone_fmtp,
            page_payload_type=page_payload_type,
            to_page_bitrate=self._rates[Way.TO_PAGE].told,
            to_phone_bitrate=self._rates[Way.TO_PHONE].told,
            to_page_sequence=(self._outlets[Way.TO_PAGE].sequence + 2) & 0xFFFF,
            to_phone_sequence=(self._outlets[Way.TO_PHONE].sequence + 2) & 0xFFFF,
        )
        self._say(head(Word.SETTINGS) + msgspec.json.encode(settings))

    def taker(self, way: Way) -> Tap:
        """What takes the packets of this way's sender."""
        first = head(Word.PACKET, way)

        def take(packet: bytes, _arrival: float) -> None:
            self._say(first + packet)

        return take

    def refresh(self, way: Way) -> None:
        """The receiver of this way needs a keyframe."""
        self._say(head(Word.KEYFRAME, way))

    def look(self, now: float, receivers: Mapping[Way, Taker | None]) -> None:
        """Time has passed: the bitrates follow what the receivers take."""
        for way, rate in self._rates.items():
            receiver = receivers[way]
            if receiver is not None and rate.look(now, receiver):
                self._say(head(Word.BITRATE, way) + rate.told.to_bytes(4, "big"))

    def _say(self, message: bytes) -> None:
        """A transcoder that takes nothing now loses the message; one that is gone, all until the next one."""
        if self._link is None:
            self.dropped += 1
            return
        try:
            self._link.send(message)
        except BlockingIOError:
            self.dropped += 1
            log.log(
                logging.DEBUG if self._full else logging.WARNING,
                "the transcoder takes nothing: the picture stands still",
                extra=self._extra,
            )
            self._full = True
        except OSError:
            self.dropped += 1
            self._lost()

    def _read(self) -> None:
        for _ in range(READ_AT_ONCE):
            if self._link is None:
                return
            try:
                message = self._link.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._lost()
                return
            self._heard(message)

    def _heard(self, message: bytes) -> None:
        """A transcoder that a stream took over could say anything: what is no RTP goes nowhere."""
        known, packet = read_head(message), message[1:]
        if known is not None and known[0] is Word.KEYFRAME:
            self._wanted(known[1])
        elif known is not None and known[0] is Word.PACKET and is_valid(packet) and packet[0] == 0x80:
            self._outlets[known[1]].packet(packet, time.monotonic())
        else:
            self.dropped += 1

    def _lost(self) -> None:
        log.info("the transcoder of this call is gone, as control will tell; the sound goes on", extra=self._extra)
        self.close()

    def close(self) -> None:
        """Let go of the transcoder; harmless when closed."""
        link, self._link = self._link, None
        self._full = False
        if link is not None:
            self._loop.remove_reader(link)
            link.close()


def from_descriptor(descriptor: int | None) -> socket.socket | None:
    """The link whose descriptor control has sent."""
    return None if descriptor is None else socket.socket(fileno=descriptor)
