"""Backups of both databases: taken while calls run, checked, and restored."""

import contextlib
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, insert, make_url

from avisiod.calls import ledger
from avisiod.calls.ids import CallId
from avisiod.ports import StoreUnavailable
from avisiod.store import backup, books, calls, database, dumps, progress, schema_rules, trail_check
from avisiod.store.opening import open_database
from tests.peers.postgres import Postgres

from .people import ANNA, paid_call, pay_in, settle_in
from .records import entry
from .test_migration import first_version


def silent(what: str, done: int, of: int) -> None:
    pass


def peopled(where: Path | str) -> None:
    opened = open_database(where)
    with opened.writing() as connection:
        settle_in(connection)
        pay_in(connection, 1000)
    opened.close()


def count_of_calls(where: Path | str) -> int:
    opened = open_database(where)
    with opened.reading() as connection:
        assert trail_check.verify(connection).good
        assert books.check(connection) == []
        number = len(calls.since(connection, None, 100_000))
        held = books.balance(connection, ledger.held_of(ANNA))
    opened.close()
    assert held in (0, 300)
    return number


def test_a_backup_taken_while_calls_run_is_whole_and_comes_back(where: Path | str, tmp_path: Path) -> None:
    peopled(where)
    stop, going = threading.Event(), threading.Event()
    written = 0

    def calls_run() -> None:
        nonlocal written
        opened = open_database(where)
        while not stop.is_set():
            name = CallId(f"call-{written}")
            for state in ("inviting", "connected", "ended"):
                how: dict[str, bool] = {"charged": False} if state == "ended" else {}
                with opened.writing() as connection:
                    progress.save(connection, paid_call(state, of=name, **how), entry(state, of=name))
            written += 1
            if written >= 3:
                going.set()
        opened.close()

    running = threading.Thread(target=calls_run)
    running.start()
    try:
        assert going.wait(60)
        before = written
        found = backup.back_up(where, tmp_path / "copy", silent)
    finally:
        stop.set()
        running.join(60)
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0
    assert found["bytes"] == (tmp_path / "copy").stat().st_size
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy"]
    after_ = count_of_calls(where)
    assert after_ == written
    done = backup.restore(where, tmp_path / "copy", silent)
    assert before <= count_of_calls(where) <= after_
    if isinstance(where, Path):
        assert count_of_calls(Path(done["kept"])) == after_


def test_a_backup_is_never_written_over(where: Path | str, tmp_path: Path) -> None:
    peopled(where)
    (tmp_path / "copy").write_text("the only one")
    with pytest.raises(FileExistsError, match="never written over"):
        backup.back_up(where, tmp_path / "copy", silent)
    assert (tmp_path / "copy").read_text() == "the only one"


def test_a_backup_that_is_no_backup_changes_nothing(where: Path | str, tmp_path: Path) -> None:
    peopled(where)
    (tmp_path / "letter").write_text("this is a letter to the judge")
    with pytest.raises(StoreUnavailable, match=r"damaged|does not appear to be a valid archive|too short"):
        backup.restore(where, tmp_path / "letter", silent)
    with pytest.raises(StoreUnavailable, match="there is no backup"):
        backup.restore(where, tmp_path / "none", silent)
    opened = open_database(where)
    with opened.reading() as connection:
        assert books.balance(connection, ledger.account_of(ANNA)) == 1000
    opened.close()


def in_database(where: Path | str, *statements: str) -> None:
    """As its owner would who goes around us."""
    opened = open_database(where)
    with opened.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    opened.close()


def balance(where: Path | str) -> int:
    opened = open_database(where)
    with opened.reading() as connection:
        found = books.balance(connection, ledger.account_of(ANNA))
    opened.close()
    return found


def kept_beside(where: Path | str) -> list[str]:
    """Names of what restores have set aside."""
    if isinstance(where, Path):
        return sorted(path.name for path in where.parent.glob("*before-restore-?"))
    names = dumps.asked(where, "SELECT nspname FROM pg_namespace").split()
    return sorted(name for name in names if name.startswith(dumps.KEPT))


