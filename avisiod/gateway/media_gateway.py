"""Control's side of the avisiod-media workers: each call lives on one worker, chosen when it opens."""

import logging
import socket
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.protocols import amp

from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.gateway import wire
from avisiod.gateway.settings import MediaWorkerSettings
from avisiod.gateway.stats import CallStats, call_stats
from avisiod.gateway.transcode_gateway import TranscodeGateway
from avisiod.gateway.worker_pool import WorkerPool, heard
from avisiod.log import phone_of

logger = logging.getLogger(__name__)


class MediaListener(Protocol):
    """Who hears the media workers: the switchboard. Methods return at once and do not raise."""

    def leg_changed(self, call: str, leg: str, session: str, state: str, at: float) -> None:
        """A leg is `flowing`, `quiet`, `silent` or `failed`."""

    def prompt_over(self, call: str, prompt: str) -> None:
        """A prompt was played to its end."""

    def deadline_passed(self, call: str, last_forwarded: float) -> None:
        """The worker stopped forwarding by itself."""

    def recorder_failed(self, call: str, why: str) -> None:
        """The recording goes on no longer."""

    def rtp_digit(self, call: str, digit: str) -> None:
        """A DTMF digit by telephone-event."""

    def phone_picture_wanted(self, call: str) -> None:
        """The phone must be asked for a keyframe by INFO."""

    def stats(self, stats: CallStats) -> None:
        """Counters of one call."""

    def media_lost(self, calls: list[str]) -> None:
        """A worker ended; these calls were on it."""


def shares(first: int, last: int, workers: int) -> list[tuple[int, int]]:
    """Cut a port range (both included) into one even-numbered share a worker. ValueError if it is too small."""
    size = (last - first + 1) // workers // 2 * 2
    if size < 2:
        raise ValueError(f"ports {first} to {last} are too few for {workers} workers")
    return [(first + n * size, first + (n + 1) * size - 1) for n in range(workers)]


def settings_of(config: Config, count: int) -> list[MediaWorkerSettings]:
    """What each of `count` workers is told, with its own share of the ports. ValueError if there are too few."""
    phone = shares(*config.media.phone_ports, count)
    outside = shares(*config.media.outside_ports, count)
    return [
        MediaWorkerSettings(
            worker=n,
            phone_address=config.media.phone_address,
            phone_ports=phone[n],
            outside_address=config.media.outside_address,
            outside_address_ipv6=config.media.outside_address_ipv6,
            outside_announced=config.media.outside_announced,
            outside_ports=outside[n],
            phone_silent_s=config.media.phone_silent_s,
            phone_muted_s=config.media.phone_muted_s,
            outside_silent_s=config.media.outside_silent_s,
            behind_nat=config.media.behind_nat,
            audio_codecs=config.phones.audio_codecs,
            encryption=config.phones.encryption,
            keys_need_tls=config.phones.keys_need_tls,
            prompts_folder=config.media.prompts_folder,
            keep_free_bytes=config.recordings.keep_free_bytes,
            cpus=config.media.cpus,
            nice=config.media.nice,
            log_level=config.log.level,
        )
        for n in range(count)
    ]


