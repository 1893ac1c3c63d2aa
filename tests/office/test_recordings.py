"""What is too old is destroyed with a record; what is held, or may be younger, is not."""

import datetime
import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from avisiod.calls.ids import CallId
from avisiod.gateway.manifest import Manifest, RecordingFacts, encode
from avisiod.office import recording_files, recordings, retention_record
from avisiod.store import recordings as store_recordings
from avisiod.store import retention, trail_check
from avisiod.store.database import Database
from avisiod.store.opening import open_database

from .conftest import Office
from .shelf import DAY, NOW, Shelf


class Box(Office):
    """An office with recordings."""

    def __init__(self, folder: Path, database: Database, box: str = "") -> None:
        super().__init__(database)
        self.shelf = Shelf(folder, database, box)
        self.site = self.shelf.site
        self.at_utc = NOW

    def purge(self, **how: Any) -> dict[str, Any]:
        done: dict[str, Any] = self.do("recordings.purge", "unix:avisiod", "the timer's", **how)
        while done["more"]:
            told = {"destroyed": done["destroyed"], "trouble": done["trouble"]}
            done = self.do("recordings.purge", "unix:avisiod", "the timer's", **told, **how)
        return done

    def outcome(self) -> retention_record.Outcome:
        return retention_record.read(Path(self.site.retention_file))

    def standings(self) -> dict[str, str]:
        return {row["call"]: row["standing"] for row in self.do("recordings.due")}

    def has_row(self, call: str) -> bool:
        with self.database.reading() as connection:
            return store_recordings.get(connection, CallId(call)) is not None


@pytest.fixture
def box(tmp_path: Path, database: Database) -> Box:
    made = Box(tmp_path, database)
    made.shelf.bear_witness()
    return made


def test_what_is_too_old_goes_with_all_that_belongs_to_it_and_leaves_its_record(box: Box) -> None:
    film = box.shelf.put("old", 91)
    young = box.shelf.put("young", 89)
    with box.database.reading() as connection:
        kept = store_recordings.get(connection, CallId("old"))
    assert kept is not None
    done = box.purge()
    assert (done["destroyed"], done["problem"]) == (1, "")
    assert not film.parent.exists(), "nor is the folder of that day"
    assert box.shelf.there() == {"young"}
    assert young.with_name("young.mkv.json").exists()
    (record,) = box.shelf.records().values()
    assert (record.object, record.actor, record.why) == ("old", "unix:avisiod", "the timer's")
    assert record.details["digest"] == kept.sha256
    assert (record.details["file"], record.details["bytes"]) == (str(film), kept.bytes)
    assert record.details["rule"] == "90 days after the call's end"
    assert record.details["ended"] == (NOW - 91 * DAY).isoformat(timespec="seconds")
    assert not box.has_row("old")
    assert box.do("audit.verify")["good"]
    last = box.outcome()
    assert (last.destroyed, last.held, last.overdue, last.problem) == (1, 0, 0, "")
    assert last.age_s(NOW + DAY) == 86400.0
    assert box.purge()["destroyed"] == 0, "the same run again does nothing"


def test_a_hold_wins_until_it_is_released(box: Box) -> None:
    box.shelf.put("held", 200)
    refused = box.refused(lambda: box.do("recordings.hold", "unix:warden", "", call="held"))
    assert "no reason" in refused[0]
    box.do("recordings.hold", "unix:warden", "procedure 12", call="held")
    assert "procedure 12" in (next(box.shelf.folder.rglob("held.mkv.hold"))).read_text()
    assert "under hold" in box.refused(lambda: box.do("recordings.hold", call="held"))[0]
    assert box.purge()["destroyed"] == 0
    assert box.outcome().held == 1
    assert box.standings() == {"held": "held"}
    assert [row["call"] for row in box.do("recordings.list", held=True)] == ["held"]
    box.do("recordings.release", "unix:warden", "appeals are over", call="held")
    assert "under no hold" in box.refused(lambda: box.do("recordings.release", call="held"))[0]
    assert box.standings() == {"held": "due"}
    assert box.purge()["destroyed"] == 1
    lines = [line["action"] for line in box.do("audit.list", kind="recording", object="held")]
    assert lines == ["destroy", "release", "hold"]


def test_a_hold_that_somebody_made_by_hand_counts_as_much(box: Box) -> None:
    film = box.shelf.put("held", 200)
    film.with_name("held.mkv.hold").touch()
    assert box.purge()["destroyed"] == 0
    assert film.exists()


