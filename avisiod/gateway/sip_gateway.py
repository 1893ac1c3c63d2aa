"""Control's side of avisiod-sip: commands as coroutines, events to a listener."""

from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.protocols import amp

from avisiod.clock import Clock
from avisiod.config import Sip
from avisiod.gateway import wire
from avisiod.gateway.settings import SipWorkerSettings
from avisiod.gateway.supervisor import Worker


class SipListener(Protocol):
    """Who hears the phones: the switchboard. Methods return at once and do not raise."""

    def invited(self, sip_call: str, phone: str, number: str, offer: str) -> None:
        """A phone dials."""

    def acknowledged(self, sip_call: str) -> None:
        """Its ACK arrived."""

    def reoffered(self, sip_call: str, offer: str) -> None:
        """It changes its media; answer through `answer` or `reject`."""

    def sip_ended(self, sip_call: str, by: str, status: int) -> None:
        """The dialogue is over: by `phone`, `us` or `failure`."""

    def digit(self, sip_call: str, digit: str) -> None:
        """A DTMF digit by INFO."""

    def picture_asked(self, sip_call: str) -> None:
        """The phone wants a keyframe of the other side."""

    def sip_worker_lost(self) -> None:
        """Every dialogue is forgotten; media goes on."""


class SipGateway:
    """The SIP worker, as the switchboard uses it. Every coroutine fails with a wire.WorkerError."""

    def __init__(self, reactor: Any, clock: Clock, config: Sip, log_level: str) -> None:
        self.listener: SipListener | None = None
        settings = SipWorkerSettings(
            address=config.address,
            port=config.port,
            edge=config.edge,
            session_expires_s=config.session_expires_s,
            log_level=log_level,
        )
        self.worker = Worker(
            reactor,
            clock,
            "avisiod.gateway.sip_worker",
            msgspec.json.encode(settings),
            lambda: _SipLink(self),
            on_up=self._up,
            on_down=self._down,
        )
        self._ready: Deferred[None] = Deferred()

    def start(self) -> Deferred[None]:
        """Start the worker; fires once it serves."""
        self.worker.start()
        return self._ready

    async def answer(self, sip_call: str, sdp: str) -> None:
        """Answer an INVITE or re-INVITE with 200."""
        await self.worker.call(wire.AnswerInvite, sip_call=sip_call, answer=sdp)

    async def reject(self, sip_call: str, status: int, reason: str) -> None:
        """Refuse an INVITE or re-INVITE."""
        await self.worker.call(wire.RejectInvite, sip_call=sip_call, status=status, reason=reason)

    async def hang_up(self, sip_call: str, status: int, reason: str) -> None:
        """End the dialogue."""
        await self.worker.call(wire.HangUp, sip_call=sip_call, status=status, reason=reason)

    async def ask_picture(self, sip_call: str) -> None:
        """Ask the phone for a keyframe by INFO."""
        await self.worker.call(wire.AskPictureByInfo, sip_call=sip_call)

    async def drain(self) -> None:
        """Take no new calls."""
        await self.worker.call(wire.Drain)

    def _up(self) -> None:
        if not self._ready.called:
            self._ready.callback(None)

    def _down(self) -> None:
        if self.listener is not None:
            self.listener.sip_worker_lost()


class _SipLink(amp.AMP):
    def __init__(self, gateway: SipGateway) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._gateway = gateway

    @wire.Invited.responder
    def invited(self, sip_call: str, phone: str, number: str, offer: str) -> dict[str, object]:
        if self._gateway.listener is not None:
            self._gateway.listener.invited(sip_call, phone, number, offer)
        return {}

    @wire.Acknowledged.responder
    def acknowledged(self, sip_call: str) -> dict[str, object]:
        if self._gateway.listener is not None:
            self._gateway.listener.acknowledged(sip_call)
        return {}

    @wire.Reoffer.responder
    def reoffered(self, sip_call: str, offer: str) -> dict[str, object]:
        if self._gateway.listener is not None:
            self._gateway.listener.reoffered(sip_call, offer)
        return {}

    @wire.SipEnded.responder
    def ended(self, sip_call: str, by: str, status: int) -> dict[str, object]:
        if self._gateway.listener is not None:
            self._gateway.listener.sip_ended(sip_call, by, status)
        return {}

    @wire.InfoDigit.responder
    def digit(self, sip_call: str, digit: str) -> dict[str, object]:
        if self._gateway.listener is not None:
            self._gateway.listener.digit(sip_call, digit)
        return {}

    @wire.PictureAskedByInfo.responder
    def picture_asked(self, sip_call: str) -> dict[str, object]:
        if self._gateway.listener is not None:
            self._gateway.listener.picture_asked(sip_call)
        return {}
