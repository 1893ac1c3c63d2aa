"""The store as the control process uses it: Deferreds outside, two threads of its own inside.

One thread writes, so that changes reach the disk in the order in which they were asked for; another reads, so that a
long list delays no call. A read that begins after a write's Deferred has fired sees that write.
"""

import datetime
import logging
import zoneinfo
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection
from twisted.internet import defer, threads
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from avisiod.calls.dossier import Dossier
from avisiod.calls.ids import CallId, ContactId, DetaineeId, Number, PhoneId
from avisiod.calls.reasons import EndReason
from avisiod.log import FirstThenDebug
from avisiod.ports import (
    AcceptanceRecord,
    CallRecord,
    Contact,
    InvitationRecord,
    InvitationSpent,
    JournalEntry,
    Kept,
    Phone,
    PinRecord,
    Recording,
    StoreRefused,
    StoreUnavailable,
)
from avisiod.store import (
    acceptances,
    boxes,
    calls,
    contacts,
    dossiers,
    events,
    invitations,
    phones,
    pins,
    progress,
    readiness,
    recordings,
)
from avisiod.store.database import Database
from avisiod.store.opening import open_database

T = TypeVar("T")
Deferred = defer.Deferred

_log = logging.getLogger(__name__)


class Store:
    """What is kept. Every Deferred fails with StoreUnavailable or StoreRefused; nothing was changed then."""

    def __init__(
        self,
        where: str | Path,
        reactor: IReactorFromThreads,
        realm: str = "avisio",
        time_zone: str = "Europe/Paris",
        box: str = "",
    ) -> None:
        """`where`: the path of an SQLite file, or the URL of a PostgreSQL database.

        `realm`: of the phones' digest, to which the HA1 values belong. `time_zone`: the site's (IANA), to whose
        calendar hours and quotas belong. `box`: our name among those that share the database; empty: it is ours only.
        """
        self._where = where
        self._zone = zoneinfo.ZoneInfo(time_zone)
        self._realm = realm
        self.box = box
        self._reactor = reactor
        self._writer = ThreadPool(minthreads=1, maxthreads=1, name="store-writer")
        self._reader = ThreadPool(minthreads=1, maxthreads=1, name="store-reader")
        self._database: Database | None = None
        self._trouble = FirstThenDebug(_log)

    def open(self) -> Deferred[None]:
        """Check the file, bring it up to date, begin. StoreUnavailable leaves the file as it was."""
        self._writer.start()
        self._reader.start()

        def opened(database: Database) -> None:
            self._database = database

        def failed(failure: Any) -> Any:
            self._stop()
            return failure

        return threads.deferToThreadPool(self._reactor, self._writer, open_database, self._where).addCallbacks(
            opened, failed
        )

    def close(self) -> Deferred[None]:
        """Finish what was asked for, then close. Harmless when closed."""
        database, self._database = self._database, None
        if database is None:
            return defer.succeed(None)
        done = threads.deferToThreadPool(self._reactor, self._reader, lambda: None)
        done.addCallback(lambda _: threads.deferToThreadPool(self._reactor, self._writer, database.close))
        return done.addCallback(lambda _: self._stop())

    def _stop(self) -> None:
        self._writer.stop()
        self._reader.stop()

    # Writing.

    def save_call(self, record: CallRecord, entry: JournalEntry, *with_it: Kept) -> Deferred[None]:
        """Save a call's state, the event that led to it, and what belongs to both, in one transaction.

        What the record holds of the detainee's money is set aside with the first save that names it, and settled
        with the end: `charge_cents` is worked out here, whatever the record says. Each is booked once.

        StoreRefused where an InvitationSpent among `with_it` was spent before: then nothing of all this is saved.
        """
        ours = msgspec.structs.replace(record, box=self.box)
        return self._write(lambda connection: progress.save(connection, ours, entry, *with_it))

    def add_event(self, entry: JournalEntry) -> Deferred[None]:
        """Append to a call's journal without a change of its state."""
        return self._write(lambda connection: events.append(connection, entry))

    def save_invitation(self, record: InvitationRecord) -> Deferred[None]:
        """Keep an invitation, or what changed of it. StoreRefused once it is spent."""

        def keep(connection: Connection) -> None:
            if self.box:
                boxes.refuse_twin(connection, record, record.issued_utc)
            progress.keep(connection, record, record.issued_utc, record.call)

        return self._write(keep)

    def spend_invitation(self, call: CallId, at_utc: datetime.datetime) -> Deferred[bool]:
        """Use the call's code up. False where it was used before or never issued."""
        spent = InvitationSpent(call=call, at_utc=at_utc)
        return self._write(lambda connection: invitations.spend(connection, spent))

    def save_acceptance(self, record: AcceptanceRecord) -> Deferred[None]:
        """Keep what a relative accepted."""
        return self._write(lambda connection: acceptances.save(connection, record))

    def save_recording(self, recording: Recording) -> Deferred[None]:
        """Keep a sealed recording. The same path again changes nothing; StoreRefused for a confidential call."""
        return self._write(lambda connection: recordings.save(connection, recording))

    def end_open_calls(self, reason: EndReason, at_utc: datetime.datetime, at: float) -> Deferred[list[CallId]]:
        """End every call of this box that was left open, with a journal entry each; their ids."""
        return self._write(lambda connection: progress.end_open(connection, reason, at_utc, at, self.box))

    def beat(self, own: boxes.OwnBeat, at_utc: datetime.datetime) -> Deferred[boxes.Fleet]:
        """Say that this box lives; what is known of the others that share the database."""
        return self._write(lambda connection: boxes.beat(connection, own, at_utc))

    def leave(self) -> Deferred[None]:
        """Take leave of the others: we stop in good order."""
        return self._write(lambda connection: boxes.leave(connection, self.box))

    def end_calls_of(
        self, box: str, silent_s: float, reason: EndReason, at_utc: datetime.datetime, at: float
    ) -> Deferred[list[CallId]]:
        """End every call of another box that said nothing for so long; their ids."""
        return self._write(lambda connection: boxes.end_calls_of(connection, box, silent_s, reason, at_utc, at))

    def holder_of(self, hashed: str, alive_s: float, at_utc: datetime.datetime) -> Deferred[str]:
        """Where relatives reach the other box whose open code has this hash; empty where none has."""
        return self._read(lambda connection: boxes.holder_of(connection, hashed, self.box, alive_s, at_utc))

    def sync_inventory(self, listed_phones: Sequence[Phone], listed_contacts: Sequence[Contact]) -> Deferred[None]:
        """Make phones and contacts what the inventory says, in one transaction."""

        def sync(connection: Connection) -> None:
            phones.sync(connection, listed_phones, self._realm)
            contacts.sync(connection, listed_contacts)

        return self._write(sync)

    def pin_tried(
        self, phone: PhoneId, detainee: DetaineeId | None, at_utc: datetime.datetime, *, right: bool
    ) -> Deferred[None]:
        """Count a try on the phone and by the detainee; a right one forgives the wrong ones before it."""
        return self._write(lambda connection: pins.tried(connection, phone, detainee, at_utc, right=right))

    # Reading.

    def facts(
        self, phone: PhoneId, detainee: DetaineeId | None, number: Number | None, at_utc: datetime.datetime
    ) -> Deferred[Dossier]:
        """All that is kept about this call, read in one transaction."""
        zone, box = self._zone, self.box
        return self._read(lambda connection: dossiers.facts(connection, phone, detainee, number, at_utc, zone, box))

    def pin_record(self, phone: PhoneId, identifier: str) -> Deferred[PinRecord]:
        """What is known of who typed this identifier."""
        return self._read(lambda connection: pins.record(connection, phone, identifier))

    def phone(self, phone: PhoneId) -> Deferred[Phone | None]:
        """A phone of the inventory."""
        return self._read(lambda connection: phones.get(connection, phone))

    def phones(self) -> Deferred[Sequence[PhoneId]]:
        """Every phone of the inventory."""
        return self._read(phones.listed)

    def contact(self, contact: ContactId) -> Deferred[Contact | None]:
        """A contact of the inventory."""
        return self._read(lambda connection: contacts.get(connection, contact))

    def contact_by_number(self, number: Number) -> Deferred[Contact | None]:
        """The contact with this number."""
        return self._read(lambda connection: contacts.by_number(connection, number))

    def contacts_for(self, phone: PhoneId) -> Deferred[Sequence[Contact]]:
        """Whom this phone may call."""
        return self._read(lambda connection: contacts.for_phone(connection, phone))

    def call(self, call: CallId) -> Deferred[CallRecord | None]:
        """One call as it was saved last."""
        return self._read(lambda connection: calls.get(connection, call))

    def calls(self, since: datetime.datetime | None = None, limit: int = 100) -> Deferred[Sequence[CallRecord]]:
        """The latest calls, newest first."""
        return self._read(lambda connection: calls.since(connection, since, limit))

    def journal(self, call: CallId) -> Deferred[Sequence[JournalEntry]]:
        """A call's timeline, oldest first."""
        return self._read(lambda connection: events.of(connection, call))

    def invitation(self, call: CallId) -> Deferred[InvitationRecord | None]:
        """A call's invitation."""
        return self._read(lambda connection: invitations.get(connection, call))

    def acceptances(self, call: CallId) -> Deferred[Sequence[AcceptanceRecord]]:
        """What was accepted on a call, oldest first."""
        return self._read(lambda connection: acceptances.of(connection, call))

    def recording(self, call: CallId) -> Deferred[Recording | None]:
        """A call's recording."""
        return self._read(lambda connection: recordings.get(connection, call))

    def lacking(self) -> Deferred[Sequence[str]]:
        """What keeps everybody from calling where all of the site's rules hold: a sentence each, with the remedy."""
        return self._read(readiness.lacking)

    def probe(self) -> Deferred[bool]:
        """Write without changing anything, and tell whether that works; `healthy` follows.

        For the time after a failure, in which no call is admitted and so nothing else would be written.
        """

        def touch(connection: Connection) -> None:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")

        def cannot(failure: Failure) -> bool:
            failure.trap(StoreUnavailable)
            return False

        return self._write(touch).addCallbacks(lambda _: True, cannot)

    def _write(self, work: Callable[[Connection], T]) -> Deferred[T]:
        database = self._database
        if database is None:
            return defer.fail(StoreUnavailable("the store is closed"))

        def transaction() -> T:
            try:
                with database.writing() as connection:
                    return work(connection)
            except database.errors as error:
                raise database.explained(error) from None

        done = threads.deferToThreadPool(self._reactor, self._writer, transaction)
        return done.addCallbacks(self._worked, self._failed)

    def _read(self, work: Callable[[Connection], T]) -> Deferred[T]:
        database = self._database
        if database is None:
            return defer.fail(StoreUnavailable("the store is closed"))

        def transaction() -> T:
            try:
                with database.reading() as connection:
                    return work(connection)
            except database.errors as error:
                raise database.explained(error) from None

        return threads.deferToThreadPool(self._reactor, self._reader, transaction)

    def _worked(self, result: T) -> T:
        self._trouble.recovered("the database can be written again")
        return result

    def _failed(self, failure: Any) -> Any:
        if not failure.check(StoreRefused):
            self._trouble.failed("nothing can be saved: %s", failure.value)
        return failure

    def write(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """For what keeps tables of its own: in one transaction, whole or not at all, in the order asked for."""
        return self._write(work)

    def read(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """The same for reading: one state of the database throughout."""
        return self._read(work)

    @property
    def database(self) -> Database | None:
        """The open database, for work that blocks in a thread of its own; None while the store is closed."""
        return self._database

    @property
    def healthy(self) -> bool:
        """Open, and the last write did not find the database unavailable."""
        return self._database is not None and not self._trouble.failing
