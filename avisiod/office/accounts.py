"""Operations on money: balances, payments one by one or from a file, credits, statements, the accountant's export."""

import datetime
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, select

from avisiod.calls import ledger
from avisiod.calls.ids import CallId, DetaineeId
from avisiod.calls.ledger import Transaction
from avisiod.office import csvfile, values
from avisiod.office.desk import Desk, Request, operation
from avisiod.office.plan import Problem, Refused
from avisiod.office.values import Wrong, money_text
from avisiod.store import books, calls
from avisiod.store.books import Booking, Posting
from avisiod.store.schema_books import ledger_transactions
from avisiod.store.schema_rules import detainees

TOP_UP_COLUMNS = ("key", "detainee", "register_number", "amount", "day", "why")


class AccountRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose account; nobody's: all."""

    detainee: str = ""


class PayRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An amount for a detainee; `key` names the payment, so that it counts once however often it is asked for."""

    detainee: str
    amount: str
    key: str
    kind: Literal["top_up", "credit"] = "top_up"


class RefundRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call whose charge is given back."""

    call: str


class StatementRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose movements; nobody's: the whole ledger, for the accountant. Days of the site's calendar, both included."""

    detainee: str = ""
    since: str = ""
    until: str = ""


class TopUpsRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A CSV file of payments."""

    text: str
    dry_run: bool = False


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a payment. `booked` is False where it had been booked before."""

    key: str
    detainee: str
    amount: str
    booked: bool
    line: int = 0


@operation("accounts.balance", needs="see_money")
def balance(desk: Desk, request: AccountRequest) -> list[dict[str, str]]:
    """What stands in an account, and what is set aside for a call under way."""

    def read(connection: Connection) -> list[dict[str, str]]:
        names = [request.detainee] if request.detainee else _listed(connection)
        if request.detainee:
            _known(connection, request.detainee)
        cents = books.balances(connection)

        def shown(account: str) -> str:
            return money_text(cents.get(account, 0))

        return [
            {
                "detainee": name,
                "balance": shown(ledger.account_of(DetaineeId(name))),
                "held": shown(ledger.held_of(DetaineeId(name))),
            }
            for name in names
        ]

    return desk.consult("account", request.detainee or "*", read)


@operation("accounts.pay", needs="edit_money")
def pay(desk: Desk, request: PayRequest) -> Paid:
    """Book a payment or a credit; the same key and amount again changes nothing."""
    cents = _amount(request.amount, 0)
    key = _read(values.TEXT.read, request.key, "key", 0)
    if not desk.who.why:
        raise Refused(Problem(column="why", reason="no reason", remedy="say why: it stands in the statement"))

    def write(connection: Connection) -> Paid:
        _known(connection, request.detainee)
        transaction = _transaction(request.kind, key, request.detainee, cents, desk.who.why)
        conflict = _conflict(connection, transaction, 0)
        if conflict is not None:
            raise Refused(conflict)
        booked = books.book(connection, transaction, _booking(desk, request.detainee))
        return Paid(key=key, detainee=request.detainee, amount=money_text(cents), booked=booked)

    return desk.write(write)


@operation("accounts.refund", needs="edit_money")
def refund(desk: Desk, request: RefundRequest) -> Paid:
    """Give back what a call has cost, once."""

    def write(connection: Connection) -> Paid:
        record = calls.get(connection, CallId(request.call))
        if record is None or record.detainee is None:
            raise Refused(Problem(column="call", reason=f"no call `{request.call}`", remedy="look at the list"))
        if record.charge_cents == 0:
            raise Refused(Problem(column="call", reason="this call has cost nothing", remedy="nothing is to be done"))
        transaction = ledger.refund(record.id, record.detainee, record.charge_cents)
        booking = Booking(at_utc=desk.who.at_utc, actor=desk.who.actor, detainee=record.detainee, call=record.id)
        booked = books.book(connection, transaction, booking)
        if booked:
            desk.note(connection, "refund", "call", record.id)
        amount = money_text(record.charge_cents)
        return Paid(key=transaction.key, detainee=record.detainee, amount=amount, booked=booked)

    return desk.write(write)


@operation("accounts.statement", needs="see_money")
def statement(desk: Desk, request: StatementRequest) -> list[dict[str, Any]]:
    """Each movement, oldest first, with its reason and the balance after it where one person's are asked for."""
    since, until = period(desk, request.since, request.until)

    def read(connection: Connection) -> list[dict[str, Any]]:
        detainee = DetaineeId(request.detainee) if request.detainee else None
        if detainee is not None:
            _known(connection, detainee)
        shown, total = [], 0
        account = ledger.account_of(detainee) if detainee is not None else ""
        for posting in books.statement(connection, detainee=detainee, until=until):
            if detainee is not None and posting.account != account:
                continue  # what is set aside shows where it leaves the account and where it comes back
            total += posting.cents
            if since is None or posting.at_utc >= since:
                shown.append(_shown(desk, posting, total if detainee is not None else None))
        return shown

    return desk.consult("account", request.detainee or "*", read, since=request.since, until=request.until)


def _shown(desk: Desk, posting: Posting, balance_cents: int | None) -> dict[str, Any]:
    line: dict[str, Any] = {
        "at": posting.at_utc.astimezone(desk.zone).isoformat(timespec="seconds"),
        "key": posting.key,
        "kind": posting.kind,
        "account": posting.account,
        "amount": money_text(posting.cents),
        "call": posting.call or "",
        "actor": posting.actor,
        "why": posting.why,
    }
    if balance_cents is not None:
        line["balance"] = money_text(balance_cents)
    return line


