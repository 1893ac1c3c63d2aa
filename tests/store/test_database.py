"""The file: made, brought up to date, and never touched when something is wrong with it."""

import datetime
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st

from avisiod.ports import StoreUnavailable
from avisiod.store.columns import UtcText, metadata
from avisiod.store.database import Database

from .records import START

ROOT = Path(__file__).resolve().parents[2]


def make(path: Path) -> None:
    Database(path).close()


def test_migrations_lead_from_nothing_to_the_schema(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        checks = {
            constraint.name
            for table in metadata.tables.values()
            for constraint in table.constraints
            if str(constraint.name).startswith("ck_")
        }
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            sql = connection.exec_driver_sql("SELECT group_concat(sql) FROM sqlite_master").scalar_one()
        else:
            sql = connection.exec_driver_sql("SELECT string_agg(conname, ' ') FROM pg_constraint").scalar_one()
        assert [str(check) for check in checks if str(check) not in sql] == []


def test_opening_again_changes_nothing(path: Path) -> None:
    make(path)
    before = path.read_bytes()
    make(path)
    assert path.read_bytes() == before


def test_the_file_is_closed_to_others_and_set_up_to_last(path: Path) -> None:
    database = Database(path)
    assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0
    with database.writing() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    assert sorted(other.name for other in path.parent.iterdir()) == ["avisiod.db", "avisiod.db-shm", "avisiod.db-wal"]
    for other in path.parent.iterdir():
        assert stat.S_IMODE(other.stat().st_mode) & 0o027 == 0
    database.close()


def refused_untouched(path: Path, words: str) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=words):
        Database(path)
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_newer_database_is_refused_and_left_untouched(path: Path) -> None:
    make(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    refused_untouched(path, r"newer avisiod \(schema 9999\); it was left untouched: install that version again")


def test_a_file_that_is_no_database_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is a letter to the judge")
    refused_untouched(path, "damaged .* left untouched: copy it aside, then restore the last backup")


def test_a_damaged_database_is_refused_and_kept(path: Path) -> None:
    make(path)
    data = bytearray(path.read_bytes())
    data[4096 : len(data)] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    refused_untouched(path, "damaged")


def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE location (id)")
    connection.commit()
    connection.close()
    refused_untouched(path, "another program; it was left untouched: correct store.path")


def test_a_path_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"correct store\.path"):
        Database(tmp_path / "file" / "avisiod.db")


def test_a_migration_that_fails_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import alembic.command

    def upgrade_then_fail(*arguments: object) -> None:
        upgrade(*arguments)  # type: ignore[arg-type]
        raise sqlite3.OperationalError("interrupted")

    upgrade = alembic.command.upgrade
    monkeypatch.setattr(alembic.command, "upgrade", upgrade_then_fail)
    with pytest.raises(StoreUnavailable, match="interrupted"):
        Database(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    monkeypatch.undo()
    make(path)


WRITER = """
import os, signal, sys
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from avisiod.store import events
from avisiod.store.store import Store
from tests.store.records import call, entry

path, die_in = sys.argv[1], int(sys.argv[2])
append, appended = events.append, 0

def append_or_die(*arguments):
    global appended
    append(*arguments)
    appended += 1
    if appended == die_in:
        os.kill(os.getpid(), signal.SIGKILL)

events.append = append_or_die

async def write():
    store = Store(path, reactor)
    await store.open()
    number = 0
    while True:
        name = f"call-{number // 3}"
        state = ("dialled", "waiting", "connected")[number % 3]
        await store.save_call(call(state, of=name), entry(state, of=name))
        print(number, flush=True)
        number += 1

reactor.callWhenRunning(lambda: Deferred.fromCoroutine(write()))
reactor.run()
"""


def write_until_killed(path: Path, after: int, die_in: int = 0) -> int:
    """How many changes the store had confirmed when its process was killed."""
    command = [sys.executable, "-c", WRITER, str(path), str(die_in)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(after)]
        if not die_in:
            writer.send_signal(signal.SIGKILL)
        told += writer.stdout.read().splitlines()
    assert writer.returncode == -signal.SIGKILL
    return sum(1 for line in told if line.strip().isdecimal())


def states_and_journal(path: Path) -> tuple[dict[str, str], list[tuple[str, str]]]:
    database = Database(path)  # checks the file's integrity
    with database.reading() as connection:
        states = {row.id: row.state for row in connection.exec_driver_sql("SELECT id, state FROM calls")}
        journal = [(row.call, row.event) for row in connection.exec_driver_sql("SELECT * FROM events ORDER BY id")]
    database.close()
    return states, journal


@pytest.mark.parametrize("after", [1, 30])
def test_a_process_killed_at_any_moment_keeps_all_that_it_had_confirmed(path: Path, after: int) -> None:
    confirmed = write_until_killed(path, after)
    states, journal = states_and_journal(path)
    assert len(journal) >= confirmed >= after
    assert states == dict(journal)


def test_a_process_killed_between_state_and_commit_leaves_neither_state_nor_event(path: Path) -> None:
    assert write_until_killed(path, 4, die_in=5) == 4
    states, journal = states_and_journal(path)
    assert len(journal) == 4
    assert states == dict(journal) == {"call-0": "connected", "call-1": "dialled"}


@given(st.datetimes(timezones=st.timezones()))
def test_a_moment_is_kept_to_the_microsecond_and_sorts_as_text(moment: datetime.datetime) -> None:
    try:
        utc = moment.astimezone(datetime.UTC)
    except OverflowError:
        return
    kind = UtcText()
    text = kind.process_bind_param(utc, None)  # type: ignore[arg-type]
    assert kind.process_result_value(text, None) == utc  # type: ignore[arg-type]
    assert text is not None
    assert len(text) == 27


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without time zone"):
        UtcText().process_bind_param(START.replace(tzinfo=None), None)  # type: ignore[arg-type]