def test_a_backup_with_a_broken_trail_is_not_restored(where: Path | str, tmp_path: Path) -> None:
    peopled(where)
    alter = "UPDATE audit SET why = 'nothing' WHERE seq = 1"
    if isinstance(where, Path):
        backup.back_up(where, tmp_path / "copy", silent)
        in_database(tmp_path / "copy", "DROP TRIGGER audit_no_update", alter)
    else:
        backup.back_up(where, tmp_path / "whole", silent)
        in_database(where, "ALTER TABLE audit DISABLE TRIGGER USER", alter)
        backup.back_up(where, tmp_path / "copy", silent)
        backup.restore(where, tmp_path / "whole", silent)
        dumps.asked(where, f"DROP SCHEMA {dumps.KEPT}1 CASCADE")
    with pytest.raises(
        StoreUnavailable, match=r"the trail in .* is broken \(line 1 was altered\); nothing was changed"
    ):
        backup.restore(where, tmp_path / "copy", silent)
    assert kept_beside(where) == []
    assert count_of_calls(where) == 0, "its own trail is as it was"
    assert balance(where) == 1000


def test_a_database_that_is_open_is_not_replaced(where: Path | str, tmp_path: Path) -> None:
    peopled(where)
    backup.back_up(where, tmp_path / "copy", silent)
    opened = open_database(where)
    with opened.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM calls").all()
        with pytest.raises(StoreUnavailable, match=r"another program has .* open: stop avisiod .*first"):
            backup.restore(where, tmp_path / "copy", silent)
    opened.close()
    backup.restore(where, tmp_path / "copy", silent)


def test_what_was_there_is_kept_each_time(where: Path | str, tmp_path: Path) -> None:
    peopled(where)
    backup.back_up(where, tmp_path / "copy", silent)
    for cents in (1, 2):
        opened = open_database(where)
        with opened.writing() as connection:
            pay_in(connection, cents, f"later-{cents}")
        opened.close()
        assert balance(where) == 1000 + cents
        done = backup.restore(where, tmp_path / "copy", silent)
        assert balance(where) == 1000
        assert done["kept"].removeprefix("schema ").rpartition("/")[2] in kept_beside(where)
    assert len(kept_beside(where)) == 2
    if isinstance(where, str):
        query = f"SELECT cents FROM {dumps.KEPT}2.accounts WHERE id = 'detainee:{ANNA}'"
        assert dumps.asked(where, query) == "1002"
        backup.back_up(where, tmp_path / "again", silent)
        listed = dumps.run(["pg_restore", "--list", str(tmp_path / "again")], where)
        assert dumps.KEPT not in listed, "a backup is of what is there"


def settle_in_beside(connection: Connection) -> None:
    """Anna, where the first version's phones and contacts are there already."""
    row = {"id": ANNA, "register_number": "1", "name": "Anna", "language": "fr", "regime": "ordinary"}
    more = {"building": "", "cell": "", "status": "convicted", "suspended": False, "pin_hash": "", "listed": True}
    connection.execute(insert(schema_rules.detainees), row | more)


def old_version(where: Path | str) -> None:
    """A database as the first version left it."""
    url: Any = f"sqlite:///{where}"
    if isinstance(where, str):
        url = make_url(where).set(drivername="postgresql+psycopg")
    else:
        where.parent.mkdir(exist_ok=True)
    engine = create_engine(url)
    with engine.begin() as connection:
        first_version(connection)
    engine.dispose()


def test_a_backup_of_an_older_version_is_restored_over_a_newer_one_and_brought_up_to_date(
    where: Path | str, tmp_path: Path
) -> None:
    old_version(where)
    if isinstance(where, Path):
        shutil.copy(where, tmp_path / "old")
    else:
        dumps.dump(where, tmp_path / "old")
    opened = open_database(where)
    with opened.writing() as connection:
        settle_in_beside(connection)
        pay_in(connection, 1000)
    opened.close()
    backup.restore(where, tmp_path / "old", silent)
    assert balance(where) == 0
    assert count_of_calls(where) == 1


