"""Where nobody can be called yet for want of data, that is said in words, by the start and by the check."""

import datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, update

from avisiod.__main__ import check_files
from avisiod.store import readiness, schema, schema_rules
from avisiod.store.database import Database
from avisiod.store.opening import open_database

from .people import ANNA, settle_in
from .records import CONTACT, PHONE, START


def authorise(connection: Connection) -> None:
    decided = {"state": "granted", "authority": "head", "author": "x", "decided_on": datetime.date(2026, 1, 1)}
    row = {"detainee": ANNA, "contact": CONTACT.id, "changed_utc": START, **decided}
    connection.execute(insert(schema_rules.authorisations), row)


def window(connection: Connection) -> None:
    row = {"id": "w", "scope_kind": "site", "scope_id": "", "weekday": 0, "begins": 0, "ends": 60}
    connection.execute(insert(schema_rules.windows), row)


def about(connection: Connection) -> list[str]:
    """The first words of each sentence."""
    return [sentence.partition(",")[0].partition(" for anybody")[0] for sentence in readiness.lacking(connection)]


def test_what_is_lacking_is_named_until_somebody_can_be_called(database: Database) -> None:
    with database.writing() as connection:
        assert readiness.lacking(connection) == [readiness.NOBODY]
        settle_in(connection)
        assert about(connection) == ["no hours are set", "no contact is authorised"]
        window(connection)
        assert about(connection) == ["no contact is authorised"]
        authorise(connection)
        assert about(connection) == []
        connection.execute(update(schema.phones).values(shared=False, occupant=None))
        assert about(connection) == ["no phone has an occupant or is shared"]
        connection.execute(update(schema.phones).where(schema.phones.c.id == PHONE.id).values(occupant=ANNA))
        assert about(connection) == []
        connection.execute(update(schema_rules.detainees).values(listed=False))
        assert about(connection) == ["site.admission is full and no detainee is entered"]


def test_a_database_is_looked_at_without_being_opened(where: Path | str) -> None:
    if isinstance(where, Path):
        assert readiness.lacking_in(where) == [readiness.NOBODY]
        assert not where.exists()
    database = open_database(where)
    assert readiness.lacking_in(where) == [readiness.NOBODY]
    with database.writing() as connection:
        settle_in(connection)
        window(connection)
        authorise(connection)
    assert readiness.lacking_in(where) == []
    database.close()


def test_what_is_no_database_of_ours_is_left_to_the_start(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"something else" * 100)
    assert readiness.lacking_in(tmp_path / "other.db") == []


@pytest.mark.parametrize(("admission", "told"), [("full", [readiness.NOBODY]), ("listed", [])])
def test_the_check_of_the_settings_says_it_where_all_rules_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], admission: str, told: list[str]
) -> None:
    (tmp_path / "inventory.yaml").write_text("phones: []\ncontacts: []\n")
    settings = tmp_path / "avisiod.yaml"
    settings.write_text(
        f"site: {{admission: {admission}}}\n"
        f"store: {{path: {tmp_path}/avisiod.db, inventory_file: {tmp_path}/inventory.yaml}}\n"
    )
    assert check_files(str(settings)) == 0
    said = capsys.readouterr().out.splitlines()
    place = next(n for n, line in enumerate(said) if line.endswith("good: 0 phones, 0 contacts"))
    assert [line.strip() for line in said[place + 1 :]] == told
