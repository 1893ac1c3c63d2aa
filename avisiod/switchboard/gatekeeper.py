"""Who may call: gathers what admission decides on, and asks on a shared phone who is calling."""

import collections
import dataclasses
import datetime
import logging
import zoneinfo
from collections.abc import Iterable
from typing import Protocol

import argon2
from argon2 import PasswordHasher
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from avisiod import numbers
from avisiod.calls import admission, identification
from avisiod.calls import events as ev
from avisiod.calls.call import State
from avisiod.calls.dossier import Dossier
from avisiod.calls.identification import Claim, Identification, Key
from avisiod.calls.reasons import EndReason
from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.ports import Books, Kept, PinRecord, StoreUnavailable
from avisiod.switchboard.entry import Entry
from avisiod.switchboard.observer import Observer

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""PINs verified at once: each takes a core for some hundredths of a second, and 64 MiB."""


class Board(Protocol):
    """What the gatekeeper needs of the switchboard."""

    clock: Clock
    observer: Observer

    def post(self, entry: Entry, event: ev.Event, *kept: Kept) -> Deferred[None]:
        """Put an event into the call's row."""

    def others(self, entry: Entry) -> list[Entry]:
        """The open calls but this one."""

    def circumstances(self) -> tuple[bool, bool, bool]:
        """Whether the disk has room, media workers run, and the service is being stopped."""


