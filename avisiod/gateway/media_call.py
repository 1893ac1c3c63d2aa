"""One call in a media worker: two legs, the relay between them, the recorder beside it, and what the phone is shown.

Coroutines that change legs or recorder run one after the other; `bridge`, `unbridge` and the deadline act at once.
Nothing is bridged unless a recorder writes or the call is confidential, and a confidential call never has a recorder.
"""

import asyncio
import functools
import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiortc import RTCIceServer

from avisiod.clock import SystemClock, Timer
from avisiod.gateway import sdp_browser, wire
from avisiod.gateway.browser_leg import BrowserLeg
from avisiod.gateway.call_conversion import CallConversion
from avisiod.gateway.call_recording import CallRecording
from avisiod.gateway.dtmf import DigitReader
from avisiod.gateway.leg import Kind, MediaLine
from avisiod.gateway.leg_feedback import LegFeedback
from avisiod.gateway.leg_side import Side
from avisiod.gateway.outside_answers import OutsideAnswers, transport, video_kbps
from avisiod.gateway.passage import Passage, ssrcs
from avisiod.gateway.phone_keys import Encryption
from avisiod.gateway.phone_leg import PhoneLeg, PhoneRules
from avisiod.gateway.presenter import Presenter
from avisiod.gateway.sdp_browser import BrowserAgreement
from avisiod.gateway.sdp_phone import VIDEO_KBPS
from avisiod.gateway.stats import CallStats, LegStats
from avisiod.gateway.workshop import Workshop

log = logging.getLogger(__name__)

TICK_S = 0.25
STATS_EVERY_S = 5.0

PICTURES_AFTER_S = (0.5, 2.0)
"""After a change of its media a phone begins to decode anew, but only once our answer has reached it: the keyframe
that is asked for at once may come too early, and some phones never ask for another."""

SILENCE = {"PCMA": b"\xd5" * 160, "PCMU": b"\xff" * 160, "G722": b"\xfc" * 160, "OPUS": b"\xf8\xff\xfe"}
"""20 ms in which nothing is heard."""

Payloads = Sequence[bytes]


