"""A clock that tests steer."""

import datetime
from collections.abc import Callable


class SteeredClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def utc(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.time, datetime.UTC)

    def call_at(self, due: float, function: Callable[[], None]) -> "Due":
        self.due.append((due, function))
        return Due(self, (due, function))

    def advance(self, seconds: float) -> None:
        self.time += seconds
        ripe, self.due = [d for d in self.due if d[0] <= self.time], [d for d in self.due if d[0] > self.time]
        for _, function in ripe:
            function()


class Due:
    def __init__(self, clock: SteeredClock, entry: tuple[float, Callable[[], None]]) -> None:
        self.clock, self.entry = clock, entry

    def cancel(self) -> None:
        if self.entry in self.clock.due:
            self.clock.due.remove(self.entry)
