"""Control's side of the avisiod-sip workers: commands as coroutines, events to a listener."""

import itertools
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.protocols import amp

from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.gateway import wire
from avisiod.gateway.settings import SipWorkerSettings
from avisiod.gateway.worker_pool import WorkerPool, heard


class SipListener(Protocol):
    """Who hears the phones: the switchboard. Methods return at once and do not raise."""

    def invited(self, sip_call: str, phone: str, number: str, offer: str, *, secure: bool) -> str:
        """A phone dials; `secure` over TLS. The id of the call that begins, for the worker's own log."""

    def acknowledged(self, sip_call: str) -> None:
        """Its ACK arrived."""

    def reoffered(self, sip_call: str, offer: str) -> None:
        """It changes its media; answer through `answer` or `reject`."""

    def sip_ended(self, sip_call: str, by: str, status: int) -> None:
        """The dialogue is over: by `phone`, `us`, `lost` or `failure`."""

    def digit(self, sip_call: str, digit: str) -> None:
        """A DTMF digit by INFO."""

    def picture_asked(self, sip_call: str) -> None:
        """The phone wants a keyframe of the other side."""

    def phone_answered(self, sip_call: str, answer: str) -> None:
        """It answered an offer of ours; that may change its media as well."""

    def sip_worker_lost(self, sip_calls: list[str]) -> None:
        """A worker ended and these dialogues with it; media goes on."""


def dispatcher_list(config: Config) -> str:
    """Where the workers listen, a line each, for Kamailio's dispatcher (the module's `list_file`)."""
    own = f"{_bracketed(config.sip.address)}:{config.sip.port}-{config.sip.port + config.sip_workers - 1}"
    lines = []
    for each in (own, *config.sip.beside):
        host, _, ports = each.rpartition(":")
        first, _, last = ports.partition("-")
        lines.append([f"1 sip:{host}:{port}\n" for port in range(int(first), int(last or first) + 1)])
    # In turn over the boxes: dialogues of a call that is tried next should be another box's.
    return "".join(line for row in itertools.zip_longest(*lines, fillvalue="") for line in row)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def settings_of(config: Config, count: int) -> list[SipWorkerSettings]:
    """What each of `count` workers is told."""
    return [
        SipWorkerSettings(
            worker=n,
            address=config.sip.address,
            port=config.sip.port + n,
            edge=config.sip.edge,
            session_expires_s=config.sip.session_expires_s,
            dialogues=config.sip.dialogues_per_worker,
            log_level=config.log.level,
        )
        for n in range(count)
    ]


class SipGateway(WorkerPool):
    """The SIP workers, as the switchboard uses them. Every coroutine fails with a wire.WorkerError.

    A `sip_call` is `N-ID`: the worker's number and the dialogue's id there.
    """

    def __init__(self, reactor: Any, clock: Clock, config: Config) -> None:
        self.listener: SipListener | None = None
        self._calls: dict[str, int] = {}
        settings = settings_of(config, config.sip_workers)
        super().__init__(
            reactor, clock, "avisiod.gateway.sip_worker", settings, lambda n: _SipLink(self, n), self._down
        )

    def take_up(self, config: Config) -> None:
        """New settings; workers take up how much they log."""
        self.adopt(settings_of(config, len(self.workers)))

    async def answer(self, sip_call: str, sdp: str) -> None:
        """Answer an INVITE or re-INVITE with 200."""
        await self._ask(sip_call, wire.AnswerInvite, answer=sdp)

    async def reject(self, sip_call: str, status: int, reason: str) -> None:
        """Refuse an INVITE or re-INVITE."""
        await self._ask(sip_call, wire.RejectInvite, status=status, reason=reason)

    async def hang_up(self, sip_call: str, status: int, reason: str) -> None:
        """End the dialogue."""
        await self._ask(sip_call, wire.HangUp, status=status, reason=reason)

    async def ask_picture(self, sip_call: str) -> None:
        """Ask the phone for a keyframe by INFO."""
        await self._ask(sip_call, wire.AskPictureByInfo)

    async def drain(self) -> None:
        """Take no new calls."""
        for worker in self.workers:
            if worker.up:
                await worker.call(wire.Drain)

    def _ask(self, sip_call: str, command: type[amp.Command], **arguments: object) -> Deferred[dict[str, Any]]:
        worker = self._calls.get(sip_call)
        if worker is None:
            raise wire.NoSuchCall("the dialogue is on no worker")
        return self.workers[worker].call(command, sip_call=sip_call.partition("-")[2], **arguments)

    def holds(self, n: int) -> int:
        """See WorkerPool. None counts: a SIP worker that is to end turns new ones away and lives until its last."""
        del n
        return 0

    def _down(self, n: int) -> None:
        lost = [sip_call for sip_call, worker in self._calls.items() if worker == n]
        for sip_call in lost:
            del self._calls[sip_call]
        if self.listener is not None:
            self.listener.sip_worker_lost(lost)

    def begun(self, n: int, sip_call: str) -> str:
        """A dialogue of worker `n` as it is known outside, from now on."""
        name = f"{n}-{sip_call}"
        self._calls[name] = n
        return name

    def over(self, n: int, sip_call: str) -> str:
        """The same, for the last time."""
        name = f"{n}-{sip_call}"
        self._calls.pop(name, None)
        return name


class _SipLink(amp.AMP):
    def __init__(self, gateway: SipGateway, worker: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._gateway = gateway
        self._worker = worker

    def _tell(self, tell: Callable[[SipListener], None]) -> dict[str, object]:
        listener = self._gateway.listener
        if listener is not None:
            heard(lambda: tell(listener))
        return {}

    def _name(self, sip_call: str) -> str:
        return f"{self._worker}-{sip_call}"

    @wire.Invited.responder
    def invited(self, sip_call: str, phone: str, number: str, offer: str, secure: bool) -> dict[str, object]:
        name, listener = self._gateway.begun(self._worker, sip_call), self._gateway.listener
        calls: list[str] = []
        if listener is not None and not heard(
            lambda: calls.append(listener.invited(name, phone, number, offer, secure=secure))
        ):
            raise wire.WorkerError("control failed on this call; it is not known")
        return {"call": calls[0] if calls else ""}

    @wire.Acknowledged.responder
    def acknowledged(self, sip_call: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.acknowledged(self._name(sip_call)))

    @wire.PhoneAnswered.responder
    def phone_answered(self, sip_call: str, answer: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.phone_answered(self._name(sip_call), answer))

    @wire.Reoffer.responder
    def reoffered(self, sip_call: str, offer: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.reoffered(self._name(sip_call), offer))

    @wire.SipEnded.responder
    def ended(self, sip_call: str, by: str, status: int) -> dict[str, object]:
        name = self._gateway.over(self._worker, sip_call)
        return self._tell(lambda listener: listener.sip_ended(name, by, status))

    @wire.InfoDigit.responder
    def digit(self, sip_call: str, digit: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.digit(self._name(sip_call), digit))

    @wire.PictureAskedByInfo.responder
    def picture_asked(self, sip_call: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.picture_asked(self._name(sip_call)))
