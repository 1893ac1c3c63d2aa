"""avisiod-media: the process that relays, records and speaks. Packets pass here and nowhere else.

Control spawns it with one end of a socketpair as descriptor 3 and is the only one who tells it what to do. When
control is gone, or orders us to end, every call is closed and its recording sealed before the process ends: nothing
runs that nobody accounts for. While control merely hangs, calls go on, and their deadline is kept here.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from avisiod.clock import install_reactor
from avisiod.gateway import wire
from avisiod.gateway.detour import from_descriptor
from avisiod.gateway.media_call import MediaCall
from avisiod.gateway.placement import settle
from avisiod.gateway.settings import MediaWorkerSettings, media_settings
from avisiod.gateway.workshop import Workshop
from avisiod.log import about, remember, setup_worker
from avisiod.privacy import hide_memory

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0005
"""A writer's thread that computes gives the interpreter back to the relay after this long, not after 5 ms."""

COLLECT_AFTER = (10_000, 20, 10)
"""Frames that wait for the disk look like garbage to Python's usual thresholds: with 50 recorded calls it would walk
them all twice a second, for some milliseconds in which no packet passes."""

COLLECT_ENDED = 25
"""An ended call is a heap of objects that name each other, some 20 KiB, which the collector's own thresholds would
leave lying by the hundred: after so many they are looked for, which takes some 10 ms."""

LOST_REASON = "service_restarted"
"""End of a call, in its manifest, whose control is gone."""


