"""A GSM modem on a serial port, as a route for SMS.

One coroutine lives with the modem: open, set up, serve, and after any failure close, wait and begin anew. Messages
and polls are served one at a time by it, so no two commands ever meet. A modem that is unplugged, hangs, restarts or
talks nonsense fails the message it holds, at once and with a reason, and is taken up again when it is back.
"""

import dataclasses
import fcntl
import logging
import os
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.serialport import SerialPort
from twisted.python.failure import Failure

from avisiod.clock import Clock, Timer
from avisiod.config.sms import Modem as ModemSettings
from avisiod.devices import modem_setup, modem_state, pdu
from avisiod.devices.at_protocol import Unsolicited
from avisiod.devices.at_session import AtSession, LinkError, LinkLost, ModemRestarted, NoAnswer, Patience
from avisiod.devices.delivery import DeliveryBook, DeliveryReport
from avisiod.devices.mistakes import described
from avisiod.devices.modem_setup import PinFile, SimUnusable
from avisiod.devices.modem_state import ModemState, Sim
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.devices.waiting import wait_s
from avisiod.log import FirstThenDebug
from avisiod.ports import Sms

log = logging.getLogger(__name__)

POLL_S = 10.0
BACKOFF_FIRST_S = 1.0
BACKOFF_LAST_S = 30.0
LOOK_S = 1.0
"""How often an absent device's path is looked for."""


@dataclasses.dataclass(slots=True)
class _Job:
    """A message and the caller who waits for it."""

    sms: Sms = dataclasses.field(repr=False)
    done: Deferred[None] = dataclasses.field(repr=False)

    @property
    def wanted(self) -> bool:
        return not self.done.called


