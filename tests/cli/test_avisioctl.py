"""avisioctl does what staff ask, says what it did, and writes down who asked; without a daemon on the database."""

import getpass
import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from argon2 import PasswordHasher

from avisiod.calls.ids import PhoneId
from avisiod.cli import manual
from avisiod.cli.main import avisioctl, main
from avisiod.office.kinds import kinds
from avisiod.store import pins
from avisiod.store.opening import open_database
from tests.peers.signer import Signer

from .conftest import Ctl


def test_people_are_added_shown_changed_and_removed(peopled: Ctl) -> None:
    (anna,) = peopled.json("people", "list")
    assert (anna["id"], anna["identifier"], anna["version"]) == ("anna", "1001", "1")
    assert "Anna Martin" in peopled.run("people", "list")
    assert "anna: cell ∅ → B 12" in peopled.run("people", "change", "anna", "--cell", "B 12", "--why", "transfer")
    assert peopled.json("people", "show", "anna")["cell"] == "B 12"
    assert "dry run" in peopled.run("people", "change", "anna", "--cell", "", "--dry-run")
    assert peopled.json("people", "show", "anna")["cell"] == "B 12"
    peopled.run("people", "change", "anna", "--cell", "C 1", "--version", "1", status=1)
    assert "was changed meanwhile" in peopled.err
    assert "nothing was changed" in peopled.err
    peopled.run("people", "remove", "anna")
    assert peopled.json("people", "list") == []
    assert "nothing is listed" in peopled.run("people", "list")
    line = next(line for line in peopled.json("audit", "list") if line["action"] == "change")
    assert (line["actor"], line["why"], line["object"]) == (f"unix:{getpass.getuser()}", "transfer", "anna")


def test_rules_are_set_and_listed(peopled: Ctl) -> None:
    peopled.run("windows", "add", "--scope", "site", "--weekday", "mon", "--begins", "9:00", "--ends", "11:30")
    peopled.run(
        "exceptions",
        "add",
        "--scope",
        "site",
        "--kind",
        "closed",
        "--from-local",
        "2026-12-25T00:00",
        "--to-local",
        "2026-12-26T00:00",
        "--why",
        "Christmas",
    )
    assert peopled.json("exceptions", "list")[0]["why"] == "Christmas"
    assert "Christmas" in {line["why"] for line in peopled.json("audit", "list") if line["action"] == "add"}
    peopled.run("allowances", "add", "site", "--calls-day", "2")
    peopled.run("tariffs", "add", "--unit", "minute", "--price", "0.15", "--valid-from", "2026-01-01")
    peopled.run(
        "authorisations",
        "add",
        "anna",
        "sister",
        "--state",
        "granted",
        "--authority",
        "head",
        "--decided-on",
        "2026-11-01",
    )
    assert peopled.json("windows", "list")[0]["ends"] == "11:30"
    assert peopled.json("tariffs", "list", "-f", "unit=minute")[0]["price"] == "0.15"
    assert peopled.json("authorisations", "show", "anna", "sister")["history"][0]["state"] == "granted"
    assert "granted" in peopled.run("authorisations", "show", "anna", "sister")
    assert peopled.json("allowances", "change", "site", "--calls-day", "")["done"][0]["changes"] == {
        "calls_day": ["2", ""]
    }


def test_every_refusal_is_json_too(peopled: Ctl) -> None:
    refused = peopled.json("contacts", "add", "x", "--number", "12", status=1)
    assert refused["refused"][0]["column"] == "number"
    assert peopled.json("accounts", "top-up", "anna", "5", "--key", "k", status=1)["refused"][0]["column"] == "why"


def test_an_import_says_each_change_and_each_bad_line(peopled: Ctl) -> None:
    good = peopled.file("good.csv", "id;number;name\nsister;0639980001;Zoé\nmum;0639980002;Mum\n".encode("cp1252"))
    out = peopled.run("contacts", "import", good, "--dry-run")
    assert "line 2: change sister: name ∅ → Zoé" in out
    assert "line 3: add mum: " in out
    assert "1 changed, 1 added; nothing was written: this was a dry run" in out
    peopled.run("contacts", "import", good)
    assert len(peopled.json("contacts", "list")) == 2
    bad = peopled.file("bad.csv", "id;number\nx;12\ny;0639980001\n")
    peopled.run("contacts", "import", bad, status=1)
    assert "line 2: number: not a telephone number" in peopled.err
    assert "line 3: number: number …01 belongs to `sister` already" in peopled.err
    peopled.run("contacts", "import", str(peopled.folder / "none.csv"), status=1)
    assert "cannot be read" in peopled.err
    exported = peopled.folder / "out.csv"
    peopled.run("contacts", "export", str(exported))
    assert exported.stat().st_mode & 0o077 == 0
    assert "2 as they were" in peopled.run("contacts", "import", str(exported))
    peopled.run("contacts", "export", str(exported), status=1)
    assert "cannot be made" in peopled.err


