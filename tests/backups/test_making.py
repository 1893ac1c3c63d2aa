"""Which backups are made and kept, and what is known of the last one."""

import datetime
import os
from pathlib import Path

import pytest

from avisiod import secret_files
from avisiod.backups import outcome
from avisiod.backups.contents import gather
from avisiod.backups.rotation import made_at, name_of, superfluous
from avisiod.config import check
from avisiod.metrics import Metrics

from .conftest import Box

MONDAY = datetime.datetime(2026, 11, 23, 3, 10, tzinfo=datetime.UTC)


def names(*days_ago: float) -> list[str]:
    return [name_of(MONDAY - datetime.timedelta(days=days)) for days in days_ago]


@pytest.mark.parametrize(
    ("there", "daily", "weekly", "goes"),
    [
        ((), 7, 5, ()),
        ((0, 1, 2), 7, 0, ()),
        ((0, 1, 2), 2, 0, (2,)),
        ((0, 0.1, 1), 2, 0, (0.1,)),  # of one day the newest
        ((0, 1, 2, 8, 9), 1, 3, (2, 9)),  # Monday; Sunday and Saturday of the week before; the week before that
        ((40, 90, 300), 3, 0, ()),  # a box that stood still loses nothing
        ((0, 5), 0, 0, (5,)),  # the newest stays
    ],
)
def test_the_newest_of_each_day_and_week_is_kept(
    there: tuple[float, ...], daily: int, weekly: int, goes: tuple[float, ...]
) -> None:
    strangers = ["avisiod-.age", "notes.txt", ".avisiod-20261123T031000Z.age.partial"]
    assert superfluous([*strangers, *names(*there)], daily, weekly) == set(names(*goes))


def test_a_name_tells_when_it_was_made() -> None:
    assert made_at(name_of(MONDAY)) == MONDAY
    assert made_at("avisiod-latest.age") is None


def test_each_backup_is_rotated_and_the_daemons_metrics_know_of_it(file_box: Box) -> None:
    file_box.write({"backup": {"keep_daily": 1, "keep_weekly": 0}})
    file_box.backups.mkdir()
    old, foreign = file_box.backups / name_of(MONDAY), file_box.backups / "letter.txt"
    old.write_text("old")
    foreign.write_text("dear judge")
    done = file_box.json("backup")
    assert done["deleted"] == [old.name]
    assert sorted(file_box.backups.iterdir()) == sorted([Path(done["file"]), foreign])
    assert Path(done["file"]).stat().st_mode & 0o777 == 0o600
    last = outcome.read(file_box.record)
    assert last.bytes == done["bytes"]
    assert not last.problem
    assert last.age_s(datetime.datetime.fromisoformat(last.good_utc) + datetime.timedelta(hours=3)) == 3 * 3600


def test_a_secret_that_systemd_hands_over_is_a_key_in_its_own_place(
    file_box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer's service reads copies: they are not kept beside the files, nor are these without asking."""
    own, handed_over = file_box.etc / "secrets", tmp_path / "credentials"
    own.mkdir()
    handed_over.mkdir()
    (own / "turn.secret").write_text("of root only")
    (handed_over / "secrets_turn.secret").write_text("of root only")
    monkeypatch.setattr(secret_files, "FOLDER", own)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed_over))
    file_box.write({"media": {"ice_servers": [{"urls": ["turn:turn.example.org"], "secret_file": "turn.secret"}]}})
    config = check.load(file_box.etc / "avisiod.yaml", files=False)
    found, unread = gather(config, file_box.etc / "avisiod.yaml")
    assert unread == []
    assert [(each.path, each.is_key) for each in found if b"of root only" in each.data] == [
        (own / "turn.secret", True)
    ]


def test_a_backup_that_fails_deletes_none_and_is_told(file_box: Box) -> None:
    good = file_box.json("backup")
    before = outcome.read(file_box.record)
    file_box.write({"backup": {"recipients": []}})
    file_box.run("backup", status=1)
    assert "backup.recipients" in file_box.err
    last = outcome.read(file_box.record)
    assert "backup.recipients" in last.problem
    assert last.good_utc == before.good_utc
    assert Path(good["file"]).exists()


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_folder_that_cannot_be_written_is_named(file_box: Box) -> None:
    file_box.write({"backup": {"folder": "/proc/no/such"}})
    file_box.run("backup", status=1)
    assert "/proc/no" in file_box.err
    assert "backup.folder" in file_box.err


def test_the_whole_box_goes_into_a_file_of_ones_choice_too(file_box: Box, tmp_path: Path) -> None:
    target = tmp_path / "safe" / "box.age"
    file_box.run("backup", str(target), "--whole")
    assert target.read_bytes().startswith(b"age-encryption.org/v1")
    assert not file_box.record.exists()
    file_box.run("backup", str(target), "--whole", status=1)
    assert "never written over" in file_box.err


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [
        ("AGE-SECRET-KEY-1QQQ", "take this one off the box"),
        ("age1short", "age-keygen"),
        ("ssh-dss AAAA", "age-keygen"),
    ],
)
def test_a_recipient_that_is_none_is_refused_with_the_settings(file_box: Box, recipient: str, reason: str) -> None:
    file_box.write({"backup": {"recipients": [recipient]}})
    file_box.run("backup", status=2)
    assert reason in file_box.err
    assert "backup.recipients" in file_box.err


def test_without_a_backup_its_age_is_infinite() -> None:
    metrics = Metrics()
    assert metrics.registry.get_sample_value("avisiod_backup_age_seconds") == float("inf")
    assert metrics.registry.get_sample_value("avisiod_backup_good") == 0
    metrics.backups.looked(age_s=60.0, good=True, octets=5)
    assert metrics.registry.get_sample_value("avisiod_backup_age_seconds") == 60.0


@pytest.mark.parametrize("text", ["", "{", '{"good_utc": "yesterday"}', '{"good_utc": "2026-11-25T00:00:00"}', "[]"])
def test_a_record_that_is_none_counts_as_no_backup(tmp_path: Path, text: str) -> None:
    (tmp_path / "backup.json").write_text(text)
    assert outcome.read(tmp_path / "backup.json") == outcome.Outcome()
