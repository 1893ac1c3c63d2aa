"""The sending queue above one or several routes: tries within seconds, other routes in order, one acceptance.

A message whose fate is unknown (a modem that fell silent after it had taken the text, a provider that did not answer)
is sent again, by the next route first. The same code twice to the same number harms nobody; a caller who waits five
minutes for a code that never left loses the call. For the same reason an unknown fate is never reported as accepted.
Number and text stay together in one `Sms` from beginning to end, so that no code can go to another number. What must
not happen is a *late* code: no try begins after `Sms.give_up_at`, and one that is under way then is cancelled.
"""

import datetime
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from avisiod.clock import Clock, Timer
from avisiod.devices.mistakes import described
from avisiod.devices.sms.choice import Try, Wait, choose
from avisiod.devices.sms.line import Line
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.log import FirstThenDebug
from avisiod.ports import Sms, SmsFailed, SmsRoute

log = logging.getLogger(__name__)

PAUSES_S = (2.0, 3.0, 5.0)
"""Pauses of a route after each failure with a message; the last one repeats: tries at 0, 2, 5, 10, 15 … s."""
LEAST_LEFT_S = 45.0
"""A code that lives for less is not sent once more: who gets it could not use it."""
UNCONFIRMED_LIMIT = 3
"""So many messages in a row without a report, of a route that sends reports, and it rests."""


class OutboxWatcher(Protocol):
    """Told what becomes of messages; methods return at once and do not raise."""

    def tried(self, route: str, result: str, seconds: float) -> None:
        """A route had a message: `accepted`, or a FailureKind, after so long."""

    def finished(self, *, sent: bool, seconds: float) -> None:
        """A message was accepted, or could not be sent, so long after it was handed in."""

    def reported(self, route: str, result: str) -> None:
        """What a route's report said: `delivered`, `undelivered`; `unconfirmed`: none came in time."""

    def sent_again(self, route: str) -> None:
        """What this route had accepted went out once more by another one."""


class Unwatched:
    """Watches nothing."""

    def tried(self, route: str, result: str, seconds: float) -> None:
        """Ignore it."""

    def finished(self, *, sent: bool, seconds: float) -> None:
        """Ignore it."""

    def reported(self, route: str, result: str) -> None:
        """Ignore it."""

    def sent_again(self, route: str) -> None:
        """Ignore it."""


def _utc_day(clock: Clock) -> Callable[[], datetime.date]:
    return lambda: clock.utc().date()


