"""How many messages a route may still take, and what they cost. Pure.

A message counts from the moment it is handed over: whether it went out, when nobody answered, is not known, and the
provider may have counted it.
"""

import collections
import datetime

import msgspec

MINUTE_S = 60.0
NEVER = float("inf")


class DayTally(msgspec.Struct, frozen=True, kw_only=True):
    """What a route has done on a day."""

    day: str = ""
    """Of the site's calendar, ISO 8601."""
    tried: int = 0
    accepted: int = 0
    failed: int = 0
    delivered: int = 0
    undelivered: int = 0
    cost_cents: float = 0.0


class Allowance:
    """The counters of one route."""

    def __init__(
        self, per_minute: int = 0, per_day: int = 0, cost_cents: float = 0.0, tally: DayTally | None = None
    ) -> None:
        self.per_minute = per_minute
        self.per_day = per_day
        self.cost_cents = cost_cents
        self.tally = tally or DayTally()
        self._minute: collections.deque[float] = collections.deque()

    def free_at(self, now: float, today: datetime.date) -> float:
        """The moment from which it takes a message: `now`, later in this minute, or NEVER today."""
        self.turn_to(today)
        if self.per_day and self.tally.tried >= self.per_day:
            return NEVER
        while self._minute and self._minute[0] <= now - MINUTE_S:
            self._minute.popleft()
        if self.per_minute and len(self._minute) >= self.per_minute:
            return self._minute[0] + MINUTE_S
        return now

    def take(self, now: float, today: datetime.date) -> None:
        """A message is handed over."""
        self.turn_to(today)
        self._minute.append(now)
        self._add(tried=1)

    def give_back(self) -> None:
        """The last one was not handed over after all."""
        if self._minute:
            self._minute.pop()
        self._add(tried=-1)

    def accepted(self) -> None:
        """One was accepted, and is paid for."""
        self._add(accepted=1)
        self.tally = msgspec.structs.replace(self.tally, cost_cents=self.tally.cost_cents + self.cost_cents)

    def failed(self) -> None:
        """One was not accepted."""
        self._add(failed=1)

    def reported(self, *, delivered: bool) -> None:
        """A telephone has one, or never will."""
        self._add(**{"delivered" if delivered else "undelivered": 1})

    def turn_to(self, today: datetime.date) -> None:
        """A new day begins from zero."""
        if self.tally.day != today.isoformat():
            self.tally = DayTally(day=today.isoformat())

    def _add(self, **counts: int) -> None:
        values = {name: max(0, getattr(self.tally, name) + count) for name, count in counts.items()}
        self.tally = msgspec.structs.replace(self.tally, **values)
