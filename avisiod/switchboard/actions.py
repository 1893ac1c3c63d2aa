"""What the table's commands do in the world. Each outcome that matters comes back as an event."""

import datetime
import hashlib
import logging
import secrets
import zoneinfo
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread

from avisiod.calls import commands as do
from avisiod.calls import events as ev
from avisiod.calls.call import State
from avisiod.calls.limits import remaining
from avisiod.calls.reasons import EndReason
from avisiod.config.settings import Config
from avisiod.devices.code_sms import CodeTexts
from avisiod.gateway import prompt_catalogue, wire
from avisiod.gateway.manifest import RecordingFacts, decode
from avisiod.gateway.media_gateway import MediaGateway
from avisiod.gateway.sip_gateway import SipGateway
from avisiod.ports import InvitationRecord, Sms, SmsFailed, SmsRoute, StoreUnavailable
from avisiod.switchboard.board import Board
from avisiod.switchboard.entry import Entry

logger = logging.getLogger(__name__)


class Actions:
    """The hands of the switchboard."""

    def __init__(
        self,
        board: Board,
        config: Config,
        sip: SipGateway,
        media: MediaGateway,
        sms: SmsRoute,
        texts: CodeTexts,
    ) -> None:
        self.media = media
        self._board = board
        self._config = config
        self._sip = sip
        self._sms = sms
        self._texts = texts
        self._zone = zoneinfo.ZoneInfo(config.site.time_zone)
        self._handlers: dict[type[do.Command], Callable[[Entry, Any], Awaitable[None]]] = {
            do.AnswerPhone: self._answer_phone,
            do.RejectPhone: self._reject_phone,
            do.HangUpPhone: self._hang_up_phone,
            do.Present: self._present,
            do.SpeakTheirs: self._speak_theirs,
            do.Protect: self._protect,
            do.SayShortened: self._say_shortened,
            do.SayFarewell: self._say_farewell,
            do.SendInvitation: self._send_invitation,
            do.CancelInvitation: self._cancel_invitation,
            do.OpenRecorder: self._open_recorder,
            do.SealRecording: self._seal_recording,
            do.Bridge: self._bridge,
            do.Unbridge: self._unbridge,
            do.CloseOutsideLeg: self._close_outside_leg,
            do.CloseMedia: self._close_media,
            do.Warn: self._warn,
            do.TellPage: self._tell_page,
            do.TellPageEnd: self._tell_page_end,
        }

    def adopt(self, config: Config, texts: CodeTexts) -> None:
        """Settings and texts of SMS that are sent from now on."""
        self._config = config
        self._texts = texts

    async def carry_out(self, entry: Entry, command: do.Command) -> None:
        """Carry a command out. Its failure becomes an event or a log line, never an exception."""
        await self._handlers[type(command)](entry, command)

    # The phone.

    async def _answer_phone(self, entry: Entry, _command: do.AnswerPhone) -> None:
        call = entry.call
        try:
            answer = await self.media.open_call(
                call.id,
                entry.offer,
                confidential=call.confidential,
                language=entry.language,
                secure=entry.secure,
            )
        except wire.WorkerError as error:
            logger.warning("the phone's offer was not answered: %s", error, extra={"call": call.id})
            self._post(entry, ev.PhoneUnanswerable(self._now(), _why_unanswerable(error)))
            return
        entry.media_open = True
        if entry.call.state is State.ENDED:
            await self._close_media(entry, do.CloseMedia(entry.call.reason or EndReason.MEDIA_FAILED))
            return
        try:
            if entry.sip_call is None:
                raise wire.NoSuchCall("the dialogue is over")
            await self._sip.answer(entry.sip_call, answer)
        except wire.WorkerError as error:
            logger.warning("the phone could not be answered: %s", error, extra={"call": call.id})
            self._post(entry, ev.PhoneFailed(self._now()))
            return
        self._post(entry, ev.PhoneAnswered(self._now()))

    async def answer_reoffer(self, entry: Entry, offer: str) -> None:
        """Answer a re-INVITE; one that cannot be answered leaves the call as it was (RFC 3261 section 14.2)."""
        sip_call = entry.sip_call
        if sip_call is None:
            return
        try:
            answer = await self.media.update_phone_leg(entry.call.id, offer)
            await self._sip.answer(sip_call, answer)
        except wire.WorkerError as error:
            logger.warning("a new offer of the phone was refused: %s", error, extra={"call": entry.call.id})
            await self._quietly(entry, self._sip.reject(sip_call, 488, "Not Acceptable Here"))

    async def take_phone_answer(self, entry: Entry, answer: str) -> None:
        """The phone answered an offer of ours: to a late-offer INVITE, or to a refresh of the session."""
        await self._quietly(entry, self._update_phone_leg(entry, answer))

    async def _update_phone_leg(self, entry: Entry, sdp: str) -> None:
        await self.media.update_phone_leg(entry.call.id, sdp, answers=True)

    async def _reject_phone(self, entry: Entry, command: do.RejectPhone) -> None:
        if entry.sip_call is not None:
            status = command.reason.sip_status if command.reason.sip_status >= 300 else 480
            await self._quietly(entry, self._sip.reject(entry.sip_call, status, command.reason.value))

    async def _hang_up_phone(self, entry: Entry, command: do.HangUpPhone) -> None:
        if entry.sip_call is not None:
            reason = command.reason
            await self._quietly(entry, self._sip.hang_up(entry.sip_call, reason.sip_status, reason.value))

    async def _present(self, entry: Entry, command: do.Present) -> None:
        await self._quietly(entry, self.media.present(entry.call.id, command.what, command.what, command.repeat_s))

    async def _speak_theirs(self, entry: Entry, _command: do.SpeakTheirs) -> None:
        await self._quietly(entry, self.media.tailor(entry.call.id, confidential=False, language=entry.language))

    async def _protect(self, entry: Entry, _command: do.Protect) -> None:
        try:
            await self.media.tailor(entry.call.id, confidential=True, language=entry.language)
        except wire.WorkerError as error:
            logger.error("the line could not be protected: %s", error, extra={"call": entry.call.id})
            self._post(entry, ev.MediaLost(self._now()))

    async def _say_farewell(self, entry: Entry, command: do.SayFarewell) -> None:
        picture = entry.farewell_prompt = prompt_catalogue.for_end_reason(command.reason)
        if command.reason is EndReason.HOURS_OVER:
            entry.again_utc = await self._board.gatekeeper.when_again(entry)
        if entry.again_utc is not None and entry.language in prompt_catalogue.languages():
            # in another language there is the site's own voice only, which has whole sentences
            now, again = (at.astimezone(self._zone) for at in (self._board.clock.utc(), entry.again_utc))
            entry.farewell_prompt = prompt_catalogue.for_refusal(command.reason, now, again)
            picture = prompt_catalogue.picture_of(entry.farewell_prompt)
        try:
            await self.media.present(entry.call.id, entry.farewell_prompt, picture)
        except wire.WorkerError as error:
            logger.debug("no farewell: %s", error, extra={"call": entry.call.id})
            self._post(entry, ev.FarewellOver(self._now()))

    async def ask_picture(self, entry: Entry, leg: str) -> None:
        """Ask a leg's sender for a keyframe."""
        await self._quietly(entry, self.media.ask_picture(entry.call.id, leg))

    async def ask_phone_picture(self, entry: Entry) -> None:
        """Ask the phone for a keyframe by INFO."""
        if entry.sip_call is not None:
            await self._quietly(entry, self._sip.ask_picture(entry.sip_call))

    # The invitation.

    async def _send_invitation(self, entry: Entry, _command: do.SendInvitation) -> None:
        call = entry.call
        if entry.number is None or call.sms_due is None:
            self._post(entry, ev.SmsUnsendable(self._now()))
            return
        invitation = self._board.invitations.issue(call.id, secrets.randbelow)
        kept = InvitationRecord(call=call.id, hash=invitation.hash, issued_utc=self._board.clock.utc())
        portal = self._config.portal
        try:
            await self._board.store.save_invitation(kept)
            if entry.call.state is State.ENDED:
                return  # it ended meanwhile; its code is void
            text = self._texts.render(
                entry.sms_language or entry.language,
                code=invitation.code,
                portal_url=f"{portal.public_url.rstrip('/')}/{invitation.link}",
                name=portal.name,
                valid_s=call.times.code_valid_s,
            )
            message = Sms(
                id=call.id, number=entry.number, text=text, valid_s=call.times.code_valid_s, give_up_at=call.sms_due
            )
            sending = self._sms.send(message)
            entry.sms = sending if isinstance(sending, Deferred) else None
            await sending
        except StoreUnavailable as error:
            logger.error("the invitation was not stored, so not sent: %s", error, extra={"call": call.id})
            self._post(entry, ev.StoreFailed(self._now()))
        except CancelledError:
            logger.debug("the SMS is no longer wanted", extra={"call": call.id})
        except (SmsFailed, ValueError) as error:
            logger.warning("the SMS could not be sent: %s", error, extra={"call": call.id})
            self._post(entry, ev.SmsUnsendable(self._now()))
        else:
            now, valid_s = self._now(), call.times.code_valid_s
            self._board.invitations.start(call.id, now + valid_s)
            expires = self._board.clock.utc() + datetime.timedelta(seconds=valid_s)
            self._board.post(entry, ev.SmsAccepted(now), msgspec.structs.replace(kept, expires_utc=expires))
        finally:
            entry.sms = None

    async def _cancel_invitation(self, entry: Entry, _command: do.CancelInvitation) -> None:
        self._board.invitations.cancel(entry.call.id, self._now())
        if entry.sms is not None:
            entry.sms.cancel()

    # The recording.

    async def _open_recorder(self, entry: Entry, _command: do.OpenRecorder) -> None:
        call = entry.call
        utc = self._board.clock.utc()
        facts = RecordingFacts(
            call=call.id,
            phone=call.phone,
            contact=call.contact or "",
            started_at=utc.isoformat(),
            started_monotonic=self._now(),
        )
        folder = entry.recording_folder = Path(self._config.recordings.folder) / f"{utc:%Y/%m/%d}"
        try:
            await deferToThread(folder.mkdir, parents=True, exist_ok=True)
            await self.media.open_recorder(call.id, str(folder / f"{call.id}.mkv"), msgspec.json.encode(facts))
        except (OSError, wire.WorkerError) as error:
            logger.error("the recording could not be opened: %s", error, extra={"call": call.id})
            full = "disk_full" in str(error)
            reason = EndReason.DISK_FULL if full else EndReason.RECORDER_FAILED
            self._post(entry, ev.RecorderBroke(self._now(), reason))
        else:
            self._post(entry, ev.RecorderOpened(self._now()))

    async def _seal_recording(self, entry: Entry, command: do.SealRecording) -> None:
        entry.seals += 1
        try:
            await self._keep(entry, await self.media.seal_recording(entry.call.id, command.reason.value))
        except wire.NoSuchCall:
            # Its worker is gone; what it left on disk is sealed as truncated.
            logger.debug("no worker holds the recording any more", extra={"call": entry.call.id})
        except wire.WorkerError as error:
            logger.error("the recording was not sealed: %s", error, extra={"call": entry.call.id})
            self._board.unsealed.add(entry.call.id)
        finally:
            entry.seals -= 1
            self._forget_if_done(entry)

    async def _keep(self, entry: Entry, manifest: bytes) -> None:
        if not manifest:
            return
        try:
            sealed = decode(manifest)
            await self._board.store.save_recording(sealed.recording(entry.recording_folder))
        except (StoreUnavailable, ValueError) as error:
            # The manifest lies beside the file and is read again.
            logger.error("the recording is on disk but not in the store: %s", error, extra={"call": entry.call.id})
            self._board.unsealed.add(entry.call.id)

    # The bridge.

    async def _bridge(self, entry: Entry, command: do.Bridge) -> None:
        try:
            await self.media.bridge(entry.call.id, command.deadline)
        except wire.WorkerError as error:
            logger.error("the legs were not bridged: %s", error, extra={"call": entry.call.id})
            self._post(entry, ev.MediaLost(self._now()))

    async def unbridge(self, entry: Entry) -> None:
        """Forward nothing more, ahead of the end that is on its way."""
        await self._quietly(entry, self.media.unbridge(entry.call.id))

    async def _unbridge(self, entry: Entry, _command: do.Unbridge) -> None:
        await self._quietly(entry, self.media.unbridge(entry.call.id))

    async def _close_outside_leg(self, entry: Entry, _command: do.CloseOutsideLeg) -> None:
        await self._quietly(entry, self.media.close_browser_leg(entry.call.id))

    async def _close_media(self, entry: Entry, command: do.CloseMedia) -> None:
        entry.seals += 1
        try:
            if entry.media_open:
                entry.media_open = False
                await self._keep(entry, await self.media.close_call(entry.call.id, command.reason.value))
        except wire.WorkerError as error:
            logger.warning("media was not closed: %s", error, extra={"call": entry.call.id})
            self._board.unsealed.add(entry.call.id)
        finally:
            entry.seals -= 1
            self._forget_if_done(entry)

    def _forget_if_done(self, entry: Entry) -> None:
        call = entry.call
        if call.state is State.ENDED and call.farewell_until is None and entry.seals == 0 and not entry.media_open:
            self._board.forget(entry)

    # The page.

    async def _warn(self, entry: Entry, command: do.Warn) -> None:
        if entry.page is not None:
            entry.page.warning(command.remaining_s)
        prompt = prompt_catalogue.for_warning(command.remaining_s)
        # Over the relative's picture nothing is shown; in its absence what is shown stays.
        picture = "interrupted" if entry.call.state is State.INTERRUPTED else ""
        await self._quietly(entry, self.media.present(entry.call.id, prompt, picture))

    async def _say_shortened(self, entry: Entry, command: do.SayShortened) -> None:
        if entry.page is not None:
            entry.page.shortened(command.by, command.remaining_s)
        prompt = prompt_catalogue.for_shortened(command.by, command.remaining_s)
        await self._quietly(entry, self.media.present(entry.call.id, prompt, ""))

    async def _tell_page(self, entry: Entry, command: do.TellPage) -> None:
        if entry.page is not None:
            deadline = entry.call.deadline
            entry.page.state(command.state, None if deadline is None else remaining(deadline, self._now()))

    async def _tell_page_end(self, entry: Entry, command: do.TellPageEnd) -> None:
        if entry.page is not None:
            entry.page.ended(command.reason, entry.call.connected_s, charged=entry.charged)

    # Small things.

    async def _quietly(self, entry: Entry, asked: Awaitable[None]) -> None:
        """What fails here has an event of its own (a worker lost, a dialogue over), or does not matter."""
        try:
            await asked
        except wire.WorkerError as error:
            logger.debug("%s", error, extra={"call": entry.call.id})

    def _post(self, entry: Entry, event: ev.Event) -> None:
        self._board.post(entry, event)

    def _now(self) -> float:
        return self._board.clock.now()


def _why_unanswerable(error: wire.WorkerError) -> EndReason:
    if isinstance(error, wire.OfferUnacceptable):
        return EndReason.OFFER_UNACCEPTABLE
    if isinstance(error, wire.NoPorts):
        return EndReason.NO_CAPACITY
    return EndReason.MEDIA_FAILED


def token_digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()
