"""The server as phones meet it: TLS, ranges, odd requests, and nothing about us in any answer."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor

from avisiod.calls.ids import PhoneId
from avisiod.clock import SystemClock
from avisiod.config.phones import Provisioning
from avisiod.config.settings import Config
from avisiod.devices.provisioning.phone_secrets import KeyUnusable, PhoneSecrets, master_key
from avisiod.devices.provisioning.reception import Reception, Reply
from avisiod.devices.provisioning.render import Templates
from avisiod.devices.provisioning.server import PhoneServer, ServerCannotStart
from avisiod.phone_ports import Device
from tests.devices.provisioning.test_reception import CELL, MAC, Cabinet, secret
from tests.peers.authority import Authority
from tests.peers.booted_phone import trusting
from tests.peers.offreactor import aside

DATA = bytes(range(256)) * 40
Got = tuple[int, bytes, dict[str, str]]


class Scene:
    def __init__(self, folder: Path, authentication: str = "either") -> None:
        site, self.vendor = Authority(folder / "site"), Authority(folder / "vendor")
        server = site.issue("server", "127.0.0.1")
        self.trusting: Callable[..., ssl.SSLContext] = lambda *own: trusting(site.file, *own)
        self.settings = Provisioning(
            address="127.0.0.1",
            port=0,
            certificate_file=str(server),
            key_file=str(server),
            client_ca_file=str(self.vendor.file),
            authentication=authentication,  # type: ignore[arg-type]
            requests_per_minute=10_000,
        )
        self.store = Cabinet()
        self.store.add(MAC, CELL)
        device, keys = self.store.by_mac[MAC]
        self.store.by_mac[MAC] = (device, msgspec.structs.replace(keys, generation=1))
        any_reactor: Any = reactor
        clock = SystemClock(any_reactor._asyncioEventloop)
        secrets = PhoneSecrets(b"1" * 32)
        config = Config(provisioning=self.settings)
        self.counted: list[str] = []
        reception = Reception(
            clock, config, self.store, secrets, Templates(), self, lambda _d, _a, _q: Reply(200, why="event")
        )
        (folder / "new.rom").write_bytes(DATA)

        async def given(device: Device, name: str) -> Reply:
            return Reply(200, file=str(folder / "new.rom"), why="firmware")

        reception.firmware_file = given
        self.server = PhoneServer(any_reactor, clock, self.settings, reception, self._count)

    def _count(self, why: str, seconds: float) -> None:
        assert seconds >= 0
        self.counted.append(why)

    def note(self, phone: str, event: str, details: dict[str, str] | None = None) -> None:
        """Nowhere."""

    def get(self, path: str, *own: Path, method: str = "GET", body: bytes = b"", **headers: str) -> Got:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, context=self.trusting(*own), timeout=20
        )
        with contextlib.closing(connection):
            connection.request(method, path, body or None, {name.replace("_", "-"): v for name, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Served; each test stops it."""
    scene = Scene(tmp_path)
    scene.server.start()
    return scene


MINE = f"/c/{MAC}/{secret('fetch', PhoneId('cell-101'))}"


@pytest_twisted.ensureDeferred
async def test_a_phone_gets_its_settings_and_nothing_about_us(scene: Scene) -> None:
    status, body, headers = await aside(scene.get, f"{MINE}/{MAC}.cfg")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "text/plain", "no-store")
    assert b"account.1.password = " in body
    assert "server" not in headers
    assert scene.counted == ["served"]
    await scene.server.stop()


@pytest_twisted.ensureDeferred
async def test_firmware_comes_whole_in_parts_and_from_where_it_broke_off(scene: Scene) -> None:
    path = MINE.replace("/c/", "/f/") + "/new.rom"
    assert (await aside(scene.get, path))[:2] == (200, DATA)
    status, body, headers = await aside(scene.get, path, Range="bytes=100-199")
    assert (status, body) == (206, DATA[100:200])
    assert headers["content-range"] == f"bytes 100-199/{len(DATA)}"
    assert (await aside(scene.get, path, Range=f"bytes={len(DATA) - 10}-"))[:2] == (206, DATA[-10:])
    assert (await aside(scene.get, path, Range=f"bytes={len(DATA)}-"))[0] == 416
    assert scene.counted == ["firmware"] * 4
    await scene.server.stop()


@pytest_twisted.ensureDeferred
async def test_a_certificate_of_the_vendor_is_asked_for_and_one_of_anybody_else_ends_the_handshake(
    scene: Scene, tmp_path: Path
) -> None:
    assert (await aside(scene.get, f"/{MAC}.cfg", scene.vendor.issue(MAC)))[0] == 200
    assert (await aside(scene.get, f"/{MAC}.cfg"))[0] == 404
    forger = Authority(tmp_path / "forged", "forger")
    with pytest.raises(OSError, match=r"(?i)ssl|tls|reset|closed"):
        await aside(scene.get, f"/{MAC}.cfg", forger.issue(MAC))
    await scene.server.stop()


@pytest_twisted.ensureDeferred
async def test_odd_requests_are_turned_away_and_counted(scene: Scene) -> None:
    nothing = (await aside(scene.get, "/nothing.cfg"))[:2]
    assert (await aside(scene.get, "/../../etc/passwd"))[:2] == nothing
    assert (await aside(scene.get, f"{MINE}/{MAC}.cfg", method="DELETE"))[0] == 405
    assert (await aside(scene.get, f"{MINE}/{MAC}.cfg", method="POST", body=b"x" * 5000))[0] == 413
    assert scene.counted == ["no_secret", "traversal", "method", "body", "served"][: len(scene.counted)]

    def plain() -> bytes:
        with socket.create_connection(("127.0.0.1", scene.server.port), timeout=20) as knock:
            knock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return knock.recv(1000)

    assert b"HTTP" not in await aside(plain), "nothing is served in the clear"
    await scene.server.stop()


def test_a_certificate_that_is_none_keeps_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nonsense")
    scene = Scene(tmp_path)
    settings = msgspec.structs.replace(scene.settings, certificate_file=str(tmp_path / "x.pem"))
    any_reactor: Any = reactor
    with pytest.raises(ServerCannotStart, match=r"x\.pem"):
        PhoneServer(any_reactor, SystemClock(any_reactor._asyncioEventloop), settings, None, scene._count)  # type: ignore[arg-type]


def test_the_master_key_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "phones.key"
    key = master_key(path)
    assert len(key) == 32
    assert master_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        master_key(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(KeyUnusable, match="too short"):
        master_key(path)
    with pytest.raises(KeyUnusable, match="master_key_file"):
        master_key(tmp_path / "no" / "where")