def test_what_cannot_be_destroyed_is_told_and_tried_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        box.shelf.put(name, 100)
    unlink = Path.unlink

    def stuck(path: Path, missing_ok: bool = False) -> None:
        if path.name == "one.mkv":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", stuck)
    done = box.purge()
    assert done["destroyed"] == 1
    assert "1 recordings could not be destroyed" in done["problem"]
    assert "one.mkv: Read-only file system" in done["problem"]
    assert set(box.shelf.records()) == {"two"}
    assert box.outcome().overdue == 1
    assert box.purge()["destroyed"] == 0, "and no second record of its beginning stops the run"
    monkeypatch.undo()
    done = box.purge()
    assert (done["destroyed"], done["problem"], box.outcome().overdue) == (1, "", 0)
    assert set(box.shelf.records()) == {"one", "two"}


def test_one_whose_destruction_failed_can_still_be_put_under_hold(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    film = box.shelf.put("one", 100)

    def stuck(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", "one.mkv")

    monkeypatch.setattr(recording_files, "destroy", stuck)
    assert "could not" in box.purge()["problem"]
    monkeypatch.undo()
    box.do("recordings.hold", "unix:warden", "procedure 12", call="one")
    done = box.purge()
    assert (done["destroyed"], done["problem"]) == (0, "")
    assert film.exists()
    assert box.has_row("one")


def test_a_hold_that_nobody_can_look_for_is_taken_for_one(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.shelf.put("one", 100)

    def broken(_: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(recording_files, "is_held", broken)
    done = box.purge()
    assert done["destroyed"] == 0
    assert "nobody can tell whether they are under hold (Input/output error)" in done["problem"]
    assert box.shelf.there() == {"one"}


def test_a_clock_that_leapt_ahead_destroys_nothing(box: Box) -> None:
    box.shelf.put("young", 1)
    box.at_utc = NOW + 4000 * DAY
    (refused,) = box.refused(box.purge)
    assert "the clock may be wrong" in refused
    assert box.shelf.there() == {"young"}
    assert "the clock may be wrong" in box.outcome().problem
    assert not box.outcome().run_utc, "such a run has not gone through"
    assert box.shelf.records() == {}
    done = box.purge(clock_is_right=True)
    assert done["destroyed"] == 1, "somebody has looked"


def test_a_clock_that_was_slow_when_it_was_recorded_makes_nothing_old(box: Box) -> None:
    box.shelf.put("before", 10)
    box.shelf.put("at-1970", 20_000)  # written after the other one: the clock lost its battery
    assert box.standings() == {"at-1970": "undated"}
    assert box.purge()["destroyed"] == 0
    assert box.outcome().problem == "", "it goes by itself, once what came before it is old enough"
    box.at_utc = NOW + 81 * DAY
    box.shelf.bear_witness(box.at_utc)
    assert box.purge()["destroyed"] == 2


def test_lines_from_a_time_that_has_not_come_do_not_keep_anything_for_years(box: Box) -> None:
    box.shelf.put("leapt", -3000)
    box.shelf.put("old", 100)
    assert box.purge()["destroyed"] == 1
    assert box.shelf.there() == {"leapt"}


def test_what_is_not_where_it_was_is_told_until_somebody_says_what_became_of_it(box: Box) -> None:
    film = box.shelf.put("lost", 100)
    box.shelf.put("other", 100)
    recording_files.destroy(film)
    done = box.purge()
    assert (done["destroyed"], box.outcome().overdue) == (1, 1)
    assert "not where they were" in done["problem"]
    assert box.standings() == {"lost": "missing"}
    assert "no reason" in box.refused(lambda: box.do("recordings.forget", "unix:dpo", "", call="lost"))[0]
    box.do("recordings.forget", "unix:dpo", "the disk died", call="lost")
    assert (box.purge()["problem"], box.standings()) == ("", {})
    young = box.shelf.put("young", 1)
    assert f"{young} is there" in box.refused(lambda: box.do("recordings.forget", call="young"))[0]


def test_without_the_recordings_disk_nothing_is_done(box: Box) -> None:
    box.shelf.put("one", 100)
    away = box.shelf.folder.rename(box.shelf.folder.with_name("away"))
    (refused,) = box.refused(box.purge)
    assert "is not there" in refused
    assert "is not there" in box.outcome().problem
    away.rename(box.shelf.folder)
    assert box.purge()["destroyed"] == 1


def test_a_folder_that_was_moved_is_found_by_its_new_name(box: Box, tmp_path: Path) -> None:
    box.shelf.put("old", 100)
    moved = box.shelf.folder.rename(tmp_path / "larger-disk")
    box.site = msgspec.structs.replace(box.site, recordings_folder=str(moved))
    assert box.purge()["destroyed"] == 1
    assert not list(moved.rglob("*.mkv"))


def test_files_that_no_list_knows_are_destroyed_by_the_time_of_their_manifest(box: Box) -> None:
    for name, days in (("old", 100), ("young", 80)):
        film = box.shelf.film(name, NOW - 100 * DAY)
        facts = RecordingFacts(
            call=CallId(name), phone="p", contact="c", started_at="2026-08-01T00:00:00+00:00", started_monotonic=0.0
        )
        ended = (NOW - days * DAY).isoformat()
        manifest = Manifest(
            file=film.name, facts=facts, ended_at=ended, duration_s=1.0, end_reason="", truncated=False, bytes=0,
            sha256="a" * 64,
        )  # fmt: skip
        film.with_name(film.name + ".json").write_bytes(encode(manifest.sealed()))
    bare = box.shelf.film("bare", NOW - 100 * DAY)  # of which nothing is known but when it was written
    assert box.purge()["destroyed"] == 1
    assert set(box.shelf.records()) == {"old"}
    for path in recording_files.files_of(bare):
        os.utime(path, (0, (NOW - 95 * DAY).timestamp()))
    assert box.purge()["destroyed"] == 1
    assert box.shelf.there() == {"young"}


def test_what_is_still_written_is_left_alone(box: Box) -> None:
    film = box.shelf.film("growing", NOW - 100 * DAY)
    film.rename(film.with_name("growing.mkv.part"))
    for path in film.parent.iterdir():
        os.utime(path, (0, 0))
    assert box.purge()["destroyed"] == 0
    assert film.with_name("growing.mkv.part").exists()


def test_each_box_destroys_its_own(tmp_path: Path, database: Database) -> None:
    box = Box(tmp_path, database, "left")
    box.shelf.bear_witness()
    box.shelf.put("ours", 100)
    theirs = box.shelf.put("theirs", 100, box="right")
    assert box.purge()["destroyed"] == 1
    assert theirs.exists()
    assert box.has_row("theirs")


def test_more_than_a_portion_goes_in_one_run(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "PORTION", 2)
    for number in range(5):
        box.shelf.put(f"old-{number}", 100 + number)
    assert box.purge()["destroyed"] == 5
    assert box.outcome().destroyed == 5
    assert box.shelf.there() == set()


def test_a_run_with_nothing_to_do_says_that_it_was(box: Box) -> None:
    box.purge()
    (line,) = box.do("audit.list", kind="recording", object="*", limit=1)
    assert (line["action"], line["details"]) == ("retention", {"destroyed": 0, "held": 0, "overdue": 0})


def test_a_longer_limit_spares_what_was_begun(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    film = box.shelf.put("one", 100)

    def stuck(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", "one.mkv")

    monkeypatch.setattr(recording_files, "destroy", stuck)
    box.purge()
    monkeypatch.undo()
    box.site = msgspec.structs.replace(box.site, keep_days=180)
    assert (box.purge()["destroyed"], film.exists()) == (0, True)


RECORDING = st.tuples(st.integers(0, 200), st.booleans(), st.booleans())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORDING, max_size=8), st.lists(st.integers(1, 120), max_size=3), st.integers(1, 150))
def test_never_a_held_one_never_a_young_one_and_each_has_its_record(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[int, bool, bool]],
    later: list[int],
    keep_days: int,
) -> None:
    folder = tmp_path_factory.mktemp("box")
    database = open_database(folder / "avisiod.db")
    try:
        box = Box(folder, database)
        box.site = msgspec.structs.replace(box.site, keep_days=keep_days)
        every: dict[str, int] = {}
        # as a journal is: oldest first
        for number, (days, held, by_hand) in enumerate(sorted(drawn, reverse=True)):
            name = f"call-{number}"
            every[name] = days
            film = box.shelf.put(name, days)
            if held and by_hand:
                film.with_name(film.name + ".hold").touch()
            elif held:
                box.do("recordings.hold", call=name)
        held_ones = {path.name.partition(".")[0] for path in box.shelf.folder.rglob("*.hold")}
        for days in [0, *later]:
            box.at_utc += days * DAY
            box.purge(clock_is_right=True)
            age = {name: (box.at_utc - NOW).days + days for name, days in every.items()}
            there, told = box.shelf.there(), set(box.shelf.records())
            assert there | told == set(every)
            assert not there & told
            assert held_ones <= there
            assert told == {name for name in every if name not in held_ones and age[name] > keep_days}
            assert box.outcome().overdue == 0
        with database.reading() as connection:
            assert trail_check.verify(connection).good
            assert not retention.begun(connection, "")
            assert connection.scalar(text("SELECT count(*) FROM recordings")) == len(box.shelf.there())
    finally:
        database.close()


def test_times_are_shown_in_the_sites_zone(box: Box) -> None:
    box.shelf.put("one", 10)
    (row,) = box.do("recordings.list")
    assert row["ended"] == (NOW - 10 * DAY).astimezone(datetime.timezone(datetime.timedelta(hours=1))).isoformat()
    assert (row["due"], row["standing"]) == ("2027-02-12", "kept")
