"""avisioctl recordings, as the timer and staff run it, on a box whose daemon is down."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from avisiod.office import retention_record
from avisiod.store.database import Database
from avisiod.store.opening import open_database
from tests.office.shelf import NOW, Shelf

from .conftest import Ctl


@pytest.fixture
def shelf(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("avisiod.cli.reach.wall_utc", lambda: NOW)
    database: Database = open_database(ctl.where)
    made = Shelf(ctl.folder, database)
    settings = yaml.safe_load(ctl.config.read_text())
    settings["recordings"] = {"folder": str(made.folder), "record_file": made.site.retention_file}
    if not isinstance(ctl.where, Path):
        settings["store"]["box"] = "this"
    ctl.config.write_text(yaml.safe_dump(settings))
    yield made
    database.close()


def test_staff_see_hold_and_release_and_the_timers_run_destroys(ctl: Ctl, shelf: Shelf) -> None:
    shelf.bear_witness()
    for name, days in (("old-1", 100), ("old-2", 95), ("young", 3)):
        shelf.put(name, days)
    assert [row["call"] for row in ctl.json("recordings", "list")] == ["young", "old-2", "old-1"]
    ctl.run("recordings", "hold", "old-1", status=1)
    assert "no reason" in ctl.err
    assert ctl.run("recordings", "hold", "old-1", "--why", "procedure 12") == "under hold\n"
    shown = {row["call"]: row["standing"] for row in ctl.json("recordings", "purge", "--dry-run")}
    assert shown == {"old-1": "held", "old-2": "due"}
    assert shelf.there() == {"old-1", "old-2", "young"}
    assert ctl.run("recordings", "purge", "--why", "the timer's") == "1 recordings destroyed\n"
    assert shelf.there() == {"old-1", "young"}
    ctl.run("recordings", "release", "old-1", "--why", "over")
    assert ctl.json("recordings", "purge") == {"destroyed": 1, "problem": ""}
    assert ctl.run("recordings", "purge") == "nothing was destroyed\n"
    assert "no recording is that old" in ctl.run("recordings", "due")
    assert set(shelf.records()) == {"old-1", "old-2"}


def test_the_timers_run_fails_where_something_is_left(ctl: Ctl, shelf: Shelf) -> None:
    film = shelf.put("lost", 100)
    film.with_name("lost.jpg").unlink()
    film.with_name("lost.mkv.json").unlink()
    film.unlink()
    assert "not where they were" in ctl.run("recordings", "purge", status=1)
    shelf.put("old", 100)
    ctl.run("recordings", "purge", status=1)
    assert "the clock may be wrong" in ctl.err
    assert "the clock may be wrong" in retention_record.read(Path(shelf.site.retention_file)).problem
    ctl.run("recordings", "forget", "lost", "--why", "the disk died")
    assert "1 recordings destroyed" in ctl.run("recordings", "purge", "--clock-is-right")
    assert retention_record.read(Path(shelf.site.retention_file)).problem == ""
