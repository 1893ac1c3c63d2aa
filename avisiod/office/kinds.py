"""What staff keep lists of: people, lines, rules, prices, and who of the staff may do what."""

import datetime
import functools
from collections.abc import Callable, Sequence

from sqlalchemy import ColumnElement, Table, false, or_

from avisiod.calls.people import Scope
from avisiod.office import checks, values
from avisiod.office.kind import Field, Kind, Row
from avisiod.office.permissions import PERMISSIONS
from avisiod.store.schema import contact_phones, contacts, phones
from avisiod.store.schema_devices import phone_devices
from avisiod.store.schema_rules import (
    allowances,
    authorisations,
    authorities,
    contact_classes,
    detainees,
    regimes,
    schedule_exceptions,
    tariffs,
    windows,
)
from avisiod.store.schema_staff import roles, staff

NUMBERS = (
    "call_s",
    "calls_day",
    "calls_week",
    "calls_month",
    "minutes_day",
    "minutes_week",
    "minutes_month",
    "rolling_days",
    "rolling_calls",
    "pause_s",
    "contacts_max",
)


def _scope_key(row: Row, *parts: str) -> str:
    scope: Scope = row["scope"]
    words = [scope.kind, *([scope.id] if scope.id else []), *parts]
    return "-".join(words)[:64]


def _day_part(row: Row) -> list[str]:
    day: datetime.date | None = row.get("valid_from")
    return [day.strftime("%Y%m%d")] if day else []


def _window_key(row: Row) -> str:
    begins = values.clock(row["begins"]).replace(":", "")
    return _scope_key(row, values.WEEKDAY.write(row["weekday"]), begins, *_day_part(row))


def _exception_key(row: Row) -> str:
    return _scope_key(row, row["kind"], row["from_local"].strftime("%Y%m%dT%H%M"))


def _tariff_key(row: Row) -> str:
    hours = "" if row["begins"] == 0 else values.clock(row["begins"]).replace(":", "")
    days = "" if row["weekdays"] == "0123456" else row["weekdays"]
    return "-".join(filter(None, [row["class"] or "all", *_day_part(row), days, hours]))[:64]


def _same_scope(table: Table) -> Callable[[Sequence[Row]], ColumnElement[bool]]:
    def siblings(rows: Sequence[Row]) -> ColumnElement[bool]:
        scopes = {row["scope"] for row in rows}
        return or_(
            false(), *((table.c.scope_kind == scope.kind) & (table.c.scope_id == scope.id) for scope in scopes)
        )

    return siblings


def _same(table: Table, *columns: str) -> Callable[[Sequence[Row]], ColumnElement[bool]]:
    def siblings(rows: Sequence[Row]) -> ColumnElement[bool]:
        wanted = {name: {row[name] for row in rows if row.get(name) is not None} for name in columns}
        return or_(false(), *(table.c[name].in_(list(found)) for name, found in wanted.items() if found))

    return siblings


def _class(help_: str, default: str | None) -> Field:
    return Field("class", values.ID, help_, default, columns=("cls",), refers="classes")


