"""Who did what when, as it is seen to happen."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple


class Moment(NamedTuple):
    """`at` on the monotonic clock."""

    at: float
    actor: str
    text: str


class Story:
    """A timeline that every thread may add to."""

    def __init__(self, on_moment: Callable[[Moment, float], None] = lambda _moment, _began: None) -> None:
        """`on_moment` hears each moment, and when the story began, as it is added."""
        self.began = time.monotonic()
        self._moments: list[Moment] = []
        self._lock = threading.Lock()
        self._on_moment = on_moment

    def add(self, actor: str, text: str, at: float | None = None) -> float:
        """Something happened, now or at `at`; returns when."""
        moment = Moment(time.monotonic() if at is None else at, actor, text)
        with self._lock:
            self._moments.append(moment)
            self._on_moment(moment, self.began)
        return moment.at

    def moments(self) -> list[Moment]:
        """In order of time."""
        with self._lock:
            return sorted(self._moments)