class MediaCall:
    """See the module. `tell` sends an event of `wire` to control."""

    def __init__(
        self,
        shop: Workshop,
        call: str,
        tell: Callable[..., None],
        *,
        confidential: bool,
        language: str,
    ) -> None:
        self._shop = shop
        self._prompts = shop.prompts  # which a reload of the settings replaces
        self._call = call
        self._extra = {"call": call}
        self._tell_control = tell
        self._confidential = confidential
        self._language = language
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._phone: PhoneLeg | None = None
        self._phone_side = Side("phone", "", self, self._extra)
        self._phone_ssrcs = ssrcs()
        self._outside: BrowserLeg | None = None
        self._outside_side: Side | None = None
        self._answers = OutsideAnswers()
        self._outward = Passage()
        self._inward = Passage()
        self._conversion = CallConversion(self._outward, self._inward, self._ask_sender, self._extra)
        self._presenter = Presenter(self._loop, self._send_phone)
        self._turn = 0
        self._phone_feedback = LegFeedback(
            self._phone_wants_picture, self._later, lambda: self._tell(wire.PhonePictureWanted)
        )
        self._outside_feedback: LegFeedback | None = None
        self._digits = DigitReader()
        self._recording = CallRecording(self._recorder_failed, self._recording_lacks_keyframe, self._extra)
        self._deadline = 0.0
        self._deadline_timer: Timer | None = None
        self._closed = False
        self._stats_due = time.monotonic() + STATS_EVERY_S
        self._tick_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # The phone.

    async def open(self, offer: str, *, secure: bool = False) -> str:
        """Bind ports, answer the phone's offer (or make one), and let it see and hear that we are there."""
        async with self._lock:
            settings = self._shop.settings
            phone = PhoneLeg(
                self._call,
                offer,
                self._shop.phone_ports,
                self._phone_side,
                rules=PhoneRules(
                    behind_nat=settings.behind_nat,
                    silent_s=settings.phone_silent_s,
                    muted_s=settings.phone_muted_s,
                    audio_codecs=settings.audio_codecs,
                    encryption=Encryption(settings.encryption),
                    keys_need_tls=settings.keys_need_tls,
                ),
                secure=secure,
                now=time.monotonic(),
                loop=self._loop,
            )
            self._phone = phone
            self._follow_phone(phone)
            phone.start()
            self._presenter.start()
            self._tick()
            return phone.text

    async def update_phone(self, offer: str, *, answers: bool = False) -> str:
        """A new offer of the phone, or (`answers`) its answer to ours. OfferUnacceptable changes nothing."""
        async with self._lock:
            phone = self._open_phone()
            answer = phone.update(offer, keep_codecs=self._outside is not None, answers=answers)
            self._follow_phone(phone)
            if self._bridged:
                self._open_paths()
                for seconds in PICTURES_AFTER_S:
                    self._later(seconds, lambda _now: self._phone_wants_picture())
            return answer

    def _open_phone(self) -> PhoneLeg:
        if self._phone is None or self._closed:
            raise wire.NoSuchCall("the call has no phone, or is over")
        return self._phone

    def _follow_phone(self, phone: PhoneLeg) -> None:
        """What was agreed with the phone reaches the paths and the presenter."""
        lines = phone.lines
        self._inward.receives(phone, lines, self._phone_ssrcs)
        receptions = self._phone_feedback.follow(
            phone, lines, self._inward.streams, time.monotonic(), bitrate=VIDEO_KBPS * 1000
        )
        self._outward.sends(lines, receptions)
        self._phone_side.follow(lines, self._outward.paths)
        audio = lines.get(Kind.AUDIO)
        if audio is not None:
            step = audio.codec.clock_rate // 50
            self._presenter.voice(self._inward.streams[Kind.AUDIO], SILENCE[audio.codec.name], step)
        self._presenter.canvas(self._inward.streams[Kind.VIDEO] if Kind.VIDEO in lines else None)
        self._recording.follow("phone", lines)
        if self._outside is not None:
            self._conversion.settle(lines, self._outside.lines)
            self._record_outside(self._outside.lines)
        if lines:
            prepared = self._shop.prepare(self._language, [line.codec for line in lines.values()])
            self._keep(self._loop.create_task(prepared))

    async def tailor(self, *, confidential: bool, language: str) -> None:
        """See wire.Tailor. Takes its turn after whatever is being opened."""
        async with self._lock:
            phone = self._open_phone()
            if confidential and self._recording.opened:
                raise wire.RecorderUnavailable("io: the call is recorded already: it cannot become confidential")
            self._confidential = self._confidential or confidential
            self._language = language
            self._follow_phone(phone)

    # What the phone sees and hears from us.

    async def present(self, prompt: str, picture: str, repeat_s: float) -> None:
        """Show and say something to the phone; the next `present` or `bridge` takes its place."""
        phone = self._open_phone()
        self._turn += 1
        turn = self._turn
        sound, shown = await asyncio.to_thread(self._load, phone.lines, prompt, picture)
        if turn != self._turn or self._closed:
            return
        if self._bridged:
            self._inward.unmute()
            self._inward.mute(Kind.AUDIO)
            if shown:
                self._inward.mute(Kind.VIDEO)
        self._presenter.show(shown)
        self._presenter.say(sound, repeat_s, functools.partial(self._said, prompt, turn))
        self._presenter.start()
        if prompt and not sound:
            self._said(prompt, turn)

    def _load(self, lines: dict[Kind, MediaLine], prompt: str, picture: str) -> tuple[Payloads, Payloads]:
        prompts = self._prompts
        sound: Payloads = ()
        shown: Payloads = ()
        if prompt and Kind.AUDIO in lines:
            sound = prompts.audio(prompt, self._language, lines[Kind.AUDIO].codec)
        if picture and Kind.VIDEO in lines:
            try:
                shown = prompts.picture(picture, self._language, lines[Kind.VIDEO].codec)
            except ValueError as error:
                log.warning("%s; the phone hears the prompt without it", error, extra=self._extra)
        return sound, shown

    def _said(self, prompt: str, turn: int) -> None:
        if turn == self._turn and self._bridged:
            self._presenter.stop()
            self._inward.unmute()
            self.ask_picture("outside")
        self._tell(wire.PromptOver, prompt=prompt)

    def _send_phone(self, kind: Kind, packet: bytes) -> None:
        if self._phone is not None:
            self._phone.send_rtp(kind, packet)

    # The relative.

    async def open_outside(
        self,
        session: str,
        offer: str,
        servers: list[dict[str, Any]],
        *,
        sound_only: bool = False,
        link: socket.socket | None = None,
    ) -> str:
        """Answer a page, which takes the place of any older one. Bridging begins anew with `bridge`.

        A page whose picture has to be converted needs a `link` to a transcoder, or `sound_only`: else
        TranscodingNeeded, and nothing is changed. The link stays the caller's to close.
        """
        async with self._lock:
            phone = self._open_phone()
            converted = sdp_browser.needs_conversion(offer, phone.lines)
            if converted and link is None and not sound_only:
                raise wire.TranscodingNeeded("the page offers VP8 only")
            await self._drop_outside()
            side = Side("outside", session, self, self._extra)
            leg = BrowserLeg(side, self._shop.outside, [_server(each) for each in servers], self._extra)
            self._outside, self._outside_side = leg, side
            try:
                own = await leg.gather()
                self._answers = OutsideAnswers(convert=link is not None)
                agreement = self._answers.answer(phone, offer, own)
            except BaseException:
                await self._drop_outside()
                raise
            for sentence in agreement.refused:
                log.info("not taken of the page's offer: %s", sentence, extra=self._extra)
            self._follow_outside(phone, leg, side, agreement, link)
            return agreement.answer

    async def restart_outside(self, session: str, offer: str, servers: list[dict[str, Any]]) -> str:
        """Answer an ICE restart: the page's leg, its encryption and all streams go on over another path.

        OfferUnacceptable where the offer does not go on with the leg there is, which stays as it was.
        """
        async with self._lock:
            phone, leg, side = self._open_phone(), self._outside, self._outside_side
            if leg is None or side is None or side.session != session or not leg.may_restart:
                raise wire.OfferUnacceptable("the page has no connection that could be restarted")
            own = await leg.restart([_server(each) for each in servers])
            try:
                agreement = self._answers.restart(phone, offer, own)
            except BaseException:
                await leg.abandon()
                raise
            leg.restarted(transport(agreement))
            return agreement.answer

    def _follow_outside(
        self,
        phone: PhoneLeg,
        leg: BrowserLeg,
        side: Side,
        agreement: BrowserAgreement,
        link: socket.socket | None,
    ) -> None:
        lines = agreement.lines
        self._outward.receives(leg, lines, self._answers.ssrcs)
        feedback = LegFeedback(lambda: self.ask_picture("phone"), self._later)
        self._outside_feedback = feedback
        receptions = feedback.follow(
            leg, lines, self._outward.streams, time.monotonic(), bitrate=video_kbps(phone) * 1000
        )
        self._inward.sends(lines, receptions)
        side.follow(lines, self._inward.paths)
        video = lines.get(Kind.VIDEO)
        if link is not None and video is not None and video.codec.name == "VP8":
            self._conversion.open(link, phone.lines, lines, video_kbps(phone) * 1000)
        self._record_outside(lines)
        leg.start(transport(agreement), lines, agreement.repairs)

    def relink(self, link: socket.socket) -> None:
        """The transcoder is gone and another one stands ready; harmless where nothing is converted any more."""
        self._conversion.relink(link)

    @property
    def picture(self) -> str:
        """What becomes of the page's picture: `relayed`, `transcoded` or `none`."""
        if self._conversion.runs:
            return "transcoded"
        return "relayed" if self._outside is not None and Kind.VIDEO in self._outside.lines else "none"

    def _record_outside(self, lines: dict[Kind, MediaLine]) -> None:
        """What is recorded of the page: a picture that is converted, as the phone gets it."""
        phone = self._phone.lines if self._phone is not None else {}
        self._recording.follow("outside", self._conversion.recorded(lines, phone))

    def add_candidate(self, session: str, candidate: str) -> None:
        """A trickled candidate; one of a page that was replaced is passed over."""
        if self._outside is not None and self._outside_side is not None and self._outside_side.session == session:
            self._outside.add_candidate(candidate)

    async def close_outside(self) -> None:
        """Forget the page."""
        async with self._lock:
            await self._drop_outside()

    async def _drop_outside(self) -> None:
        if self._bridged:
            self.unbridge()
        leg, side = self._outside, self._outside_side
        if self._outside_feedback is not None:
            self._tell(wire.Stats, stats=self._stats())  # the last of this leg: the next one counts anew
            self._outside_feedback.stop()
        self._conversion.close()
        self._outside = self._outside_side = self._outside_feedback = None
        if side is not None:
            side.let_go()
        self._inward.forgets_sender()
        self._outward.forgets_receiver()
        if leg is not None:
            await leg.close()

    # The bridge.

    def bridge(self, deadline: float) -> None:
        """Forward both ways until `deadline`. NotRecorded where a recorder must write and none does."""
        if self._phone is None or self._outside is None or self._closed:
            raise wire.WorkerError("there are not two legs to bridge")
        if not self._confidential and not self._recording.writes:
            raise wire.NotRecorded("no recorder writes; nothing is forwarded")
        self._turn += 1
        self._presenter.stop()
        self._presenter.show(())
        self._deadline = deadline
        self._open_paths()
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._deadline_timer = SystemClock(self._loop).call_at(deadline, self._deadline_passed)

    def _open_paths(self) -> None:
        self._outward.open(self._deadline, self._recording.taps("phone"))
        self._inward.open(self._deadline, self._recording.taps("outside"))
        for leg in ("phone", "outside"):
            self._ask_sender(leg)
            self._conversion.refresh(leg)

    def unbridge(self) -> None:
        """Forward nothing from now on; the phone hears silence until it is told something."""
        self._outward.shut()
        self._inward.shut()
        self._deadline = 0.0
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
            self._deadline_timer = None
        if not self._closed:
            self._presenter.start()

    @property
    def _bridged(self) -> bool:
        return self._deadline > 0.0

    def _deadline_passed(self) -> None:
        last = max(self._outward.last_forwarded, self._inward.last_forwarded)
        self._tell(wire.DeadlinePassed, last_forwarded=last)
        self.unbridge()

    def ask_picture(self, leg: str) -> None:
        """Whoever sees a leg's picture needs a keyframe: ask its sender, or the transcoder where there is one."""
        if not self._conversion.refresh(leg):
            self._ask_sender(leg)

    def _ask_sender(self, leg: str) -> None:
        """As often as is good for it."""
        feedback = self._phone_feedback if leg == "phone" else self._outside_feedback
        if feedback is not None:
            feedback.want_picture(time.monotonic())

    def _phone_wants_picture(self) -> None:
        if self._closed:
            return
        if self._bridged:
            self.ask_picture("outside")
        self._presenter.refresh()

    # The recorder.

    async def open_recorder(self, path: str, facts: bytes) -> None:
        """Open the file. RecorderUnavailable where that cannot be, and always on a confidential line."""
        async with self._lock:
            phone = self._open_phone()
            if self._confidential:
                raise wire.RecorderUnavailable("io: a confidential call is never recorded")
            await self._recording.open(path, facts, phone.lines, self._shop.settings.keep_free_bytes)
            if self._outside is not None:
                self._record_outside(self._outside.lines)

    def _recorder_failed(self, why: str) -> None:
        if self._bridged:
            self.unbridge()
        self._tell(wire.RecorderFailed, why=why)

    def _recording_lacks_keyframe(self, leg: str) -> None:
        """The phone's picture is recorded as it came, the page's as the phone gets it."""
        if leg == "phone":
            self._ask_sender(leg)
        else:
            self.ask_picture(leg)

    async def seal(self, reason: str) -> bytes:
        """Stop recording for good, and with it forwarding; the manifest, empty where there is none to seal."""
        async with self._lock:
            if self._recording.writes and self._bridged:
                self.unbridge()
            return await self._recording.seal(reason)

    # Life and death.

    def leg_is(self, side: Side, state: str) -> None:
        """See leg_side.SideListener."""
        if state == "connected":
            feedback = self._outside_feedback
            if feedback is not None and side is self._outside_side:
                feedback.tick(time.monotonic(), self._phone_feedback)
            return
        if state == "moved":
            log.info("the page goes on over another network path", extra=self._extra)
            if self._bridged:
                self.ask_picture("outside")
            return
        at = time.monotonic()
        leg = self._phone if side is self._phone_side else self._outside
        if state in ("quiet", "silent") and leg is not None:
            # Silence is noticed late; nobody pays for the time since the last packet.
            at = min(at, leg.heard)
        self._tell(wire.LegChanged, leg=side.name, session=side.session, state=state, at=at)

    def reported(self, side: Side, kind: Kind | None, packet: bytes, arrival: float) -> None:
        """See leg_side.SideListener."""
        feedback = self._phone_feedback if side is self._phone_side else self._outside_feedback
        if feedback is not None:
            feedback.heard(kind, packet, arrival, functools.partial(self._clock_told, side.name))

    def _clock_told(self, name: str, kind: Kind, ntp_s: float, timestamp: int, arrival: float) -> None:
        if self._bridged:
            self._recording.sender_report(name, kind, ntp_s, timestamp, arrival)

    def event(self, side: Side, packet: bytes) -> None:
        """See leg_side.SideListener."""
        if side.name == "phone":
            digit = self._digits.read(packet)
            if digit is not None:
                self._tell(wire.RtpDigit, digit=digit)

    async def close(self, reason: str) -> bytes:
        """Close everything, seal what was recorded; the manifest, empty where nothing is left to seal."""
        self._closed = True
        self._turn += 1
        self.unbridge()
        self._presenter.stop()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        async with self._lock:
            try:
                await self._drop_outside()
                if self._phone is not None:
                    self._phone_side.let_go()
                    self._phone_feedback.goodbye(time.monotonic())
                    self._tell(wire.Stats, stats=self._stats())
                    self._phone_feedback.stop()
                    await self._phone.close()
            finally:
                manifest = await self._recording.seal(reason)
            return manifest

    def _tick(self) -> None:
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)
        try:
            self._look(time.monotonic())
        except Exception:
            log.exception("the call broke; it ends, others go on", extra=self._extra)
            self._tick_timer.cancel()
            self.leg_is(self._phone_side, "failed")

    def _look(self, now: float) -> None:
        """Time has passed."""
        self._phone_side.look(now)
        self._conversion.look(now, self._outside_feedback, self._phone_feedback)
        self._phone_feedback.tick(now, self._outside_feedback)
        if self._outside_side is not None and self._outside_feedback is not None:
            self._outside_feedback.tick(now, self._phone_feedback)
            if self._outside_side.connected:
                self._outside_side.look(now)
        if now >= self._stats_due:
            self._stats_due = now + STATS_EVERY_S
            self._tell(wire.Stats, stats=self._stats())

    def _stats(self) -> bytes:
        stats = CallStats(
            call=self._call,
            phone=self._phone_feedback.stats(),
            outside=self._outside_feedback.stats() if self._outside_feedback is not None else LegStats(),
            recorder=self._recording.stats(),
            not_converted=self._conversion.dropped,
        )
        return msgspec.json.encode(stats)

    def _tell(self, command: Any, **arguments: object) -> None:
        self._tell_control(command, call=self._call, **arguments)

    def _later(self, seconds: float, function: Callable[[float], None]) -> None:
        self._loop.call_later(seconds, lambda: function(time.monotonic()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _server(server: dict[str, Any]) -> RTCIceServer:
    return RTCIceServer(urls=server["urls"], username=server.get("username"), credential=server.get("credential"))
