"""What staff do with firmware: add a file that is as it was signed, roll it out, pause, resume, roll back."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import PhoneState
from avisiod.calls.rollout import PhoneStep, RolloutState
from avisiod.office.desk import Desk, Site, perform
from avisiod.office.plan import Refused, Who
from avisiod.phone_ports import HealthRecord
from avisiod.store import devices, rollouts
from tests.office.conftest import NOON, Office
from tests.peers.signer import Signer

SIGNER = Signer()
DATA = b"rom" * 1000


class Shop:
    """An office with a folder of firmware."""

    def __init__(self, office: Office, folder: Path) -> None:
        self.office, self.folder = office, folder
        for number in range(1, 15):
            office.add("phones", id=f"c{number:02}", building="A" if number < 8 else "B")
            mac = f"0015650000{number:02x}"
            office.add("devices", phone=f"c{number:02}", mac=mac, vendor="yealink", model="VP59")

    def do(self, name: str, /, **arguments: Any) -> Any:
        site = Site(firmware_folder=str(self.folder), firmware_keys=(SIGNER.public,))
        who = Who(actor="unix:clerk", why="as asked", at_utc=NOON)
        return perform(Desk(self.office.database, site, who), name, arguments)

    def add(self, name: str, release: str, data: bytes = DATA, signed: bytes = DATA, **how: str) -> Any:
        (self.folder / f"{name}.rom.part").write_bytes(data)
        asked = {"vendor": "yealink", "model": "VP59", **how}
        return self.do(
            "firmware.add", id=name, file=f"{name}.rom", release=release, signature=SIGNER.sign(signed), **asked
        )

    def refused(self, name: str, /, **arguments: Any) -> str:
        with pytest.raises(Refused) as refused:
            self.do(name, **arguments)
        return str(refused.value)

    def reach(self, name: str, count: int, step: PhoneStep) -> None:
        """The first phones have become this, as the daemon would write it."""
        with self.office.database.writing() as connection:
            record = rollouts.get(connection, name)
            assert record is not None
            before = record.rollout
            phones = tuple(
                msgspec.structs.replace(rolled, step=step) if place < count else rolled
                for place, rolled in enumerate(before.phones)
            )
            told = [rolled.phone for rolled in before.phones[:count]]
            after = msgspec.structs.replace(before, phones=phones)
            assert rollouts.save(connection, before, after, NOON, told)

    def run(self, version: str) -> None:
        """Every phone was seen with this version; c03 is the only one that is well."""
        records = [
            HealthRecord(
                phone=PhoneId(f"c{n:02}"),
                state=PhoneState.UP if n == 3 else PhoneState.SILENT,
                since_utc=NOON,
                firmware=version,
            )
            for n in range(1, 15)
        ]
        with self.office.database.writing() as connection:
            devices.save_health(connection, records, [])

    def wanted(self) -> dict[str, str]:
        with self.office.database.reading() as connection:
            return {device.phone: device.firmware for device in devices.listed(connection) if device.firmware}


@pytest.fixture
def shop(peopled: Office, tmp_path: Path) -> Shop:
    folder = tmp_path / "firmware"
    folder.mkdir()
    shop = Shop(peopled, folder)
    shop.run("1.0")
    return shop


def test_a_file_that_is_as_it_was_signed_is_kept_under_its_name(shop: Shop) -> None:
    added = shop.add("vp59-2", "2.0")
    assert (added["size"], added["key"]) == (len(DATA), "0807060504030201")
    assert [path.name for path in shop.folder.glob("*")] == ["vp59-2.rom"]
    assert [file["id"] for file in shop.do("firmware.list")] == ["vp59-2"]
    with pytest.raises(Refused, match="there already"):
        shop.add("vp59-2", "2.1")


def test_a_file_that_was_cut_short_is_refused_and_gone(shop: Shop) -> None:
    with pytest.raises(Refused, match="changed, or cut short"):
        shop.add("vp59-2", "2.0", DATA[:-1])
    assert list(shop.folder.glob("*")) == []
    assert shop.do("firmware.list") == []


@pytest.mark.parametrize(
    ("how", "problem"),
    [({"vendor": "acme"}, "not a vendor"), ({"release": "../x"}, "release: not an id")],
)
def test_nonsense_is_refused(shop: Shop, how: dict[str, str], problem: str) -> None:
    asked = {"vendor": "yealink", "release": "2.0", **how}
    assert problem in shop.refused("firmware.add", id="a", file="a.rom", signature="", **asked)
    outside = {"vendor": "yealink", "release": "2.0", "signature": ""}
    assert "not a file's name" in shop.refused("firmware.add", id="a", file="../a.rom", **outside)
    assert "use avisioctl firmware add" in shop.refused("firmware.add", id="a", file="a.rom", **outside)


def test_a_roll_out_begins_with_a_phone_that_is_well(shop: Shop) -> None:
    shop.add("vp59-2", "2.0")
    begun = shop.do("rollouts.start", firmware="vp59-2")
    assert (begun["state"], begun["stage"], begun["phones"], begun["waiting"]) == ("running", "1 of 3", 14, 14)
    shown = shop.do("rollouts.show", rollout=begun["id"])
    assert [(row["stage"], row["phone"]) for row in shown["each"]][:2] == [(1, "c03"), (2, "c01")]
    assert [row["stage"] for row in shown["each"]].count(2) == 10
    assert {row["before"] for row in shown["each"]} == {"1.0"}
    assert "is not over" in shop.refused("rollouts.start", firmware="vp59-2")
    assert shop.wanted() == {}, "nobody should run it before it is told"


def test_a_roll_out_may_be_for_one_building_in_stages_of_its_own(shop: Shop) -> None:
    shop.add("vp59-2", "2.0")
    begun = shop.do("rollouts.start", firmware="vp59-2", building="B", stages="2,all", begins="23:00", ends="4:00")
    assert (begun["phones"], begun["stage"], begun["window"]) == (7, "1 of 2", "23:00-04:00")


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"firmware": "nothing"}, "no firmware `nothing`"),
        ({"stages": "all,1"}, "not stages"),
        ({"stages": "x"}, "not stages"),
        ({"begins": "05:00"}, "window is empty"),
        ({"begins": "25:00"}, "not a time of the day"),
        ({"building": "Z"}, "no phone is of this model"),
    ],
)
def test_a_roll_out_that_makes_no_sense_is_refused(shop: Shop, how: dict[str, str], problem: str) -> None:
    shop.add("vp59-2", "2.0")
    assert problem in shop.refused("rollouts.start", **{"firmware": "vp59-2", **how})


def test_phones_that_cannot_be_told_are_not_rolled_out_to(shop: Shop) -> None:
    shop.add("style", "3.0", vendor="2n", model="")
    assert "cannot be told" in shop.refused("rollouts.start", firmware="style")


def test_pause_and_resume_also_after_it_stopped_by_itself(shop: Shop) -> None:
    shop.add("vp59-2", "2.0")
    name = shop.do("rollouts.start", firmware="vp59-2")["id"]
    shop.do("rollouts.pause", rollout=name)
    assert shop.do("rollouts.list")[0]["state"] == "paused"
    assert "is paused" in shop.refused("rollouts.pause", rollout=name)
    shop.do("rollouts.resume", rollout=name)
    shop.reach(name, 1, PhoneStep.FAILED)
    with shop.office.database.writing() as connection:
        rollouts.set_state(connection, name, RolloutState.STOPPED, "1 failed", was=["running"])
    shop.do("rollouts.resume", rollout=name)
    shown = shop.do("rollouts.show", rollout=name)
    assert (shown["state"], shown["why"], shown["failed"]) == ("running", "", 0)
    assert "is running" in shop.refused("rollouts.resume", rollout=name)


def test_a_roll_back_brings_the_phones_that_were_reached_back(shop: Shop) -> None:
    shop.add("vp59-2", "2.0")
    name = shop.do("rollouts.start", firmware="vp59-2")["id"]
    shop.reach(name, 3, PhoneStep.DONE)
    assert set(shop.wanted().values()) == {"2.0"}
    assert "version `1.0` that these phones ran" in shop.refused("rollouts.rollback", rollout=name)
    assert shop.do("rollouts.list")[0]["state"] == "running", "nothing was changed"
    shop.add("vp59-1", "1.0")
    (back,) = shop.do("rollouts.rollback", rollout=name)
    assert (back["release"], back["phones"], back["state"]) == ("1.0", 3, "running")
    states = {row["id"]: row["state"] for row in shop.do("rollouts.list")}
    assert states == {name: "stopped", back["id"]: "running"}
    assert shop.wanted() == dict.fromkeys(("c01", "c02", "c03"), "1.0")


def test_staff_who_pause_come_before_the_daemon(shop: Shop) -> None:
    shop.add("vp59-2", "2.0")
    name = shop.do("rollouts.start", firmware="vp59-2")["id"]
    with shop.office.database.writing() as connection:
        record = rollouts.get(connection, name)
        assert record is not None
        rollouts.set_state(connection, name, RolloutState.PAUSED, "", was=["running"])
        assert not rollouts.save(connection, record.rollout, record.rollout, NOON, [PhoneId("c01")])
    assert shop.wanted() == {}
