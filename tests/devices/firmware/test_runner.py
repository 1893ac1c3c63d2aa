"""A roll-out over simulated phones: they fetch, come back, come back as they were, or never; a file is cut short."""

import datetime
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import pytest_twisted

from avisiod.calls.ids import PhoneId
from avisiod.calls.rollout import PhoneStep, Rollout, RolloutState, planned
from avisiod.config.phones import Firmware
from avisiod.devices.firmware.library import Library
from avisiod.devices.firmware.runner import Runner
from avisiod.devices.phones.edge_client import EdgeSilent
from avisiod.phone_ports import Device, FirmwareFile, RolloutRecord
from tests.devices.test_keeper import NIGHT, Memory, Scene

OLD, NEW = "91.1", "91.2"
DATA = b"rom" * 5000


class Books(Memory):
    """One file and its roll-out, as the store keeps them."""

    def __init__(self, record: RolloutRecord, file: FirmwareFile) -> None:
        super().__init__()
        self.record, self.file = record, file

    async def firmware(self) -> Sequence[FirmwareFile]:
        return [self.file]

    async def running(self) -> Sequence[RolloutRecord]:
        return [self.record] if self.record.rollout.state is RolloutState.RUNNING else []

    async def save_rollout(
        self, before: Rollout, after: Rollout, at_utc: datetime.datetime, told: Sequence[PhoneId]
    ) -> bool:
        if self.record.rollout.state is not before.state:
            return False
        # As a database does: monotonic times are not kept.
        phones = tuple(
            msgspec.structs.replace(rolled, asked_at=None, not_before=float("-inf")) for rolled in after.phones
        )
        rollout = msgspec.structs.replace(after, phones=phones)
        self.record = msgspec.structs.replace(self.record, rollout=rollout)
        self.listed = [
            msgspec.structs.replace(device, firmware=after.version) if device.phone in told else device
            for device in self.listed
        ]
        return True


class Site(Scene):
    """Phones that update when they are told, each in its own way."""

    def __init__(self, folder: Path, count: int = 15) -> None:
        super().__init__(count, ask_every_s=0)
        (folder / "new.rom").write_bytes(DATA)
        file = FirmwareFile(
            id="vp59",
            vendor="yealink",
            model="",
            release=NEW,
            file="new.rom",
            size=len(DATA),
            sha256=hashlib.sha256(DATA).hexdigest(),
            key="K",
        )
        phones = planned([(name, OLD) for name in self.names], (1, 10, 0))
        rollout = Rollout(id="r", version=NEW, state=RolloutState.RUNNING, stage=0, stages=3, phones=phones)
        record = RolloutRecord(rollout=rollout, firmware="vp59", begins=120, ends=300)
        devices = self.store.listed
        self.books = self.store = Books(record, file)  # type: ignore[assignment]
        self.books.listed = devices
        self.folder = folder
        self.keeper = self.new_keeper()
        self.library = Library(str(folder))
        self.told: list[PhoneId] = []
        self.fails: dict[PhoneId, str] = {}
        self.steps: list[str] = []
        self.runner = self.new_runner()
        self.clock.time = NIGHT
        for name in self.names:
            self.version(name, OLD)

    def new_runner(self) -> Runner:
        return Runner(
            self.clock,
            self.books,
            self.keeper,
            self,
            self.library,
            self,
            Firmware(back_within_s=600.0),
            self.in_call.__contains__,
            "Europe/Paris",
        )

    def version(self, name: PhoneId, version: str) -> None:
        self.register(name, dialogue=f"{name}{version}", agent=f"Yealink SIP-VP59 {version}")

    def rolled(self, step: str, count: int) -> None:
        self.steps += [step] * count

    async def check_sync(self, phone: PhoneId, *, reboot: bool) -> bool:
        """The phone's whole update, at once."""
        assert reboot
        how = self.fails.get(phone, "")
        if how == "edge":
            raise EdgeSilent("gone")
        if how == "refuses":
            return False
        self.told.append(phone)
        device = next(device for device in self.books.listed if device.phone == phone)
        version, name = await self.library.wanted(device)
        assert (version, name) == (NEW, "new.rom"), "it is told once it would find something"
        reply = await self.library.given(device, name)
        if how == "bricked":
            del self.here[phone]
        elif how != "old" and reply.status == 200:
            self.version(phone, NEW)
        return True

    async def night(self, after_s: float = 5.0) -> None:
        self.clock.advance(after_s)
        await self.keeper.looked(self.here)
        await self.runner.looked()

    @property
    def rollout(self) -> Rollout:
        return self.books.record.rollout

    def of(self, step: PhoneStep) -> list[PhoneId]:
        return [rolled.phone for rolled in self.rollout.phones if rolled.step is step]


