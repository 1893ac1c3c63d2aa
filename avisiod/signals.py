"""What signals ask of the daemon: stop in order, stop at once, read the settings again."""

import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

logger = logging.getLogger(__name__)


class Signals:
    """SIGTERM and SIGINT: the first lets calls go on for their while (`drain`), then stops; the next stops at once.

    Twisted's own handlers stop the reactor, and only once: these take their place once it runs. What stopping means
    is in the reactor's shutdown triggers.
    """

    def __init__(self, reactor: Any, drain: Callable[[], Awaitable[None]], hurry: Callable[[], None]) -> None:
        """`hurry` makes a `drain` that is under way return."""
        self._reactor = reactor
        self._drain = drain
        self._hurry = hurry
        self._asked = 0

    def install(self) -> None:
        """To be called in the reactor's thread, while it runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self.terminate))

    def terminate(self) -> None:
        """As upon SIGTERM."""
        self._asked += 1
        if self._asked == 1:
            Deferred.fromCoroutine(_await(self._drain())).addErrback(_failed).addBoth(lambda _: self._stop())
        else:
            logger.info("told to stop again: calls end at once")
            self._hurry()
            self._stop()

    def _stop(self) -> None:
        if self._reactor.running:
            self._reactor.stop()


async def _await(work: Awaitable[None]) -> None:
    await work


def _failed(failure: Failure) -> None:
    logger.error("calls could not go on for their while: %s", failure.getTraceback())
