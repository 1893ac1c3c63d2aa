"""One open serial port: AT commands with time-outs, one at a time."""

import dataclasses
import logging
from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.serialport import SerialPort
from twisted.python.failure import Failure

from avisiod.clock import Clock, Timer
from avisiod.devices.at_protocol import Dialogue, Event, Noise, Prompt, Reply, Unsolicited
from avisiod.devices.pdu import Submit
from avisiod.devices.sms_failure import FailureKind, RouteFailure, cms_failure

log = logging.getLogger(__name__)

SYNC_TRIES = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a modem, in seconds."""

    answer_s: float = 5.0
    slow_answer_s: float = 20.0
    """For what asks the SIM or the network."""
    prompt_s: float = 5.0
    submit_s: float = 40.0
    """From Ctrl-Z to +CMGS. Makers name up to 120 s; who waits at the phone is better served by a new try."""
    sync_s: float = 2.0


class LinkError(Exception):
    """The dialogue cannot go on as it is."""


class LinkLost(LinkError):
    """The port is closed: unplugged, or an error of the driver."""


class NoAnswer(LinkError):
    """The modem did not answer in time."""


class ModemRestarted(LinkError):
    """The modem has started anew by itself and forgotten its settings."""


class AtSession(Protocol):
    """The dialogue over one open port.

    `unsolicited` hears the lines that nobody asked for. `broken` hears once why the session can no longer be used:
    every later command raises the same.
    """

    def __init__(
        self,
        clock: Clock,
        patience: Patience,
        unsolicited: Callable[[Unsolicited], None],
        broken: Callable[[LinkError], None],
    ) -> None:
        self._clock = clock
        self._patience = patience
        self._unsolicited = unsolicited
        self._on_broken = broken
        self._dialogue = Dialogue()
        self._waiting: Deferred[Reply | Prompt] | None = None
        self._timer: Timer | None = None
        self.broken: LinkError | None = None

    async def command(
        self,
        line: str,
        *,
        prefix: str = "",
        required: bool = False,
        body: bool = False,
        timeout_s: float | None = None,
    ) -> Reply:
        """Send a command and await its answer, an error of the modem included; LinkError when there is none."""
        self._write(self._dialogue.command(line, prefix=prefix, required=required, body=body))
        answer = await self._answer(timeout_s or self._patience.answer_s)
        assert isinstance(answer, Reply)  # noqa: S101 - a prompt comes only where one was announced
        return answer

    async def sync(self) -> None:
        """Leave any text entry and find the beat again: NoAnswer when the modem does not follow.

        The question has an answer of its own, so a late OK of an older command is not taken for it.
        """
        for _ in range(SYNC_TRIES):
            self._write(self._dialogue.cancel())
            try:
                reply = await self.command(
                    "AT+CMEE?", prefix="+CMEE:", required=True, timeout_s=self._patience.sync_s
                )
            except NoAnswer:
                continue
            if reply.ok:
                return
        raise NoAnswer("the modem does not answer AT+CMEE?")

    async def submit(self, message: Submit, wanted: Callable[[], bool]) -> int:
        """Send a message and await its reference (TP-MR).

        RouteFailure when the modem certainly did not send it; NoAnswer when that is not known. `wanted` is asked
        at the last moment before the message leaves.
        """
        # A modem that restarted unnoticed is in text mode, where a PDU would go out as the text of a message.
        if not (await self.command("AT+CMGF=0")).ok:
            raise RouteFailure(FailureKind.UNKNOWN, "the modem refused PDU mode")
        self._write(self._dialogue.command(f"AT+CMGS={message.length}", prefix="+CMGS:", required=True, prompt=True))
        try:
            answer = await self._answer(self._patience.prompt_s)
        except NoAnswer:
            await self.sync()
            raise RouteFailure(FailureKind.NO_ANSWER, "the modem did not ask for the message") from None
        if isinstance(answer, Reply):
            raise _refusal(answer)
        if not wanted():
            await self.sync()
            raise RouteFailure(FailureKind.EXPIRED, "the message was no longer wanted")
        self._write(self._dialogue.payload(message.hex))
        answer = await self._answer(self._patience.submit_s)
        if not isinstance(answer, Reply) or not answer.ok:
            raise _refusal(answer)
        reference = answer.value("+CMGS:").split(",")[0].strip()
        return int(reference) % 256 if reference.isdecimal() else -1

    def close(self) -> None:
        """Close the port; what was not written yet is thrown away, so that a hung modem blocks nothing."""
        self._break(LinkLost("the port was closed"))
        port = cast("SerialPort | None", self.transport)
        if port is not None and port.connected:
            # loseConnection waits for the writes to drain, and close() of a USB serial port does so in the kernel.
            port.flushOutput()
            port.connectionLost(Failure(LinkLost("closed")))

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take octets from the port."""
        for event in self._dialogue.receive(data):
            self._handle(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """The port is gone."""
        self._break(LinkLost("the port was lost: " + reason.type.__name__ if reason.type else "the port was lost"))

    def _handle(self, event: Event) -> None:
        if isinstance(event, Reply | Prompt):
            waiting = self._stop_waiting()
            if waiting is not None:
                waiting.callback(event)
        elif isinstance(event, Unsolicited):
            if event.restart:
                self._break(ModemRestarted("the modem has restarted"))
            else:
                self._unsolicited(event)
        elif isinstance(event, Noise):
            log.debug("The modem sent %d octets that make no sense here", event.octets)

    def _write(self, data: bytes) -> None:
        if self.broken is not None:
            raise self.broken
        if self.transport is not None:
            cast("SerialPort", self.transport).write(data)

    def _answer(self, timeout_s: float) -> Deferred[Reply | Prompt]:
        waiting: Deferred[Reply | Prompt] = Deferred(self._forget)
        self._waiting = waiting
        self._timer = self._clock.call_at(self._clock.now() + timeout_s, self._expire)
        return waiting

    def _stop_waiting(self) -> Deferred[Reply | Prompt] | None:
        waiting, self._waiting = self._waiting, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return waiting

    def _forget(self, _: Deferred[Reply | Prompt]) -> None:
        self._stop_waiting()

    def _expire(self) -> None:
        waiting = self._stop_waiting()
        if waiting is not None:
            self._write(self._dialogue.cancel())
            waiting.errback(NoAnswer("the modem did not answer in time"))

    def _break(self, error: LinkError) -> None:
        if self.broken is not None:
            return
        self.broken = error
        waiting = self._stop_waiting()
        self._on_broken(error)
        if waiting is not None:
            waiting.errback(error)


def _refusal(answer: Reply | Prompt) -> RouteFailure:
    if isinstance(answer, Reply) and answer.result == "cms":
        return cms_failure(answer.code)
    return RouteFailure(FailureKind.UNKNOWN, "the modem answered ERROR")