class Modem:
    """Route for SMS through one modem. `changed` hears every new state, `reported` every final delivery report."""

    def __init__(
        self,
        settings: ModemSettings,
        clock: Clock,
        reactor: Any,
        *,
        changed: Callable[[ModemState], None] = lambda _: None,
        reported: Callable[[DeliveryReport], None] = lambda _: None,
        patience: Patience | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._device = settings.device
        self._clock = clock
        self._reactor = reactor
        self._changed = changed
        self._reported = reported
        self._patience = patience or Patience()
        self._jitter = jitter
        self._pin = PinFile(Path(settings.pin_file) if settings.pin_file else None, Path(settings.pin_mark_file))
        self._troubles = {name: FirstThenDebug(log) for name in ("link", "sim", "hang", "network", "send")}
        self._stopped = False
        self._failures = 0
        self._session: AtSession | None = None
        self._serving = False
        self._jobs: deque[_Job] = deque()
        self._stored: deque[tuple[str, str, bool]] = deque()
        self._wake: Deferred[None] | None = None
        self._book = DeliveryBook()
        self._life: Deferred[None] | None = None
        self.state = ModemState()

    def start(self) -> None:
        """Begin to look for the modem; never fails, troubles go to the log and the state."""
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(lambda failure: failure.trap(CancelledError))

    def stop(self) -> None:
        """Close the port. A message in hand fails."""
        if self._life is not None:
            self._stopped = True
            self._life.cancel()
            self._life = None
            if self._session is not None:
                # Called from within one of our own callbacks, where there is nothing to cancel.
                self._session.close()

    def send(self, sms: Sms) -> Deferred[None]:
        """Done when the network has accepted the message; RouteFailure when not. Cancelling stops what can be."""
        if not self._serving:
            return _failed(self._absence())
        job = _Job(sms, Deferred())
        self._jobs.append(job)
        self._awake()
        return job.done

    # Life with the modem.

    async def _live(self) -> None:
        while not self._is_stopped():
            try:
                await self._live_once()
            except ModemRestarted as error:
                self._update(registered=False)
                log.info("Modem %s: %s; it is set up again", self._device, error)
            except SimUnusable as error:
                self._update(sim=error.sim, registered=False, last_error=_sim_kind(error.sim))
                self._troubles["sim"].failed("Modem %s cannot send: %s", self._device, error)
            except (LinkError, OSError) as error:
                if not self._is_stopped():
                    self._lost(error)
            except CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not take the route down for good
                log.error("Modem %s: unexpected %s; it is set up again", self._device, described(error))
            if not self._is_stopped():
                await self._back_off()

    def _is_stopped(self) -> bool:
        return self._stopped

    async def _live_once(self) -> None:
        session = self._open()
        try:
            await modem_setup.greet(session)
            self._update(present=True)
            self._troubles["link"].recovered("Modem %s answers", self._device)
            await modem_setup.unlock(session, self._clock, self._pin, self._patience.slow_answer_s)
            self._update(sim=Sim.READY)
            self._troubles["sim"].recovered("Modem %s: the SIM is ready", self._device)
            self._update(reports=await modem_setup.configure(session, reports=self._settings.reports))
            self._failures = 0
            await self._serve(session)
        finally:
            self._serving = False
            self._session = None
            session.close()
            self._fail_jobs()

    def _open(self) -> AtSession:
        session = AtSession(self._clock, self._patience, self._hear, self._broken)
        port = SerialPort(session, self._device, self._reactor, baudrate=self._settings.baud)
        try:
            # Two programs on one port would each get half of every answer.
            fcntl.flock(port.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            session.close()
            raise OSError(
                "another program has the port open: end it, and see docs/modems.md on ModemManager"
            ) from None
        self._session = session
        return session

    async def _serve(self, session: AtSession) -> None:
        self._serving = True
        await self._poll(session)
        due = self._clock.now() + POLL_S
        while True:
            await self._something_to_do(due)
            try:
                if self._jobs:
                    await self._deliver(session, self._jobs.popleft())
                elif self._stored:
                    await self._clear(session, *self._stored.popleft())
                if self._clock.now() >= due:
                    await self._poll(session)
                    due = self._clock.now() + POLL_S
            except NoAnswer as error:
                self._troubles["hang"].failed("Modem %s: %s; it is called to order", self._device, error)
                await session.sync()
                self._troubles["hang"].recovered("Modem %s answers again", self._device)

    async def _something_to_do(self, due: float) -> None:
        if self._session is not None and self._session.broken is not None:
            raise self._session.broken
        if self._jobs or self._stored or self._clock.now() >= due:
            return
        wake: Deferred[None] = Deferred()
        self._wake = wake
        timer: Timer = self._clock.call_at(due, self._awake)
        try:
            await wake
        finally:
            timer.cancel()
            self._wake = None

    def _awake(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.callback(None)

    def _broken(self, error: LinkError) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.errback(error)

    async def _back_off(self) -> None:
        """Wait 1 s, 2 s, 4 s … 30 s with jitter; a device that comes back to its path is taken up at once."""
        pause = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures, 10))
        pause *= 0.75 + 0.5 * self._jitter()
        self._failures += 1
        due = self._clock.now() + pause
        was_absent = not self._plugged()
        while (left := due - self._clock.now()) > 0:
            await wait_s(self._clock, min(LOOK_S, left))
            plugged = self._plugged()
            if was_absent and plugged:
                return
            was_absent = not plugged

    def _plugged(self) -> bool:
        return os.path.exists(self._device)

    def _lost(self, error: Exception) -> None:
        self._update(
            present=False, sim=Sim.UNKNOWN, registered=False, signal_dbm=None, last_error=self._absence_kind()
        )
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._troubles["link"].failed("Modem %s is lost: %s; it is looked for until it is back", self._device, text)

    # What is known of it.

    async def _poll(self, session: AtSession) -> None:
        if not self._plugged():
            raise LinkLost("its device is gone")
        patience = self._patience.slow_answer_s
        signal = await session.command("AT+CSQ", prefix="+CSQ:", required=True)
        operator = await session.command("AT+COPS?", prefix="+COPS:", timeout_s=patience)
        self._update(
            signal_dbm=modem_state.signal_from(signal.value("+CSQ:")),
            operator=modem_state.operator_from(operator.value("+COPS:")),
        )
        await self._check_registration(session)

    async def _check_registration(self, session: AtSession) -> None:
        stats = []
        for command in ("CREG", "CEREG"):
            reply = await session.command(f"AT+{command}?", prefix=f"+{command}:")
            stats.append(modem_state.registration_from(reply.value(f"+{command}:")) if reply.ok else None)
        registered = any(modem_state.is_registered(stat) for stat in stats)
        self._update(registered=registered, roaming=any(modem_state.is_roaming(stat) for stat in stats))
        if registered:
            self._troubles["network"].recovered("Modem %s is registered with the network", self._device)
        else:
            self._troubles["network"].failed(
                "Modem %s is not registered with a network: look at antenna and SIM", self._device
            )

    def _update(self, **changes: object) -> None:
        state = msgspec.structs.replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self._changed(state)

    # Messages.

    async def _deliver(self, session: AtSession, job: _Job) -> None:
        if not job.wanted:
            return
        began = self._clock.now()
        self._book.submitting()
        try:
            reference = await self._submit(session, job)
        except RouteFailure as failure:
            self._not_sent(job, failure)
            if failure.kind.needs_setup:
                raise SimUnusable(Sim.UNKNOWN, str(failure)) from None
        except LinkError as error:
            # Whether it went out may be unknown. The outbox tries again: the same code twice harms nobody, whereas
            # a call that waits for a code which never left is lost.
            self._not_sent(job, RouteFailure(FailureKind.NO_ANSWER, f"it is not known whether it was sent: {error}"))
            raise
        else:
            now = self._clock.now()
            self._update(sent=self.state.sent + 1, last_error=None, last_latency_s=now - began)
            self._troubles["send"].recovered("Modem %s sends again", self._device)
            if job.wanted:
                job.done.callback(None)
            self._tell(self._book.accepted(reference, job.sms.id, now))
        finally:
            if job.wanted:  # stopped, or a mistake of ours
                job.done.errback(self._absence())

    async def _submit(self, session: AtSession, job: _Job) -> int:
        try:
            message = pdu.submit(job.sms.number, job.sms.text, valid_s=job.sms.valid_s, report=self._settings.reports)
        except ValueError as error:
            raise RouteFailure(FailureKind.REFUSED, str(error)) from None
        if not self.state.registered:
            await self._check_registration(session)
            if not self.state.registered:
                raise RouteFailure(FailureKind.NETWORK, "the modem is not registered with a network")

        def wanted() -> bool:
            return job.wanted and self._clock.now() < job.sms.give_up_at

        if not wanted():
            raise RouteFailure(FailureKind.EXPIRED, "the message was no longer wanted")
        try:
            return await session.submit(message, wanted)
        except RouteFailure as failure:
            if failure.kind is not FailureKind.MEMORY_FULL:
                raise
            log.warning("Modem %s: %s; its messages are deleted", self._device, failure)
            await self._delete_messages(session)
            return await session.submit(message, wanted)

    def _not_sent(self, job: _Job, failure: RouteFailure) -> None:
        if failure.kind is FailureKind.EXPIRED:
            log.debug("Modem %s did not send: %s", self._device, failure)
        else:
            self._update(failed=self.state.failed + 1, last_error=failure.kind)
            self._troubles["send"].failed("Modem %s did not send: %s", self._device, failure)
        if job.wanted:
            job.done.errback(failure)

    def _fail_jobs(self) -> None:
        while self._jobs:
            job = self._jobs.popleft()
            if job.wanted:
                job.done.errback(self._absence())

    def _absence(self) -> RouteFailure:
        kind = self._absence_kind()
        return RouteFailure(kind, f"the modem is not ready ({kind})")

    def _absence_kind(self) -> FailureKind:
        if self.state.sim in _HOPELESS_SIM:
            return _sim_kind(self.state.sim)
        return FailureKind.NO_MODEM

    async def _delete_messages(self, session: AtSession) -> None:
        for memory in ("SM", "ME"):
            if (await session.command(f'AT+CPMS="{memory}"', prefix="+CPMS:")).ok:
                await session.command("AT+CMGD=1,4", timeout_s=self._patience.slow_answer_s)

    # What it says unasked.

    def _hear(self, event: Unsolicited) -> None:
        line = event.line
        if line.startswith("+CDS:"):
            self._read_report(event.pdu)
        elif line.startswith(("+CDSI:", "+CMTI:")):
            memory, _, index = line[6:].replace('"', "").strip().partition(",")
            if memory.isalpha() and index.strip().isdecimal():
                self._stored.append((memory, index.strip(), line.startswith("+CDSI:")))
                self._awake()
        elif line.startswith("+CMGS:"):
            log.info("Modem %s accepted a message late; it had been given up", self._device)

    async def _clear(self, session: AtSession, memory: str, index: str, report: bool) -> None:
        """Read and delete a stored report; delete an incoming message unread: nobody would answer it."""
        if not (await session.command(f'AT+CPMS="{memory}"', prefix="+CPMS:")).ok:
            return
        if report:
            reply = await session.command(f"AT+CMGR={index}", prefix="+CMGR:", body=True)
            if reply.ok and len(reply.lines) > 1:
                self._read_report(reply.lines[-1])
        await session.command(f"AT+CMGD={index}")

    def _read_report(self, text: str) -> None:
        self._tell(self._book.read(text, self._clock.now()))

    def _tell(self, report: DeliveryReport | None) -> None:
        if report is None:
            return
        if report.delivered:
            self._update(delivered=self.state.delivered + 1)
        else:
            self._update(undelivered=self.state.undelivered + 1)
        self._reported(report)


_HOPELESS_SIM = frozenset({Sim.ABSENT, Sim.FAILED, Sim.PIN_NEEDED, Sim.PIN_REFUSED, Sim.PUK_NEEDED})


def _sim_kind(sim: Sim) -> FailureKind:
    return FailureKind.PIN if sim in {Sim.PIN_NEEDED, Sim.PIN_REFUSED, Sim.PUK_NEEDED} else FailureKind.SIM


def _failed(error: Exception) -> Deferred[None]:
    failed: Deferred[None] = Deferred()
    failed.errback(Failure(error))
    return failed
