"""The health of many phones: what is looked at, asked and said becomes states that are kept and told."""

import datetime
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import pytest

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import PhoneState
from avisiod.config.phones import Health as Settings
from avisiod.devices.phones.asker import PhoneAsker
from avisiod.devices.phones.edge_client import Answer, EdgeSilent
from avisiod.devices.phones.incoming import Incoming, mappings
from avisiod.devices.phones.keeper import MANY, PhoneKeeper
from avisiod.devices.phones.vendors import NAMES, vendors
from avisiod.devices.provisioning.paths import Asked
from avisiod.phone_ports import Device, HealthRecord, Keys, PhoneEvent
from avisiod.ports import StoreUnavailable
from tests.steered_clock import SteeredClock

UP, GONE, TAMPERED, WRONG = (
    PhoneState.UP,
    PhoneState.UNREGISTERED,
    PhoneState.TAMPERED,
    PhoneState.WRONG_FIRMWARE,
)


class Here(NamedTuple):
    dialogue: str
    user_agent: str
    last_seen: datetime.datetime


class Memory:
    """Keeps devices as the store does, or is unavailable."""

    def __init__(self) -> None:
        self.listed: list[Device] = []
        self.records: dict[PhoneId, HealthRecord] = {}
        self.events: list[PhoneEvent] = []
        self.down = False

    async def devices(self) -> Sequence[Device]:
        return self.listed

    async def device_by_mac(self, mac: str) -> tuple[Device, Keys] | None:
        return None

    async def health(self) -> Sequence[HealthRecord]:
        return list(self.records.values())

    async def save_health(self, records: Sequence[HealthRecord], events: Sequence[PhoneEvent]) -> None:
        if self.down:
            raise StoreUnavailable("down")
        self.records.update({record.phone: record for record in records})
        self.events += events

    async def forget_events(self, before_utc: datetime.datetime) -> int:
        return 0

    async def hand_out(self, *_: object) -> bool:
        return True


class Counts:
    def __init__(self) -> None:
        self.state_counts: Mapping[str, int] = {}
        self.told: list[str] = []

    def states(self, counts: Mapping[str, int]) -> None:
        self.state_counts = dict(counts)

    def changed(self, state: str) -> None:
        self.told.append(f"changed {state}")

    def event(self, event: str) -> None:
        self.told.append(f"event {event}")

    def asked(self, result: str) -> None:
        self.told.append(f"asked {result}")

    def tested(self, result: str) -> None:
        self.told.append(f"tested {result}")


class Scene:
    def __init__(self, phones: int = 1, **settings: object) -> None:
        self.clock = SteeredClock()
        self.store = Memory()
        self.names = [PhoneId(f"cell{n}") for n in range(phones)]
        self.store.listed = [Device(phone=name, vendor="yealink", self_test=True) for name in self.names]
        self.counts = Counts()
        self.settings = Settings(**settings)  # type: ignore[arg-type]
        self.keeper = self.new_keeper()
        self.here: dict[PhoneId, Here] = {}
        self.edge = Edge()
        self.in_call: set[PhoneId] = set()
        self.asker = PhoneAsker(
            self.clock,
            self.edge,
            self.keeper,
            self.counts,
            self.settings,
            self.in_call.__contains__,
            "Europe/Paris",
        )

    def new_keeper(self) -> PhoneKeeper:
        return PhoneKeeper(self.clock, self.store, self.settings, self.counts)

    def register(self, *names: PhoneId, dialogue: str = "a", agent: str = "Yealink SIP-VP59 91.15.0.20") -> None:
        for name in names:
            self.here[name] = Here(dialogue, agent, self.clock.utc())

    def look(self, after_s: float = 5.0) -> None:
        self.clock.advance(after_s)
        finish(self.keeper.looked(self.here))

    def state(self) -> PhoneState:
        return self.keeper.phones[self.names[0]].health.state


