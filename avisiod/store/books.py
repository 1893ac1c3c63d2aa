"""The ledger: what was booked, once each, and what stands in the accounts."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, func, insert, select

from avisiod.calls import ledger
from avisiod.calls.ids import CallId, DetaineeId
from avisiod.calls.ledger import Transaction
from avisiod.ports import StoreRefused
from avisiod.store import trail
from avisiod.store.schema_books import accounts, ledger_postings, ledger_transactions
from avisiod.store.trail_check import LEDGER, transaction_digest


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """Who books, when, and for whom."""

    at_utc: datetime.datetime
    actor: str = trail.SERVICE
    detainee: DetaineeId | None = None
    call: CallId | None = None


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a statement or of the accountant's export."""

    at_utc: datetime.datetime
    key: str
    kind: str
    account: str
    cents: int
    detainee: str | None
    call: str | None
    actor: str
    why: str


def book(connection: Connection, transaction: Transaction, booking: Booking) -> bool:
    """Book it, in the caller's transaction, with its line in the trail. False, and nothing done, where it was before.

    StoreRefused where the postings do not sum to zero; IntegrityError where an account would fall below zero.
    """
    table = ledger_transactions
    if connection.execute(select(table.c.key).where(table.c.key == transaction.key)).one_or_none() is not None:
        return False
    if sum(cents for _, cents in transaction.postings) != 0 or not transaction.postings:
        raise StoreRefused(f"the postings of `{transaction.key}` do not sum to zero")
    # what is taken comes first: the rule against falling below zero then looks at the smallest balance
    connection.execute(
        insert(ledger_postings),
        [
            {"transaction_key": transaction.key, "account": account, "cents": cents}
            for account, cents in sorted(transaction.postings, key=lambda leg: leg[1])
        ],
    )
    values = {
        "key": transaction.key,
        "kind": transaction.kind,
        "at_utc": booking.at_utc,
        "actor": booking.actor,
        "detainee": booking.detainee,
        "call": booking.call,
        "why": transaction.why,
    }
    connection.execute(insert(table).values(values))
    digest = transaction_digest(msgspec.convert(values, _Header), transaction.postings)
    trail.append(
        connection,
        trail.Line(
            at_utc=booking.at_utc,
            actor=booking.actor,
            action=transaction.kind,
            kind="account",
            object=booking.detainee or "",
            why=transaction.why,
            details={LEDGER: transaction.key, "digest": digest},
        ),
    )
    return True


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    kind: str
    at_utc: datetime.datetime
    actor: str
    detainee: str | None
    call: str | None
    why: str


def postings_of(connection: Connection, key: str) -> list[tuple[str, int]]:
    """What a transaction moved."""
    table = ledger_postings
    rows = connection.execute(select(table.c.account, table.c.cents).where(table.c.transaction_key == key))
    return [(row.account, row.cents) for row in rows]


def balance(connection: Connection, account: str) -> int:
    """Cents in an account; 0 where nothing was booked."""
    return connection.scalar(select(accounts.c.cents).where(accounts.c.id == account)) or 0


def balances(connection: Connection) -> Mapping[str, int]:
    """Every account."""
    return {row.id: row.cents for row in connection.execute(select(accounts))}


def statement(
    connection: Connection,
    *,
    detainee: DetaineeId | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> Iterator[Posting]:
    """Every posting, in the order in which they were booked: those of a detainee's own accounts, or all."""
    head, legs = ledger_transactions, ledger_postings
    joined = head.join(legs, and_(legs.c.transaction_key == head.c.key))
    query = select(head, legs.c.account, legs.c.cents).select_from(joined).order_by(legs.c.id)
    if detainee is not None:
        own = (ledger.account_of(detainee), ledger.held_of(detainee))
        query = query.where(legs.c.account.in_(own))
    if since is not None:
        query = query.where(head.c.at_utc >= since)
    if until is not None:
        query = query.where(head.c.at_utc < until)
    for row in connection.execute(query.execution_options(yield_per=1000)):
        yield _posting(row)


def _posting(row: Row[Any]) -> Posting:
    return Posting(**{name: getattr(row, name) for name in Posting.__struct_fields__})


def check(connection: Connection) -> list[str]:
    """What is wrong with the books, in sentences; empty where they are sound."""
    found = []
    legs, head = ledger_postings, ledger_transactions
    total = connection.scalar(select(func.coalesce(func.sum(legs.c.cents), 0)))
    if total:
        found.append(f"the ledger sums to {total} cents, not to zero")
    per_key = select(legs.c.transaction_key, func.sum(legs.c.cents)).group_by(legs.c.transaction_key)
    found += [
        f"transaction {key} sums to {cents} cents"
        for key, cents in connection.execute(per_key.having(func.sum(legs.c.cents) != 0))
    ]
    alone = select(legs.c.transaction_key).where(legs.c.transaction_key.not_in(select(head.c.key)))
    found += [f"postings of {key} have no transaction" for key in connection.scalars(alone.distinct())]
    summed = dict(connection.execute(select(legs.c.account, func.sum(legs.c.cents)).group_by(legs.c.account)).all())
    for account, cents in balances(connection).items():
        if cents != summed.get(account, 0):
            found.append(f"account {account} says {cents} cents, its postings {summed.get(account, 0)}")
        if cents < 0 and not ledger.may_be_negative(account):
            found.append(f"account {account} is at {cents} cents")
    return found