def test_a_pin_is_never_an_argument_and_kept_as_argon2(peopled: Ctl, typed: Callable[[str], None]) -> None:
    typed("2580\n")
    peopled.run("people", "pin", "anna")
    database = open_database(peopled.where)
    with database.reading() as connection:
        record = pins.record(connection, PhoneId("yard"), "1001")
    database.close()
    assert PasswordHasher().verify(record.pin_hash, "2580")
    for text in ("12\n", "12ab56\n", "1234567890123\n"):
        typed(text)
        peopled.run("people", "pin", "anna", status=1)
        assert text.strip() not in peopled.err
    peopled.run("people", "unlock", "anna")
    peopled.run("phones", "unlock", "yard")
    options = {option for command in _leaves() for param in command.params for option in param.opts}
    assert not {"--pin", "--password", "--code"} & options


def test_a_phones_password_becomes_its_ha1(peopled: Ctl, typed: Callable[[str], None]) -> None:
    typed("correct horse\n")
    peopled.run("phones", "password", "yard")
    typed("short\n")
    peopled.run("phones", "password", "yard", status=1)
    assert "too short" in peopled.err


def test_money_is_paid_in_and_told(peopled: Ctl) -> None:
    assert "10.50 for anna" in peopled.run("accounts", "top-up", "anna", "10,50", "--key", "r1", "--why", "cash")
    assert "booked before" in peopled.run("accounts", "top-up", "anna", "10.50", "--key", "r1", "--why", "cash")
    peopled.run("accounts", "credit", "anna", "1", "--key", "g1", "--why", "image froze")
    assert peopled.json("accounts", "balance", "anna") == [{"detainee": "anna", "balance": "11.50", "held": "0.00"}]
    file = peopled.file("pay.csv", "key;register_number;amount\np1;A-1001;2\n")
    assert "1 of 1 booked; nothing was written" in peopled.run("accounts", "import", file, "--dry-run")
    assert "1 of 1 booked" in peopled.run("accounts", "import", file)
    statement = peopled.json("accounts", "statement", "anna")
    assert [(line["kind"], line["amount"], line["balance"]) for line in statement] == [
        ("top_up", "10.50", "10.50"),
        ("credit", "1.00", "11.50"),
        ("top_up", "2.00", "13.50"),
    ]
    lines = peopled.run("accounts", "export").splitlines()
    assert lines[0] == "at,key,kind,account,amount,call,actor,why"
    assert len(lines) == 7
    peopled.run("accounts", "refund", "none", status=1)


def test_the_trail_is_verified(peopled: Ctl) -> None:
    assert "good: lines 1 to" in peopled.run("audit", "verify")
    noted = peopled.run("audit", "verify").splitlines()[1].split(": ")[1]
    peopled.run("audit", "verify", "--noted", noted)
    assert "no line is that old" in peopled.run("audit", "purge")
    database = open_database(peopled.where)
    with database.writing() as connection:
        from tests.store.test_trail import without_rules

        without_rules(connection, "audit")
        connection.exec_driver_sql("DELETE FROM audit WHERE seq = 2")
    database.close()
    assert "not good: line 2 is missing; up to line 1" in peopled.run("audit", "verify", status=1)


def test_a_decision_is_explained(peopled: Ctl) -> None:
    peopled.run("phones", "add", "cell-101", "--occupant", "anna")
    asked = ("explain", "--phone", "cell-101", "--number", "0639980001", "--at", "2026-11-23T09:30")
    found = peopled.json(*asked)
    assert (found["granted"], found["reason"]) == (False, "not_authorised")
    assert "authorisation" in peopled.run(*asked)


def test_calls_are_not_cut_without_a_daemon(peopled: Ctl) -> None:
    assert "no call fits" in peopled.run("calls", "list")
    peopled.run("calls", "cut", "x", "--why", "x", status=1)
    assert "the daemon is down" in peopled.err
    peopled.run("calls", "show", "x", status=1)


def test_a_database_is_never_made_by_avisioctl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ctl = Ctl(tmp_path, tmp_path / "none" / "avisiod.db", capsys)
    ctl.run("people", "list", status=1)
    assert "start avisiod once" in ctl.err
    assert not (tmp_path / "none").exists()


def test_wrong_settings_and_arguments_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "avisiod.yaml"
    config.write_text("store: {paht: /x}\n")
    assert main(["--config", str(config), "people", "list"]) == 2
    assert "paht" in capsys.readouterr().err
    assert main(["people", "dance"]) == 2
    assert main(["people", "add"]) == 2


