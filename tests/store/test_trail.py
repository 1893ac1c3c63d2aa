"""The trail: each line vouches for the one before it, and a check names the first that is altered or missing."""

import datetime

import pytest
import pytest_twisted
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from avisiod.store import trail, trail_check
from avisiod.store.database import Database
from avisiod.store.store import Store

from .people import pay_in, settle_in
from .records import CALL, START, after, call, entry


def write(connection: Connection, count: int = 5) -> None:
    for number in range(count):
        trail.append(
            connection,
            trail.Line(
                at_utc=after(number * 60),
                actor="unix:clerk",
                action="change",
                kind="detainee",
                object=f"d-{number}",
                why="transfer",
                details={"fields": ["cell"]},
            ),
        )


def without_rules(connection: Connection, table: str) -> None:
    """As somebody would who owns the database: first of all they take its rules away."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        return
    names = connection.scalars(
        text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"), {"table": table}
    ).all()
    for name in names:
        connection.execute(text(f"DROP TRIGGER {name}"))


@pytest.mark.parametrize(
    ("statement", "seq", "words"),
    [
        ("UPDATE audit SET why = 'nothing' WHERE seq = 3", 3, "line 3 was altered"),
        ("UPDATE audit SET actor = 'unix:other' WHERE seq = 1", 1, "line 1 was altered"),
        ("UPDATE audit SET at_utc = '2020-01-01T00:00:00.000000Z' WHERE seq = 5", 5, "line 5 was altered"),
        ("DELETE FROM audit WHERE seq = 3", 3, "line 3 is missing"),
        ("DELETE FROM audit WHERE seq IN (2, 3)", 2, "lines 2 to 3 are missing"),
        ("DELETE FROM audit WHERE seq = 1", 1, "line 1 is missing"),
        ("DELETE FROM audit WHERE seq = 5", 5, "lines from 5 on are missing: the trail went on to line 5"),
        ("DELETE FROM audit", 1, "lines from 1 on are missing"),
    ],
)
def test_the_first_altered_or_missing_line_is_named(database: Database, statement: str, seq: int, words: str) -> None:
    with database.writing() as connection:
        write(connection)
        assert trail_check.verify(connection).good
        without_rules(connection, "audit")
        connection.execute(text(statement))
        verdict = trail_check.verify(connection)
    assert verdict.seq == seq
    assert words in verdict.problem


def test_a_trail_written_anew_does_not_match_what_was_noted(database: Database) -> None:
    with database.writing() as connection:
        write(connection, 3)
        noted = trail.head(connection)
        write(connection, 2)
        assert trail_check.verify(connection, noted).good
        without_rules(connection, "audit")
        connection.execute(text("DELETE FROM audit"))
        connection.execute(text(f"UPDATE audit_head SET seq = 0, digest = '{trail.GENESIS}'"))
        write(connection, 2)
        assert trail_check.verify(connection).good
        assert "line 3 was noted" in trail_check.verify(connection, noted).problem
        write(connection, 2)
        assert trail_check.verify(connection, noted).problem.startswith("line 3 is not the one that was noted")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET why = ''",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head VALUES (2, 0, '')",
    ],
)
def test_the_database_itself_keeps_the_trail(database: Database, statement: str) -> None:
    with database.writing() as connection:
        write(connection)
    with pytest.raises(DBAPIError), database.writing() as connection:
        connection.execute(text(statement))


def purge(connection: Connection, before: datetime.datetime, why: str = "") -> tuple[int, int]:
    """How many lines older than that went, and the last one's number."""
    last = trail.old_lines(connection, before)
    record = trail.Line(at_utc=after(9999), actor="unix:dpo", action="", kind="", object="", why=why)
    return (trail.purge(connection, last, before, record), last) if last else (0, 0)


def test_a_purge_leaves_a_record_and_a_trail_that_can_be_verified(database: Database) -> None:
    with database.writing() as connection:
        write(connection, 5)
    with database.writing() as connection:
        assert purge(connection, after(120), "three years") == (2, 2)
        assert [line.seq for line in trail.listed(connection)] == [6, 5, 4, 3]
        record = trail.listed(connection, kind="audit")[0]
        assert (record.action, record.details["lines"], record.details["through"]) == ("purge", 2, 2)
        verdict = trail_check.verify(connection)
        assert (verdict.good, verdict.first, verdict.last) == (True, 3, 6)
        assert purge(connection, after(0)) == (0, 0)
        assert purge(connection, after(5 * 60)) == (3, 5)
        assert trail_check.verify(connection).good
        without_rules(connection, "audit")
        connection.execute(text("DELETE FROM audit WHERE seq <= 6"))
        assert trail_check.verify(connection).problem == "line 6 is missing"


