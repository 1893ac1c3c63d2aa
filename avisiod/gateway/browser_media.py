"""The packets of a relative's page: SRTP outside, RTP inside. The hot path of the page's side."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from avisiod.gateway.leg import Kind, Leg, LegListener, MediaLine
from avisiod.gateway.retransmission import original
from avisiod.gateway.srtp import SrtpReceiver, SrtpSender

SHORTEST_BYTES = 12
"""An RTP header; whatever is shorter is no media."""

NO_REPAIRS: Mapping[int, int] = MappingProxyType({})


class Transport(Protocol):
    """Where packets go."""

    @property
    def send_now(self) -> Callable[[Any], None] | None:
        """Sends one datagram to the page at once; None while there is no way to it."""


class BrowserMedia:
    """What is received is decrypted and told to the listener as the leg's; what is sent is encrypted."""

    __slots__ = (
        "_kinds",
        "_leg",
        "_on_rtcp",
        "_on_rtp",
        "_receiver",
        "_repairs",
        "_retransmitted",
        "_sender",
        "heard",
        "invalid",
        "listener",
        "transport",
    )

    def __init__(self, leg: Leg, listener: LegListener, transport: Transport) -> None:
        self.listener = listener
        self.transport: Transport = transport
        """Read anew for each packet: it may be replaced at any time."""
        self.heard = 0.0
        """When the last authentic packet came, on CLOCK_MONOTONIC."""
        self.invalid = 0
        """Not authentic, replayed, or of a payload type that was not agreed."""
        self._leg = leg
        self._on_rtp: Callable[[Leg, Kind, bytes, float], None] = listener.rtp
        self._on_rtcp: Callable[[Leg, Kind | None, bytes, float], None] = listener.rtcp
        self._receiver: SrtpReceiver | None = None
        self._sender: SrtpSender | None = None
        self._kinds: list[Kind | None] = [None] * 128
        self._retransmitted: dict[int, MediaLine] = {}
        self._repairs = NO_REPAIRS

    def agree(self, lines: dict[Kind, MediaLine], repairs: Mapping[int, int] = NO_REPAIRS) -> None:
        """What is taken from now on; `repairs`: see BrowserLeg.start."""
        self._repairs = repairs
        for kind, line in lines.items():
            if line.rtx_payload_type is not None:
                self._retransmitted[line.rtx_payload_type] = line
            self._kinds[line.codec.payload_type] = kind
            if line.event_payload_type is not None:
                self._kinds[line.event_payload_type] = kind

    def begin(self, receiver: SrtpReceiver, sender: SrtpSender) -> None:
        """The keys are there."""
        self._receiver = receiver
        self._sender = sender

    @property
    def sends(self) -> bool:
        """Whether there is anything to send with."""
        return self._sender is not None

    def stop_sending(self) -> None:
        """Nothing goes out any more."""
        self._sender = None

    def stop_hearing(self) -> None:
        """Nothing comes in any more."""
        self._receiver = None

    def received(self, data: bytes) -> bool:
        """One SRTP or SRTCP packet of the validated peer; whether no other is expected at once.

        Only a frame's packets come together.
        """
        receiver = self._receiver
        if receiver is None:
            return False
        if len(data) < SHORTEST_BYTES:
            self.invalid += 1
            return False
        second = data[1]
        if 191 < second < 224:
            report = receiver.rtcp(data)
            if report is None:
                self.invalid += 1
                return False
            self.heard = now = time.monotonic()
            self._on_rtcp(self._leg, None, report, now)
            return True
        packet = receiver.rtp(data)
        if packet is None:
            self.invalid += 1
            return False
        kind = self._kinds[second & 0x7F]
        if kind is None:
            if not self._repaired(packet):
                self.invalid += 1
            return False
        self.heard = now = time.monotonic()
        self._on_rtp(self._leg, kind, packet, now)
        return second > 127 or kind is Kind.AUDIO

    def _repaired(self, packet: bytes) -> bool:
        """An authentic packet that is no agreed media: whether it is a retransmission."""
        line = self._retransmitted.get(packet[1] & 0x7F)
        source = self._repairs.get(int.from_bytes(packet[8:12], "big"))
        if line is None or source is None:
            return False
        self.heard = now = time.monotonic()
        carried = original(packet, line.codec.payload_type, source)
        if carried is not None:
            self.listener.repaired(self._leg, line.kind, carried, now)
        return True

    def send_rtp(self, kind: Kind, packet: bytes | bytearray | memoryview) -> None:  # noqa: ARG002 - of Leg
        """Encrypt and send now; nothing happens before the keys are there, or after `stop_sending`."""
        sender = self._sender
        send = self.transport.send_now
        if sender is None or send is None:
            return
        data = sender.rtp(packet)
        if data is not None:
            send(data)

    def send_rtcp(self, packet: bytes) -> None:
        """Encrypt and send one compound RTCP packet now; as send_rtp."""
        sender = self._sender
        send = self.transport.send_now
        if sender is None or send is None:
            return
        data = sender.rtcp(packet)
        if data is not None:
            send(data)
