"""A clock that a test turns by hand."""

import datetime
from collections.abc import Callable

EPOCH = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


class _Timer:
    def __init__(self, due: float, function: Callable[[], object]) -> None:
        self.due = due
        self.function = function
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class HandClock:
    """Implements avisiod.clock.Clock."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._timers: list[_Timer] = []

    def now(self) -> float:
        return self._now

    def utc(self) -> datetime.datetime:
        return EPOCH + datetime.timedelta(seconds=self._now)

    def call_at(self, due: float, function: Callable[[], object]) -> _Timer:
        timer = _Timer(due, function)
        self._timers.append(timer)
        return timer

    def turn(self, seconds: float) -> None:
        """Let time pass; what falls due runs in its order."""
        end = self._now + seconds
        while due := [timer for timer in self._timers if not timer.cancelled and timer.due <= end]:
            first = min(due, key=lambda timer: timer.due)
            self._timers.remove(first)
            self._now = max(self._now, first.due)
            first.function()
        self._now = end
