"""The drill: a box is backed up while calls are written, burns down, and comes back from one file."""

import json
import shutil
import sqlite3
import subprocess
import threading
from pathlib import Path

import pyrage
import pytest

from avisiod.backups import contents, sealed
from avisiod.calls import ledger
from avisiod.calls.ids import CallId
from avisiod.store import books, calls, progress, trail_check
from avisiod.store.opening import open_database
from tests.store.people import ANNA, paid_call
from tests.store.records import entry

from .conftest import Box


def snapshot(*folders: Path) -> dict[str, bytes]:
    """Every file, with its content."""
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def state_of(where: Path | str) -> int:
    """How many calls there are, where trail and ledger are in order."""
    opened = open_database(where)
    with opened.reading() as connection:
        assert trail_check.verify(connection).good
        assert books.check(connection) == []
        assert books.balance(connection, ledger.held_of(ANNA)) in (0, 300)
        number = len(calls.since(connection, None, 100_000))
    opened.close()
    return number


def test_a_box_that_burns_down_while_calls_run_comes_back_from_one_file(box: Box) -> None:
    stop, going, written = threading.Event(), threading.Event(), 0

    def calls_run() -> None:
        nonlocal written
        opened = open_database(box.where)
        while not stop.is_set():
            for state in ("inviting", "connected", "ended"):
                how: dict[str, bool] = {"charged": False} if state == "ended" else {}
                of = CallId(f"call-{written}")
                with opened.writing() as connection:
                    progress.save(connection, paid_call(state, of=of, **how), entry(state, of=of))
            written += 1
            if written >= 3:
                going.set()
        opened.close()

    running = threading.Thread(target=calls_run)
    running.start()
    try:
        assert going.wait(60)
        before = written
        done = box.json("backup", "--with-keys")
    finally:
        stop.set()
        running.join(60)
    settings = snapshot(box.etc)
    ashes = box.burn()
    assert not box.etc.exists()

    said = box.restore(done["file"])

    assert "recordings: 1 are listed, 0 of them are not on this disk" in said
    assert snapshot(box.etc) == settings
    for path in (box.etc / "keys" / "portal.key", box.state / "code.key"):
        assert path.stat().st_mode & 0o077 == 0
        assert path.read_bytes() == (ashes / path.relative_to(box.etc.parent)).read_bytes()
    assert before <= state_of(box.where) <= written
    assert {"backup", "restore"} <= {line["action"] for line in box.json("audit", "list")}
    subprocess.run(
        ["sha256sum", "--check", "--strict", box.state / contents.RECORDINGS], cwd=box.recordings, check=True
    )
    assert not list(box.state.glob(".*"))


def test_without_keys_no_key_is_in_the_file_and_it_says_which_ones_are_not(file_box: Box, tmp_path: Path) -> None:
    done = file_box.json("backup")
    names = {
        str(file_box.etc / "keys" / "portal.key"),
        str(file_box.etc / "edge.pem"),
        str(file_box.state / "code.key"),
    }
    assert set(done["left_out"]) == names
    secrets = sealed.identities(file_box.identity.read_bytes())
    inside = b""
    with sealed.opened(Path(done["file"]), secrets) as members:
        for _, content in members:
            inside += content.read()
    assert b"k" * 32 not in inside
    assert b"PRIVATE KEY" not in inside
    file_box.burn()
    said = file_box.restore(done["file"])
    assert all(f"not in the backup: {name}" in said for name in names)


@pytest.mark.peer
def test_the_program_age_opens_it_and_tar_unpacks_it(file_box: Box, tmp_path: Path) -> None:
    done = file_box.json("backup")
    plain = subprocess.run(["age", "-d", "-i", file_box.identity, done["file"]], capture_output=True, check=True)
    subprocess.run(["tar", "-xz", "-C", tmp_path / "safe"], input=plain.stdout, check=True)
    about = json.loads((tmp_path / "safe" / "contents.json").read_text())
    assert about["config_file"] == str(file_box.etc / "avisiod.yaml")
    database = sqlite3.connect(tmp_path / "safe" / "database")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_what_is_there_is_replaced_only_when_told_and_is_kept(box: Box) -> None:
    done = box.json("backup")
    (box.etc / "inventory.yaml").write_text("phones: []  # edited since\n")
    before = snapshot(box.etc, box.state)
    box.restore(done["file"], status=1)
    assert "would replace" in box.err
    assert "--overwrite" in box.err
    assert snapshot(box.etc, box.state) == before
    box.restore(done["file"], "--overwrite")
    assert (box.etc / "inventory.yaml").read_text() == "phones: []\n"
    assert (box.etc / "inventory.yaml.before-restore-1").read_text() == "phones: []  # edited since\n"