@pytest_twisted.ensureDeferred
async def test_phones_that_do_as_they_are_told_are_all_new_in_three_stages(tmp_path: Path) -> None:
    site = Site(tmp_path)
    await site.night()
    assert len(site.told) == 1
    await site.night()
    assert len(site.told) == 11
    await site.night()
    assert len(site.told) == 15
    await site.night()
    assert site.rollout.state is RolloutState.DONE
    assert {device.firmware for device in site.books.listed} == {NEW}
    assert site.steps.count("done") == 15


@pytest.mark.parametrize("how", ["old", "bricked"])
@pytest_twisted.ensureDeferred
async def test_a_phone_that_does_not_come_back_new_stops_all_others(tmp_path: Path, how: str) -> None:
    site = Site(tmp_path)
    site.fails[site.names[5]] = how
    for _ in range(4):
        await site.night()
    assert len(site.told) == 11
    await site.night(600.0)
    assert site.rollout.state is RolloutState.STOPPED
    assert site.of(PhoneStep.FAILED) == [site.names[5]]
    for _ in range(3):
        await site.night()
    assert len(site.told) == 11, "nobody of the third stage was told"


@pytest_twisted.ensureDeferred
async def test_a_file_that_was_cut_short_reaches_no_phone_and_stops_the_roll_out(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "new.rom").write_bytes(DATA[:-1])
    await site.night()
    assert site.told == []
    assert site.rollout.state is RolloutState.STOPPED
    assert "not as it was checked" in site.rollout.why
    device = Device(phone=site.names[0], vendor="yealink", firmware=NEW)
    assert (await site.library.given(device, "new.rom")).why == "firmware_damaged"
    (tmp_path / "new.rom").write_bytes(b"x" * len(DATA))
    assert (await site.library.given(device, "new.rom")).why == "firmware_damaged", "of the right size"
    (tmp_path / "new.rom").unlink()
    assert (await site.library.given(device, "new.rom")).why == "firmware_damaged"


@pytest_twisted.ensureDeferred
async def test_a_phone_gets_no_firmware_that_it_should_not_run(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.library.take([site.books.file])
    for vendor, wanted, name in (("fanvil", NEW, "new.rom"), ("yealink", "", "new.rom"), ("yealink", NEW, "other")):
        device = Device(phone=site.names[0], vendor=vendor, firmware=wanted)
        assert (await site.library.given(device, name)).why == "no_such_file"


@pytest_twisted.ensureDeferred
async def test_nobody_is_told_by_day_nor_in_a_call(tmp_path: Path) -> None:
    site = Site(tmp_path, 1)
    site.in_call.add(site.names[0])
    await site.night()
    assert site.told == []
    site.in_call.clear()
    site.clock.time = NIGHT + 8 * 3600
    await site.night()
    assert site.told == []
    site.clock.time = NIGHT + 86400
    await site.night()
    assert site.told == site.names


@pytest.mark.parametrize("how", ["edge", "refuses"])
@pytest_twisted.ensureDeferred
async def test_a_phone_that_could_not_be_told_is_told_a_minute_later(tmp_path: Path, how: str) -> None:
    site = Site(tmp_path)
    site.fails[site.names[0]] = how
    await site.night()
    assert site.of(PhoneStep.ASKED) == []
    site.fails.clear()
    await site.night(50.0)
    assert site.told == []
    await site.night(15.0)
    assert site.told == site.names[:1]


@pytest_twisted.ensureDeferred
async def test_after_a_restart_it_goes_on_and_tells_nobody_twice(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.fails[site.names[0]] = "old"
    await site.night()
    site.runner = site.new_runner()
    await site.night(500.0)
    await site.night(500.0)
    assert site.told == site.names[:1]
    assert site.rollout.state is RolloutState.RUNNING, "it has its whole time again"
    await site.night(200.0)
    assert site.rollout.state is RolloutState.STOPPED


@pytest_twisted.ensureDeferred
async def test_what_staff_have_paused_meanwhile_tells_nobody(tmp_path: Path) -> None:
    site = Site(tmp_path)

    class Paused(Books):
        async def running(self) -> Sequence[RolloutRecord]:
            found = await super().running()
            rollout = msgspec.structs.replace(self.record.rollout, state=RolloutState.PAUSED)
            self.record = msgspec.structs.replace(self.record, rollout=rollout)
            return found

    site.books.__class__ = Paused
    await site.night()
    assert site.told == []
    assert site.rollout.state is RolloutState.PAUSED
