"""What the service does for the office without being asked: once a day the trail loses what is too old to be kept.

The daemon does it and not a timer of the system's: it knows the settings, nothing of it has to be installed, enabled
or let in, and a box whose daemon is down writes no lines that could grow old meanwhile.
"""

import logging

from twisted.python.failure import Failure

from avisiod.clock import Clock, Timer
from avisiod.log import FirstThenDebug
from avisiod.office.counter import Counter
from avisiod.office.plan import Refused
from avisiod.office.records import purge_by_itself
from avisiod.ports import StoreUnavailable
from avisiod.store.trail import SERVICE

logger = logging.getLogger(__name__)

FIRST_AFTER_S = 600.0
"""Not in the minutes of a start, in which calls come back."""
EVERY_S = 86_400.0
WHY = "older than store.audit_days"


class Upkeep:
    """From `start` to `stop`; in the counter's thread, as staff's own requests."""

    def __init__(self, clock: Clock, counter: Counter) -> None:
        self._clock = clock
        self._counter = counter
        self._timer: Timer | None = None
        self._trouble = FirstThenDebug(logger)

    def start(self) -> None:
        """Begin to look, in some minutes."""
        self._timer = self._clock.call_at(self._clock.now() + FIRST_AFTER_S, self._look)

    def stop(self) -> None:
        """Look no more; a portion that is under way is finished by the counter."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.call_at(self._clock.now() + EVERY_S, self._look)
        self._purge()

    def _purge(self, before: int = 0) -> None:
        """One portion after the other: between two of them staff have their turn, and a stop is heard."""
        done = self._counter.at_desk(purge_by_itself, SERVICE, WHY)
        done.addCallback(self._purged, before).addErrback(self._failed)

    def _purged(self, lines: int, before: int) -> None:
        self._trouble.recovered("the audit trail is purged again")
        if lines and self._timer is not None:
            self._purge(before + lines)
        elif before + lines:
            told = "%d lines of the audit trail were older than they are kept for and are purged"
            logger.info(told, before + lines)

    def _failed(self, failure: Failure) -> None:
        refused = isinstance(failure.value, Refused)
        self._counter.served["refused" if refused else "failed"] += 1
        if failure.check(Refused, StoreUnavailable):
            self._trouble.failed("the audit trail was not purged: %s", failure.value)
        else:
            logger.error("the audit trail was not purged: %s", failure.getTraceback())
