"""Events of the SIP worker, the media workers, the pages and the clock, each taken in its order, one call at a time.

For each event: advance the table, store state and event in one transaction, let the commands out. Calls do not wait
for one another. A call whose progress cannot be stored is ended: nothing runs that nobody can account for.
"""

import dataclasses
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from twisted.internet.defer import Deferred

from avisiod.calls import events as ev
from avisiod.calls.call import Call, State, Times
from avisiod.calls.ids import ID_BYTES, CallId, PhoneId, SessionId, id_from
from avisiod.calls.invitation import Invitations
from avisiod.calls.limits import remaining
from avisiod.calls.outcome import UnexpectedEvent
from avisiod.calls.reasons import EndReason
from avisiod.calls.table import advance, due
from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.gateway.stats import CallStats
from avisiod.log import about, remember
from avisiod.ports import JournalEntry, Kept, StoreUnavailable
from avisiod.store.store import Store
from avisiod.switchboard.actions import Actions
from avisiod.switchboard.entry import Entry, Queued
from avisiod.switchboard.gatekeeper import Gatekeeper
from avisiod.switchboard.observer import Nobody, Observer
from avisiod.switchboard.owed import Owed

logger = logging.getLogger(__name__)

TELL_PAGES_EVERY_S = 10.0


class Switchboard:
    """All calls of this box. Implements SipListener and MediaListener."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        store: Store,
        invitations: Invitations,
        observer: Observer | None = None,
    ) -> None:
        self.entries: dict[CallId, Entry] = {}
        self.draining = False
        self.unsealed: set[str] = set()
        """Calls whose recording was not sealed, or did not get into the store: tried again by the daemon."""
        self.owed = Owed()
        self.room_on_disk: Callable[[], bool] = lambda: True
        """Whether a recording may be begun; set by the daemon."""
        self.on_stats: Callable[[CallStats], None] = lambda _stats: None
        """Told of each call's counters; set by the daemon."""
        self.on_media_lost: Callable[[], None] = lambda: None
        """Told when a media worker ended and left recordings unsealed; set by the daemon."""
        self.actions: Actions | None = None
        self.config = config
        self.clock = clock
        self.store = store
        self.invitations = invitations
        self.observer: Observer = observer if observer is not None else Nobody()
        self.gatekeeper = Gatekeeper(self, config, store)
        self._by_sip: dict[str, Entry] = {}
        self._idle: list[Deferred[None]] = []
        self._tell_pages()

    def adopt(self, config: Config) -> None:
        """New settings, for calls that begin from now on; what a call was granted stays."""
        self.config = config
        self.gatekeeper.adopt(config)

    # The phones.

    def in_call(self, phone: PhoneId) -> bool:
        """Whether the phone has a dialogue with us now, in whatever state its call is."""
        return any(entry.call.phone == phone and entry.sip_call is not None for entry in self.entries.values())

    def invited(self, sip_call: str, phone: str, number: str, offer: str, *, secure: bool) -> str:
        """A phone dials: the call begins; its id."""
        call = Call(
            id=CallId(id_from(secrets.token_bytes(ID_BYTES))),
            phone=PhoneId(phone),
            dialled_at=self.clock.now(),
            times=self._times(),
        )
        entry = Entry(
            call=call,
            sip_call=sip_call,
            offer=offer,
            secure=secure,
            language=self.config.site.language,
            dialled_utc=self.clock.utc(),
            unpaid_ends=self.config.calls.unpaid_ends,
        )
        own = [other for other in self._open() if other.call.phone == call.phone]
        gone = [ended for other in own if (ended := self._left_behind(other)) is not None]
        self.entries[call.id] = self._by_sip[sip_call] = entry
        remember(call.id, phone=phone)
        self.observer.moved(None, call)
        logger.info("phone %s dials", phone, extra={"call": call.id})
        self._schedule(entry)
        with about(call.id):
            run(self._admit(entry, number, gone, phone_busy=len(own) > len(gone)))
        return call.id

    def _left_behind(self, entry: Entry) -> Deferred[None] | None:
        """End a call of a phone that dials anew, where that says that it is over; None where it may go on."""
        if entry.sip_call is None:
            # Its SIP worker died, so that its BYE reached nobody: that it dials again says as much.
            return self.post(entry, ev.PhoneHungUp(self.clock.now()))
        if entry.phone_quiet is None:
            return None
        logger.info("the phone dials anew and is not heard in its call: that ends", extra={"call": entry.call.id})
        return self.post(entry, ev.LegSilent(entry.phone_quiet, "phone"))

    async def _admit(self, entry: Entry, dialled: str, gone: list[Deferred[None]], *, phone_busy: bool) -> None:
        for ended in gone:
            await ended
        await self.gatekeeper.admit(entry, dialled, phone_busy=phone_busy)

    def others(self, entry: Entry) -> list[Entry]:
        """The open calls but this one, and but those of its phone whose dialogue is over."""
        return [
            other
            for other in self._open()
            if other is not entry and (other.call.phone != entry.call.phone or other.sip_call is not None)
        ]

    def circumstances(self) -> tuple[bool, bool, bool]:
        """Whether the disk has room, media workers run, and the service is being stopped."""
        return self.room_on_disk(), self.actions is not None and self.actions.media.ready, self.draining

    def acknowledged(self, sip_call: str) -> None:
        """The ACK tells nothing that the 200 has not."""

    def reoffered(self, sip_call: str, offer: str) -> None:
        """The phone changes its media."""
        entry = self._by_sip.get(sip_call)
        if entry is not None and self.actions is not None:
            run(self.actions.answer_reoffer(entry, offer))

    def sip_ended(self, sip_call: str, by: str, status: int) -> None:
        """The dialogue is over."""
        entry = self._by_sip.pop(sip_call, None)
        if entry is None:
            return
        entry.sip_call = None
        now = self.clock.now()
        if by == "phone":
            self.post(entry, ev.PhoneHungUp(now))
        elif by == "lost":
            logger.warning("the phone answers no more (%s)", status, extra={"call": entry.call.id})
            self.post(entry, ev.LegSilent(now, "phone"))
            self.post(entry, ev.PhoneFailed(now))  # where silence changes nothing, in a farewell for example
        elif by == "failure":
            logger.warning("the dialogue broke with status %s", status, extra={"call": entry.call.id})
            self.post(entry, ev.PhoneFailed(now))

    def digit(self, sip_call: str, digit: str) -> None:
        """A key of the phone, by INFO. Never logged."""
        entry = self._by_sip.get(sip_call)
        if entry is not None:
            self.gatekeeper.pressed(entry, digit, "info")

    def picture_asked(self, sip_call: str) -> None:
        """The phone wants a keyframe of the relative."""
        entry = self._by_sip.get(sip_call)
        if entry is not None and self.actions is not None:
            run(self.actions.ask_picture(entry, "outside"))

    def phone_answered(self, sip_call: str, answer: str) -> None:
        """The phone answered an offer of ours; the media leg follows."""
        entry = self._by_sip.get(sip_call)
        if entry is not None and self.actions is not None:
            run(self.actions.take_phone_answer(entry, answer))

    def sip_worker_lost(self, sip_calls: list[str]) -> None:
        """Dialogues are forgotten, media goes on: only calls that were not answered yet are lost."""
        for sip_call in sip_calls:
            entry = self._by_sip.pop(sip_call, None)
            if entry is None:
                continue
            entry.sip_call = None
            if not entry.call.answered:
                self.post(entry, ev.PhoneFailed(self.clock.now()))

    # The media workers.

    def leg_changed(self, call: str, leg: str, session: str, state: str, at: float) -> None:
        """A leg flows, is quiet, silent or failed."""
        entry = self.entries.get(CallId(call))
        if entry is not None and leg == "phone":
            entry.phone_quiet = at if state in ("quiet", "silent") else None
            if state == "quiet":
                logger.info("nothing is heard of the phone for some seconds", extra={"call": call})
        kind = {"flowing": ev.LegFlowing, "silent": ev.LegSilent, "failed": ev.LegFailed}.get(state)
        if entry is None or kind is None:
            return
        if leg == "phone":
            self.post(entry, kind(at, "phone"))
        else:
            self.post(entry, kind(at, "outside", SessionId(session)))

    def prompt_over(self, call: str, prompt: str) -> None:
        """A prompt was heard; the last one ends the call's stay."""
        entry = self.entries.get(CallId(call))
        if entry is not None and prompt and prompt == entry.farewell_prompt:
            self.post(entry, ev.FarewellOver(self.clock.now()))

    def deadline_passed(self, call: str, last_forwarded: float) -> None:
        """The worker kept the limit by itself."""
        entry = self.entries.get(CallId(call))
        if entry is not None:
            logger.debug("last packet forwarded at %.3f", last_forwarded, extra={"call": call})
            self.post(entry, ev.DeadlineReached(self.clock.now()))

    def recorder_failed(self, call: str, why: str) -> None:
        """The recording goes on no longer, so the call does not."""
        entry = self.entries.get(CallId(call))
        if entry is not None:
            reason = EndReason.DISK_FULL if why.startswith("disk_full") else EndReason.RECORDER_FAILED
            self.post(entry, ev.RecorderBroke(self.clock.now(), reason))

    def rtp_digit(self, call: str, digit: str) -> None:
        """A key of the phone, by RFC 4733. Never logged."""
        entry = self.entries.get(CallId(call))
        if entry is not None:
            self.gatekeeper.pressed(entry, digit, "rtp")

    def phone_picture_wanted(self, call: str) -> None:
        """The phone is asked for a keyframe by INFO."""
        entry = self.entries.get(CallId(call))
        if entry is not None and self.actions is not None:
            run(self.actions.ask_phone_picture(entry))

    def stats(self, stats: CallStats) -> None:
        """Counters of one call."""
        self.on_stats(stats)

    def media_lost(self, calls: list[str]) -> None:
        """A worker ended; its calls end as our failure."""
        for call in calls:
            entry = self.entries.get(CallId(call))
            if entry is not None:
                entry.media_open = False
                self.post(entry, ev.MediaLost(self.clock.now()))
        if calls or not self.draining:
            # It may have died over the sealing of a call that was no longer counted as its own.
            self.on_media_lost()

    def waits_for_code(self, call: str) -> bool:
        """Whether the code of this call is still to be typed."""
        entry = self.entries.get(CallId(call))
        return entry is not None and entry.call.state is State.WAITING and entry.code_accepted_at is None

    # Staff and service.

    def cut_at_once(self, calls: Iterable[str]) -> None:
        """End calls; nothing is forwarded from now on, before their end is stored, and even if it cannot be.

        For the emergency key; a call that has ended already is passed over.
        """
        entries = [self.entries[CallId(call)] for call in calls if CallId(call) in self.entries]
        ending = [
            entry for entry in entries if not entry.cut and entry.call.state not in (State.ENDED, State.REFUSED)
        ]
        for entry in ending:
            entry.cut = True
            if self.actions is not None and entry.media_open:
                run(self.actions.unbridge(entry))
        for entry in ending:
            self.post(entry, ev.StaffEnded(self.clock.now()))

    def under_way(self) -> list[tuple[str, str]]:
        """Call and phone of every call that has not ended."""
        return [(entry.call.id, entry.call.phone) for entry in self._open()]

    def end_call(self, call: CallId) -> Deferred[None]:
        """Staff ends a call. KeyError if it is not open."""
        return self.post(self.entries[call], ev.StaffEnded(self.clock.now()))

    def drain(self, until: float) -> Deferred[None]:
        """Take no new call; those under way may go on until then, and hear that. Fires once all are closed."""
        self.draining = True
        for entry in self._open():
            self.post(entry, ev.ServiceDraining(self.clock.now(), until))
        return self._when_idle()

    def stop(self) -> Deferred[None]:
        """Take no new call, end all, tell both sides; fires once every call is closed and sealed."""
        self.draining = True
        for entry in self._open():
            self.post(entry, ev.ServiceStopping(self.clock.now()))
        return self._when_idle()

    def _when_idle(self) -> Deferred[None]:
        idle: Deferred[None] = Deferred()
        if self.entries:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    # The engine.

    def post(self, entry: Entry, event: ev.Event, *kept: Kept) -> Deferred[None]:
        """Put an event into the call's row; fires when it is taken, its commands let out. Never fails.

        `kept` is stored in the same transaction as the event.
        """
        return self._queue(entry, Queued(event, kept))

    def _queue(self, entry: Entry, queued: Queued) -> Deferred[None]:
        entry.events.append(queued)
        if not entry.busy:
            entry.busy = True
            with about(entry.call.id):
                run(self._drain(entry))
        return queued.taken

    async def _drain(self, entry: Entry) -> None:
        try:
            while entry.events:
                queued = entry.events.popleft()
                event = queued.event
                try:
                    if queued.brought_by_time and not _still_due(entry.call, event):
                        continue  # what came before it, and was being stored meanwhile, has overtaken it
                    await self._take(entry, event, *queued.kept)
                except Exception:
                    logger.exception("event %s was lost", type(event).__name__, extra={"call": entry.call.id})
                finally:
                    queued.taken.callback(None)
        finally:
            entry.busy = False

    async def _take(self, entry: Entry, event: ev.Event, *kept: Kept) -> None:
        before = entry.call
        try:
            after, commands = advance(before, event)
        except UnexpectedEvent as error:
            logger.warning("%s; nothing was changed", error, extra={"call": before.id})
            return
        if after is before and not commands and not kept:
            return
        if after.contact is None and entry.contact is not None:
            after = dataclasses.replace(after, contact=entry.contact)
        entry.call = after
        self._note_times(entry, before, event)
        record, line = entry.record(), self._journal_line(after, event)
        try:
            await self.store.save_call(record, line, *kept)
        except Exception as error:
            expected = isinstance(error, StoreUnavailable)
            logger.error(
                "%s was not stored: %s", type(event).__name__, error, extra={"call": after.id}, exc_info=not expected
            )
            if after.state is not State.ENDED:
                # What is not written down must not run; the end itself is let out below, stored or not.
                await self._take(entry, ev.StoreFailed(self.clock.now()))
                return
            if before.state is not State.ENDED:
                self.owed.add(record, line)
        self._observe(entry, before, event)
        if self.actions is not None:
            for command in commands:
                run(self.actions.carry_out(entry, command))
        self._schedule(entry)

    def _note_times(self, entry: Entry, before: Call, event: ev.Event) -> None:
        if isinstance(event, ev.SmsAccepted):
            entry.sms_accepted_at = event.at
        if isinstance(event, ev.CodeAccepted):
            entry.code_accepted_at = event.at
            if entry.sms_accepted_at is not None:
                self.observer.stage("code", event.at - entry.sms_accepted_at)
        if entry.connected_utc is None and entry.call.connected_at is not None:
            entry.connected_utc = self.clock.utc()
        if before.state is not State.ENDED and entry.call.state is State.ENDED:
            entry.ended_utc = self.clock.utc()

    def _observe(self, entry: Entry, before: Call, event: ev.Event) -> None:
        call = entry.call
        if call.state is before.state:
            return
        self.observer.moved(before.state, call)
        if call.state is State.WAITING and before.state is State.INVITING:
            self.observer.stage("sms", event.at - call.dialled_at)
        if call.state is State.CONNECTED and before.connected_at is None and entry.code_accepted_at is not None:
            self.observer.stage("join", event.at - entry.code_accepted_at)
        reason = call.reason.value if call.reason is not None else ""
        remember(call.id, reason=reason)
        logger.info(
            "%s -> %s%s",
            before.state,
            call.state,
            f" ({reason})" if reason else "",
            extra={"call": call.id},
        )

    def _schedule(self, entry: Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        moment = due(entry.call)
        if moment is not None:
            at, event = moment
            entry.timer = self.clock.call_at(at, lambda: self._time_came(entry, event))

    def _time_came(self, entry: Entry, event: ev.Event) -> None:
        entry.timer = None
        self._queue(entry, Queued(event, brought_by_time=True))

    def forget(self, entry: Entry) -> None:
        """The call is over, closed and sealed."""
        if self.entries.pop(entry.call.id, None) is not None:
            self.observer.forgotten(entry.call)
        if entry.sip_call is not None:
            self._by_sip.pop(entry.sip_call, None)
        if not self.entries:
            idle, self._idle = self._idle, []
            for deferred in idle:
                deferred.callback(None)

    def _open(self) -> Iterable[Entry]:
        return [e for e in self.entries.values() if e.call.state not in (State.ENDED, State.REFUSED)]

    def _times(self) -> Times:
        calls = self.config.calls
        return Times(
            warnings_s=calls.warnings_s,
            code_valid_s=calls.code_valid_s,
            grace_s=calls.grace_s,
            join_timeout_s=calls.join_timeout_s,
        )

    def _journal_line(self, call: Call, event: ev.Event) -> JournalEntry:
        details: dict[str, str | int | float | bool | None] = {
            name: value.value if isinstance(value, EndReason) else value
            for name in event.__dataclass_fields__
            if name != "at" and (value := getattr(event, name)) is not None
        }
        if call.state is State.ENDED and call.reason is not None:
            details["reason"] = call.reason.value
            details["connected_s"] = round(call.connected_s, 3)
        return JournalEntry(
            call=call.id, at_utc=self.clock.utc(), at=event.at, event=type(event).__name__, details=details
        )

    def _tell_pages(self) -> None:
        now = self.clock.now()
        for entry in self.entries.values():
            call = entry.call
            if entry.page is not None and call.deadline is not None and call.state is not State.ENDED:
                connected = call.state is State.CONNECTED
                entry.page.state("connected" if connected else "interrupted", remaining(call.deadline, now))
        self.clock.call_at(now + TELL_PAGES_EVERY_S, self._tell_pages)


def _still_due(call: Call, event: ev.Event) -> bool:
    moment = due(call)
    return moment is not None and moment[1] == event


def run(coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
    """Start a coroutine of control; what it does not handle itself is logged with its traceback."""
    Deferred.fromCoroutine(coroutine).addErrback(
        lambda failure: logger.error("unexpected: %s", failure.getTraceback())
    )