class Outbox:
    """Sends each message over the first route that takes it; itself a route.

    A route that says trying again is no use is left out for that message; when none is left the caller hears so at
    once. `wanted` is asked before an accepted message, whose telephone did not get it, goes out once more.
    """

    def __init__(
        self,
        routes: Sequence[SmsRoute | Line],
        clock: Clock,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        report_within_s: float = 0.0,
        watcher: OutboxWatcher | None = None,
        today: Callable[[], datetime.date] | None = None,
    ) -> None:
        self.lines = [
            each if isinstance(each, Line) else Line(f"route-{place + 1}", each) for place, each in enumerate(routes)
        ]
        self.clock = clock
        self.pauses_s = tuple(pauses_s)
        self.watcher: OutboxWatcher = watcher or Unwatched()
        self.today = today or _utc_day(clock)
        self.wanted: Callable[[str], bool] = lambda _sms: False
        """Whether the call still waits for this code; set by the daemon."""
        self.troubles = {line.name: FirstThenDebug(log) for line in self.lines}
        self._report_within_s = report_within_s
        self._accepted: dict[str, _Accepted] = {}

    def send(self, sms: Sms, *, only: str = "", without: str = "") -> Deferred[None]:
        """Done when one route's network has accepted the message.

        SmsFailed the moment no route is left, at `sms.give_up_at` at the latest. Cancel it when the call has ended:
        nothing is sent any more, except what the network holds already. `only` one route, or all `without` one.
        """
        lines = [line for line in self.lines if (not only or line.name == only) and line.name != without]
        sending = _Sending(self, sms, lines)
        sending.go()
        return sending.done

    def usable(self) -> list[str]:
        """The routes against which nothing is known."""
        return [line.name for line in self.lines if line.usable(self.clock.now(), self.today())]

    def stop(self) -> None:
        """Forget what was accepted; nothing is sent once more."""
        for accepted in self._accepted.values():
            accepted.forget_timer()
        self._accepted.clear()

    # What becomes of accepted messages.

    def accepted(self, sms: Sms, line: Line, *, again: bool) -> None:
        """A route's network has it: from now on its report is waited for, where the route sends any."""
        now = self.clock.now()
        self._forget_old(now)
        if again:
            return
        kept = _Accepted(sms, line, now + sms.valid_s)
        self._accepted[sms.id] = kept
        if self._report_within_s and line.reports:
            kept.timer = self.clock.call_at(now + self._report_within_s, lambda: self._unconfirmed(kept))

    def reported(self, route: str, sms: str, *, delivered: bool) -> bool:
        """A network's report on a message; False where it speaks of none that waits for one."""
        line = next((each for each in self.lines if each.name == route), None)
        kept = self._accepted.get(sms)
        if line is None or kept is None or kept.line is not line:
            return False
        del self._accepted[sms]
        kept.forget_timer()
        line.reports += 1
        line.unconfirmed = 0
        line.allowance.reported(delivered=delivered)
        self.watcher.reported(route, "delivered" if delivered else "undelivered")
        if not delivered:
            log.info("route %s reports that a telephone did not get its code", route, extra={"call": sms})
            self._once_more(kept)
        return True

    def _unconfirmed(self, kept: "_Accepted") -> None:
        line = kept.line
        kept.timer = None
        self.watcher.reported(line.name, "unconfirmed")
        line.unconfirmed += 1
        if line.unconfirmed >= UNCONFIRMED_LIMIT:
            line.health = line.health.failed(FailureKind.UNCONFIRMED, self.clock.now())
            self.troubles[line.name].failed(
                "Route %s accepts messages and does not deliver them: the others come first for a while; ask the "
                "provider",
                line.name,
            )
        self._once_more(kept)

    def _once_more(self, kept: "_Accepted") -> None:
        now = self.clock.now()
        give_up_at = kept.until - LEAST_LEFT_S
        others = [line for line in self.lines if line is not kept.line]
        if kept.again or not others or now >= give_up_at or not self.wanted(kept.sms.id):
            return
        kept.again = True
        self.watcher.sent_again(kept.line.name)
        sms = Sms(
            id=kept.sms.id,
            number=kept.sms.number,
            text=kept.sms.text,
            valid_s=kept.until - now,
            give_up_at=min(give_up_at, now + 30),
        )
        sending = _Sending(self, sms, others, again=True)
        sending.go()
        sending.done.addErrback(lambda failure: log.info("no other route sent it: %s", failure.value))

    def _forget_old(self, now: float) -> None:
        for old in [each for each in self._accepted.values() if each.until <= now]:
            old.forget_timer()
            del self._accepted[old.sms.id]


