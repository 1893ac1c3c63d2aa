"""Money: set aside when a call is granted, settled with its end, each once; never below zero, never rewritten."""

import msgspec
import pytest
import pytest_twisted
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from avisiod.calls import ledger
from avisiod.calls.ids import CallId
from avisiod.calls.ledger import Transaction
from avisiod.calls.reasons import EndReason
from avisiod.ports import StoreRefused
from avisiod.store import books
from avisiod.store.database import Database
from avisiod.store.store import Store

from .people import ANNA, paid_call, pay_in, settle_in
from .records import CALL, OTHER, START, after, entry
from .test_store import refused


async def standing(store: Store) -> tuple[int, int, int]:
    """Balance, held, revenue."""
    names = (ledger.account_of(ANNA), ledger.held_of(ANNA), ledger.REVENUE)
    return await store._read(lambda connection: tuple(books.balance(connection, name) for name in names))  # type: ignore[return-value]


async def open_account(store: Store, cents: int) -> None:
    await store._write(settle_in)
    await store._write(lambda connection: pay_in(connection, cents))


async def sound(store: Store) -> None:
    assert await store._read(books.check) == []


@pytest_twisted.ensureDeferred
async def test_a_call_is_held_when_granted_and_settled_with_its_end(store: Store) -> None:
    await open_account(store, 1000)
    await store.save_call(paid_call("dialled", hold=0, tariff=None), entry("Dialled"))
    assert await standing(store) == (1000, 0, 0)
    await store.save_call(paid_call("inviting"), entry("Granted"))
    assert await standing(store) == (700, 300, 0)
    await store.save_call(paid_call("waiting"), entry("SmsAccepted"))
    assert await standing(store) == (700, 300, 0)
    ended = paid_call("ended", connected_utc=after(10), connected_s=61.0, end_reason=EndReason.RELATIVE_HUNG_UP)
    await store.save_call(ended, entry("RelativeHungUp"))
    assert await standing(store) == (970, 0, 30)
    record = await store.call(CALL)
    assert record is not None
    assert record.charge_cents == 30
    await store.save_call(ended, entry("FarewellOver"))
    assert await standing(store) == (970, 0, 30)
    await sound(store)


@pytest_twisted.ensureDeferred
async def test_what_failed_by_us_is_not_charged(store: Store) -> None:
    await open_account(store, 1000)
    await store.save_call(paid_call("connected"), entry("Granted"))
    ended = paid_call("ended", connected_s=61.0, end_reason=EndReason.MEDIA_FAILED, charged=False)
    await store.save_call(ended, entry("MediaLost"))
    assert await standing(store) == (1000, 0, 0)
    await sound(store)


@pytest_twisted.ensureDeferred
async def test_a_hold_beyond_the_balance_is_refused_and_nothing_is_saved(store: Store) -> None:
    await open_account(store, 299)
    await refused(store.save_call(paid_call("inviting"), entry("Granted")), "does not hold so much")
    assert await store.call(CALL) is None
    assert await standing(store) == (299, 0, 0)
    await sound(store)


@pytest_twisted.ensureDeferred
async def test_calls_open_at_the_start_are_settled(store: Store) -> None:
    await open_account(store, 1000)
    await store.save_call(paid_call("connected", connected_s=70.0), entry("Granted"))
    await store.end_open_calls(EndReason.SERVICE_RESTARTED, after(99), 5.0)
    assert await standing(store) == (1000, 0, 0)
    await sound(store)


@pytest_twisted.ensureDeferred
async def test_the_same_transaction_kept_with_a_call_books_nothing_more(store: Store) -> None:
    await open_account(store, 1000)
    held = ledger.hold(CALL, ANNA, 300)
    await store.save_call(paid_call("inviting"), entry("Granted"), held)
    await store.save_call(paid_call("inviting"), entry("Granted"), held)
    assert await standing(store) == (700, 300, 0)
    await sound(store)


@pytest_twisted.ensureDeferred
async def test_a_price_does_not_change_during_a_call(store: Store) -> None:
    await open_account(store, 1000)
    await store.save_call(paid_call("inviting"), entry("Granted"))
    dearer = msgspec.structs.replace(paid_call("waiting"), hold_cents=400)
    await refused(store.save_call(dearer, entry("SmsAccepted")), "price of a call does not change")


@pytest_twisted.ensureDeferred
async def test_each_call_pays_for_itself(store: Store) -> None:
    await open_account(store, 1000)
    for name, seconds in ((CALL, 0.0), (OTHER, 59.9), (CallId("third"), 120.0)):
        await store.save_call(paid_call("connected", of=name), entry("Granted", of=name))
        ended = paid_call("ended", of=name, connected_s=seconds, charged=seconds > 0)
        await store.save_call(ended, entry("DeadlineReached", of=name))
    assert await standing(store) == (1000 - 0 - 15 - 30, 0, 45)
    await sound(store)


def test_a_payment_counts_once(database: Database) -> None:
    with database.writing() as connection:
        settle_in(connection)
        assert pay_in(connection, 500, "2026-1")
        assert not pay_in(connection, 500, "2026-1")
        assert books.balance(connection, ledger.account_of(ANNA)) == 500
        assert books.balance(connection, ledger.CASH) == -500
        lines = list(books.statement(connection, detainee=ANNA))
    assert [(line.cents, line.why, line.actor) for line in lines] == [(500, "cash at the counter", "unix:clerk")]


def test_what_does_not_sum_to_zero_is_refused_by_us_and_by_the_database(database: Database) -> None:
    odd = Transaction(key="k", kind="credit", why="?", postings=(("goodwill", -1), (ledger.account_of(ANNA), 2)))
    with database.writing() as connection:
        settle_in(connection)
    with pytest.raises(StoreRefused, match="sum to zero"), database.writing() as connection:
        books.book(connection, odd, books.Booking(at_utc=START))
    insert = "INSERT INTO ledger_postings (transaction_key, account, cents) VALUES ('k', 'cash', 7)"
    head = "INSERT INTO ledger_transactions (key, kind, at_utc, actor, why) VALUES ('k', 'credit', 'x', 'x', 'x')"
    with database.writing() as connection:
        connection.execute(text(insert))
        with pytest.raises(DBAPIError, match="sum to zero"):
            connection.execute(text(head))
        connection.rollback()
    with pytest.raises(DBAPIError, match=r"(?i)foreign key"), database.writing() as connection:
        connection.execute(text(insert))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_postings SET cents = 1",
        "DELETE FROM ledger_postings",
        "UPDATE ledger_transactions SET why = 'x'",
        "DELETE FROM ledger_transactions",
        "INSERT INTO ledger_postings (transaction_key, account, cents) VALUES ('top_up:1', 'cash', 7)",
        "UPDATE accounts SET cents = -1 WHERE id LIKE 'detainee:%'",
    ],
)
def test_the_database_itself_keeps_the_ledger(database: Database, statement: str) -> None:
    with database.writing() as connection:
        settle_in(connection)
        pay_in(connection, 500)
    with pytest.raises(DBAPIError), database.writing() as connection:
        connection.execute(text(statement))
    with database.reading() as connection:
        assert books.check(connection) == []
        assert books.balance(connection, ledger.account_of(ANNA)) == 500


def test_books_that_were_cooked_are_told(database: Database) -> None:
    with database.writing() as connection:
        settle_in(connection)
        pay_in(connection, 500)
        connection.execute(text("UPDATE accounts SET cents = 900 WHERE id = 'detainee:d-anna'"))
        assert books.check(connection) == ["account detainee:d-anna says 900 cents, its postings 500"]
