"""Workers as children of control: spawned, spoken to over an inherited socket, watched, restarted.

A worker that ends or does not answer Ping is killed and started again; the first failure is a WARNING, the next ones
of the same row DEBUG. What it held is lost: the owner is told through `on_down` and decides what that means. One that
somebody stopped (SIGSTOP) is made to go on, which costs its calls nothing.
"""

import collections
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet import interfaces, protocol
from twisted.internet.defer import Deferred
from twisted.protocols import amp
from twisted.python.failure import Failure

from avisiod.clock import Clock, Timer
from avisiod.gateway import prefork, wire

logger = logging.getLogger(__name__)

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PING_EVERY_S = 1.0
PING_WITHIN_S = 3.0
"""A worker that takes longer than this to answer hangs."""
LOOK_EVERY_S = 0.25
STOPPED_LOOKS = 4
"""A worker that is found stopped so many times in a row does not stay continued: it is killed."""
CONFIGURED_WITHIN_S = 30.0
"""Loading its libraries on a busy box included."""
RESTART_FIRST_S = 0.05
RESTART_LONGEST_S = 5.0
TRIES = 5
"""A worker that never ran is given up after so many."""
STABLE_S = 30.0
"""A worker that has lived so long starts a new row of failures."""


class WorkerLost(wire.WorkerError):
    """The worker ended, or hangs, before it answered; whether it did what was asked is unknown."""