class _Accepted:
    """A message that a network has, until its code is worth nothing."""

    def __init__(self, sms: Sms, line: Line, until: float) -> None:
        self.sms = sms
        self.line = line
        self.until = until
        self.again = False
        self.timer: Timer | None = None

    def forget_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class _Attempt:
    """One message at one route."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.out = False
        self.failures = 0
        self.ready_at = float("-inf")
        self.began: float | None = None
        self.running: Deferred[None] | None = None


class _Sending:
    """One message on its way."""

    def __init__(self, outbox: Outbox, sms: Sms, lines: Sequence[Line], *, again: bool = False) -> None:
        self._outbox = outbox
        self._clock = outbox.clock
        self._sms = sms
        self._again = again
        self._attempts = [_Attempt(line) for line in lines]
        self._handed_in = self._clock.now()
        self._why = "no route is set up"
        self._over = False
        self._next: Timer | None = None
        self.done: Deferred[None] = Deferred(lambda _: self._stop())
        self._end = self._clock.call_at(sms.give_up_at, self._expire)

    def go(self) -> None:
        """Hand the message to whichever route comes next, as long as none has just taken it in hand."""
        while not self._over and self._next is None:
            if self._again and not self._outbox.wanted(self._sms.id):
                self._fail(SmsFailed("the call waits for it no longer"))
                return
            now, today = self._clock.now(), self._outbox.today()
            candidates = [
                each.line.candidate(
                    now, today, out=each.out, running=each.running is not None, ready_at=each.ready_at
                )
                for each in self._attempts
            ]
            chosen = choose(candidates, now)
            if isinstance(chosen, Try):
                self._try(self._attempts[chosen.place])
            elif isinstance(chosen, Wait) and (chosen.until < self._sms.give_up_at or self._runs):
                self._next = self._clock.call_at(min(chosen.until, self._sms.give_up_at), self._again_now)
            elif self._runs:
                return
            else:
                late = isinstance(chosen, Wait)
                said = "no route sent the message in time" if late else "no route can send the message"
                self._fail(SmsFailed(f"{said}: {self._why}"))

    @property
    def _runs(self) -> bool:
        return any(each.running is not None for each in self._attempts)

    def _again_now(self) -> None:
        self._next = None
        self.go()

    def _try(self, attempt: _Attempt) -> None:
        attempt.began = None
        attempt.line.allowance.take(self._clock.now(), self._outbox.today())

        def began() -> None:
            attempt.began = self._clock.now()

        # Until then nobody else is asked; a result comes before.
        self._next = self._clock.call_at(
            self._clock.now() + attempt.line.overtake_s, lambda: self._overtaken(attempt)
        )
        running = Deferred.fromCoroutine(attempt.line.take(self._sms, began))
        attempt.running = running
        running.addCallbacks(lambda _: self._accepted(attempt), lambda failure: self._failed(attempt, failure))

    def _overtaken(self, attempt: _Attempt) -> None:
        """It takes its time: left to itself where it has the message, taken back where it only waits for its turn."""
        self._next = None
        if attempt.began is None and attempt.running is not None and len(self._attempts) > 1:
            attempt.ready_at = self._clock.now() + self._outbox.pauses_s[0]
            attempt.running.cancel()
        self.go()

    def _accepted(self, attempt: _Attempt) -> None:
        attempt.running = None
        line = attempt.line
        line.health = line.health.succeeded()
        line.allowance.accepted()
        self._outbox.troubles[line.name].recovered("Route %s sends again", line.name)
        now = self._clock.now()
        self._outbox.watcher.tried(line.name, "accepted", now - (attempt.began or now))
        if self._over:
            return
        self._stop()
        if not self._again:
            self._outbox.watcher.finished(sent=True, seconds=now - self._handed_in)
        self._outbox.accepted(self._sms, line, again=self._again)
        self.done.callback(None)

    def _failed(self, attempt: _Attempt, failure: Failure) -> None:
        attempt.running = None
        line, error, now = attempt.line, failure.value, self._clock.now()
        if failure.check(CancelledError):
            if attempt.began is None:
                line.allowance.give_back()
            if not self._over:
                self._resume()
            return
        known = error if isinstance(error, RouteFailure) else _unknown(error, line.name)
        self._why = str(known)
        kind = known.kind
        line.health = line.health.failed(kind, now, known.retry_after_s)
        line.allowance.failed()
        if kind not in (FailureKind.EXPIRED, FailureKind.REFUSED):
            self._outbox.troubles[line.name].failed("Route %s did not send: %s", line.name, known)
        self._outbox.watcher.tried(line.name, kind.value, now - (attempt.began or now))
        pauses = self._outbox.pauses_s
        attempt.ready_at = now + pauses[min(attempt.failures, len(pauses) - 1)]
        attempt.failures += 1
        attempt.out = not (isinstance(error, RouteFailure) and kind.again)
        if not self._over:
            self._resume()

    def _resume(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self.go()

    def _expire(self) -> None:
        self._fail(SmsFailed(f"no route sent the message in time: {self._why}"))

    def _fail(self, error: SmsFailed) -> None:
        if self._over:
            return
        self._stop()
        if not self._again:
            self._outbox.watcher.finished(sent=False, seconds=self._clock.now() - self._handed_in)
        self.done.errback(error)

    def _stop(self) -> None:
        self._over = True
        self._end.cancel()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        for attempt in self._attempts:
            if attempt.running is not None:
                attempt.running.cancel()


def _unknown(error: BaseException | None, name: str) -> RouteFailure:
    if isinstance(error, SmsFailed):
        return RouteFailure(FailureKind.UNKNOWN, str(error))
    log.error("Route %s for SMS failed: %s; the others are tried", name, described(error) if error else "?")
    return RouteFailure(FailureKind.UNKNOWN, "a route failed unexpectedly")
