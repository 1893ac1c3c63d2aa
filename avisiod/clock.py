"""The one clock: deadlines on CLOCK_MONOTONIC, wall-clock time only to be shown and stored."""

import asyncio
import datetime
import time
from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget it; harmless when it has run."""


class Clock(Protocol):
    """What tells the time; tests steer their own."""

    def now(self) -> float:
        """Seconds of CLOCK_MONOTONIC, comparable across the processes of this machine."""

    def utc(self) -> datetime.datetime:
        """Wall-clock time in UTC, aware; for people and files, never for deadlines."""

    def call_at(self, due: float, function: Callable[[], None]) -> Timer:
        """Run `function` once, not before `due` on the monotonic clock."""


def wall_utc() -> datetime.datetime:
    """Wall-clock time in UTC, aware, for programs without a loop; for people and files, never for deadlines."""
    return datetime.datetime.fromtimestamp(time.time(), datetime.UTC)  # noqa: TID251 - the one place


class SystemClock:
    """The machine's clock, on the asyncio loop of the reactor (Twisted's own callLater follows time.time)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def utc(self) -> datetime.datetime:
        """Wall-clock time in UTC."""
        return wall_utc()

    def call_at(self, due: float, function: Callable[[], None]) -> Timer:
        """Run `function` at `due`; asyncio may wake a little early, so the time is checked again."""

        def fire() -> None:
            if time.monotonic() < due:
                timer.handle = self._loop.call_at(due + 0.001, fire)
            else:
                function()

        timer = _LoopTimer()
        timer.handle = self._loop.call_at(due, fire)
        return timer


class _LoopTimer:
    handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        if self.handle is not None:
            self.handle.cancel()


def install_reactor(loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Install Twisted's asyncio reactor with its own timers on CLOCK_MONOTONIC; before any import of the reactor.

    Ours do not use them, but libraries do (keep-alives, time-outs, callFromThread), and Twisted counts by the wall
    clock: set back by an hour, it would keep them waiting for as long.
    """
    from twisted.internet import asyncioreactor

    asyncioreactor.install(loop)
    from twisted.internet import reactor

    installed: Any = reactor  # a module to mypy
    installed.seconds = time.monotonic
