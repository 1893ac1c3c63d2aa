"""avisiod-sip: `python -m avisiod.gateway.sip_worker`, a child of control with the AMP socket as descriptor 3."""

import asyncio
import logging
import os
import signal
import socket
from typing import Any

from avisiod.gateway import lean  # noqa: F401 - before Twisted looks for TLS

# isort: split
import msgspec
from twisted.internet import defer
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from avisiod import log as logs
from avisiod.clock import install_reactor
from avisiod.gateway import wire
from avisiod.gateway.settings import SipWorkerSettings, sip_settings
from avisiod.gateway.sip_endpoint import SipEndpoint
from avisiod.privacy import hide_memory

log = logging.getLogger("avisiod.gateway.sip_worker")


class SipWorker:
    """Joins PJSIP's endpoint to control; ends the process when nothing is left to do."""

    def __init__(self, reactor: Any) -> None:
        self.failed = False
        self._reactor = reactor
        self._endpoint: SipEndpoint | None = None
        self._link: amp.AMP | None = None

    @property
    def endpoint(self) -> SipEndpoint:
        """WorkerError before Configure."""
        if self._endpoint is None:
            raise wire.WorkerError("the SIP worker has not been configured")
        return self._endpoint

    def linked(self, link: amp.AMP) -> None:
        """Control is there."""
        self._link = link

    def configure(self, settings: SipWorkerSettings) -> defer.Deferred[None]:
        """Listen; fails with a WorkerError when that cannot be."""
        if self._endpoint is not None:
            raise wire.WorkerError("the SIP worker has been configured before; nothing was changed")
        logs.setup_worker(settings.log_level, f"sip-{settings.worker}")
        in_reactor = self._reactor.callFromThread
        self._endpoint = SipEndpoint(
            settings,
            lambda command, **arguments: in_reactor(self._tell, command, arguments),
            in_reactor,
            lambda: in_reactor(self._crashed),
        )
        return self._endpoint.start()

    def terminated(self) -> None:
        """Control's order: take no new call, end with the last one."""
        if self._endpoint is None:
            self._stop()
            return
        self._endpoint.drain()
        self._endpoint.when_empty(lambda: self._reactor.callFromThread(self._end, "Service Restarted"))

    def control_gone(self) -> None:
        """Nobody keeps the rules any more: hang up every call, then end."""
        self._link = None
        self._end("Service Restarted")

    def _end(self, reason: str) -> None:
        if self._endpoint is None:
            self._stop()
        else:
            self._endpoint.stop(reason).addBoth(lambda _result: self._stop())

    def _crashed(self) -> None:
        self.failed = True
        self._stop()

    def _stop(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    def _tell(self, command: type[amp.Command], arguments: dict[str, str | int]) -> None:
        if self._link is None:
            return
        told: defer.Deferred[Any] = self._link.callRemote(command, **arguments)
        if command is wire.Invited:
            sip_call = str(arguments["sip_call"])
            logs.remember(sip_call, phone=str(arguments["phone"]))
            told.addCallback(lambda answer: logs.remember(sip_call, call=answer.get("call") or ""))
        elif command is wire.SipEnded:
            text = "the dialogue is over: by %s, status %s"
            log.info(text, arguments["by"], arguments["status"], extra={"call": arguments["sip_call"]})
        told.addErrback(self._untold, command, str(arguments.get("sip_call", "")))

    def _untold(self, failure: Failure, command: type[amp.Command], sip_call: str) -> None:
        """Control could not take an event. A call that it does not know must not go on."""
        if self._link is None or failure.check(ConnectionLost, ConnectionDone):
            return
        log.error("control refused %s: %s", command.__name__, failure.type, extra={"call": sip_call})
        if command is wire.Invited:
            hung_up = self.endpoint.hang_up(sip_call, 500, "Server Internal Error")
            hung_up.addErrback(lambda _over: None)


class ControlLink(amp.AMP):
    """The worker's end of the socket: each command goes to the endpoint."""

    def __init__(self, worker: SipWorker) -> None:
        amp.AMP.__init__(self)
        self._worker = worker

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Control is there."""
        amp.AMP.connectionMade(self)
        self._worker.linked(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Control is gone."""
        amp.AMP.connectionLost(self, reason)
        self._worker.control_gone()

    @wire.Configure.responder
    def _configure(self, settings: bytes) -> defer.Deferred[dict[str, object]]:
        try:
            return _done(self._worker.configure(sip_settings.decode(settings)))
        except (msgspec.MsgspecError, ValueError) as error:
            raise wire.WorkerError(f"the settings cannot be read: {error}") from error

    @wire.Reconfigure.responder
    def _reconfigure(self, settings: bytes) -> dict[str, object]:
        try:
            decoded = sip_settings.decode(settings)
        except (msgspec.MsgspecError, ValueError) as error:
            raise wire.WorkerError(f"the settings cannot be read: {error}") from error
        logs.setup_worker(decoded.log_level, f"sip-{decoded.worker}")
        return {}

    @wire.Ping.responder
    def _ping(self) -> defer.Deferred[dict[str, object]]:
        endpoint = self._worker.endpoint
        return endpoint.ping().addCallback(lambda _alive: endpoint.take_refused())

    @wire.AnswerInvite.responder
    def _answer_invite(self, sip_call: str, answer: str) -> defer.Deferred[dict[str, object]]:
        log.info("answers the phone with 200", extra={"call": sip_call})
        return _done(self._worker.endpoint.answer(sip_call, answer))

    @wire.RejectInvite.responder
    def _reject_invite(self, sip_call: str, status: int, reason: str) -> defer.Deferred[dict[str, object]]:
        log.info("refuses the phone's offer with %d (%s)", status, reason, extra={"call": sip_call})
        return _done(self._worker.endpoint.reject(sip_call, status, reason))

    @wire.HangUp.responder
    def _hang_up(self, sip_call: str, status: int, reason: str) -> defer.Deferred[dict[str, object]]:
        logs.remember(sip_call, reason=reason)
        log.info("hangs the phone up with %d (%s)", status, reason, extra={"call": sip_call})
        return _done(self._worker.endpoint.hang_up(sip_call, status, reason))

    @wire.AskPictureByInfo.responder
    def _ask_picture(self, sip_call: str) -> defer.Deferred[dict[str, object]]:
        return _done(self._worker.endpoint.ask_picture(sip_call))

    @wire.Drain.responder
    def _drain(self) -> defer.Deferred[dict[str, object]]:
        return _done(self._worker.endpoint.drain())


def _done(order: defer.Deferred[None]) -> defer.Deferred[dict[str, object]]:
    return order.addCallback(lambda _nothing: {})


def main() -> int:
    """Serve until control closes the socket, or orders us to end and the last call is over; the exit status."""
    hide_memory()
    loop = asyncio.new_event_loop()
    install_reactor(loop)
    from twisted.internet import reactor as installed  # only now is it the asyncio one

    reactor: Any = installed
    logs.setup_worker("INFO", "sip")
    # PJSIP says a few lines on standard output before it can be told not to; nobody else of us writes there.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    worker = SipWorker(reactor)
    control = Factory.forProtocol(lambda: ControlLink(worker))
    reactor.adoptStreamConnection(wire.WORKER_FD, socket.AF_UNIX, control)
    os.close(wire.WORKER_FD)  # the reactor has its own duplicate
    for for_control in wire.SIGNALS_FOR_CONTROL:
        signal.signal(for_control, signal.SIG_IGN)
    signal.signal(wire.STOP_SIGNAL, lambda *_: reactor.callFromThread(worker.terminated))
    reactor.run(installSignalHandlers=False)
    return 1 if worker.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
