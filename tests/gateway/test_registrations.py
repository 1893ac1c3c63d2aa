import datetime
import sqlite3
from pathlib import Path

import pytest

from avisiod.gateway.registrations import EdgeUnreadable, read_registrations

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
SCHEMA = Path(__file__).resolve().parents[2] / "etc" / "kamailio" / "edge.sql"


def edge_database(path: Path, *rows: tuple[str, str, str | None, int]) -> Path:
    with sqlite3.connect(path) as database:
        database.executescript(SCHEMA.read_text())
        for phone, contact, received, expires_in in rows:
            at = int(NOW.timestamp())
            database.execute(
                "INSERT INTO location"
                " (ruid, username, contact, received, socket, user_agent, callid, expires, last_modified)"
                " VALUES (?, ?, ?, ?, 'tls:192.0.2.1:5061', 'Phone 1.0', 'ab@cd', ?, ?)",
                (phone + contact, phone, contact, received, at + expires_in, at - 10),
            )
    database.close()
    return path


def test_a_registered_phone_is_known_with_its_address_and_times(tmp_path: Path) -> None:
    path = edge_database(tmp_path / "edge.db", ("cell1", "sip:cell1@10.0.0.1:5060", None, 300))
    phone = read_registrations(path, NOW)["cell1"]  # type: ignore[index]
    assert phone.contact == "sip:cell1@10.0.0.1:5060"
    assert (phone.transport, phone.user_agent, phone.dialogue) == ("tls", "Phone 1.0", "ab@cd")
    assert phone.expires - NOW == datetime.timedelta(seconds=300)
    assert NOW - phone.last_seen == datetime.timedelta(seconds=10)


def test_a_phone_behind_nat_is_where_its_packets_come_from(tmp_path: Path) -> None:
    path = edge_database(tmp_path / "edge.db", ("cell1", "sip:cell1@10.0.0.1", "sip:192.0.2.9:4000", 300))
    (phone,) = read_registrations(path, NOW).values()
    assert phone.contact == "sip:192.0.2.9:4000"


def test_a_registration_that_ran_out_is_none(tmp_path: Path) -> None:
    path = edge_database(tmp_path / "edge.db", ("cell1", "sip:a@b", None, 0), ("cell2", "sip:c@d", None, 1))
    assert list(read_registrations(path, NOW)) == ["cell2"]


def test_reading_the_schema_twice_keeps_what_is_there(tmp_path: Path) -> None:
    path = edge_database(tmp_path / "edge.db", ("cell1", "sip:a@b", None, 300))
    edge_database(path)
    assert list(read_registrations(path, NOW)) == ["cell1"]


@pytest.mark.parametrize("content", [None, b"this is no database" * 100, b""])
def test_a_missing_or_broken_file_says_so_and_is_not_made(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "edge.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EdgeUnreadable, match="Kamailio"):
        read_registrations(path, NOW)
    assert path.exists() == (content is not None)
