"""What staff do with devices: enter them, look at their health, give tokens, say that they have looked."""

import datetime

import pytest
from sqlalchemy import select

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import PhoneState
from avisiod.office.desk import Desk, Site, perform
from avisiod.office.plan import Refused, Who
from avisiod.phone_ports import HealthRecord, PhoneEvent
from avisiod.store import devices
from avisiod.store.schema_devices import phone_keys
from tests.office.conftest import NOON, Office

MAC = "00:15:65:A1:B2:C3"


@pytest.fixture
def equipped(peopled: Office) -> Office:
    """Two phones, one with a device."""
    peopled.add("devices", phone="cell-101", mac=MAC, vendor="yealink", model="VP59")
    return peopled


def seen(office: Office, phone: str, state: PhoneState, *, tampered: bool = False) -> None:
    record = HealthRecord(
        phone=PhoneId(phone), state=state, since_utc=NOON, tampered=tampered, firmware="91.1", registered_utc=NOON
    )
    event = PhoneEvent(phone=phone, at_utc=NOON, event="state", details={"after": state.value})
    with office.database.writing() as connection:
        devices.save_health(connection, [record], [event])


def test_a_device_is_entered_shown_and_removed_like_any_row(equipped: Office) -> None:
    row = equipped.do("show", kind="devices", key="cell-101")
    assert (row["mac"], row["vendor"], row["self_test"]) == (MAC, "yealink", "false")
    assert equipped.change("devices", phone="cell-101", self_test="yes")["changes"] == {
        "self_test": ["false", "true"]
    }
    assert equipped.edit("devices", "remove", phone="cell-101")["action"] == "remove"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"phone": "yard", "mac": "nonsense", "vendor": "yealink"}, "mac: not the MAC of a device"),
        ({"phone": "yard", "mac": "ff:ff:ff:ff:ff:ff", "vendor": "yealink"}, "mac: not the MAC of a device"),
        ({"phone": "yard", "mac": MAC.replace(":", "").lower(), "vendor": "yealink"}, "mac: this MAC belongs to"),
        ({"phone": "yard", "mac": "00:15:65:00:00:01", "vendor": "acme"}, "vendor: "),
        ({"phone": "nowhere", "mac": "00:15:65:00:00:01", "vendor": "2n"}, "phone: no phone `nowhere`"),
    ],
)
def test_a_device_that_makes_no_sense_is_refused(equipped: Office, fields: dict[str, str], problem: str) -> None:
    (said,) = equipped.refused(lambda: equipped.add("devices", **fields))
    assert said.startswith(problem)


def test_health_is_shown_by_building_and_floor_the_worst_first(equipped: Office) -> None:
    equipped.change("phones", id="yard", building="A", floor="1")
    equipped.change("phones", id="cell-101", building="A", floor="1")
    seen(equipped, "yard", PhoneState.UNREGISTERED)
    seen(equipped, "cell-101", PhoneState.UP)
    equipped.add("phones", id="z-9", building="A", floor="1")
    rows = equipped.do("devices.health")
    assert [(row["phone"], row["state"]) for row in rows] == [
        ("yard", "unregistered"),
        ("z-9", "never_seen"),
        ("cell-101", "up"),
    ]
    assert (rows[2]["mac"], rows[2]["firmware"], rows[2]["since"]) == (MAC, "91.1", "2026-11-24 12:00:00")
    assert [row["phone"] for row in equipped.do("devices.health", state="up")] == ["cell-101"]
    assert equipped.do("devices.health", floor="2") == []
    assert equipped.refused(lambda: equipped.do("devices.health", state="fine"))[0].startswith("state: ")


def test_who_has_looked_at_a_tampered_phone_says_what_was_found(equipped: Office) -> None:
    seen(equipped, "yard", PhoneState.TAMPERED, tampered=True)
    assert equipped.refused(lambda: equipped.do("devices.looked", "unix:clerk", "", phone="yard"))
    equipped.do("devices.looked", phone="yard")
    assert equipped.refused(lambda: equipped.do("devices.looked", phone="yard"))
    with equipped.database.reading() as connection:
        (record,) = devices.health(connection)
    assert not record.tampered
    assert [row["event"] for row in equipped.do("devices.events", phone="yard")] == ["looked_at", "state"]
    trail = equipped.do("audit.list", kind="device", object="yard")
    assert trail[0]["action"] == "looked_at"


def test_a_token_is_told_once_and_only_its_hash_is_kept(equipped: Office) -> None:
    def give(phone: str, url: str = "https://192.0.2.1:8444") -> dict[str, str]:
        who = Who(actor="unix:clerk", why="new phone", at_utc=NOON)
        told: dict[str, str] = perform(
            Desk(equipped.database, Site(provisioning_url=url), who), "devices.token", {"phone": phone}
        )
        return told

    token = give("cell-101")
    assert _of(token, "url").startswith("https://192.0.2.1:8444/t/001565a1b2c3/")
    assert _of(token, "ends") == "2026-11-25 12:00:00"
    secret = _of(token, "url").removesuffix("/").rpartition("/")[2]
    assert len(secret) == 30
    with equipped.database.reading() as connection:
        (row,) = connection.execute(select(phone_keys))
    assert secret not in str(row)
    assert row.token_ends_utc - NOON == datetime.timedelta(days=1)
    assert secret not in str(equipped.do("audit.list"))
    with pytest.raises(Refused, match="no device"):
        give("yard")
    with pytest.raises(Refused, match="no phone is given settings"):
        give("cell-101", "")


def _of(found: object, name: str) -> str:
    return str(found[name] if isinstance(found, dict) else getattr(found, name))


def test_new_secrets_are_a_new_generation(equipped: Office) -> None:
    assert [equipped.do("devices.renew", phone="cell-101")["generation"] for _ in range(2)] == [1, 2]
    assert equipped.refused(lambda: equipped.do("devices.renew", phone="yard"))