class MediaGateway(WorkerPool):
    """The media workers, as the switchboard uses them. Every coroutine fails with a wire.WorkerError."""

    def __init__(
        self, reactor: Any, clock: Clock, config: Config, transcoders: TranscodeGateway | None = None
    ) -> None:
        """Without `transcoders`, which are started and stopped by whoever made them, no picture is converted."""
        self.listener: MediaListener | None = None
        self.transcoders = transcoders
        if transcoders is not None:
            transcoders.on_relink = self._relink
        self._worker_of: dict[str, int] = {}
        settings = settings_of(config, config.media_workers)
        super().__init__(
            reactor, clock, "avisiod.gateway.media_worker", settings, lambda n: _MediaLink(self, n), self._down
        )

    def take_up(self, config: Config) -> None:
        """New settings, for calls that begin from now on."""
        self.adopt(settings_of(config, len(self.workers)))

    async def open_call(self, call: str, offer: str, *, confidential: bool, language: str, secure: bool) -> str:
        """Open the phone's leg on the least busy worker; the SDP answer. `secure`: its signalling came over TLS."""
        up = [n for n, worker in enumerate(self.workers) if worker.up]
        if not up:
            raise wire.WorkerError("no media worker runs")
        self._worker_of[call] = min(up, key=lambda n: (self.workers[n].retiring, self.holds(n)))
        try:
            facts = {"offer": offer, "confidential": confidential, "language": language, "secure": secure}
            answer = await self._ask(call, wire.OpenCall, phone=phone_of(call), **facts)
        except wire.WorkerError:
            self._worker_of.pop(call, None)
            raise
        return str(answer["answer"])

    async def tailor(self, call: str, *, confidential: bool, language: str) -> None:
        """Speak this language from now on; a call that is confidential after all is never recorded."""
        await self._ask(call, wire.Tailor, confidential=confidential, language=language)

    async def update_phone_leg(self, call: str, offer: str, *, answers: bool = False) -> str:
        """The answer to a new offer of the phone; empty where it `answers` a description of ours."""
        return str((await self._ask(call, wire.UpdatePhoneLeg, offer=offer, answers=answers))["answer"])

    async def present(self, call: str, prompt: str, picture: str, repeat_s: float = 0.0) -> None:
        """Show and say something to the phone."""
        await self._ask(call, wire.Present, prompt=prompt, picture=picture, repeat_s=repeat_s)

    @property
    def converts(self) -> bool:
        """Whether a page without the phones' video codec would get pictures now."""
        return self.transcoders is not None and self.transcoders.converts

    async def open_browser_leg(self, call: str, session: str, offer: str, ice_servers: bytes) -> str:
        """The answer to a page's offer, with sound only where its picture takes a transcoder and none can be had."""
        places = self.transcoders
        if places is None:
            return await self._open_leg(call, session, offer, ice_servers, sound_only=True)
        places.release(call)  # that of an older page
        try:
            return await self._open_leg(call, session, offer, ice_servers)
        except wire.TranscodingNeeded:
            link = await places.take(call)
        if link is None:
            return await self._open_leg(call, session, offer, ice_servers, sound_only=True)
        try:
            with link:
                return await self._open_leg(call, session, offer, ice_servers, link=link.fileno())
        except wire.WorkerError:
            places.release(call)
            raise

    async def _open_leg(
        self,
        call: str,
        session: str,
        offer: str,
        ice_servers: bytes,
        *,
        sound_only: bool = False,
        link: int | None = None,
    ) -> str:
        answer = await self._ask(
            call,
            wire.OpenBrowserLeg,
            session=session,
            offer=offer,
            ice_servers=ice_servers,
            sound_only=sound_only,
            link=link,
        )
        return str(answer["answer"])

    async def restart_browser_leg(self, call: str, session: str, offer: str, ice_servers: bytes) -> str:
        """The answer to a page's ICE restart."""
        answer = await self._ask(call, wire.RestartBrowserLeg, session=session, offer=offer, ice_servers=ice_servers)
        return str(answer["answer"])

    def _relink(self, call: str, link: socket.socket) -> None:
        """The call's transcoder ended; another one is at the end of this link."""
        asked = self._ask(call, wire.LinkTranscoder, link=link.fileno())
        asked.addErrback(
            lambda failure: logger.info("not converted on: %s", failure.getErrorMessage(), extra={"call": call})
        )
        asked.addBoth(lambda _: link.close())

    async def add_candidate(self, call: str, session: str, candidate: str) -> None:
        """A trickled candidate of a page."""
        await self._ask(call, wire.AddCandidate, session=session, candidate=candidate)

    async def close_browser_leg(self, call: str) -> None:
        """Forget the page's media."""
        try:
            await self._ask(call, wire.CloseBrowserLeg)
        finally:
            if self.transcoders is not None:
                self.transcoders.release(call)

    async def open_recorder(self, call: str, path: str, facts: bytes) -> None:
        """Open the recording."""
        await self._ask(call, wire.OpenRecorder, path=path, facts=facts)

    async def seal_recording(self, call: str, reason: str) -> bytes:
        """Seal the recording; its manifest as JSON, empty where there was none."""
        return bytes((await self._ask(call, wire.SealRecording, reason=reason))["recording"])

    async def bridge(self, call: str, deadline: float) -> None:
        """Forward between the legs until the deadline."""
        await self._ask(call, wire.Bridge, deadline=deadline)

    async def unbridge(self, call: str) -> None:
        """Stop forwarding."""
        await self._ask(call, wire.Unbridge)

    async def ask_picture(self, call: str, leg: str) -> None:
        """Ask a leg's sender for a keyframe."""
        await self._ask(call, wire.AskPicture, leg=leg)

    async def close_call(self, call: str, reason: str) -> bytes:
        """Close all; the manifest of a recording that was not sealed yet, as JSON, else empty."""
        if call not in self._worker_of:
            return b""
        try:
            return bytes((await self._ask(call, wire.CloseCall, reason=reason))["recording"])
        finally:
            self._forget(call)

    def _forget(self, call: str) -> None:
        self._worker_of.pop(call, None)
        if self.transcoders is not None:
            self.transcoders.forget(call)

    def _ask(self, call: str, command: type[amp.Command], **arguments: object) -> Deferred[dict[str, Any]]:
        worker = self._worker_of.get(call)
        if worker is None:
            return fail(wire.NoSuchCall("the call is on no worker"))
        return self.workers[worker].call(command, call=call, **arguments)

    def holds(self, n: int) -> int:
        """See WorkerPool."""
        return list(self._worker_of.values()).count(n)

    def _down(self, n: int) -> None:
        calls = [call for call, worker in self._worker_of.items() if worker == n]
        for call in calls:
            self._forget(call)
        if self.listener is not None:
            self.listener.media_lost(calls)


class _MediaLink(amp.AMP):
    def __init__(self, gateway: MediaGateway, worker: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._gateway = gateway
        self._worker = worker

    def _tell(self, tell: Callable[[MediaListener], None]) -> dict[str, object]:
        listener = self._gateway.listener
        if listener is not None:
            heard(lambda: tell(listener))
        return {}

    @wire.LegChanged.responder
    def leg_changed(self, call: str, leg: str, session: str, state: str, at: float) -> dict[str, object]:
        return self._tell(lambda listener: listener.leg_changed(call, leg, session, state, at))

    @wire.PromptOver.responder
    def prompt_over(self, call: str, prompt: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.prompt_over(call, prompt))

    @wire.DeadlinePassed.responder
    def deadline_passed(self, call: str, last_forwarded: float) -> dict[str, object]:
        return self._tell(lambda listener: listener.deadline_passed(call, last_forwarded))

    @wire.RecorderFailed.responder
    def recorder_failed(self, call: str, why: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.recorder_failed(call, why))

    @wire.RtpDigit.responder
    def rtp_digit(self, call: str, digit: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.rtp_digit(call, digit))

    @wire.PhonePictureWanted.responder
    def phone_picture_wanted(self, call: str) -> dict[str, object]:
        return self._tell(lambda listener: listener.phone_picture_wanted(call))

    @wire.Stats.responder
    def stats(self, call: str, stats: bytes) -> dict[str, object]:
        del call
        return self._tell(lambda listener: listener.stats(call_stats.decode(stats)))