class Gatekeeper:
    """See the module. Every outcome is an event of the call."""

    def __init__(self, board: Board, config: Config, books: Books) -> None:
        self._board = board
        self._config = config
        self._books = books
        self._zone = zoneinfo.ZoneInfo(config.site.time_zone)
        self._hasher = PasswordHasher()
        self._nobody = ""
        self._verifying = DeferredSemaphore(AT_ONCE)
        self._unpriced: set[str] = set()

    def adopt(self, config: Config) -> None:
        """Decide by these settings from now on; the time zone is that of the start."""
        self._config = config

    async def admit(self, entry: Entry, dialled: str, *, phone_busy: bool) -> None:
        """Decide on a call that was dialled, or ask who calls first."""
        entry.number = numbers.dialled_number(dialled, self._config.site.region)
        entry.phone_busy = phone_busy
        await self._decide(entry)

    async def _decide(self, entry: Entry) -> None:
        """Read the facts, decide, tell the call."""
        call, utc = entry.call, self._board.clock.utc()
        try:
            dossier = await self._books.facts(call.phone, call.detainee, entry.number, utc)
            wait_s = await self._phone_wait_s(entry, dossier, utc)
        except StoreUnavailable as error:
            logger.error("admission is not possible: %s", error, extra={"call": call.id})
            self._board.post(entry, ev.StoreFailed(self._now()))
            return
        # From here to the event nothing is waited for: of two calls to one contact the second finds it busy.
        facts = self._facts(entry, dossier, utc)
        verdict = admission.decide(facts)
        if dossier.detainee is not None and facts.mode == "full":
            entry.detainee = dossier.detainee.id
        _speak_language_of(entry, dossier)
        if isinstance(verdict, admission.Granted):
            self._grant(entry, dossier, verdict, utc)
        elif verdict.reason is not EndReason.NOT_IDENTIFIED:
            entry.again_utc = verdict.again_utc
            self._refuse(entry, verdict.reason, verdict.because)
        elif wait_s > 0:
            self._lock_out(entry, utc, wait_s, verdict.because)
        else:
            entry.identification = Identification()
            self._board.post(entry, ev.IdentityWanted(self._now()))

    async def when_again(self, entry: Entry) -> datetime.datetime | None:
        """When a call whose time is over before it began may be made; None where that is not known."""
        utc = self._board.clock.utc()
        try:
            dossier = await self._books.facts(entry.call.phone, entry.detainee, entry.number, utc)
        except StoreUnavailable:
            return None  # the end itself is told all the same
        facts = dataclasses.replace(self._facts(entry, dossier, utc), phone_busy=False)
        verdict = admission.decide(facts)
        return verdict.again_utc if isinstance(verdict, admission.Refused) else None

    async def _phone_wait_s(self, entry: Entry, dossier: Dossier, utc: datetime.datetime) -> float:
        """For how long nobody is asked on this phone, because too many wrong PINs were typed there."""
        line = dossier.line
        if self._config.site.admission == "listed" or line is None or not line.shared or entry.call.detainee:
            return 0.0
        tries = (await self._books.pin_record(line.id, "")).on_phone
        return identification.phone_wait_s(tries.wrong, tries.last_utc, utc)

    def _facts(self, entry: Entry, dossier: Dossier, utc: datetime.datetime) -> admission.Facts:
        others = self._board.others(entry)
        callee, detainee, calls = dossier.callee, dossier.detainee, self._config.calls
        disk_free_enough, media_ready, draining = self._board.circumstances()
        return admission.Facts(
            mode=self._config.site.admission,
            at_utc=utc,
            zone=self._zone,
            dossier=dossier,
            number_valid=entry.number is not None,
            phone_busy=entry.phone_busy,
            contact_busy=callee is not None and any(other.contact == callee.id for other in others),
            detainee_busy=detainee is not None and any(other.detainee == detainee.id for other in others),
            open_calls=len(others),
            capacity=calls.capacity,
            disk_free_enough=disk_free_enough,
            media_ready=media_ready,
            draining=draining,
            limit_s=calls.limit_s,
            shortest_s=calls.shortest_s,
        )

    def _grant(self, entry: Entry, dossier: Dossier, granted: admission.Granted, utc: datetime.datetime) -> None:
        now = self._now()
        if dossier.callee is not None:
            entry.contact, entry.sms_language = dossier.callee.id, dossier.callee.language
        entry.granted = granted
        if granted.unpriced and self._config.site.admission == "full":
            self._tell_unpriced(granted.cls.id)
        end = granted.not_after_utc
        not_after = None if end is None else now + (end - utc).total_seconds()
        event = ev.Granted(
            now,
            granted.limit_s,
            granted.confidential,
            granted.shortened_by,
            not_after,
            granted.not_after_by,
            because=_told(granted.because),
        )
        self._board.post(entry, event)

    def _refuse(self, entry: Entry, reason: EndReason, because: Iterable[admission.Reasoning] = ()) -> None:
        self._board.post(entry, ev.Refused(self._now(), reason, because=_told(because)))

    def _lock_out(
        self, entry: Entry, utc: datetime.datetime, wait_s: float, because: Iterable[admission.Reasoning] = ()
    ) -> None:
        entry.again_utc = utc + datetime.timedelta(seconds=wait_s)
        self._refuse(entry, EndReason.PIN_LOCKED, because)

    def _tell_unpriced(self, cls: str) -> None:
        self._board.observer.unpriced()
        level = logging.DEBUG if cls in self._unpriced else logging.WARNING
        self._unpriced.add(cls)
        logger.log(level, "no tariff is set for class %s now: its calls are free. Add one, or a free one", cls)

    # A shared phone.

    def pressed(self, entry: Entry, key: str, source: str) -> None:
        """A key of the phone. Never raises, never logs it.

        Some phones send each digit twice, as RFC 4733 events and by INFO: the first kind that comes is believed.
        """
        call, state = entry.call, entry.identification
        if state is None or call.state is not State.IDENTIFYING or not call.answered or call.detainee is not None:
            return
        if entry.key_source not in ("", source):
            return
        entry.key_source = source
        entry.identification, outcome = state.press(key)
        if outcome is Key.PIN_WANTED:
            self._board.post(entry, ev.PinWanted(self._now()))
        elif outcome is Key.IDENTIFIER_WANTED:
            self._board.post(entry, ev.IdentifierWanted(self._now(), wrong=False))
        elif outcome is Key.CLAIMED:
            done = Deferred.fromCoroutine(self._verify(entry, entry.identification.claim))
            done.addErrback(self._failed, entry)

    def _failed(self, failure: Failure, entry: Entry) -> None:
        # Not the traceback: what was typed could stand in it.
        logger.error("who calls was not found out: %s", failure.type, extra={"call": entry.call.id})
        self._board.post(entry, ev.StoreFailed(self._now()))

    async def _verify(self, entry: Entry, claim: Claim) -> None:
        """Look at a claim. It counts as wrong from before it is looked at: hanging up takes no try back."""
        phone, utc = entry.call.phone, self._board.clock.utc()
        try:
            known = await self._books.pin_record(phone, claim.identifier)
            if (wait_s := self._wait_s(known, utc)) > 0:
                self._board.observer.pin_tried("locked")
                self._lock_out(entry, utc, wait_s)
                return
            await self._books.pin_tried(phone, known.detainee, utc, right=False)
            right = await self._verifying.run(deferToThread, self._is_right, known.pin_hash, claim.pin)
            if right and known.detainee is not None:
                await self._books.pin_tried(phone, known.detainee, utc, right=True)
        except StoreUnavailable as error:
            logger.error("who calls could not be found out: %s", error, extra={"call": entry.call.id})
            self._board.post(entry, ev.StoreFailed(self._now()))
            return
        await self._answered(entry, known, right=right)

    async def _answered(self, entry: Entry, known: PinRecord, *, right: bool) -> None:
        state = entry.identification
        if entry.call.state is not State.IDENTIFYING or state is None:
            return  # it ended meanwhile
        right = right and known.detainee is not None
        self._board.observer.pin_tried("right" if right else "wrong")
        entry.identification = state.answered(right=right)
        if right and known.detainee is not None:
            entry.identification = None
            entry.language = known.language or entry.language
            await self._board.post(entry, ev.Identified(self._now(), known.detainee))
            await self._decide(entry)
        elif entry.identification.over:
            self._refuse(entry, EndReason.PIN_REFUSED)
        else:
            self._board.post(entry, ev.IdentifierWanted(self._now(), wrong=True))

    @staticmethod
    def _wait_s(known: PinRecord, utc: datetime.datetime) -> float:
        on, by = known.on_phone, known.by_detainee
        return max(
            identification.phone_wait_s(on.wrong, on.last_utc, utc),
            identification.detainee_wait_s(by.wrong, by.last_utc, utc),
        )

    def _is_right(self, pin_hash: str, pin: str) -> bool:
        """Whether the PIN is the hash's; in a thread. An identifier that nobody has takes as long as one that is."""
        if not self._nobody:
            self._nobody = self._hasher.hash("nobody")
        if not pin_hash:
            pin_hash, pin = self._nobody, "*"
        try:
            return self._hasher.verify(pin_hash, pin)
        except argon2.exceptions.VerificationError:
            return False
        except argon2.exceptions.InvalidHashError:
            logger.error("a PIN’s hash in the store is none: set that detainee’s PIN anew")
            return False

    def _now(self) -> float:
        return self._board.clock.now()


def _speak_language_of(entry: Entry, dossier: Dossier) -> None:
    """Of who calls, else of the phone."""
    if dossier.detainee is not None and dossier.detainee.language:
        entry.language = dossier.detainee.language
    elif dossier.line is not None and entry.call.detainee is None:
        entry.language = dossier.line.language


def _told(because: Iterable[admission.Reasoning]) -> str:
    """For the journal: ids and rules only, never a name or a number."""
    grouped: dict[str, list[str]] = collections.defaultdict(list)
    for each in because:
        grouped[each.about].append(each.found)
    return "; ".join(f"{about}: {', '.join(found)}" for about, found in grouped.items())
