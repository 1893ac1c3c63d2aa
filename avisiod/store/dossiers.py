"""Reads what admission rests on, at one instant: people, lines, hours, allowances, prices, the past, the balance."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, or_, select

from avisiod.calls import ledger
from avisiod.calls.dossier import Dossier
from avisiod.calls.ids import ClassId, ContactId, DetaineeId, Number, PhoneId
from avisiod.calls.people import (
    DEFAULT_AUTHORITIES,
    SITE,
    Authorisation,
    Callee,
    ContactClass,
    Detainee,
    Line,
    Scope,
)
from avisiod.calls.quotas import Allowance, PastCall, history_since
from avisiod.calls.schedule import ScheduleException, Window
from avisiod.calls.tariff import Tariff
from avisiod.store import books
from avisiod.store import calls as calls_kept
from avisiod.store.schema import calls, contact_phones, contacts, phones
from avisiod.store.schema_rules import (
    allowances,
    authorisations,
    authorities,
    contact_classes,
    detainees,
    schedule_exceptions,
    tariffs,
    windows,
)

WEEK = datetime.timedelta(days=8)
"""Exceptions further away are not read: admission looks a week ahead for the next opening, and a zone's day more."""


def facts(
    connection: Connection,
    phone: PhoneId,
    detainee: DetaineeId | None,
    number: Number | None,
    at_utc: datetime.datetime,
    zone: datetime.tzinfo,
    box: str = "",
) -> Dossier:
    """All that is kept about a phone, who calls from it, and the dialled number.

    Without `detainee` the occupant of a single phone is the one who calls. With `box` the calls of other boxes count.
    Everything is read in the connection's transaction: one state of the database throughout.
    """
    line = line_of(connection, phone)
    if detainee is None and line is not None and not line.shared:
        detainee = line.occupant
    person = detainee_of(connection, detainee) if detainee is not None else None
    callee = callee_of(connection, number) if number is not None else None
    classes = classes_of(connection)
    contact = callee.id if callee is not None else None
    busy = calls_kept.busy_elsewhere(connection, box, contact, detainee, at_utc)
    found = Dossier(
        line=line,
        callee=callee,
        authorities=authorities_of(connection),
        classes=classes,
        contact_elsewhere=busy[0],
        detainee_elsewhere=busy[1],
    )
    if person is None:
        return found
    scopes = person.scopes
    local = at_utc.astimezone(zone).replace(tzinfo=None)
    limits = allowances_of(connection, scopes)
    return dataclasses.replace(
        found,
        detainee=person,
        authorisation=authorisation_of(connection, person.id, callee.id) if callee is not None else None,
        windows=windows_of(connection, scopes),
        exceptions=exceptions_of(connection, scopes, local),
        allowances=limits,
        history=history_of(connection, person.id, history_since(limits, zone, at_utc)),
        tariffs=tariffs_of(connection, local.date()),
        balance_cents=books.balance(connection, ledger.account_of(person.id)),
    )


def line_of(connection: Connection, phone: PhoneId) -> Line | None:
    """A listed phone, as the rules look at it."""
    row = connection.execute(select(phones).where((phones.c.id == phone) & phones.c.listed)).one_or_none()
    if row is None:
        return None
    return Line(
        id=phone,
        language=row.language,
        building=row.building,
        shared=row.shared,
        occupant=DetaineeId(row.occupant) if row.occupant is not None else None,
    )


def detainee_of(connection: Connection, detainee: DetaineeId) -> Detainee | None:
    """A listed detainee, without name or number."""
    query = select(detainees).where((detainees.c.id == detainee) & detainees.c.listed)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Detainee(
        id=detainee,
        language=row.language,
        regime=row.regime,
        building=row.building,
        status=row.status,
        suspended=row.suspended,
    )


def callee_of(connection: Connection, number: Number) -> Callee | None:
    """The listed contact with this number."""
    row = connection.execute(
        select(contacts.c.id, contacts.c.cls, contacts.c.language).where(
            (contacts.c.number == number) & contacts.c.listed
        )
    ).one_or_none()
    if row is None:
        return None
    allowed = connection.scalars(select(contact_phones.c.phone).where(contact_phones.c.contact == row.id))
    return Callee(
        id=ContactId(row.id),
        cls=ClassId(row.cls),
        language=row.language,
        phones=frozenset(PhoneId(phone) for phone in allowed),
    )


def classes_of(connection: Connection) -> dict[ClassId, ContactClass]:
    """Every class of contacts."""
    return {
        ClassId(row.id): ContactClass(
            id=ClassId(row.id), confidential=row.confidential, exempt=frozenset(filter(None, row.exempt.split(",")))
        )
        for row in connection.execute(select(contact_classes))
    }


