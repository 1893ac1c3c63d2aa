"""Growing lists that threads may wait on: lines of a process, events of a phone."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
TAIL = 30
"""So many of the last items are shown when what was waited for did not come."""


class NotSeen(AssertionError):
    """What was waited for did not come in time; the text holds what was seen last."""


class Feed(Generic[Item]):
    """A list that only grows, filled by a reader thread; safe from every thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._items: list[Item] = []
        self._changed = threading.Condition()
        self._closed = ""
        self._close_handlers: list[Callable[[str], None]] = []

    def add(self, item: Item) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def close(self, why: str) -> None:
        """Nothing comes any more: whoever waits hears it at once."""
        with self._changed:
            if self._closed:
                return
            self._closed = why
            self._changed.notify_all()
            handlers, self._close_handlers = self._close_handlers, []
        for handler in handlers:
            handler(why)

    def on_close(self, handler: Callable[[str], None]) -> None:
        """Call `handler` with the reason at the feed's end, at once where it has come."""
        with self._changed:
            closed = self._closed
            if not closed:
                self._close_handlers.append(handler)
        if closed:
            handler(closed)

    def mark(self) -> int:
        """A place to wait from, so that only what comes later counts."""
        with self._changed:
            return len(self._items)

    def items(self, since: int = 0) -> list[Item]:
        with self._changed:
            return self._items[since:]

    def wait(self, accept: Callable[[Item], bool], timeout: float, what: str, since: int = 0) -> Item:
        """The first item from `since` on that `accept` takes; NotSeen after `timeout` seconds or at the end."""
        deadline = time.monotonic() + timeout
        position = since
        with self._changed:
            while True:
                for item in self._items[position:]:
                    if accept(item):
                        return item
                position = max(position, len(self._items))
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = self._closed or f"not within {timeout:g} s"
                    tail = "\n".join(f"    {item}" for item in self._items[-TAIL:])
                    raise NotSeen(f"{self.name}: no {what}: {why}; the last it said:\n{tail}")
                self._changed.wait(left)


def wait_until(condition: Callable[[], bool], timeout: float, what: str, interval: float = 0.05) -> None:
    """For what nobody announces (a file that grows, a counter that is asked for): ask until it is so, or NotSeen."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            raise NotSeen(f"{what}: not within {timeout:g} s")
        pause.wait(interval)
