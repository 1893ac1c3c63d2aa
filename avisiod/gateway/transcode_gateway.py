"""Control's side of the avisiod-transcode workers: which call has which, and what happens when one ends.

A worker is a place: the site's ceiling is the number of workers. A call keeps its place until its page's leg is
closed. When the worker ends, the call gets the next one that is free, its own once it runs again; pictures that have
ended MAX_ENDS workers are converted no more, whatever was in them.
"""

import logging
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.protocols import amp

from avisiod.calls.conversions import ConversionFacts, may_convert
from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.gateway import transcode_link, wire
from avisiod.gateway.settings import TranscodeWorkerSettings
from avisiod.gateway.stats import TranscoderStats, transcoder_stats
from avisiod.gateway.worker_pool import WorkerPool, heard
from avisiod.log import phone_of

logger = logging.getLogger(__name__)

MAX_ENDS = 3
"""A call that has seen so many of its transcoders end goes on with sound only."""


def settings_of(config: Config, count: int) -> list[TranscodeWorkerSettings]:
    """What each of `count` workers is told."""
    return [TranscodeWorkerSettings(worker=n, log_level=config.log.level) for n in range(count)]


class TranscodeGateway(WorkerPool):
    """The transcoders. Nothing here fails a call: without one it has sound only."""

    def __init__(self, reactor: Any, clock: Clock, config: Config) -> None:
        self.refused = 0
        """Pages that got sound only for want of a transcoder."""
        self.on_stats: Callable[[int, TranscoderStats], None] = lambda _worker, _stats: None
        self.on_relink: Callable[[str, socket.socket], None] = lambda _call, link: link.close()
        """Told of a call whose transcoder ended and which has a new one, at this end of a link."""
        self._ceiling = config.media.transcoded_calls
        self._calls: dict[str, int | None] = {}
        """Converted calls and their workers; None while a call waits for one."""
        self._ends: dict[str, int] = {}
        settings = settings_of(config, self._ceiling)
        module = "avisiod.gateway.transcode_worker"
        super().__init__(reactor, clock, module, settings, lambda n: _Link(self, n), self._down)

    def take_up(self, config: Config) -> None:
        """New settings; workers take up how much they log."""
        self.adopt(settings_of(config, len(self.workers)))

    @property
    def converts(self) -> bool:
        """Whether a further page without the phones' codec would get pictures now."""
        return may_convert(ConversionFacts(ceiling=self._ceiling, converted=len(self._calls), free=len(self._free())))

    @property
    def converted(self) -> int:
        """Calls that have a place."""
        return len(self._calls)

    def _free(self) -> list[int]:
        taken = set(self._calls.values())
        return [n for n, worker in enumerate(self.workers) if worker.up and not worker.retiring and n not in taken]

    def holds(self, n: int) -> int:
        """See WorkerPool."""
        return list(self._calls.values()).count(n)

    async def take(self, call: str) -> socket.socket | None:
        """A place for this call: the media worker's end of the link, for the caller to close; None: none is free."""
        if not self.converts or self._ends.get(call, 0) >= MAX_ENDS:
            self.refused += 1
            logger.warning("no transcoder can be had: the page has sound only", extra={"call": call})
            return None
        self._calls[call] = None
        link = await self._link(call)
        if link is None:
            self.release(call)
        return link

    def release(self, call: str) -> None:
        """Its page is gone; the transcoder notices by itself that the media worker closed its end."""
        if self._calls.pop(call, self) is not self:
            self._serve_waiting()

    def forget(self, call: str) -> None:
        """The call is over."""
        self._ends.pop(call, None)
        self.release(call)

    async def _link(self, call: str) -> socket.socket | None:
        """Give the call a free transcoder; None, and logged, where that failed."""
        free = self._free()
        if not free:
            return None
        self._calls[call] = free[0]
        try:
            ours, theirs = transcode_link.pair()
        except OSError as error:
            logger.warning("no link to a transcoder: %s", error, extra={"call": call})
            self._calls[call] = None
            return None
        try:
            with theirs:
                await self.workers[free[0]].call(
                    wire.OpenTranscoding, call=call, link=theirs.fileno(), phone=phone_of(call)
                )
        except wire.WorkerError as error:
            logger.warning("a transcoder did not take the call: %s", error, extra={"call": call})
            ours.close()
            if self._calls.get(call) == free[0]:
                self._calls[call] = None
            return None
        return ours

    def _down(self, n: int) -> None:
        for call, worker in list(self._calls.items()):
            if worker != n:
                continue
            self._calls[call] = None
            self._ends[call] = self._ends.get(call, 0) + 1
            logger.warning("the transcoder of a call ended; its picture stands still", extra={"call": call})
            if self._ends[call] >= MAX_ENDS:
                logger.error("its pictures are converted no more, the sound goes on", extra={"call": call})
                self.release(call)
        self._serve_waiting()

    def _up(self, n: int) -> None:
        super()._up(n)
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        for call, worker in list(self._calls.items()):
            if worker is None and self._ends.get(call) and self._free():
                self._relinking(call)  # which takes the place at once

    def _relinking(self, call: str) -> None:
        relinked: Deferred[None] = Deferred.fromCoroutine(self._relink(call))
        relinked.addErrback(lambda failure: logger.error("no new transcoder: %s", failure.getTraceback()))

    async def _relink(self, call: str) -> None:
        link = await self._link(call)
        if link is None:
            return
        if call in self._calls:
            self.on_relink(call, link)
        else:
            link.close()  # the page went meanwhile


class _Link(amp.AMP):
    def __init__(self, gateway: TranscodeGateway, worker: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._gateway = gateway
        self._worker = worker

    @wire.TranscodingStats.responder
    def stats(self, stats: bytes) -> dict[str, object]:
        decoded = transcoder_stats.decode(stats)
        heard(lambda: self._gateway.on_stats(self._worker, decoded))
        return {}