class Edge:
    """Answers as it is told, at once."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, PhoneId, str]] = []

    async def _answer(self, what: str, phone: PhoneId, event: str = "") -> Answer:
        self.asked.append((what, phone, event))
        if not self.status:
            raise EdgeSilent("gone")
        return Answer(self.status)

    async def options(self, phone: PhoneId) -> Answer:
        return await self._answer("options", phone)

    async def check_sync(self, phone: PhoneId, event: str) -> Answer:
        return await self._answer("notify", phone, event)

    async def test_call(self, phone: PhoneId) -> Answer:
        return await self._answer("call", phone)


def finish(work: object) -> object:
    """Run a coroutine that waits for nothing."""
    try:
        work.send(None)  # type: ignore[attr-defined]
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


def test_a_phone_that_comes_and_goes_is_kept_counted_and_told() -> None:
    scene, told = Scene(2), []
    scene.keeper.on_change.append(lambda device, before, after: told.append((device.phone, before, after)))
    scene.look()
    scene.register(scene.names[0])
    scene.look()
    assert scene.counts.state_counts == {"up": 1, "never_seen": 1}
    assert scene.store.records[scene.names[0]].registered_utc == scene.here[scene.names[0]].last_seen
    scene.here.clear()
    scene.look()
    assert scene.state() is UP, "nothing is concluded at once"
    scene.look(120.0)
    assert scene.state() is GONE
    assert scene.store.records[scene.names[0]].state is GONE
    assert [after for _, _, after in told] == [UP, GONE]
    assert [event.details["after"] for event in scene.store.events] == ["up", "unregistered"]


def test_an_edge_that_cannot_be_read_makes_no_phone_unregistered() -> None:
    scene = Scene()
    scene.register(*scene.names)
    scene.look()
    for _ in range(50):
        scene.clock.advance(60)
        finish(scene.keeper.looked(None))
    assert scene.state() is UP


def test_a_case_that_was_opened_stays_so_until_staff_have_looked_a_restart_in_between() -> None:
    scene = Scene()
    scene.register(*scene.names)
    scene.look()
    scene.keeper.said(scene.names[0], "tamper")
    scene.look()
    assert scene.state() is TAMPERED
    scene.keeper = scene.new_keeper()
    scene.look()
    assert scene.state() is TAMPERED
    phone = scene.names[0]
    scene.store.records[phone] = msgspec.structs.replace(scene.store.records[phone], tampered=False)
    scene.look(30.0)
    assert scene.state() is UP


@pytest.mark.parametrize("stopped_in_order", [True, False])
def test_a_report_of_before_a_restart_is_refused_after_it(stopped_in_order: bool) -> None:
    scene = Scene()
    phone, mac = scene.names[0], "001565a1b2c3"
    device = scene.store.listed[0] = Device(phone=phone, vendor="generic", mac=mac)

    def report(query: str) -> str:
        incoming = Incoming(scene.clock, mappings(), scene.keeper.said, scene.keeper.reports_of)
        return incoming(device, Asked("e", mac, "s" * 26, "off_hook"), query.encode()).why

    assert report("n=1") == "failed", "nothing is known of it yet"
    scene.look()
    now = int(scene.clock.utc().timestamp())
    queries = [f"n=1&t={now}&r=a", "r=b", f"n=2&t={now}", "n=3"]
    assert [report(query) for query in queries] == ["event"] * 4
    finish(scene.keeper.close()) if stopped_in_order else scene.look()
    scene.keeper = scene.new_keeper()
    scene.look()
    assert [report(query) for query in queries] == ["replayed"] * 4
    assert report(f"n=4&t={now}&r=c") == "event"


def test_what_cannot_be_written_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.look()
    scene.keeper.said(scene.names[0], "off_hook")
    scene.store.down = True
    finish(scene.keeper.close())
    assert "not kept" in caplog.text


def test_what_could_not_be_written_is_written_later() -> None:
    scene = Scene()
    scene.register(*scene.names)
    scene.store.down = True
    scene.look()
    assert not scene.store.records
    scene.store.down = False
    scene.look(60.0)
    assert scene.store.records[scene.names[0]].state is UP
    assert [event.event for event in scene.store.events] == ["state"]


def test_a_phone_that_repeats_itself_is_counted_and_kept_once() -> None:
    scene = Scene()
    scene.look()
    for _ in range(10):
        scene.keeper.said(scene.names[0], "off_hook")
    scene.keeper.said(PhoneId("stranger"), "off_hook")
    scene.look(60.0)
    assert scene.counts.told.count("event off_hook") == 11
    assert [event.event for event in scene.store.events] == ["state", "off_hook"][1:]


def test_the_version_is_read_from_the_registration_and_compared() -> None:
    scene = Scene()
    scene.store.listed = [msgspec.structs.replace(scene.store.listed[0], firmware="91.15.0.99")]
    scene.register(*scene.names)
    scene.look()
    assert scene.keeper.phones[scene.names[0]].health.firmware == "91.15.0.20"
    scene.look(600.0)
    assert scene.state() is WRONG


def test_a_vendor_that_is_entered_later_tells_how_to_read_the_version() -> None:
    scene = Scene()
    entered = scene.store.listed[0]
    scene.store.listed = [msgspec.structs.replace(entered, vendor="")]
    scene.register(*scene.names)
    scene.look()
    assert scene.store.records[scene.names[0]].firmware == ""
    scene.store.listed = [entered]
    scene.look(30.0)
    assert scene.store.records[scene.names[0]].firmware == "91.15.0.20"


def test_a_floor_without_power_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(MANY + 5)
    scene.register(*scene.names)
    with caplog.at_level("INFO"):
        scene.look()
    assert [record.getMessage() for record in caplog.records] == [f"{MANY + 5} phones changed: {MANY + 5} up"]


def test_every_registered_phone_is_asked_in_its_turn_and_three_misses_make_it_silent() -> None:
    scene = Scene(3, ask_every_s=30.0)
    scene.register(*scene.names[:2])
    scene.look()
    scene.asker.start()
    scene.clock.advance(5.0)
    scene.clock.advance(10.0)
    assert {phone for _, phone, _ in scene.edge.asked} == set(scene.names[:2])
    assert scene.counts.told.count("asked answered") == 2
    scene.edge.status = 408
    for _ in range(6):
        scene.clock.advance(10.0)
    assert scene.state() is PhoneState.SILENT
    scene.edge.status = 200
    for _ in range(4):
        scene.clock.advance(10.0)
    assert scene.state() is UP
    scene.asker.stop()


@pytest.mark.parametrize("status", [0, 403, 404])
def test_an_edge_that_says_nothing_of_the_phone_proves_nothing(status: int) -> None:
    scene = Scene(ask_every_s=10.0)
    scene.register(*scene.names)
    scene.look()
    scene.edge.status = status
    scene.asker.start()
    for _ in range(10):
        scene.clock.advance(10.0)
    assert scene.state() is UP
    assert scene.counts.told.count("asked unknown") == 10


def test_a_phone_in_a_call_is_not_asked_not_tested_and_not_told_to_fetch() -> None:
    scene = Scene(ask_every_s=10.0)
    scene.register(*scene.names)
    scene.look()
    scene.in_call.update(scene.names)
    scene.clock.time = NIGHT
    scene.asker.start()
    for _ in range(10):
        scene.clock.advance(10.0)
    assert finish(scene.asker.check_sync(scene.names[0], reboot=True)) is False
    assert scene.edge.asked == []


NIGHT = datetime.datetime(2026, 11, 25, 2, 0, tzinfo=datetime.UTC).timestamp()
"""Three o'clock in Paris."""