def test_a_check_changes_nothing(file_box: Box) -> None:
    done = file_box.json("backup")
    before = snapshot(file_box.etc, file_box.state)
    assert "whole, nothing was changed" in file_box.restore(done["file"], "--check")
    assert snapshot(file_box.etc, file_box.state) == before


def altered(data: bytes, how: str) -> bytes:
    """A backup after an accident."""
    if how == "cut off":
        return data[:-1]
    if how == "cut off early":
        return data[: len(data) // 2]
    if how == "an end added":
        return data + b"\0"
    place = {"header": 60, "begin": 400, "middle": len(data) // 2, "end": len(data) - 3}[how]
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("how", ["cut off", "cut off early", "an end added", "header", "begin", "middle", "end"])
def test_a_file_that_was_altered_is_refused_and_nothing_is_half_done(file_box: Box, how: str) -> None:
    done = file_box.json("backup", "--with-keys")
    file_box.burn()
    data = Path(done["file"]).read_bytes()
    Path(done["file"]).write_bytes(altered(data, how))
    file_box.restore(done["file"], status=1)
    assert "altered or cut off" in file_box.err or "other keys" in file_box.err
    assert not file_box.etc.exists()
    assert snapshot(file_box.state) == {}
    Path(done["file"]).write_bytes(data)
    file_box.restore(done["file"])


def test_another_key_or_none_opens_nothing(file_box: Box) -> None:
    done = file_box.json("backup")
    file_box.burn()
    file_box.run("restore", done["file"], status=1)
    assert "sealed" in file_box.err
    assert "--identity" in file_box.err
    file_box.identity.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    file_box.restore(done["file"], status=1)
    assert "other keys" in file_box.err
    file_box.identity.write_text(file_box.recipient)
    file_box.restore(done["file"], status=1)
    assert "no secret key of age" in file_box.err
    assert snapshot(file_box.state) == {}


def test_a_database_newer_than_the_program_is_refused(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avisiod.store.backup.revisions", lambda where, copy: {"9999"})
    done = box.json("backup")
    monkeypatch.undo()
    box.burn()
    box.restore(done["file"], status=1)
    assert "written by a newer avisiod (schema 9999)" in box.err
    assert not box.etc.exists()
    assert snapshot(box.state) == {}


def test_a_failure_half_way_puts_every_file_back(file_box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    done = file_box.json("backup")
    (file_box.etc / "inventory.yaml").write_text("changed\n")
    (file_box.etc / "kamailio-local.cfg").unlink()
    before = snapshot(file_box.etc, file_box.state)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avisiod.store.backup.restore", full)
    file_box.restore(done["file"], "--overwrite", status=1)
    assert "everything is as it was" in file_box.err
    assert snapshot(file_box.etc, file_box.state) == before


def test_a_member_that_would_go_elsewhere_is_refused(file_box: Box, tmp_path: Path) -> None:
    """Whoever knows the public key can seal a file: what it says is no reason to write anywhere."""
    done = file_box.json("backup")
    secrets = sealed.identities(file_box.identity.read_bytes())
    with sealed.opened(Path(done["file"]), secrets) as members:
        packed = {name: content.read() for name, content in members}
    about = json.loads(packed["contents.json"])
    for member in about["members"]:
        if member["path"].endswith("inventory.yaml"):
            member["path"] = str(file_box.etc / ".." / "safe" / "planted")
    packed["contents.json"] = json.dumps(about).encode()

    def fill(tar: object) -> None:
        for name, data in packed.items():
            sealed.add_bytes(tar, name, data)  # type: ignore[arg-type]

    forged = tmp_path / "safe" / "forged.age"
    with forged.open("wb") as file:
        sealed.seal(file, [sealed.recipient(file_box.recipient)], fill)
    shutil.rmtree(file_box.etc)
    file_box.restore(str(forged), status=1)
    assert "belongs neither to the settings nor to the keys" in file_box.err
    assert not file_box.etc.exists()