def test_only_what_a_purge_covers_can_be_deleted(database: Database) -> None:
    with database.writing() as connection:
        write(connection, 5)
        purge(connection, after(120))
    with pytest.raises(DBAPIError, match="recorded purge"), database.writing() as connection:
        connection.execute(text("DELETE FROM audit WHERE seq = 3"))
    with pytest.raises(DBAPIError, match="never rewritten"), database.writing() as connection:
        connection.execute(text("DELETE FROM audit_anchors"))


def test_a_clock_that_was_set_back_purges_no_line_out_of_its_turn(database: Database) -> None:
    with database.writing() as connection:
        write(connection, 3)
        trail.append(connection, trail.Line(at_utc=START, actor="x", action="x", kind="x", object="x"))
        assert purge(connection, after(60)) == (1, 1)
        assert trail_check.verify(connection).good


@pytest_twisted.ensureDeferred
async def test_events_of_calls_join_the_trail_in_their_transaction(store: Store) -> None:
    await store.save_call(call("dialled"), entry("dialled"))
    await store.add_event(entry("noted", seconds=1))
    lines = await store._read(lambda connection: trail.listed(connection, kind="call", object_=CALL))
    assert [(line.action, line.actor) for line in lines] == [("noted", "service"), ("dialled", "service")]
    assert (await store._read(trail_check.verify)).good


@pytest.mark.parametrize(
    ("table", "statement", "words"),
    [
        ("events", "UPDATE events SET event = 'x'", "line 1: the journal's entry 1 was altered"),
        ("events", "DELETE FROM events", "line 1: the journal's entry 1 is missing"),
        ("ledger_postings", "UPDATE ledger_postings SET cents = 2 * cents", "top_up:1 was altered"),
        ("ledger_transactions", "UPDATE ledger_transactions SET why = ''", "top_up:1 was altered"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_journal_and_ledger_are_vouched_for(store: Store, table: str, statement: str, words: str) -> None:
    await store.save_call(call("dialled"), entry("dialled"))

    def prepare(connection: Connection) -> None:
        settle_in(connection)
        pay_in(connection, 100)
        assert trail_check.verify(connection).good

    def cook(connection: Connection) -> trail_check.Verdict:
        without_rules(connection, table)
        connection.execute(text(statement))
        return trail_check.verify(connection)

    await store._write(prepare)
    assert words in (await store._write(cook)).problem


def test_lines_are_found_by_who_what_and_when(database: Database) -> None:
    def seqs(**how: object) -> list[int]:
        return [line.seq for line in trail.listed(connection, **how)]  # type: ignore[arg-type]

    with database.writing() as connection:
        write(connection, 4)
        trail.append(connection, trail.Line(at_utc=after(999), actor="z", action="x", kind="call", object="c"))
        assert seqs(actor="z") == [5]
        assert seqs(kind="detainee", object_="d-2") == [3]
        assert seqs(since=after(60), until=after(180)) == [3, 2]
        assert seqs(limit=2) == [5, 4]


def test_a_digest_is_kept_as_it_is_though_its_digits_look_like_a_number(database: Database) -> None:
    digest = "ab0033639980001cdef" + "0" * 45
    with database.writing() as connection:
        line = trail.Line(at_utc=START, actor="a", action="b", kind="c", object="d", details={"digest": digest})
        trail.append(connection, line)
        assert trail.listed(connection)[0].details["digest"] == digest


@pytest.mark.parametrize("secret", ["+33639980001", "06 39 98 00 01"])
def test_a_number_in_free_text_is_masked(database: Database, secret: str) -> None:
    with database.writing() as connection:
        line = trail.Line(
            at_utc=START, actor="a", action="b", kind="c", object="d", why=secret, details={"x": secret}
        )
        trail.append(connection, line)
        kept = trail.listed(connection)[0]
    assert secret not in kept.why + str(kept.details)
