"""What the relay hears of one leg: packets to their paths, reports to the feedback, states to control."""

import logging
from typing import Protocol

from avisiod.gateway.flow import Flow, expected
from avisiod.gateway.leg import Kind, Leg, MediaLine
from avisiod.gateway.relay import Path

log = logging.getLogger(__name__)

NO_EVENT = 255


class SideListener(Protocol):
    """The media call, as one of its sides sees it."""

    def leg_is(self, side: "Side", state: str) -> None:
        """`connected`, `flowing`, `quiet`, `silent`, `moved` or `failed`."""

    def reported(self, side: "Side", kind: Kind | None, packet: bytes, arrival: float) -> None:
        """A compound RTCP packet."""

    def event(self, side: "Side", packet: bytes) -> None:
        """A telephone-event packet."""


class Side:
    """The listener of one leg; a leg that was replaced is not heard any more, because its side is let go."""

    __slots__ = (
        "_event_type",
        "_extra",
        "_flow",
        "_let_go",
        "_listener",
        "_paths",
        "_waiting",
        "connected",
        "name",
        "session",
    )

    def __init__(self, name: str, session: str, listener: SideListener, extra: dict[str, str]) -> None:
        self.name = name
        """`phone` or `outside`."""
        self.session = session
        self._listener = listener
        self._extra = extra
        self._paths: dict[Kind, Path] = {}
        self._flow = Flow(frozenset(Kind))
        self._waiting = True
        self._event_type = NO_EVENT
        self._let_go = False
        self.connected = False
        """Whether the leg may send."""

    def follow(self, lines: dict[Kind, MediaLine], paths: dict[Kind, Path]) -> None:
        """What was agreed, and where each kind goes; a leg that flows goes on flowing."""
        self._paths = paths
        if not self._flow.flows:
            self._flow = Flow(expected(lines))
            self._waiting = True
        audio = lines.get(Kind.AUDIO)
        self._event_type = NO_EVENT
        if audio is not None and audio.event_payload_type is not None:
            self._event_type = audio.event_payload_type

    def let_go(self) -> None:
        """Hear nothing more."""
        self._let_go = True
        self._paths = {}

    @property
    def flows(self) -> bool:
        """Whether media came as agreed."""
        return self._flow.flows

    def rtp(self, leg: Leg, kind: Kind, packet: bytes, arrival: float) -> None:  # noqa: ARG002 - of LegListener
        """The hot path: see LegListener."""
        path = self._paths.get(kind)
        if path is None:
            return
        try:
            path.packet(packet, arrival)
            if packet[1] & 0x7F == self._event_type and kind is Kind.AUDIO:
                self._listener.event(self, packet)
            if self._waiting and self._flow.heard(kind, arrival):
                self._flows()
        except Exception as error:  # noqa: BLE001 - what we do not understand costs this call at most
            self._broke(error)

    def repaired(self, leg: Leg, kind: Kind, packet: bytes, arrival: float) -> None:  # noqa: ARG002 - of LegListener
        """See LegListener."""
        path = self._paths.get(kind)
        if path is None:
            return
        try:
            path.repaired(packet, arrival)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)

    def rtcp(self, leg: Leg, kind: Kind | None, packet: bytes, arrival: float) -> None:  # noqa: ARG002 - as above
        """See LegListener."""
        if self._let_go:
            return
        try:
            self._listener.reported(self, kind, packet, arrival)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)

    def state(self, leg: Leg, state: str) -> None:  # noqa: ARG002 - as above
        """See LegListener. What flowed once is told as `flowing` again when silence ends."""
        if state == "connected":
            self.connected = True
        if self._let_go or (state == "flowing" and not self._flow.flows):
            return
        self._listener.leg_is(self, state)

    def look(self, now: float) -> None:
        """Time has passed."""
        if self._waiting and not self._let_go and self._flow.look(now):
            self._flows()

    def _flows(self) -> None:
        self._waiting = False
        self._listener.leg_is(self, "flowing")

    def _broke(self, error: Exception) -> None:
        log.error("the %s leg broke; its call ends, others go on", self.name, exc_info=error, extra=self._extra)
        self.let_go()
        self._listener.leg_is(self, "failed")
