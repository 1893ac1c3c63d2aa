"""avisiod-transcode: the process that converts the pictures of one call whose page does not know the phones' codec.

One call, one process: a stream that breaks a codec takes nobody else's picture along, and two calls never share a
core's time inside one interpreter. It comes last wherever the processor or memory is short, so that relayed calls do
not notice it. Sound never passes here, and neither does a call's clock or recording: when this process ends, the
picture stands still until control has started it again.
"""

import asyncio
import collections
import contextlib
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avisiod.gateway import lean  # noqa: F401 - before Twisted looks for TLS

# isort: split
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from avisiod.clock import install_reactor
from avisiod.gateway import wire
from avisiod.gateway.conversion import Conversion
from avisiod.gateway.settings import transcode_settings
from avisiod.gateway.stats import TranscoderStats
from avisiod.log import about, remember, setup_worker

log = logging.getLogger(__name__)

NICE = 10
"""Relayed calls go first."""
MEMORY_BYTES = 2 << 30
"""Of address space; pictures of the largest size that is decoded take a tenth of it."""
OOM_SCORE = 500
"""Where the machine runs out of memory this process is the one to end."""
STATS_EVERY_S = 5.0


class Transcoder:
    """The one call of this process, and what was counted of those before."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell = tell
        self._conversion: Conversion | None = None
        self._pictures: collections.Counter[str] = collections.Counter()
        self._dropped: collections.Counter[str] = collections.Counter()
        self._told: TranscoderStats | None = None

    def open(self, call: str, link: socket.socket) -> None:
        """Convert for this call; one that was still there is given up."""
        self.close()
        self._conversion = Conversion(call, link, self.close)

    def close(self) -> None:
        """Its media worker is gone, or has another transcoder."""
        conversion, self._conversion = self._conversion, None
        if conversion is not None:
            conversion.close()
            self._count(conversion, self._pictures, self._dropped)
            self.tell_stats()

    @staticmethod
    def _count(
        conversion: Conversion, pictures: "collections.Counter[str]", dropped: "collections.Counter[str]"
    ) -> None:
        for lane in conversion.lanes:
            made, left_out = lane.counted()
            pictures[lane.way.name.lower().removeprefix("to_")] += made
            dropped.update(left_out)

    def tell_stats(self) -> None:
        """Tell control what was counted, where anything changed."""
        pictures, dropped = self._pictures.copy(), self._dropped.copy()
        if self._conversion is not None:
            self._count(self._conversion, pictures, dropped)
        stats = TranscoderStats(pictures=dict(pictures), dropped=dict(dropped))
        if stats != self._told:
            self._told = stats
            self._tell(msgspec.json.encode(stats))


class _Link(amp.AMP):
    """Commands in, counters out (`wire` says what they mean)."""

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.transcoder = Transcoder(self._tell)
        self._stop = stop

    def _tell(self, stats: bytes) -> None:
        if self.transport is not None and self.transport.connected:
            told: Deferred[object] = self.callRemote(wire.TranscodingStats, stats=stats)  # type: ignore[no-untyped-call]
            told.addErrback(lambda failure: log.debug("control took no counters: %s", failure.getErrorMessage()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Control is gone."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._stop()

    @wire.Configure.responder
    def configure(self, settings: bytes) -> dict[str, object]:
        try:
            decoded = transcode_settings.decode(settings)
        except msgspec.DecodeError as error:
            raise wire.WorkerError(f"the settings cannot be read: {error}") from error
        setup_worker(decoded.log_level, f"transcode-{decoded.worker}")
        return {}

    @wire.Reconfigure.responder
    def reconfigure(self, settings: bytes) -> dict[str, object]:
        return self.configure(settings)

    @wire.Ping.responder
    def ping(self) -> dict[str, object]:
        return {}

    @wire.OpenTranscoding.responder
    def open_transcoding(self, call: str, link: int, phone: str | None = None) -> dict[str, object]:
        remember(call, phone=phone or "")
        try:
            with about(call):
                self.transcoder.open(call, socket.socket(fileno=link))
        except (OSError, RuntimeError) as error:
            raise wire.WorkerError(f"no transcoding: {error}") from error
        return {}


def come_last() -> None:
    """Leave processor and memory to the others first, and take a bounded share of memory."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it holds pictures of people
    with contextlib.suppress(OSError):  # not every container lets it
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def main() -> None:
    """Serve on descriptor 3 until control is gone."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)  # until Configure tells more
    come_last()
    loop = asyncio.new_event_loop()
    install_reactor(loop)
    from twisted.internet import reactor as installed

    reactor: Any = installed  # its interfaces are declared apart

    def stop() -> None:
        with contextlib.suppress(ReactorNotRunning):  # ordered to end, and then control closes the socket
            reactor.stop()

    link = _Link(stop)

    def count() -> None:
        link.transcoder.tell_stats()
        loop.call_later(STATS_EVERY_S, count)

    loop.add_signal_handler(wire.STOP_SIGNAL, stop)
    for for_control in wire.SIGNALS_FOR_CONTROL:
        loop.add_signal_handler(for_control, lambda: None)
    factory = Factory.forProtocol(lambda: link)
    reactor.adoptStreamConnection(wire.WORKER_FD, socket.AF_UNIX, factory)
    os.close(wire.WORKER_FD)
    loop.call_later(STATS_EVERY_S, count)
    reactor.run(installSignalHandlers=False)
    logging.shutdown()
    os._exit(0)  # a thread that is still encoding is not worth waiting for


if __name__ == "__main__":
    main()
