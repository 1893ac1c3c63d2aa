"""A run of the retention that is killed at each of its steps, one after the other: a program, for test_killed_purge.

A step is the beginning or end of a transaction, a statement, or a file that is about to be deleted. For each one a
process makes a box of its own, destroys, and kills itself there; then another looks, and runs once more.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import event

from avisiod.office import recordings  # noqa: F401 - its operations
from avisiod.office.desk import Desk, perform
from avisiod.office.plan import Who
from avisiod.store import retention, trail_check
from avisiod.store.database import Database
from avisiod.store.opening import open_database
from tests.office.shelf import NOW, Shelf
from tests.store.killed import in_child

OLD = ("old-1", "old-2")


def purge(shelf: Shelf) -> None:
    who = Who(actor="unix:avisiod", why="the timer's", at_utc=NOW)
    perform(Desk(shelf.database, shelf.site, who), "recordings.purge", {"clock_is_right": True})


def prepared(folder: Path) -> Shelf:
    shelf = Shelf(folder, open_database(folder / "avisiod.db"))
    for name in OLD:
        shelf.put(name, 100)
    shelf.put("young", 10)
    return shelf


def die(folder: Path, at: int) -> None:
    """Destroy, and SIGKILL ourselves at that step; 0: tell how many there are."""
    shelf = prepared(folder)
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    for what in ("begin", "commit", "before_cursor_execute", "after_cursor_execute"):
        event.listen(shelf.database._engine, what, count)
    sys.addaudithook(lambda name, _: count() if name in ("os.remove", "os.rmdir", "os.rename") else None)
    purge(shelf)
    os.write(3, b"%d" % seen)


def look(shelf: Shelf, database: Database) -> dict[str, Any]:
    with database.reading() as connection:
        begun = [each.call for each in retention.begun(connection, "")]
        rows = [each.call for each in retention.listed(connection, "")]
        problem = trail_check.verify(connection).problem
    return {
        "there": sorted(shelf.there()),
        "files": sorted({path.name.partition(".")[0] for path in shelf.folder.rglob("*.*")}),
        "records": sorted(shelf.records()),
        "begun": sorted(begun),
        "rows": sorted(rows),
        "trail": problem,
    }


def opened(folder: Path) -> Shelf:
    shelf = Shelf.__new__(Shelf)
    shelf.folder, shelf.box = folder / "recordings", ""
    shelf.database = open_database(folder / "avisiod.db")
    shelf.site = Shelf.site_for(folder)
    return shelf


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "whole")
        folder.mkdir()
        status, said = in_child(die, folder, 0)
        assert status == 0
        steps = int(said)
        for at in range(1, steps + 1):
            folder = Path(place, str(at))
            folder.mkdir()
            status, _ = in_child(die, folder, at)
            assert os.WIFSIGNALED(status), at
            assert os.WTERMSIG(status) == signal.SIGKILL
            shelf = opened(folder)
            killed = look(shelf, shelf.database)
            purge(shelf)
            again = look(shelf, shelf.database)
            shelf.database.close()
            sys.stdout.write(json.dumps({"at": at, "killed": killed, "again": again}) + "\n")


if __name__ == "__main__":
    main()
