"""A route with what is known of it: health, limits, who has it in hand."""

import datetime
from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredSemaphore

from avisiod.devices.sms.choice import Candidate
from avisiod.devices.sms.health import RouteHealth
from avisiod.devices.sms.limits import NEVER, Allowance
from avisiod.ports import Sms, SmsRoute


class Line:
    """One route of the outbox. `present` tells whether its device is there; a provider's always is."""

    def __init__(
        self,
        name: str,
        route: SmsRoute,
        *,
        kind: str = "",
        at_once: int = 1,
        overtake_s: float = 8.0,
        allowance: Allowance | None = None,
        present: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self.kind = kind
        self.route = route
        self.overtake_s = overtake_s
        self.allowance = allowance or Allowance()
        self.present = present
        self.health = RouteHealth()
        self.reports = 0
        """Delivery reports that came since the start."""
        self.unconfirmed = 0
        """Messages in a row of which no report came in time."""
        self._turns = DeferredSemaphore(at_once)

    def candidate(self, now: float, today: datetime.date, *, out: bool, running: bool, ready_at: float) -> Candidate:
        """As one message sees it, which may itself have to wait for `ready_at`."""
        free_at = self.allowance.free_at(now, today)
        return Candidate(
            out=out or free_at == NEVER,
            running=running,
            rests=self.health.rests(now) or not self.present(),
            ready_at=max(ready_at, free_at),
        )

    def usable(self, now: float, today: datetime.date) -> bool:
        """Nothing is known that would keep a message from going out by it."""
        return self.present() and self.health.well(now) and self.allowance.free_at(now, today) != NEVER

    async def take(self, sms: Sms, began: Callable[[], None]) -> None:
        """Hand a message over once it is its turn; `began` hears that it is. Raises what the route raises."""
        await self._turns.acquire()
        try:
            began()
            sending = self.route.send(sms)
            await (sending if isinstance(sending, Deferred) else Deferred.fromCoroutine(_awaited(sending)))
        finally:
            self._turns.release()


async def _awaited(sending: object) -> None:
    await sending  # type: ignore[misc]