@pytest.mark.parametrize(("status", "told"), [(200, ["tested passed"]), (408, ["tested failed"]), (486, [])])
def test_an_idle_phone_is_called_once_a_night(status: int, told: list[str]) -> None:
    scene = Scene(2, ask_every_s=0)
    scene.store.listed[1] = msgspec.structs.replace(scene.store.listed[1], self_test=False)
    scene.register(*scene.names)
    scene.look()
    scene.edge.status = status
    scene.clock.time = NIGHT
    scene.asker.start()
    for _ in range(20):
        scene.clock.advance(5.0)
    assert scene.edge.asked == [("call", scene.names[0], "")]
    assert [line for line in scene.counts.told if line.startswith("tested")] == told
    scene.clock.advance(86400.0)
    scene.clock.advance(5.0)
    assert len(scene.edge.asked) == 2, "and the next night again"


def test_no_test_begins_by_day() -> None:
    scene = Scene(ask_every_s=0)
    scene.register(*scene.names)
    scene.look()
    scene.clock.time = NIGHT + 6 * 3600
    scene.asker.start()
    for _ in range(20):
        scene.clock.advance(5.0)
    assert scene.edge.asked == []


@pytest.mark.parametrize(
    ("begins", "ends", "hour", "day"),
    [
        ("02:30", "04:30", 3, 25),
        ("02:30", "04:30", 5, None),
        ("23:00", "05:00", 3, 24),
        ("23:00", "05:00", 23, 25),
        ("23:00", "05:00", 12, None),
    ],
)
def test_a_night_may_pass_midnight(begins: str, ends: str, hour: int, day: int | None) -> None:
    scene = Scene(self_test_begins=begins, self_test_ends=ends)
    local = datetime.datetime(2026, 11, 25, hour, 15, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    night = scene.asker.night(local)
    assert (night.day if night else None) == day


@pytest.mark.parametrize(
    ("vendor", "reload", "reboot"),
    [
        ("yealink", "check-sync;reboot=false", "check-sync;reboot=true"),
        ("fanvil", "check-sync", "check-sync;reboot=true"),
        ("grandstream", "resync", "check-sync;reboot=true"),
        ("2n", None, None),
    ],
)
def test_each_vendor_has_its_own_word_for_fetching_settings(
    vendor: str, reload: str | None, reboot: str | None
) -> None:
    scene = Scene()
    scene.store.listed = [msgspec.structs.replace(scene.store.listed[0], vendor=vendor)]
    scene.look()
    for word, restart in ((reload, False), (reboot, True)):
        scene.edge.asked.clear()
        assert finish(scene.asker.check_sync(scene.names[0], reboot=restart)) is (word is not None)
        assert [event for _, _, event in scene.edge.asked] == ([word] if word else [])


@pytest.mark.parametrize(
    ("vendor", "agent", "firmware"),
    [
        ("yealink", "Yealink SIP-VP59 91.15.0.20", "91.15.0.20"),
        ("grandstream", "Grandstream GXV3380 1.0.1.15", "1.0.1.15"),
        ("fanvil", "Fanvil X7A 2.6.0.1", "2.6.0.1"),
        ("generic", "baresip v1.0.0 (x86_64/linux)", "1.0.0"),
        ("yealink", "somebody else", ""),
        ("generic", "baresip v" + "1." * 100_000, None),
    ],
)
def test_a_version_is_read_as_its_vendor_writes_it(vendor: str, agent: str, firmware: str | None) -> None:
    found = vendors()[vendor].firmware_of(agent)
    assert found == firmware if firmware is not None else len(found) <= 64


def test_every_vendor_is_described() -> None:
    assert set(vendors()) == set(NAMES)


def test_a_person_is_told_why_a_phone_was_not_told_or_tested() -> None:
    scene = Scene()
    scene.register(*scene.names)
    scene.look()
    phone = scene.names[0]
    assert finish(scene.asker.told(phone, reboot=False)) == ""
    assert finish(scene.asker.tested(phone)) == ""
    scene.edge.status = 408
    assert finish(scene.asker.told(phone, reboot=False)) == "it is not registered, or silent"
    scene.edge.status = 481
    assert finish(scene.asker.told(phone, reboot=False)) == "it answered 481"
    scene.edge.status = 408
    assert "did not answer" in str(finish(scene.asker.tested(phone)))
    scene.edge.status = 0
    assert finish(scene.asker.told(phone, reboot=False)) == "gone"
    assert "did not answer" in str(finish(scene.asker.tested(phone)))
    scene.in_call.add(phone)
    scene.edge.asked.clear()
    assert finish(scene.asker.told(phone, reboot=True)) == "it is in a call"
    assert finish(scene.asker.tested(phone)) == "it is in a call"
    assert scene.edge.asked == []
    with pytest.raises(KeyError):
        finish(scene.asker.told(PhoneId("nobody"), reboot=True))
