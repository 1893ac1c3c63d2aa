"""One direction of a call: the paths from one leg to the other, sound and picture, opened and shut together."""

import secrets
from collections.abc import Callable

from avisiod.gateway import h264
from avisiod.gateway.detour import Outlet
from avisiod.gateway.leg import Kind, Leg, MediaLine
from avisiod.gateway.reception import Reception
from avisiod.gateway.relay import OutStream, Path, Send

Tap = Callable[[bytes, float], None]


class Passage:
    """What flows from one leg to the other: paths in, streams out."""

    __slots__ = ("_converts", "_receiver", "_records_converted", "_sender", "_to", "outlet", "paths", "streams")

    def __init__(self) -> None:
        self.outlet: Outlet | None = None
        """Where the picture comes back that is converted on its way."""
        self._converts: Tap | None = None
        self._records_converted = False
        self.paths: dict[Kind, Path] = {}
        self.streams: dict[Kind, OutStream] = {}
        self._to: Leg | None = None
        self._sender: dict[Kind, MediaLine] = {}
        self._receiver: dict[Kind, MediaLine] = {}

    def sends(self, lines: dict[Kind, MediaLine], receptions: dict[Kind, Reception]) -> None:
        """What the sending leg agreed to; a path that exists goes on, with its counters."""
        self._sender = lines
        for kind, line in lines.items():
            reception = receptions[kind]
            if kind in self.paths:
                self.paths[kind].count = reception.count
            else:
                self.paths[kind] = Path(kind, self.streams.get(kind) or _stream(line, 0), reception.count)
            self.paths[kind].repair = reception.repaired
            declared = h264.parameter_sets(line.codec.fmtp)
            if declared:
                self.paths[kind].parameter_sets = declared
        self._translate()

    def receives(self, leg: Leg, lines: dict[Kind, MediaLine], ssrcs: dict[Kind, int]) -> None:
        """Where it goes. Another SSRC or clock than before needs a stream of its own."""
        self._to = leg
        self._receiver = lines
        for kind, line in lines.items():
            known = self.streams.get(kind)
            if known is None or known.ssrc != ssrcs[kind] or known.clock_rate != line.codec.clock_rate:
                self.streams[kind] = _stream(line, ssrcs[kind])
                if kind in self.paths:
                    self.paths[kind].stream = self.streams[kind]
                if kind is Kind.VIDEO and self.outlet is not None:
                    self.outlet.stream = self.streams[kind]
        self._translate()

    def convert(self, outlet: Outlet, *, records_converted: bool) -> None:
        """The picture makes a detour and comes back at `outlet`, which is recorded in place of what came first."""
        self.outlet = outlet
        self._records_converted = records_converted
        self._translate()

    def converts_by(self, take: Tap) -> None:
        """What takes the picture to be converted."""
        self._converts = take

    def forgets_sender(self) -> None:
        """Its paths are shut and let go; the streams wait for another."""
        self.shut()
        self.paths = {}
        self.outlet = None
        self._sender = {}
        self._translate()

    def forgets_receiver(self) -> None:
        """There is nobody to send to."""
        self.shut()
        self._to = None
        self._receiver = {}
        self.streams = {}
        self.outlet = None

    def open(self, until: float, taps: dict[Kind, Tap]) -> None:
        """Forward what arrives before `until`."""
        for kind, path in self.paths.items():
            send = self._to.send_rtp if self._to is not None and kind in self._receiver else _nowhere
            if kind is Kind.VIDEO and self.outlet is not None:
                self._open_detour(until, send, taps.get(kind), path, self.outlet)
            else:
                path.open(until, send, taps.get(kind))

    def _open_detour(self, until: float, send: Send, tap: Tap | None, path: Path, outlet: Outlet) -> None:
        """The path leads to the transcoder alone, the outlet to the receiver."""
        before, behind = (None, tap) if self._records_converted else (tap, None)
        path.open(until, _nowhere, _both(self._converts, before))
        path.mute()
        outlet.open(until, send, behind)

    def shut(self) -> None:
        """Forward nothing."""
        for path in self.paths.values():
            path.shut()
        if self.outlet is not None:
            self.outlet.shut()

    def mute(self, kind: Kind) -> None:
        """Leave this stream to a prompt."""
        if kind is Kind.VIDEO and self.outlet is not None:
            self.outlet.mute()
        elif kind in self.paths:
            self.paths[kind].mute()

    def unmute(self) -> None:
        """Prompts are over."""
        if self._to is not None:
            for kind, path in self.paths.items():
                if kind is Kind.VIDEO and self.outlet is not None:
                    self.outlet.unmute(self._to.send_rtp)
                elif path.muted and kind in self._receiver:
                    path.unmute(self._to.send_rtp)

    @property
    def last_forwarded(self) -> float:
        """When the last packet left; 0 before the first."""
        behind = self.outlet.last_forwarded if self.outlet is not None else 0.0
        return max(behind, *(path.last_forwarded for path in self.paths.values()), 0.0)

    def waits_for_keyframe(self) -> bool:
        """Whether video is held back until one comes."""
        video = self.paths.get(Kind.VIDEO)
        return video is not None and video.waits_for_keyframe

    def _translate(self) -> None:
        for kind, stream in self.streams.items():
            receiver = self._receiver.get(kind)
            if receiver is not None:
                converted = kind is Kind.VIDEO and self.outlet is not None
                stream.translate(receiver if converted else self._sender.get(kind, receiver), receiver)


def ssrcs() -> dict[Kind, int]:
    """SSRCs for a receiver's two streams, drawn at random and different (RFC 3550 section 8)."""
    first = secrets.randbits(32)
    return {Kind.AUDIO: first, Kind.VIDEO: first ^ (secrets.randbits(31) | 1)}


def _stream(line: MediaLine, ssrc: int) -> OutStream:
    return OutStream(
        line.kind,
        line.codec.clock_rate,
        ssrc=ssrc,
        sequence=secrets.randbits(15),  # far from the wrap: SRTP guesses its first rollover counter (RFC 3711 3.3.1)
        timestamp=secrets.randbits(32),
    )


def _both(one: Tap | None, other: Tap | None) -> Tap | None:
    if one is None or other is None:
        return one or other

    def take(packet: bytes, arrival: float) -> None:
        one(packet, arrival)
        other(packet, arrival)

    return take


def _nowhere(_kind: Kind, _packet: bytes) -> None:
    """Where a kind goes that the receiver refused: it is still recorded."""