def kinds(region: str, designation_days: int = 366) -> dict[str, Kind]:
    """Every kind, by its plural.

    `region`: whose way of dialling is understood (ISO 3166). `designation_days`: as in the settings.
    """
    scope = Field("scope", values.SCOPE, "whom it is for", columns=("scope_kind", "scope_id"))
    listed = (
        Kind(
            name="regime",
            plural="regimes",
            help="ways of detention that have rules of their own",
            table=regimes,
            fields=(Field("id", values.ID, "its name in rules"), Field("name", values.TEXT, "as people read it", "")),
        ),
        Kind(
            name="class",
            plural="classes",
            help="what the law says of a kind of contact",
            table=contact_classes,
            fields=(
                Field("id", values.ID, "its name in rules"),
                Field("name", values.TEXT, "as people read it", ""),
                Field("confidential", values.TRUTH, "never recorded, never watched"),
                Field(
                    "exempt",
                    values.words("schedule", "quota", "pause", "price", "authorisation"),
                    "what does not hold for calls to such a contact",
                    "",
                ),
            ),
        ),
        Kind(
            name="authority",
            plural="authorities",
            help="who must grant an authorisation",
            table=authorities,
            keys=("status",),
            fields=(
                Field("status", values.choice("remand", "convicted"), "the detainee's status"),
                Field("authority", values.choice("magistrate", "head"), "who grants"),
            ),
            deletable=False,
        ),
        _people(),
        _phones(),
        _devices(),
        _contacts(region),
        _authorisations(),
        Kind(
            name="window",
            plural="windows",
            help="hours of each week in which calls may be made",
            table=windows,
            make_key=_window_key,
            check=checks.windows,
            siblings=_same_scope(windows),
            fields=(
                Field("id", values.ID, "made of the rest where none is given", None),
                scope,
                Field("weekday", values.WEEKDAY, "mon to sun"),
                Field("begins", values.MINUTE, "first minute"),
                Field("ends", values.MINUTE, "end, itself outside; midnight is 24:00"),
                Field("valid_from", values.DAY, "first day on which it holds", None),
                Field("valid_to", values.DAY, "last day on which it holds", None),
            ),
        ),
        Kind(
            name="exception",
            plural="exceptions",
            help="closures, openings and granted extra calls",
            table=schedule_exceptions,
            make_key=_exception_key,
            check=checks.exceptions,
            fields=(
                Field("id", values.ID, "made of the rest where none is given", None),
                scope,
                Field("kind", values.choice("closed", "open", "extra"), "what it is"),
                Field("from_local", values.LOCAL, "begin, in the site's time"),
                Field("to_local", values.LOCAL, "end, itself outside"),
                Field("why", values.TEXT, "the reason, without names", ""),
            ),
        ),
        Kind(
            name="allowance",
            plural="allowances",
            help="how long, how often, with what pause",
            table=allowances,
            keys=("scope",),
            check=checks.allowances,
            fields=(
                scope,
                *(
                    Field(name, values.whole(), help_, None)
                    for name, help_ in zip(NUMBERS, _NUMBERS_HELP, strict=True)
                ),
            ),
        ),
        Kind(
            name="tariff",
            plural="tariffs",
            help="prices, by class and time",
            table=tariffs,
            make_key=_tariff_key,
            check=checks.tariffs,
            siblings=lambda rows: or_(false(), *([tariffs.c.id == tariffs.c.id] if rows else [])),
            fields=(
                Field("id", values.ID, "made of the rest where none is given", None),
                _class("class of contacts; empty: all that have none of their own", None),
                Field(
                    "unit",
                    values.choice("call", "minute", "second", "free"),
                    "what is counted; a begun minute is whole",
                ),
                Field("price", values.PRICE, "for each unit, as 0.15", 0),
                Field("valid_from", values.DAY, "first day"),
                Field("valid_to", values.DAY, "last day", None),
                Field("weekdays", values.WEEKDAYS, "such as mon-fri", "0123456"),
                Field("begins", values.MINUTE, "first minute", 0),
                Field("ends", values.MINUTE, "end, itself outside", 1440),
            ),
        ),
        *_staff(designation_days),
    )
    return {kind.plural: kind for kind in listed}


_NUMBERS_HELP = (
    "longest call, seconds",
    "calls a day",
    "calls a week",
    "calls a month",
    "minutes a day",
    "minutes a week",
    "minutes a month",
    "length of the rolling period, days",
    "calls in a rolling period",
    "pause between calls, seconds",
    "authorised contacts at once",
)


def _people() -> Kind:
    def digits(row: Row) -> str | None:
        found = "".join(filter(str.isdecimal, row["register_number"]))
        return found[:16] if found.isascii() and found else None

    return Kind(
        name="detainee",
        plural="people",
        group="people",
        help="who is detained",
        table=detainees,
        unlists=True,
        check=checks.people,
        siblings=_same(detainees, "identifier", "register_number"),
        fields=(
            Field("id", values.ID, "a pseudonym, never the register number"),
            Field("register_number", values.TEXT, "of the establishment", personal=True),
            Field("name", values.TEXT, "first and last name", personal=True),
            Field("language", values.LANGUAGE, "of prompts", "fr"),
            Field("regime", values.ID, "one of the regimes", "ordinary", refers="regimes"),
            Field("building", values.TEXT, "as windows name it", ""),
            Field("cell", values.TEXT, "where", ""),
            Field("status", values.choice("remand", "convicted"), "decides who grants authorisations"),
            Field("suspended", values.TRUTH, "may call nobody who needs an authorisation", default=False),
            Field(
                "identifier",
                values.DIGITS,
                "typed on shared phones; else the register number's digits",
                digits,
                personal=True,
            ),
        ),
    )


