"""What each vendor's phones report, in our words; what is not known, made twice or nonsense does nothing."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.ids import PhoneId
from avisiod.calls.replay import Reports
from avisiod.devices.phones.incoming import EVENTS, Incoming, MappingUnusable, mappings, parsed
from avisiod.devices.phones.vendors import NAMES
from avisiod.devices.provisioning.paths import Asked
from avisiod.metrics.phones import EVENTS as COUNTED
from avisiod.phone_ports import Device
from tests.steered_clock import SteeredClock

CELL = PhoneId("cell-101")


class Scene:
    def __init__(self) -> None:
        self.clock = SteeredClock()
        self.said: list[tuple[str, Mapping[str, str]]] = []
        self.reports: Reports | None = Reports()
        self.incoming = Incoming(self.clock, mappings(), self._say, lambda _phone: self.reports)

    def _say(self, phone: PhoneId, event: str, details: Mapping[str, str]) -> None:
        assert phone == CELL
        self.said.append((event, details))

    def report(self, vendor: str, name: str, query: str = "") -> str:
        device = Device(phone=CELL, mac="001565a1b2c3", vendor=vendor)
        asked = Asked("e", device.mac, "s" * 26, name)
        return self.incoming(device, asked, query.encode()).why


@pytest.mark.parametrize(
    ("vendor", "name", "query", "event"),
    [
        ("yealink", "setup_completed", "mac=1&firmware=91.1", "booted"),
        ("yealink", "off_hook", "", "off_hook"),
        ("yealink", "call_established", "call=7", "call_started"),
        ("yealink", "call_terminated", "call=7", "call_ended"),
        ("fanvil", "BootCompleted", "", "booted"),
        ("fanvil", "RegOn", "", "registered"),
        ("fanvil", "CallStop", "", "call_ended"),
        ("2n", "log", "event=TamperSwitchActivated&state=in&id=4", "tamper"),
        ("2n", "log", "event=CallStateChanged&state=connected&id=5", "call_started"),
        ("2n", "log", "event=DeviceState&state=startup&id=6", "booted"),
        ("generic", "over_temperature", "n=1", "over_temperature"),
    ],
)
def test_a_vendors_word_is_one_of_ours(vendor: str, name: str, query: str, event: str) -> None:
    scene = Scene()
    assert scene.report(vendor, name, query) == "event"
    assert [said for said, _ in scene.said] == [event]


@pytest.mark.parametrize(
    ("vendor", "name", "query"),
    [
        ("yealink", "nonsense", ""),
        ("yealink", "BootCompleted", ""),
        ("2n", "log", "event=CallStateChanged&state=exploded&id=1"),
        ("2n", "log", ""),
        ("nobody", "booted", ""),
    ],
)
def test_a_word_that_is_not_known_is_counted_and_does_nothing(vendor: str, name: str, query: str) -> None:
    scene = Scene()
    assert scene.report(vendor, name, query) == "unknown_event"
    assert scene.said == []


def test_a_report_is_taken_once_by_number_time_and_nonce() -> None:
    scene = Scene()
    now = int(scene.clock.utc().timestamp())
    first = f"n=1&t={now}&r=abc"
    assert scene.report("generic", "off_hook", first) == "event"
    assert scene.report("generic", "off_hook", first) == "replayed"
    assert scene.report("generic", "on_hook", f"n=1&t={now}&r=def") == "replayed"
    assert scene.report("generic", "on_hook", f"n=2&t={now - 4000}&r=def") == "replayed"
    assert scene.report("generic", "on_hook", "n=99999999999999999999") == "replayed", "no number at all"
    assert scene.report("generic", "booted", f"n=1&t={now}&r=ghi") == "event", "it counts anew after a start"
    assert scene.report("generic", "booted", f"n=1&t={now}&r=ghi") == "replayed"
    assert "r" not in scene.said[0][1], "a nonce is not kept"


def test_before_it_is_known_what_was_heard_a_report_is_asked_for_later() -> None:
    scene = Scene()
    scene.reports = None
    assert scene.report("generic", "tamper", "n=1") == "failed"
    assert scene.said == []


def test_a_vendor_without_numbers_is_heard_once_in_two_seconds() -> None:
    scene = Scene()
    assert [scene.report("yealink", "off_hook") for _ in range(3)] == ["event", "replayed", "replayed"]
    scene.clock.advance(2)
    assert scene.report("yealink", "off_hook") == "event"


@given(st.binary(max_size=3000))
def test_any_query_is_read_and_short(query: bytes) -> None:
    for key, value in parsed(query).items():
        assert len(key) <= 64
        assert len(value) <= 64
        assert (key + value).isprintable()


def test_every_vendor_has_its_words_and_all_of_them_are_counted() -> None:
    assert set(mappings()) == set(NAMES)
    assert EVENTS == COUNTED


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("events: {a: explode}", "no event `explode`"),
        ("events: [", "node content"),
        ("event: {a: log}", "unknown field `event`"),
        ("events: {a: log}\nversion: 9", "version"),
    ],
)
def test_a_sites_own_file_that_is_faulty_is_told(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "fanvil.yaml").write_text(text)
    with pytest.raises(MappingUnusable, match=problem):
        mappings(str(tmp_path))


def test_a_sites_own_file_replaces_ours(tmp_path: Path) -> None:
    (tmp_path / "fanvil.yaml").write_text("events: {Opened: tamper}")
    assert mappings(str(tmp_path))["fanvil"].events == {"Opened": "tamper"}