def _leaves() -> list[object]:
    return [command for _, command in manual._commands(avisioctl, ())]


def test_each_command_answers_in_json_and_takes_a_reason() -> None:
    for path, command in manual._commands(avisioctl, ()):
        if path[0] in ("completion", "manual"):
            continue
        options = {option for param in command.params for option in param.opts}
        assert {"--json", "--why"} <= options, path


def test_the_man_page_has_every_command_and_is_clean_roff(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["manual"]) == 0
    page = capsys.readouterr().out
    for path, _ in manual._commands(avisioctl, ()):
        assert f".SS {' '.join(path)}".replace("-", "\\-") in page
    for kind in kinds("FR").values():
        for field in kind.fields:
            assert f"--{field.name}".replace("_", "-").replace("-", "\\-") in page or field.name in kind.keys
    assert all(not line.startswith(".") or line[1:3].isupper() or line[1] == "B" for line in page.splitlines())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_AVISIOCTL_COMPLETE" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_a_backup_is_taken_while_others_write_and_restored(peopled: Ctl) -> None:
    if isinstance(peopled.where, str):
        pytest.skip("see test_backup.py of the store for PostgreSQL")
    writer = sqlite3.connect(peopled.where, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    backup = str(peopled.folder / "backup.db")
    writer.execute("ROLLBACK")
    writer.execute("BEGIN")
    writer.execute("SELECT count(*) FROM audit").fetchone()
    done = peopled.json("backup", backup)
    writer.close()
    assert done["audit_last"] > 0
    peopled.run("backup", backup, status=1)
    assert "never written over" in peopled.err
    peopled.run("people", "remove", "anna")
    assert "what was there is kept as" in peopled.run("restore", backup)
    assert [row["id"] for row in peopled.json("people", "list")] == ["anna"]
    assert {"backup", "restore"} <= {line["action"] for line in peopled.json("audit", "list")}
    assert "good" in peopled.run("audit", "verify")
    kept = next(peopled.where.parent.glob("*.before-restore-1"))
    reader = sqlite3.connect(kept)
    assert reader.execute("SELECT listed FROM detainees").fetchall() == [(0,)]
    reader.close()


def test_phones_alone_shows_how_they_are_by_building_and_floor(peopled: Ctl) -> None:
    peopled.run("phones", "add", "cell-101", "--building", "A", "--floor", "1")
    peopled.run("devices", "add", "cell-101", "--mac", "00:15:65:a1:b2:c3", "--vendor", "yealink")
    shown = peopled.run("phones")
    assert "building A, floor 1: 0 of 1 up" in shown
    assert "no building: 0 of 1 up" in shown
    assert "never_seen" in shown
    rows = json.loads(peopled.run("phones", "--json"))
    assert [(row["phone"], row["mac"]) for row in rows] == [("yard", ""), ("cell-101", "00:15:65:A1:B2:C3")]
    assert [row["phone"] for row in peopled.json("phones", "health", "--building", "A")] == ["cell-101"]
    assert peopled.json("phones", "events", "cell-101") == []
    assert "`cell-101` is not tampered" in str(peopled.json("devices", "looked", "cell-101", "--why", "x", status=1))


def test_firmware_is_added_with_its_signature_and_rolled_out(peopled: Ctl, tmp_path: Path) -> None:
    signer = Signer()
    folder = tmp_path / "firmware"
    settings = yaml.safe_load(peopled.config.read_text())
    settings["firmware"] = {"folder": str(folder), "public_keys": [signer.public]}
    peopled.config.write_text(yaml.safe_dump(settings))
    peopled.run("devices", "add", "yard", "--mac", "00:15:65:a1:b2:c3", "--vendor", "yealink")
    rom = signer.write(tmp_path / "vp59.rom", b"rom")
    how = ("--vendor", "yealink", "--release", "91.2")
    assert "0807060504030201" in peopled.run("firmware", "add", "vp59", str(rom), *how)
    assert [path.name for path in folder.iterdir()] == ["vp59.rom"]
    rom.write_bytes(b"ro")
    refused = peopled.json("firmware", "add", "other", str(rom), *how, status=1)
    assert "cut short" in refused["refused"][0]["reason"]
    assert [path.name for path in folder.iterdir()] == ["vp59.rom"]
    begun = peopled.json("firmware", "start", "vp59")
    peopled.run("firmware", "pause", begun["id"], "--why", "storm")
    assert "storm" in peopled.run("firmware", "rollouts")
    assert peopled.json("firmware", "show", begun["id"])["each"][0]["phone"] == "yard"
    peopled.run("firmware", "resume", begun["id"])