def _phones() -> Kind:
    return Kind(
        name="phone",
        plural="phones",
        group="phones",
        help="the phones of the cells",
        table=phones,
        unlists=True,
        check=checks.phones,
        siblings=_same(phones, "occupant"),
        from_file=("cell", "language", "ha1"),
        fields=(
            Field("id", values.ID, "its SIP user"),
            Field("cell", values.TEXT, "where", ""),
            Field("building", values.TEXT, "where", ""),
            Field("floor", values.TEXT, "where", ""),
            Field("language", values.LANGUAGE, "of prompts, until it is known who calls", "fr"),
            Field("shared", values.TRUTH, "it asks who is calling", default=False),
            Field("occupant", values.ID, "whom it stands for, where it is not shared", None, refers="people"),
        ),
    )


def _devices() -> Kind:
    return Kind(
        name="device",
        plural="devices",
        group="phones",
        help="the devices behind the phones, which get their settings from here",
        table=phone_devices,
        keys=("phone",),
        check=checks.devices,
        siblings=_same(phone_devices, "mac"),
        fields=(
            Field("phone", values.ID, "the phone's id", refers="phones"),
            Field("mac", values.MAC, "as its label says"),
            Field("vendor", values.choice("grandstream", "yealink", "fanvil", "2n", "generic"), "who made it"),
            Field("model", values.TEXT, "as its vendor names it", ""),
            Field("firmware", values.TEXT, "the version that it should run; empty: any", ""),
            Field("self_test", values.TRUTH, "called at night: it must answer by itself", default=False),
        ),
    )


def _contacts(region: str) -> Kind:
    return Kind(
        name="contact",
        plural="contacts",
        group="people",
        help="outside persons",
        table=contacts,
        unlists=True,
        check=checks.contacts,
        siblings=_same(contacts, "number"),
        from_file=("number", "phones"),
        fields=(
            Field("id", values.ID, "a pseudonym"),
            Field("number", values.telephone(region), "the telephone's", personal=True),
            Field("name", values.TEXT, "first and last name", "", personal=True),
            Field("relation", values.TEXT, "to the detainee", "", personal=True),
            Field("language", values.LANGUAGE, "of the SMS; empty: the phone's", ""),
            _class("one of the classes", "ordinary"),
            Field(
                "phones",
                values.IDS,
                "those that may call; empty: every phone",
                default=(),
                refers="phones",
                pairs=contact_phones,
            ),
        ),
    )


def _authorisations() -> Kind:
    return Kind(
        name="authorisation",
        plural="authorisations",
        group="people",
        reads=("people", "authorities", "allowances"),
        help="whom a detainee may call",
        table=authorisations,
        keys=("detainee", "contact"),
        check=checks.authorisations,
        siblings=_same(authorisations, "detainee"),
        deletable=False,
        fields=(
            Field("detainee", values.ID, "who calls", refers="people"),
            Field("contact", values.ID, "who is called", refers="contacts"),
            Field("state", values.choice("requested", "granted", "refused", "suspended", "withdrawn"), "as decided"),
            Field("authority", values.choice("magistrate", "head"), "who decided"),
            Field("decided_on", values.DAY, "when"),
            Field("ends_on", values.DAY, "last day on which it holds", None),
            _class("replaces the contact's class, for this detainee only", None),
        ),
    )


def _staff(designation_days: int) -> tuple[Kind, Kind]:
    return (
        Kind(
            name="role",
            plural="roles",
            group="staff",
            help="what staff may do",
            table=roles,
            check=functools.partial(checks.roles, longest_days=designation_days),
            reads=("staff",),
            fields=(
                Field("id", values.ID, "its name"),
                Field("name", values.TEXT, "as people read it", ""),
                Field("may", values.words(*PERMISSIONS), f"words of {', '.join(PERMISSIONS)}", ""),
            ),
        ),
        Kind(
            name="designation",
            plural="staff",
            group="staff",
            help="who of the staff holds which role until when; once one is listed, nobody else may do anything",
            table=staff,
            keys=("user", "role"),
            check=functools.partial(checks.staff, longest_days=designation_days),
            reads=("roles",),
            fields=(
                Field("user", values.USER, "the account on this box"),
                Field("role", values.ID, "one of the roles", refers="roles"),
                Field("name", values.TEXT, "first and last name", "", personal=True),
                Field("valid_from", values.DAY, "first day"),
                Field("valid_to", values.DAY, "last day", None),
            ),
        ),
    )