@operation("accounts.import", needs="edit_money")
def top_ups(desk: Desk, request: TopUpsRequest) -> list[Paid]:
    """Book a file of payments, all or none. A payment that was booked before, by its key, is not booked again."""
    lines = list(csvfile.rows(request.text, TOP_UP_COLUMNS, ("key", "amount")))

    def read(connection: Connection) -> list[tuple[int, str, int, Transaction]]:
        problems: list[Problem] = []
        found: list[tuple[int, str, int, Transaction]] = []
        people = _by_register_number(connection)
        seen: dict[str, int] = {}
        for place, (line, fields) in enumerate(lines):
            if place % 1000 == 0:
                desk.progress("reading", place, len(lines))
            try:
                found.append(_payment(fields, line, people, seen))
            except Refused as refused:
                problems += refused.problems
        problems += [
            problem
            for line, _, _, transaction in found
            if (problem := _conflict(connection, transaction, line)) is not None
        ]
        if problems:
            raise Refused(*sorted(problems, key=lambda problem: problem.line))
        return found

    def paid(
        found: list[tuple[int, str, int, Transaction]], booked: Callable[[Transaction, str], bool]
    ) -> list[Paid]:
        return [
            Paid(
                key=transaction.key.partition(":")[2],
                detainee=name,
                amount=money_text(cents),
                booked=booked(transaction, name),
                line=line,
            )
            for line, name, cents, transaction in found
        ]

    def dry(connection: Connection) -> list[Paid]:
        return paid(read(connection), lambda transaction, _: not _is_booked(connection, transaction.key))

    def write(connection: Connection) -> list[Paid]:
        return paid(
            read(connection), lambda transaction, name: books.book(connection, transaction, _booking(desk, name))
        )

    return desk.read(dry) if request.dry_run else desk.write(write)


def _payment(
    fields: Any, line: int, people: dict[str, str], seen: dict[str, int]
) -> tuple[int, str, int, Transaction]:
    key = _read(values.TEXT.read, fields["key"].strip(), "key", line)
    if not key:
        raise Refused(Problem(line=line, column="key", reason="missing", remedy="give each payment its own"))
    if (before := seen.setdefault(key, line)) != line:
        reason = f"`{key}` stands on line {before} already"
        raise Refused(Problem(line=line, column="key", reason=reason, remedy="give each payment its own"))
    cents = _amount(fields["amount"].strip(), line)
    name = fields.get("detainee", "").strip()
    number = fields.get("register_number", "").strip()
    if not name and number:
        name = people.get(number, "")
        if not name:
            reason = "nobody has this register number"
            raise Refused(Problem(line=line, column="register_number", reason=reason, remedy="correct it"))
    if name not in people.values():
        remedy = "give a detainee's id or register number"
        raise Refused(Problem(line=line, column="detainee", reason=f"no detainee `{name}`", remedy=remedy))
    day = fields.get("day", "").strip()
    if day:
        _read(values.DAY.read, day, "day", line)
    why = " ".join(filter(None, ["payment", day, fields.get("why", "").strip()]))
    return line, name, cents, _transaction("top_up", key, name, cents, why)


def _transaction(kind: str, key: str, detainee: str, cents: int, why: str) -> Transaction:
    make = ledger.top_up if kind == "top_up" else ledger.credit
    return make(key, DetaineeId(detainee), cents, why)


def _conflict(connection: Connection, transaction: Transaction, line: int) -> Problem | None:
    if not _is_booked(connection, transaction.key):
        return None
    if sorted(books.postings_of(connection, transaction.key)) == sorted(transaction.postings):
        return None
    key = transaction.key.partition(":")[2]
    reason = f"`{key}` was booked before, for another person or amount"
    return Problem(line=line, column="key", reason=reason, remedy="correct the key, or the amount")


def _is_booked(connection: Connection, key: str) -> bool:
    query = select(ledger_transactions.c.key).where(ledger_transactions.c.key == key)
    return connection.scalar(query) is not None


def _booking(desk: Desk, detainee: str) -> Booking:
    return Booking(at_utc=desk.who.at_utc, actor=desk.who.actor, detainee=DetaineeId(detainee))


def _known(connection: Connection, detainee: str) -> None:
    if connection.scalar(select(detainees.c.id).where(detainees.c.id == detainee)) is None:
        raise Refused(Problem(column="detainee", reason=f"no detainee `{detainee}`", remedy="look at the list"))


def _listed(connection: Connection) -> list[str]:
    return list(connection.scalars(select(detainees.c.id).where(detainees.c.listed).order_by(detainees.c.id)))


def _by_register_number(connection: Connection) -> dict[str, str]:
    query = select(detainees.c.register_number, detainees.c.id).where(detainees.c.listed)
    return {row.register_number: row.id for row in connection.execute(query)}


def _amount(text: str, line: int) -> int:
    cents: int = _read(values.MONEY.read, text, "amount", line)
    if cents == 0:
        raise Refused(Problem(line=line, column="amount", reason="nothing", remedy="write an amount above 0"))
    return cents


def _read(read: Callable[[str], Any], text: str, column: str, line: int) -> Any:
    try:
        return read(text)
    except Wrong as wrong:
        raise Refused(Problem(line=line, column=column, reason=wrong.reason, remedy=wrong.remedy)) from None


def period(desk: Desk, since: str, until: str) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """The instants at which the first day begins and the last one ends, by the site's calendar."""

    def midnight(text: str, column: str, days: int) -> datetime.datetime | None:
        if not text:
            return None
        day: datetime.date = _read(values.DAY.read, text, column, 0) + datetime.timedelta(days=days)
        return datetime.datetime.combine(day, datetime.time(), desk.zone).astimezone(datetime.UTC)

    return midnight(since, "since", 0), midnight(until, "until", 1)
