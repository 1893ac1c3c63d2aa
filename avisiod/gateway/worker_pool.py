"""Several workers of one kind, started together: what the SIP and the media side of control have in common."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.protocols import amp

from avisiod.clock import Clock
from avisiod.gateway import wire
from avisiod.gateway.supervisor import Worker

logger = logging.getLogger(__name__)

TOO_MUCH = 2
"""So many times its limit of memory a worker is not let grow to, whatever calls it has."""


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def heard(tell: Callable[[], None]) -> bool:
    """Tell a listener of a worker's event; False, and logged, where it fails.

    AMP closes the socket upon an error that is not declared, and with it every call of that worker.
    """
    try:
        tell()
    except Exception:
        logger.exception("an event of a worker was lost; its other calls are unharmed")
        return False
    return True


class WorkerPool:
    """Worker n is `workers[n]`; it gets `settings[n]` and speaks through `make_link(n)`."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        module: str,
        settings: Sequence[msgspec.Struct],
        make_link: Callable[[int], amp.AMP],
        on_down: Callable[[int], None],
    ) -> None:
        """`on_down` is told the number of a worker that ended, before it is started again."""
        self._ready: list[Deferred[None]] = [Deferred() for _ in settings]
        self.workers = [
            Worker(
                reactor,
                clock,
                module,
                msgspec.json.encode(of_one),
                lambda n=n: make_link(n),  # type: ignore[misc]
                on_up=lambda n=n: self._up(n),  # type: ignore[misc]
                on_down=lambda n=n: on_down(n),  # type: ignore[misc]
                on_hopeless=lambda error, n=n: self._hopeless(n, error),  # type: ignore[misc]
            )
            for n, of_one in enumerate(settings)
        ]

    def holds(self, n: int) -> int:
        """How many calls worker `n` has."""
        raise NotImplementedError

    def mind_memory(self, limit_bytes: int) -> None:
        """To be called every few seconds: replace workers that have more memory than that, 0 for any.

        Such a worker gets nothing new and ends once its last call has; one that grows on to TOO_MUCH times the limit
        is killed with the calls that it has, before the machine's memory is used up and others are killed for it.
        """
        for n, worker in enumerate(self.workers):
            has = worker.resident_bytes() if limit_bytes and worker.up else 0
            if has > TOO_MUCH * limit_bytes:
                worker.kill(f"it has {_mib(has)} of memory, and {_mib(limit_bytes)} is the limit (worker_memory_mib)")
            elif has > limit_bytes and not worker.retiring:
                worker.retiring = True
                logger.warning(
                    "%s (pid %s) has %s of memory, and %s is the limit (worker_memory_mib): it gets no new call and "
                    "is replaced once it has none; calls that it has now: %d",
                    worker.name,
                    worker.pid,
                    _mib(has),
                    _mib(limit_bytes),
                    self.holds(n),
                )
            if worker.retiring and not self.holds(n):
                worker.replace()

    def adopt(self, settings: Sequence[msgspec.Struct]) -> None:
        """New settings, one for each worker, for calls that begin from now on (wire.Reconfigure)."""
        for worker, of_one in zip(self.workers, settings, strict=True):
            worker.adopt(msgspec.json.encode(of_one))

    @property
    def ready(self) -> bool:
        """Whether at least one worker serves."""
        return any(worker.up for worker in self.workers)

    def start(self) -> Deferred[list[None]]:
        """Start the workers; fires once all serve, fails with a wire.WorkerError when one cannot."""
        for worker in self.workers:
            worker.start()
        return gatherResults(self._ready, consumeErrors=True)

    def _up(self, n: int) -> None:
        if not self._ready[n].called:
            self._ready[n].callback(None)

    def _hopeless(self, n: int, error: wire.WorkerError) -> None:
        if not self._ready[n].called:
            self._ready[n].errback(error)