def test_a_backup_of_a_newer_version_changes_nothing(where: Path | str, tmp_path: Path) -> None:
    peopled(where)
    (head,) = database._scripts().get_heads()
    if isinstance(where, Path):
        backup.back_up(where, tmp_path / "copy", silent)
        with contextlib.closing(sqlite3.connect(tmp_path / "copy")) as newer:
            newer.execute("UPDATE alembic_version SET version_num = '9999'")
            newer.commit()
    else:
        dumps.asked(where, "UPDATE alembic_version SET version_num = '9999'")
        backup.back_up(where, tmp_path / "copy", silent)
        dumps.asked(where, f"UPDATE alembic_version SET version_num = '{head}'")
    with pytest.raises(
        StoreUnavailable, match=r"was written by a newer avisiod \(schema 9999\); it was left untouched"
    ):
        backup.restore(where, tmp_path / "copy", silent)
    assert balance(where) == 1000
    assert kept_beside(where) == []


def test_a_backup_that_was_cut_off_changes_nothing(where: Path | str, tmp_path: Path) -> None:
    peopled(where)
    backup.back_up(where, tmp_path / "copy", silent)
    whole = (tmp_path / "copy").read_bytes()
    for share in (3, 10):
        (tmp_path / "copy").write_bytes(whole[: len(whole) * share // 11])
        with pytest.raises(StoreUnavailable):
            backup.restore(where, tmp_path / "copy", silent)
        assert balance(where) == 1000
        assert kept_beside(where) == []


@pytest.mark.peer
def test_a_postgresql_that_is_empty_or_broken_takes_a_backup(postgres: Postgres, tmp_path: Path) -> None:
    source, empty = postgres.new_database(), postgres.new_database()
    peopled(source)
    backup.back_up(source, tmp_path / "copy", silent)
    assert backup.restore(empty, tmp_path / "copy", silent)["kept"] == ""
    assert (balance(empty), kept_beside(empty)) == (1000, [])
    dumps.asked(source, "DROP TABLE audit CASCADE")
    assert backup.restore(source, tmp_path / "copy", silent)["kept"] == f"schema {dumps.KEPT}1"
    assert balance(source) == 1000


@pytest.mark.peer
def test_another_programs_dump_is_not_taken(postgres: Postgres, tmp_path: Path) -> None:
    ours, theirs = postgres.new_database(), postgres.new_database()
    peopled(ours)
    dumps.asked(theirs, "CREATE TABLE public.things (id integer)")
    dumps.dump(theirs, tmp_path / "copy")
    with pytest.raises(StoreUnavailable, match="the dump of another program; nothing was changed"):
        backup.restore(ours, tmp_path / "copy", silent)
    assert balance(ours) == 1000


def test_a_damaged_database_is_replaced_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "avisiod.db"
    peopled(path)
    backup.back_up(path, tmp_path / "copy", silent)
    path.write_bytes(b"nothing of use")
    done = backup.restore(path, tmp_path / "copy", silent)
    assert Path(done["kept"]).read_bytes() == b"nothing of use"
    assert count_of_calls(path) == 0


@pytest.mark.peer
def test_a_dump_that_fails_leaves_no_file(postgres: Postgres, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"pg_dump failed: .*does not exist; nothing was changed"):
        backup.back_up(postgres.url("nowhere"), tmp_path / "copy", silent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.peer
def test_where_the_programs_of_postgresql_are_missing_that_is_said(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    peopled(url)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(StoreUnavailable, match="pg_dump is missing: install postgresql-client"):
        backup.back_up(url, tmp_path / "copy", silent)


def test_a_copy_that_fails_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "avisiod.db"
    path.write_bytes(b"nothing of use")
    with pytest.raises(StoreUnavailable, match="damaged"):
        backup.back_up(path, tmp_path / "copy", silent)
    assert [each.name for each in tmp_path.iterdir()] == ["avisiod.db"]


def test_a_copy_holds_one_state_throughout(tmp_path: Path) -> None:
    path = tmp_path / "avisiod.db"
    peopled(path)

    def meanwhile(what: str, done: int, of: int) -> None:
        opened = open_database(path)
        with opened.writing() as connection:
            pay_in(connection, 5, f"during-{done}")
        opened.close()

    backup.back_up(path, tmp_path / "copy", meanwhile)
    opened = open_database(tmp_path / "copy")
    with opened.reading() as connection:
        assert books.balance(connection, ledger.account_of(ANNA)) == 1000
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    opened.close()
