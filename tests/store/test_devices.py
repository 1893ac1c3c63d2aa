"""What is kept of devices: health, events, tokens that open once, passwords that the inventory file leaves alone."""

import datetime

import msgspec
import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import PhoneState
from avisiod.calls.replay import Heard
from avisiod.phone_ports import HealthRecord, PhoneEvent
from avisiod.ports import Phone
from avisiod.store import devices, phones
from avisiod.store.database import Database
from avisiod.store.schema_devices import phone_devices

NOW = datetime.datetime(2026, 11, 25, 2, 0, tzinfo=datetime.UTC)
CELL = PhoneId("cell-101")
MAC = "001122334455"
OLD, NEW = "0" * 32, "1" * 32


def later(seconds: float) -> datetime.datetime:
    return NOW + datetime.timedelta(seconds=seconds)


@pytest.fixture
def known(database: Database) -> Database:
    """One phone of the inventory file, with its device."""
    with database.writing() as connection:
        phones.sync(connection, [Phone(id=CELL, cell="A 101", ha1=OLD, language="fr")], "avisio")
        connection.execute(insert(phone_devices).values(phone=CELL, mac=MAC, vendor="yealink", model="VP59"))
    return database


def ha1_of(database: Database) -> str:
    with database.reading() as connection:
        phone = phones.get(connection, CELL)
    assert phone is not None
    return phone.ha1


def test_a_device_is_found_by_its_mac_while_its_phone_is_listed(known: Database) -> None:
    with known.writing() as connection:
        found = devices.by_mac(connection, MAC)
        assert found is not None
        assert (found[0].phone, found[0].vendor, found[0].cell, found[1].generation) == (CELL, "yealink", "A 101", 0)
        assert devices.by_mac(connection, "ffffffffffff") is None
        phones.sync(connection, [], "avisio")
        assert devices.by_mac(connection, MAC) is None


def test_health_is_written_over_and_events_pile_up_until_they_are_forgotten(known: Database) -> None:
    up = HealthRecord(phone=CELL, state=PhoneState.UP, since_utc=NOW, firmware="1", registered_utc=NOW)
    up = msgspec.structs.replace(up, heard=Heard(sequence=7, time_s=1.5, nonces=("a", "b")))
    stranger = HealthRecord(phone=PhoneId("nobody"), state=PhoneState.UP, since_utc=NOW)
    gone = HealthRecord(phone=CELL, state=PhoneState.UNREGISTERED, since_utc=later(9), tampered=True)
    events = [PhoneEvent(phone=CELL, at_utc=later(n), event="booted", details={"n": str(n)}) for n in range(3)]
    with known.writing() as connection:
        devices.save_health(connection, [up, stranger], events)
        assert devices.health(connection) == [up]
        devices.save_health(connection, [gone], [])
        assert devices.health(connection) == [gone]
        assert [event.details for event in devices.events_of(connection, CELL, 2)] == [{"n": "2"}, {"n": "1"}]
        assert devices.forget_events(connection, later(2)) == 2
        assert [event.at_utc for event in devices.events_of(connection, "", 9)] == [later(2)]


def test_a_token_opens_once_and_again_for_moments_from_the_same_place(known: Database) -> None:
    def use(token: str, after_s: float, address: str) -> bool:
        with known.writing() as connection:
            return devices.hand_out(connection, CELL, NEW, 1, later(after_s), token, address)

    with known.writing() as connection:
        devices.new_token(connection, CELL, "hash", later(3600))
    assert not use("other", 1, "10.0.0.1")
    assert ha1_of(known) == OLD, "nothing comes into force that was not handed out"
    assert use("hash", 2, "10.0.0.1")
    assert ha1_of(known) == NEW
    assert use("hash", 100, "10.0.0.1"), "its connection broke off"
    assert not use("hash", 100, "10.0.0.2"), "somebody else read it"
    assert not use("hash", 123, "10.0.0.1")
    with known.writing() as connection:
        devices.new_token(connection, CELL, "hash2", later(3600))
    assert not use("hash2", 3600, "10.0.0.1"), "too late"
    assert not use("hash", 200, "10.0.0.1"), "replaced"


def test_the_inventory_file_does_not_bring_back_the_password_from_before(known: Database) -> None:
    with known.writing() as connection:
        assert devices.hand_out(connection, CELL, NEW, 1, NOW, "", "10.0.0.1")
        phones.sync(connection, [Phone(id=CELL, cell="B 7", ha1=OLD, language="en")], "avisio")
        phone = phones.get(connection, CELL)
    assert phone is not None
    assert (phone.ha1, phone.cell) == (NEW, "B 7")


def test_a_new_generation_is_the_next_one(known: Database) -> None:
    with known.writing() as connection:
        assert devices.renew(connection, CELL) == 1
        assert devices.renew(connection, CELL) == 2
        assert devices.keys(connection, CELL).generation == 2
        assert connection.scalar(select(phone_devices.c.mac)) == MAC


def test_two_phones_do_not_share_a_mac(known: Database) -> None:
    with known.writing() as connection:
        phones.sync(connection, [Phone(id=PhoneId("cell-102"), cell="", ha1=OLD, language="fr")], "avisio")

    def enter() -> None:
        with known.writing() as connection:
            connection.execute(insert(phone_devices).values(phone="cell-102", mac=MAC, vendor="yealink"))

    with pytest.raises(IntegrityError):
        enter()