class MediaWorker:
    """The calls of this process, and what becomes of them when control is gone."""

    def __init__(self, tell: Callable[..., None], stop: Callable[[], None]) -> None:
        self._tell = tell
        self._stop = stop
        self._calls: dict[str, MediaCall] = {}
        self._workshop: Workshop | None = None
        self._draining = False
        self._ended = 0
        self._closing: set[asyncio.Task[bytes]] = set()

    def configure(self, settings: MediaWorkerSettings) -> None:
        """Make ready to serve. WorkerError where the settings cannot be used."""
        self._workshop = Workshop(settings)
        gc.collect()
        gc.freeze()  # what is loaded now stays: the collector need not walk it again in mid-call

    def adopt(self, settings: MediaWorkerSettings) -> None:
        """New settings for the next calls. WorkerError before Configure."""
        if self._workshop is None:
            raise wire.WorkerError("the worker is not configured yet")
        self._workshop.adopt(settings)

    async def open(self, call: str, offer: str, *, confidential: bool, language: str, secure: bool) -> str:
        """Open a call; the answer to the phone."""
        if self._workshop is None or self._draining:
            raise wire.WorkerError("the worker is not configured yet, or ends")
        if call in self._calls:
            raise wire.WorkerError("the call is open already; it goes on unchanged")
        media = MediaCall(self._workshop, call, self._tell, confidential=confidential, language=language)
        self._calls[call] = media
        try:
            return await media.open(offer, secure=secure)
        except BaseException:
            self._calls.pop(call, None)
            await media.close("")
            raise

    def call(self, call: str) -> MediaCall:
        """The call of this id. NoSuchCall."""
        try:
            return self._calls[call]
        except KeyError:
            raise wire.NoSuchCall("the call is not known here, or no longer") from None

    async def close(self, call: str, reason: str) -> bytes:
        """Close and forget; the manifest of a recording that was not sealed before."""
        media = self.call(call)
        try:
            return await media.close(reason)
        finally:
            self._calls.pop(call, None)
            self._let_go()
            self._end_when_empty()

    def _let_go(self) -> None:
        """See COLLECT_ENDED."""
        self._ended += 1
        if self._ended >= COLLECT_ENDED:
            self._ended = 0
            gc.collect()

    def drain(self) -> None:
        """Control is gone, or wants us to end: close every call, then end."""
        if self._draining:
            return
        self._draining = True
        for call in self._calls:
            remember(call, reason=LOST_REASON)
            with about(call):
                task = asyncio.get_running_loop().create_task(self.close(call, LOST_REASON))
            self._closing.add(task)
            task.add_done_callback(self._closed)
        self._end_when_empty()

    def _closed(self, task: asyncio.Task[bytes]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a call could not be closed properly", exc_info=task.exception())

    def _end_when_empty(self) -> None:
        if self._draining and not self._calls:
            self._stop()


class _Link(amp.AMP):
    """Commands in, events out (`wire` says what they mean)."""

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.worker = MediaWorker(self.tell, stop)

    def tell(self, command: type[amp.Command], **arguments: object) -> None:
        """Send an event to control; a control that is gone hears nothing."""
        if self.transport is None or not self.transport.connected:
            return
        told: Deferred[object] = self.callRemote(command, **arguments)  # type: ignore[no-untyped-call]
        told.addErrback(self._not_told, command)

    @staticmethod
    def _not_told(failure: Failure, command: type[amp.Command]) -> None:
        log.debug("control did not take %s: %s", command.__name__, type(failure.value).__name__)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Control is gone."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.worker.drain()

    def _later(self, call: str, coroutine: Coroutine[Any, Any, dict[str, object]]) -> Deferred[dict[str, object]]:
        with about(call):  # and whatever begins in it
            return Deferred.fromFuture(asyncio.ensure_future(self._guarded(call, coroutine)))

    async def _guarded(self, call: str, coroutine: Coroutine[Any, Any, dict[str, object]]) -> dict[str, object]:
        """AMP closes the connection on an error that is not declared; here it may cost one call only."""
        try:
            return await coroutine
        except wire.WorkerError:
            raise
        except Exception as error:
            log.exception("a command failed; its call may be unusable, others are unharmed", extra={"call": call})
            raise wire.WorkerError(f"unexpected {type(error).__name__}") from error

    def _now(self, call: str, function: Callable[[MediaCall], None]) -> dict[str, object]:
        try:
            with about(call):
                function(self.worker.call(call))
        except wire.WorkerError:
            raise
        except Exception as error:
            log.exception("a command failed; its call may be unusable, others are unharmed", extra={"call": call})
            raise wire.WorkerError(f"unexpected {type(error).__name__}") from error
        return {}

    @wire.Configure.responder
    def configure(self, settings: bytes) -> dict[str, object]:
        try:
            decoded = media_settings.decode(settings)
        except msgspec.DecodeError as error:
            raise wire.WorkerError(f"the settings cannot be read: {error}") from error
        setup_worker(decoded.log_level, f"media-{decoded.worker}")
        settle(decoded.cpus, decoded.nice)
        self.worker.configure(decoded)
        return {}

    @wire.Reconfigure.responder
    def reconfigure(self, settings: bytes) -> dict[str, object]:
        try:
            decoded = media_settings.decode(settings)
        except msgspec.DecodeError as error:
            raise wire.WorkerError(f"the settings cannot be read: {error}") from error
        self.worker.adopt(decoded)
        setup_worker(decoded.log_level, f"media-{decoded.worker}")
        return {}

    @wire.Ping.responder
    def ping(self) -> dict[str, object]:
        return {}

    @wire.OpenCall.responder
    def open_call(
        self, call: str, offer: str, confidential: bool, language: str, secure: bool, phone: str | None = None
    ) -> Deferred[dict[str, object]]:
        remember(call, phone=phone or "")

        async def run() -> dict[str, object]:
            answer = await self.worker.open(call, offer, confidential=confidential, language=language, secure=secure)
            log.info("the phone's leg is open: %s", _lines(answer), extra={"call": call})
            return {"answer": answer}

        return self._later(call, run())

    @wire.Tailor.responder
    def tailor(self, call: str, confidential: bool, language: str) -> Deferred[dict[str, object]]:
        async def run() -> dict[str, object]:
            await self.worker.call(call).tailor(confidential=confidential, language=language)
            return {}

        return self._later(call, run())

    @wire.UpdatePhoneLeg.responder
    def update_phone_leg(self, call: str, offer: str, answers: bool) -> Deferred[dict[str, object]]:
        async def run() -> dict[str, object]:
            return {"answer": await self.worker.call(call).update_phone(offer, answers=answers)}

        return self._later(call, run())

    @wire.Present.responder
    def present(self, call: str, prompt: str, picture: str, repeat_s: float) -> Deferred[dict[str, object]]:
        async def run() -> dict[str, object]:
            await self.worker.call(call).present(prompt, picture, repeat_s)
            return {}

        return self._later(call, run())

    @wire.OpenBrowserLeg.responder
    def open_browser_leg(
        self, call: str, session: str, offer: str, ice_servers: bytes, sound_only: bool | None, link: int | None
    ) -> Deferred[dict[str, object]]:
        transcoder = from_descriptor(link)

        async def run() -> dict[str, object]:
            with transcoder or contextlib.nullcontext():  # the call has its own copy
                media = self.worker.call(call)
                servers = json.loads(ice_servers or b"[]")
                answer = await media.open_outside(
                    session, offer, servers, sound_only=bool(sound_only), link=transcoder
                )
            return {"answer": answer, "picture": media.picture}

        return self._later(call, run())

    @wire.RestartBrowserLeg.responder
    def restart_browser_leg(
        self, call: str, session: str, offer: str, ice_servers: bytes
    ) -> Deferred[dict[str, object]]:
        async def run() -> dict[str, object]:
            servers = json.loads(ice_servers or b"[]")
            return {"answer": await self.worker.call(call).restart_outside(session, offer, servers)}

        return self._later(call, run())

    @wire.LinkTranscoder.responder
    def link_transcoder(self, call: str, link: int) -> dict[str, object]:
        with socket.socket(fileno=link) as transcoder:
            return self._now(call, lambda media: media.relink(transcoder))

    @wire.AddCandidate.responder
    def add_candidate(self, call: str, session: str, candidate: str) -> dict[str, object]:
        return self._now(call, lambda media: media.add_candidate(session, candidate))

    @wire.CloseBrowserLeg.responder
    def close_browser_leg(self, call: str) -> Deferred[dict[str, object]]:
        async def run() -> dict[str, object]:
            await self.worker.call(call).close_outside()
            return {}

        return self._later(call, run())

    @wire.OpenRecorder.responder
    def open_recorder(self, call: str, path: str, facts: bytes) -> Deferred[dict[str, object]]:
        async def run() -> dict[str, object]:
            await self.worker.call(call).open_recorder(path, facts)
            return {}

        return self._later(call, run())

    @wire.SealRecording.responder
    def seal_recording(self, call: str, reason: str) -> Deferred[dict[str, object]]:
        remember(call, reason=reason)

        async def run() -> dict[str, object]:
            return {"recording": await self.worker.call(call).seal(reason)}

        return self._later(call, run())

    @wire.Bridge.responder
    def bridge(self, call: str, deadline: float) -> dict[str, object]:
        left = deadline - time.monotonic()
        log.info("joins both legs, for %.0f s at most", left, extra={"call": call})
        return self._now(call, lambda media: media.bridge(deadline))

    @wire.Unbridge.responder
    def unbridge(self, call: str) -> dict[str, object]:
        return self._now(call, lambda media: media.unbridge())

    @wire.AskPicture.responder
    def ask_picture(self, call: str, leg: str) -> dict[str, object]:
        return self._now(call, lambda media: media.ask_picture(leg))

    @wire.CloseCall.responder
    def close_call(self, call: str, reason: str) -> Deferred[dict[str, object]]:
        remember(call, reason=reason)

        async def run() -> dict[str, object]:
            manifest = await self.worker.close(call, reason)
            log.info("is closed: %s", reason or "nobody's call", extra={"call": call})
            return {"recording": manifest}

        return self._later(call, run())


def _lines(answer: str) -> str:
    """The media lines of a session description, for people: `audio RTP/AVP, video RTP/SAVP`."""
    media = [line.split() for line in answer.splitlines() if line.startswith("m=")]
    return ", ".join(f"{words[0].removeprefix('m=')} {words[2]}" for words in media if words[1] != "0") or "nothing"


def main() -> None:
    """Serve on descriptor 3 until control is gone."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)  # until Configure tells more
    hide_memory()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECT_AFTER)
    import uvloop  # here, with the reactor: tests import this module and have a loop of their own

    loop = uvloop.new_event_loop()
    install_reactor(loop)
    from twisted.internet import reactor as installed

    reactor: Any = installed  # its interfaces are declared apart
    link = _Link(stop=reactor.stop)
    loop.add_signal_handler(wire.STOP_SIGNAL, link.worker.drain)
    for for_control in wire.SIGNALS_FOR_CONTROL:
        loop.add_signal_handler(for_control, lambda: None)
    factory = Factory.forProtocol(lambda: link)
    reactor.adoptStreamConnection(wire.WORKER_FD, socket.AF_UNIX, factory)
    os.close(wire.WORKER_FD)
    reactor.run(installSignalHandlers=False)
    logging.shutdown()
    os._exit(0)  # every recording is sealed; a thread that still prepares prompts is not worth waiting for


if __name__ == "__main__":
    main()
