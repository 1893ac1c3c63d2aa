"""What signals ask of the daemon: stop in order, stop at once, read the settings again."""

import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

logger = logging.getLogger(__name__)


class Signals:
    """SIGHUP reads the settings again; SIGTERM and SIGINT stop.

    The first of these lets calls go on for their while (`drain`), then stops; the next one stops at once.

    Twisted's own handlers stop the reactor, and only once: these take their place once it runs. What stopping means
    is in the reactor's shutdown triggers.
    """

    def __init__(
        self,
        reactor: Any,
        drain: Callable[[], Awaitable[None]],
        hurry: Callable[[], None],
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        """`hurry` makes a `drain` that is under way return."""
        self._reactor = reactor
        self._drain = drain
        self._hurry = hurry
        self._reload = reload
        self._asked = 0

    def install(self) -> None:
        """To be called in the reactor's thread, while it runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self.terminate))
        # The watchdog's signal (systemd/avisiod.service) ends a process that hangs, though whoever started it had it
        # ignored, as a shell does in the background.
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.hang_up))

    def hang_up(self) -> None:
        """As upon SIGHUP."""
        Deferred.fromCoroutine(_await(self._reload())).addErrback(_not_reloaded)

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


def _not_reloaded(failure: Failure) -> None:
    logger.error("the settings were not reloaded, those in use stay: %s", failure.getTraceback())
