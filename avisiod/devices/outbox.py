"""The sending queue above one or several routes: tries within seconds, other routes in order, one acceptance.

A message whose fate is unknown (a modem that fell silent after it had taken the text) is sent again. The same code
twice to the same person harms nobody; a caller who waits five minutes for a code that never left loses the call.
For the same reason an unknown fate is never reported as accepted. What must not happen is a *late* code: no try
begins after `Sms.give_up_at`, and one that is under way then is cancelled.
"""

import logging
from collections.abc import Iterator, Sequence

from twisted.internet.defer import CancelledError, Deferred, DeferredLock

from avisiod.clock import Clock
from avisiod.devices.mistakes import described
from avisiod.devices.sms_failure import RouteFailure
from avisiod.devices.waiting import wait_s
from avisiod.ports import Sms, SmsFailed, SmsRoute

log = logging.getLogger(__name__)

PAUSES_S = (2.0, 3.0, 5.0)
"""Pauses between rounds over the routes; the last one repeats: tries at 0, 2, 5, 10, 15 … s."""


class Outbox:
    """Sends each message over the first route that takes it; itself a route.

    A route holds one message at a time. A route that says trying again is no use is left out for that message; when
    none is left the caller hears so at once.
    """

    def __init__(self, routes: Sequence[SmsRoute], clock: Clock, *, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self._routes = [_Turn(route) for route in routes]
        self._clock = clock
        self._pauses_s = tuple(pauses_s)

    def send(self, sms: Sms) -> Deferred[None]:
        """Done when one route's network has accepted the message.

        SmsFailed the moment no route is left, at `sms.give_up_at` at the latest. Cancel it when the call has ended:
        nothing is sent any more, except what the network holds already.
        """
        working = Deferred.fromCoroutine(self._work(sms))
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            working.cancel()

        def settle(result: object) -> object:
            timer.cancel()
            if expired and getattr(result, "type", None) is CancelledError:
                raise SmsFailed("no route sent the message in time")
            return result

        timer = self._clock.call_at(sms.give_up_at, expire)
        return working.addBoth(settle)

    async def _work(self, sms: Sms) -> None:
        routes = list(self._routes)
        why = "no route is set up"
        for pause in self._pauses():
            for turn in tuple(routes):
                try:
                    await turn.take(sms)
                except RouteFailure as failure:
                    why = str(failure)
                    if not failure.kind.again:
                        routes.remove(turn)
                except SmsFailed as failure:
                    why = str(failure)
                    routes.remove(turn)
                except CancelledError:
                    raise
                except Exception as error:  # noqa: BLE001 - a broken route must not stop the others
                    log.error("A route for SMS failed: %s; the others are tried", described(error))
                    why = "a route failed unexpectedly"
                    routes.remove(turn)
                else:
                    return
            if not routes:
                raise SmsFailed(f"no route can send the message: {why}")
            if self._clock.now() + pause >= sms.give_up_at:
                raise SmsFailed(f"no route sent the message in time: {why}")
            await wait_s(self._clock, pause)

    def _pauses(self) -> Iterator[float]:
        yield from self._pauses_s
        while True:
            yield self._pauses_s[-1]


class _Turn:
    """A route and whose turn it is."""

    def __init__(self, route: SmsRoute) -> None:
        self._route = route
        self._lock = DeferredLock()

    async def take(self, sms: Sms) -> None:
        await self._lock.acquire()
        try:
            await self._route.send(sms)
        finally:
            self._lock.release()
