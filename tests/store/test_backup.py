"""Backups of both databases: taken while calls run, checked, and restored."""

import sqlite3
import threading
from pathlib import Path

import pytest

from avisiod.calls import ledger
from avisiod.calls.ids import CallId
from avisiod.ports import StoreUnavailable
from avisiod.store import backup, books, calls, progress, trail_check
from avisiod.store.database import open_database

from .people import ANNA, paid_call, pay_in, settle_in
from .records import entry


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


def test_a_backup_with_a_broken_trail_is_not_restored(tmp_path: Path) -> None:
    path = tmp_path / "avisiod.db"
    peopled(path)
    backup.back_up(path, tmp_path / "copy", silent)
    connection = sqlite3.connect(tmp_path / "copy")
    connection.execute("DROP TRIGGER audit_no_update")
    connection.execute("UPDATE audit SET why = 'nothing'")
    connection.commit()
    connection.close()
    with pytest.raises(
        StoreUnavailable, match=r"the trail in .* is broken \(line 1 was altered\); nothing was changed"
    ):
        backup.restore(path, tmp_path / "copy", silent)
    assert not list(tmp_path.glob("*before-restore*"))


def test_a_database_that_is_open_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "avisiod.db"
    peopled(path)
    backup.back_up(path, tmp_path / "copy", silent)
    opened = open_database(path)
    with opened.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM calls").all()
        with pytest.raises(StoreUnavailable, match=r"another program has .* open: stop avisiod first"):
            backup.restore(path, tmp_path / "copy", silent)
    opened.close()
    backup.restore(path, tmp_path / "copy", silent)


def test_a_damaged_database_is_replaced_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "avisiod.db"
    peopled(path)
    backup.back_up(path, tmp_path / "copy", silent)
    path.write_bytes(b"nothing of use")
    done = backup.restore(path, tmp_path / "copy", silent)
    assert Path(done["kept"]).read_bytes() == b"nothing of use"
    assert count_of_calls(path) == 0


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
