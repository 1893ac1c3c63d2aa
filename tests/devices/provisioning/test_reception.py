"""Who is given what: each phone its own, with what it shows; everybody else the same nothing, told once."""

import datetime
import hashlib

import msgspec
import pytest

from avisiod.calls.ids import PhoneId
from avisiod.config.phones import Provisioning
from avisiod.config.settings import Config
from avisiod.devices.provisioning.paths import Asked
from avisiod.devices.provisioning.phone_secrets import PhoneSecrets, ha1_of
from avisiod.devices.provisioning.reception import NOTHING, Reception, Reply, Visit
from avisiod.devices.provisioning.render import Templates
from avisiod.phone_ports import Device, Keys
from avisiod.ports import StoreUnavailable
from avisiod.store.devices import token_fits
from tests.devices.test_keeper import Memory, finish
from tests.steered_clock import SteeredClock

MAC, OTHER = "001565a1b2c3", "001565a1b2c4"
CELL = PhoneId("cell-101")
TOKEN = "0123456789abcdef0123456789"
SECRETS = PhoneSecrets(b"1" * 32)


class Cabinet(Memory):
    """Devices by MAC, their keys, and what was handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.by_mac: dict[str, tuple[Device, Keys]] = {}
        self.handed: list[tuple[PhoneId, str, int]] = []

    def add(self, mac: str, phone: PhoneId, vendor: str = "yealink") -> None:
        self.by_mac[mac] = (Device(phone=phone, mac=mac, vendor=vendor), Keys())

    async def device_by_mac(self, mac: str) -> tuple[Device, Keys] | None:
        if self.down:
            raise StoreUnavailable("down")
        return self.by_mac.get(mac)

    async def hand_out(  # type: ignore[override]
        self, phone: PhoneId, ha1: str, generation: int, at_utc: datetime.datetime, token: str, address: str
    ) -> bool:
        for mac, (device, keys) in self.by_mac.items():
            if device.phone == phone:
                if token and not token_fits(keys, token, at_utc, address):
                    return False
                used = {"token_used_utc": at_utc, "token_address": address} if token else {}
                new = msgspec.structs.replace(keys, ha1=ha1, generation=generation, **used)  # type: ignore[arg-type]
                self.by_mac[mac] = (device, new)
        self.handed.append((phone, ha1, generation))
        return True


class Scene:
    def __init__(self, **settings: object) -> None:
        self.clock = SteeredClock()
        self.store = Cabinet()
        self.store.add(MAC, CELL)
        self.store.add(OTHER, PhoneId("cell-102"))
        self.events: list[tuple[PhoneId, str, bytes]] = []
        self.noted: list[tuple[str, str]] = []
        where = Provisioning(address="192.0.2.1", certificate_file="/a", key_file="/b", **settings)  # type: ignore[arg-type]
        self.reception = Reception(
            self.clock, Config(provisioning=where), self.store, SECRETS, Templates(), self, self.event
        )

    def event(self, device: Device, question: Asked, query: bytes) -> Reply:
        self.events.append((device.phone, question.name, query))
        return Reply(200, why="event")

    def note(self, phone: str, event: str, details: dict[str, str] | None = None) -> None:
        self.noted.append((phone, event))

    def ask(self, path: str, address: str = "10.0.0.1", certificate: str = "") -> Reply:
        reply = finish(self.reception.answer(Visit(path.encode(), address, b"q=1", certificate)))
        assert isinstance(reply, Reply)
        return reply

    def give_token(self, token: str = TOKEN, mac: str = MAC) -> None:
        device, keys = self.store.by_mac[mac]
        ends = self.clock.utc() + datetime.timedelta(hours=1)
        hashed = hashlib.sha256(token.encode()).hexdigest()
        self.store.by_mac[mac] = (
            device,
            msgspec.structs.replace(
                keys, token_hash=hashed, token_ends_utc=ends, token_used_utc=None, token_address=""
            ),
        )


def secret(purpose: str, phone: PhoneId = CELL, generation: int = 1) -> str:
    return SECRETS.of(purpose, phone, generation)  # type: ignore[arg-type]


def test_a_token_opens_once_and_brings_what_the_phone_needs_from_then_on() -> None:
    scene = Scene()
    scene.give_token()
    first = scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg")
    assert (first.status, first.why) == (200, "served")
    password = secret("sip")
    assert f"account.1.password = {password}".encode() in first.body
    assert scene.store.handed == [(CELL, ha1_of(CELL, "avisio", password), 1)]
    assert f"/c/{MAC}/{secret('fetch')}/".encode() in first.body
    assert scene.ask(f"/c/{MAC}/{secret('fetch')}/{MAC}.cfg").body == first.body
    assert len(scene.store.handed) == 1, "what is in force is not written again"
    scene.clock.advance(121)
    spent = scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg")
    assert (spent.status, spent.body, spent.why) == (404, NOTHING, "spent_token")
    assert (CELL, "spent_token") in scene.noted


def test_a_stolen_token_opens_nothing_for_another_address_or_phone() -> None:
    scene = Scene()
    scene.give_token()
    assert scene.ask(f"/t/{OTHER}/{TOKEN}/{OTHER}.cfg").why == "spent_token"
    assert scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg").status == 200
    assert scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg", "10.0.0.66").why == "spent_token"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/c/001565ffffff/" + "a" * 26 + "/001565ffffff.cfg", "unknown_mac"),
        ("/t/001565ffffff/" + "a" * 26 + "/001565ffffff.cfg", "unknown_mac"),
        ("/cfg001565ffffff.xml", "unknown_mac"),
        (f"/{MAC}.cfg", "no_secret"),
        (f"/c/{MAC}/" + "a" * 26 + f"/{MAC}.cfg", "wrong_secret"),
        (f"/c/{MAC}/{SECRETS.of('fetch', PhoneId('cell-102'), 1)}/{MAC}.cfg", "wrong_secret"),
        (f"/c/{MAC}/{SECRETS.of('event', CELL, 1)}/{MAC}.cfg", "wrong_secret"),
        (f"/c/{MAC}/{SECRETS.of('fetch', CELL, 2)}/{MAC}.cfg", "wrong_secret"),
        (f"/e/{MAC}/{SECRETS.of('fetch', CELL, 1)}/off_hook", "wrong_secret"),
        (f"/c/{MAC}/{SECRETS.of('fetch', CELL, 1)}/{OTHER}.cfg", "anothers"),
        (f"/c/{MAC}/{SECRETS.of('fetch', CELL, 1)}/cfg{MAC}.xml", "no_such_file"),
        (f"/c/{MAC}/{SECRETS.of('fetch', CELL, 1)}/{MAC}.boot", "no_such_file"),
        (f"/f/{MAC}/{SECRETS.of('fetch', CELL, 1)}/x.rom", "no_such_file"),
        ("/../etc/shadow", "traversal"),
        ("/", "path"),
    ],
)
def test_everybody_else_gets_the_same_nothing(path: str, why: str) -> None:
    scene = Scene()
    scene.give_token()
    assert scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg").status == 200
    reply = scene.ask(path)
    assert (reply.status, reply.body, reply.type, reply.why) == (404, NOTHING, "text/plain", why)


def test_before_its_first_settings_no_secret_opens_anything() -> None:
    scene = Scene()
    assert scene.ask(f"/c/{MAC}/{secret('fetch')}/{MAC}.cfg").why == "wrong_secret"
    assert scene.ask(f"/e/{MAC}/{secret('event')}/booted").why == "wrong_secret"


def test_a_phone_that_is_not_in_the_inventory_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    for _ in range(5):
        assert scene.ask("/cfg001565ffffff.xml").why == "unknown_mac"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "00:15:65:FF:FF:FF at 10.0.0.1" in caplog.text
    assert scene.noted == [("001565ffffff", "unknown_phone")]


def test_no_secret_is_written_down(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.give_token()
    with caplog.at_level("DEBUG"):
        for path in (
            f"/t/{MAC}/{TOKEN}/{MAC}.cfg",
            f"/c/{MAC}/{secret('fetch')}/{OTHER}.cfg",
            f"/c/{MAC}/{secret('event')}/{MAC}.cfg",
        ):
            scene.ask(path)
    text = caplog.text + repr(scene.noted)
    assert not [each for each in (TOKEN, secret("fetch"), secret("event"), secret("sip")) if each in text]


def test_a_new_generation_shuts_the_old_address_and_a_token_opens_the_new_one() -> None:
    scene = Scene()
    scene.give_token()
    scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg")
    device, keys = scene.store.by_mac[MAC]
    scene.store.by_mac[MAC] = (device, msgspec.structs.replace(keys, generation=2))
    assert scene.ask(f"/c/{MAC}/{secret('fetch')}/{MAC}.cfg").why == "wrong_secret"
    assert scene.ask(f"/e/{MAC}/{secret('event')}/booted").why == "wrong_secret"
    scene.give_token("f" * 26)
    assert secret("sip", generation=2).encode() in scene.ask(f"/t/{MAC}/{'f' * 26}/{MAC}.cfg").body
    assert scene.store.handed[-1] == (CELL, ha1_of(CELL, "avisio", secret("sip", generation=2)), 2)


def test_an_event_comes_with_its_own_secret() -> None:
    scene = Scene()
    scene.give_token()
    scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg")
    assert scene.ask(f"/e/{MAC}/{secret('event')}/off_hook").why == "event"
    assert scene.events == [(CELL, "off_hook", b"q=1")]


@pytest.mark.parametrize(
    ("path", "certificate", "why"),
    [
        (f"/{MAC}.cfg", MAC.upper(), "served"),
        (f"/{MAC}.cfg", "00:15:65:A1:B2:C3", "served"),
        ("/y000000000091.cfg", MAC, "served"),
        (f"/{MAC}.cfg", "", "no_secret"),
        (f"/{MAC}.cfg", "somebody", "no_secret"),
        (f"/{OTHER}.cfg", MAC, "anothers"),
        (f"/{MAC}.cfg", "001565ffffff", "unknown_mac"),
        (f"/t/{MAC}/{TOKEN}/{MAC}.cfg", "", "no_secret"),
    ],
)
def test_a_certificate_tells_which_phone_it_is(path: str, certificate: str, why: str) -> None:
    scene = Scene(authentication="certificate")
    scene.give_token()
    assert scene.ask(path, certificate=certificate).why == why


def test_who_asks_too_often_is_turned_away_and_others_are_not() -> None:
    scene = Scene(requests_per_minute=8)
    assert [scene.ask("/x.cfg").status for _ in range(4)] == [404, 404, 429, 429]
    assert scene.ask("/x.cfg", "10.0.0.2").status == 404
    scene.clock.advance(60)
    assert scene.ask("/x.cfg").status == 404


def test_a_store_that_is_down_is_said_and_over_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.give_token()
    scene.store.down = True
    assert [scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg").status for _ in range(2)] == [503, 503]
    scene.store.down = False
    assert scene.ask(f"/t/{MAC}/{TOKEN}/{MAC}.cfg").status == 200
    told = [record.levelname for record in caplog.records if record.levelname != "DEBUG"]
    assert told == ["WARNING", "INFO"]