class Worker:
    """One worker process. `connection` is its AMP end, made anew by `make_link` at every start."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        module: str,
        settings: bytes,
        make_link: Callable[[], amp.AMP],
        *,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_hopeless: Callable[[wire.WorkerError], None] = lambda _: None,
    ) -> None:
        """`module` is run with `python -m`; `settings` is what Configure carries.

        `on_hopeless` is told, once, when it never ran: it refused its settings (a port in use), or ended TRIES times.
        """
        self.name = module.rpartition(".")[2]
        self.up = False
        self.restarts = 0
        self.refused: collections.Counter[str] = collections.Counter()
        """What the worker, and those before it, turned away, by reason: wire.Ping."""
        self.retiring = False
        """It grew too large: it gets nothing new, and is replaced once it holds nothing."""
        self.replaced = 0
        """How often that was done."""
        self.pid: int | None = None
        self._reactor = reactor
        self._clock = clock
        self._module = module
        self._settings = settings
        self._make_link = make_link
        self._on_up = on_up
        self._on_down = on_down
        self._on_hopeless = on_hopeless
        self._ran_once = False
        self._link: amp.AMP | None = None
        self._process: interfaces.IProcessTransport | None = None
        self._timer: Timer | None = None
        self._started_at = 0.0
        self._failures = 0
        self._stopping: Deferred[None] | None = None
        self._pinged_at: float | None = None
        self._ping_due = 0.0
        self._renewing = False
        self._looking: Timer | None = None
        self._stopped_looks = 0

    def start(self) -> None:
        """Take one that waits, else spawn it.

        OSError where the system has no process or descriptor left: tried again after the backoff.
        """
        self._started_at = self._clock.now()
        self._pinged_at = None
        waiting = prefork.take(self._module)
        forked = prefork.ForkedProcess(waiting.pid, _Child(self)) if waiting is not None else None
        if waiting is not None:
            ours, self._process = socket.socket(fileno=waiting.link), cast("interfaces.IProcessTransport", forked)
        else:
            ours, self._process = self._spawn()
        with ours:
            self.pid = self._process.pid
            link = self._make_link()
            self._link = link
            ours.setblocking(False)
            factory = protocol.Factory.forProtocol(lambda: link)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)
        self._stopped_looks = 0
        self._looking = self._clock.call_at(self._started_at + LOOK_EVERY_S, self._look)
        too_late = self._started_at + CONFIGURED_WITHIN_S
        self._timer = self._clock.call_at(too_late, lambda: self.kill("it did not take its settings in time"))
        configured = self.call(wire.Configure, settings=self._settings)
        configured.addCallbacks(self._configured, self._not_configured)
        if forked is not None:
            forked.watch()

    def _spawn(self) -> tuple[socket.socket, interfaces.IProcessTransport]:
        """A Python of its own, and our end of its socket."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                spawned: interfaces.IProcessTransport = self._reactor.spawnProcess(
                    _Child(self),
                    sys.executable,
                    [sys.executable, "-m", self._module],
                    env=dict(os.environ),
                    childFDs={0: 0, 1: 1, 2: 2, wire.WORKER_FD: theirs.fileno()},
                )
            except BaseException:
                ours.close()
                raise
        return ours, spawned

    def adopt(self, settings: bytes) -> None:
        """New settings, as in `Reconfigure`; whatever is started again later gets them, too."""
        self._settings = settings
        if self.up:
            self.call(wire.Reconfigure, settings=settings).addErrback(
                lambda failure: logger.warning("%s goes on as before: %s", self.name, failure.getErrorMessage())
            )

    def call(self, command: type[amp.Command], **arguments: object) -> Deferred[dict[str, Any]]:
        """Ask the worker. Fails with the command's own errors, or with WorkerLost."""
        if self._link is None or self._link.transport is None:
            return _failed(WorkerLost(f"{self.name} is not running"))
        try:
            answer: Deferred[dict[str, Any]] = self._link.callRemote(command, **arguments)
        except amp.TooLong:
            return _failed(wire.WorkerError(f"{command.__name__} carries a value over 65,535 bytes"))
        except Exception as error:  # noqa: BLE001 - AMP raises what the transport raises when it is gone
            return _failed(WorkerLost(f"{self.name} is not reachable: {type(error).__name__}"))
        answer.addErrback(self._explain)
        return answer

    def kill(self, why: str) -> None:
        """SIGKILL it; `on_down` follows and it is started again."""
        if self._process is not None and self.pid is not None:
            logger.warning("%s (pid %s) is killed: %s", self.name, self.pid, why)
            self._signal("KILL")

    def resident_bytes(self) -> int:
        """Memory that it has now; 0 while it does not run."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_BYTES
        except (OSError, ValueError, IndexError):
            return 0

    def replace(self) -> None:
        """Order it to end, for another to be started in its place; `on_down` follows. Harmless when told already."""
        if not self._renewing:
            self.replaced += 1
            self._renewing = True
            self._signal(wire.STOP_SIGNAL)

    def stop(self) -> Deferred[None]:
        """Order it to end and wait for that; no restart. The caller bounds the time and uses `kill`."""
        if self._stopping is None:
            self._stopping = Deferred()
            if self._timer is not None:
                self._timer.cancel()
            if self._process is None:
                self._stopping.callback(None)
            else:
                self._signal(wire.STOP_SIGNAL)
        return self._stopping

    def _signal(self, which: str | int) -> None:
        try:
            if self._process is not None:
                self._process.signalProcess(which)  # type: ignore[call-arg,misc]
        except Exception as error:  # noqa: BLE001 - ProcessExitedAlready is not exported in one place
            logger.debug("%s could not be signalled: %s", self.name, error)

    def _configured(self, _answer: dict[str, Any]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.up = self._ran_once = True
        logger.info("%s runs (pid %s)", self.name, self.pid)
        self._on_up()
        self._ping()

    def _not_configured(self, failure: Failure) -> None:
        if self._stopping is not None:
            return
        logger.warning("%s did not take its settings: %s", self.name, failure.getErrorMessage())
        if isinstance(failure.value, wire.WorkerError) and not isinstance(failure.value, WorkerLost):
            self._give_up(failure.value)
        self._signal("KILL")

    def _give_up(self, error: wire.WorkerError) -> None:
        """Tell the owner of a worker that never ran; one that has run once is always tried again."""
        if not self._ran_once and self._stopping is None:
            self._ran_once = True
            self._on_hopeless(error)

    def _ping(self) -> None:
        if self._stopping is not None or not self.up:
            return
        now = self._clock.now()
        if self._pinged_at is None:
            self._pinged_at = now
            self.call(wire.Ping).addCallbacks(self._ponged, lambda _failure: None)
        elif now - self._ping_due > PING_EVERY_S:
            self._pinged_at = now  # it is our loop that was held up: the answer may wait to be read
        elif now - self._pinged_at > PING_WITHIN_S:
            self.kill(f"no answer for {now - self._pinged_at:.1f} s")
            return
        self._ping_due = now + PING_EVERY_S
        self._timer = self._clock.call_at(self._ping_due, self._ping)

    def _ponged(self, answer: dict[str, Any]) -> None:
        self._pinged_at = None
        self.refused.update({why: count for why, count in answer.items() if count})

    def _look(self) -> None:
        """Whether somebody stopped it: until Ping tells, its calls would stand still for seconds, then be lost."""
        if self.pid is None:
            return
        self._looking = self._clock.call_at(self._clock.now() + LOOK_EVERY_S, self._look)
        if not _is_stopped(self.pid):
            self._stopped_looks = 0
            return
        self._stopped_looks += 1
        if self._stopped_looks >= STOPPED_LOOKS:
            self.kill("it is stopped, and does not stay continued")
            return
        if self._stopped_looks == 1:
            logger.warning("%s (pid %s) was stopped by somebody; it is made to go on", self.name, self.pid)
        self._signal(signal.SIGCONT)

    def _ended(self, reason: Failure) -> None:
        was_up, self.up = self.up, False
        renewing, self._renewing = self._renewing, False
        self.retiring = False
        self._process = self._link = self.pid = None
        for timer in (self._timer, self._looking):
            if timer is not None:
                timer.cancel()
        if was_up:
            self._on_down()
        if self._stopping is not None:
            if not self._stopping.called:  # its owner may have stopped it from within on_down
                self._stopping.callback(None)
            return
        now = self._clock.now()
        if renewing:
            logger.info("%s has ended as it should; another is started", self.name)
            self._timer = self._clock.call_at(now + RESTART_FIRST_S, self._start_again)
            return
        if self.restarts + 1 >= TRIES:
            self._give_up(WorkerLost(f"{self.name} ended {TRIES} times before it ran: {reason.getErrorMessage()}"))
        self._failures = 1 if now - self._started_at > STABLE_S else self._failures + 1
        self.restarts += 1
        wait = min(RESTART_LONGEST_S, RESTART_FIRST_S * 2.0 ** (self._failures - 1))
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        logger.log(level, "%s ended: %s; it is started again in %.2f s", self.name, reason.getErrorMessage(), wait)
        self._timer = self._clock.call_at(now + wait, self._start_again)

    def _start_again(self) -> None:
        try:
            self.start()
        except OSError as error:
            logger.warning("%s could not be started: %s", self.name, error)
            self._timer = self._clock.call_at(self._clock.now() + RESTART_LONGEST_S, self._start_again)

    def _explain(self, failure: Failure) -> Failure:
        if failure.check(wire.WorkerError):
            return failure
        return Failure(WorkerLost(f"{self.name}: {type(failure.value).__name__}"))


def _is_stopped(pid: int) -> bool:
    """Whether it is stopped by a signal (SIGSTOP, a terminal); a debugger's stop is another state."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


class _Child(protocol.ProcessProtocol):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        self._worker._ended(reason)


def _failed(error: Exception) -> Deferred[dict[str, Any]]:
    deferred: Deferred[dict[str, Any]] = Deferred()
    deferred.errback(error)
    return deferred