def authorities_of(connection: Connection) -> dict[Any, Any]:
    """Who must have granted, by status; what the site has not set is as by default."""
    rows = connection.execute(select(authorities.c.status, authorities.c.authority))
    return {**DEFAULT_AUTHORITIES, **{row.status: row.authority for row in rows}}


def authorisation_of(connection: Connection, detainee: DetaineeId, contact: ContactId) -> Authorisation | None:
    """Of this detainee for this contact, whatever its state."""
    table = authorisations
    row = connection.execute(
        select(table).where((table.c.detainee == detainee) & (table.c.contact == contact))
    ).one_or_none()
    if row is None:
        return None
    return Authorisation(
        detainee=detainee,
        contact=contact,
        state=row.state,
        authority=row.authority,
        author=row.author,
        decided_on=row.decided_on,
        ends_on=row.ends_on,
        cls=ClassId(row.cls) if row.cls is not None else None,
    )


def windows_of(connection: Connection, scopes: Sequence[Scope]) -> tuple[Window, ...]:
    """The windows of these scopes, whenever they hold."""
    rows = connection.execute(select(windows).where(_within(windows, scopes)))
    return tuple(window_from(row) for row in rows)


def window_from(row: Row[Any]) -> Window:
    """A row as the rules know it."""
    return Window(
        id=row.id,
        scope=Scope(row.scope_kind, row.scope_id),
        weekday=row.weekday,
        begins=row.begins,
        ends=row.ends,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
    )


def exceptions_of(
    connection: Connection, scopes: Sequence[Scope], local: datetime.datetime
) -> tuple[ScheduleException, ...]:
    """The exceptions that hold within a week of this local time, without the extra calls that are used up."""
    table = schedule_exceptions
    used = (
        select(calls.c.id)
        .where((calls.c.extra == table.c.id) & calls.c.connected_utc.is_not(None) & calls.c.charged)
        .exists()
    )
    rows = connection.execute(
        select(table).where(
            _within(table, scopes)
            & (table.c.to_local > local)
            & (table.c.from_local < local + WEEK)
            & ((table.c.kind != "extra") | ~used)
        )
    )
    return tuple(
        ScheduleException(
            id=row.id,
            scope=Scope(row.scope_kind, row.scope_id),
            kind=row.kind,
            from_local=row.from_local,
            to_local=row.to_local,
            why=row.why,
        )
        for row in rows
    )


def allowances_of(connection: Connection, scopes: Sequence[Scope]) -> tuple[Allowance, ...]:
    """What these scopes set."""
    rows = connection.execute(select(allowances).where(_within(allowances, scopes)))
    return tuple(allowance_from(row) for row in rows)


def allowance_from(row: Row[Any]) -> Allowance:
    """A row as the rules know it."""
    values = {
        name: value for name, value in row._mapping.items() if name not in ("scope_kind", "scope_id", "version")
    }
    return Allowance(scope=Scope(row.scope_kind, row.scope_id), **values)


def history_of(connection: Connection, detainee: DetaineeId, since: datetime.datetime) -> tuple[PastCall, ...]:
    """The detainee's calls that count, connected at or after `since`, oldest first."""
    query = (
        select(
            calls.c.connected_utc,
            calls.c.ended_utc,
            calls.c.connected_s,
            calls.c.contact,
            calls.c.cls,
            calls.c.extra,
        )
        .where(
            (calls.c.detainee == detainee)
            & (calls.c.connected_utc >= since)
            & calls.c.charged
            & (calls.c.state == "ended")
        )
        .order_by(calls.c.connected_utc)
    )
    return tuple(
        PastCall(
            connected_utc=row.connected_utc,
            ended_utc=row.ended_utc,
            connected_s=row.connected_s,
            contact=ContactId(row.contact or ""),
            cls=ClassId(row.cls or "ordinary"),
            extra=row.extra is not None,
        )
        for row in connection.execute(query)
    )


def tariffs_of(connection: Connection, day: datetime.date) -> tuple[Tariff, ...]:
    """The tariffs that are valid on this day of the site's calendar."""
    valid = (tariffs.c.valid_from <= day) & (tariffs.c.valid_to.is_(None) | (tariffs.c.valid_to >= day))
    return tuple(tariff_from(row) for row in connection.execute(select(tariffs).where(valid)))


def tariff_from(row: Row[Any]) -> Tariff:
    """A row as the rules know it."""
    return Tariff(
        id=row.id,
        cls=ClassId(row.cls) if row.cls is not None else None,
        unit=row.unit,
        price=row.price,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        weekdays=frozenset(int(day) for day in row.weekdays),
        begins=row.begins,
        ends=row.ends,
    )


def _within(table: Table, scopes: Sequence[Scope]) -> Any:
    kind, name = table.c.scope_kind, table.c.scope_id
    return or_(*(and_(kind == scope.kind, name == scope.id) for scope in (*scopes, SITE)))
