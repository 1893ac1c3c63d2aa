"""Ends of calls that the store could not take when they came, kept until it can."""

import collections
import logging

from avisiod.ports import CallRecord, JournalEntry, StoreRefused, StoreUnavailable
from avisiod.store.store import Store

logger = logging.getLogger(__name__)

KEPT = 1000
"""While nothing can be stored no call goes on: there are few. Beyond this many the oldest are let go."""


class Owed:
    """What is owed to the store. Only in memory: after a restart such a call ends as `service_restarted`."""

    def __init__(self) -> None:
        self._ends: collections.deque[tuple[CallRecord, JournalEntry]] = collections.deque(maxlen=KEPT)

    def add(self, record: CallRecord, line: JournalEntry) -> None:
        """Keep an end with its true time, reason and charge."""
        self._ends.append((record, line))

    async def settle(self, store: Store) -> None:
        """Store what is owed, oldest first; what still cannot be stored stays owed."""
        while self._ends:
            record, line = self._ends.popleft()
            try:
                await store.save_call(record, line)
            except StoreRefused as error:
                logger.error("an end was not stored, for good: %s", error, extra={"call": record.id})
            except StoreUnavailable:
                self._ends.appendleft((record, line))
                return
            else:
                logger.info("the end of a call is stored after all", extra={"call": record.id})
