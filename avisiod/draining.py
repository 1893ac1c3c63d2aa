"""A service that is to stop lets calls go on for a while: none begins any more, and both parties hear it."""

import logging

from twisted.internet.defer import Deferred

from avisiod.clock import Clock
from avisiod.sdnotify import Notifier
from avisiod.switchboard.switchboard import Switchboard

logger = logging.getLogger(__name__)


class Draining:
    """Once in a daemon's life."""

    def __init__(self, clock: Clock, board: Switchboard, notifier: Notifier) -> None:
        self._clock = clock
        self._board = board
        self._notifier = notifier
        self._over: Deferred[None] | None = None

    async def drain(self, limit_s: float, stopping_s: float) -> None:
        """Refuse new calls in words; returns when the running ones are over, the limit is, or upon `hurry`.

        systemd is told to wait for as long, and for what stopping takes afterwards.
        """
        calls = len(self._board.entries)
        if limit_s <= 0 or not calls:
            return
        until = self._clock.now() + limit_s
        self._notifier.stopping()
        self._notifier.extend(limit_s + stopping_s)
        logger.info(
            "stopping: no new call is taken, and %d may go on for %.0f s (calls.drain_s); another SIGTERM ends them",
            calls,
            limit_s,
        )
        over: Deferred[None] = Deferred()
        self._over = over
        timer = self._clock.call_at(until, self.hurry)
        self._board.drain(until).addCallback(lambda _: self.hurry())
        await over
        timer.cancel()

    def hurry(self) -> None:
        """Drain no longer; harmless where nothing drains."""
        if self._over is not None and not self._over.called:
            self._over.callback(None)
