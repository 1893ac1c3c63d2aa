"""What is in the way of the server towards phones is told, and tried again; nothing else waits for it."""

import socket
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from avisiod.config.phones import Health, Provisioning
from avisiod.config.settings import Config
from avisiod.devices.phones.room import PhoneRoom
from tests.devices.firmware.test_runner import Books
from tests.devices.test_keeper import Counts
from tests.peers.authority import Authority
from tests.steered_clock import SteeredClock


class Served:
    def answered(self, result: str, seconds: float) -> None:
        """Nowhere."""


class RoomCounts(Counts):
    def rolled(self, step: str, count: int) -> None:
        """Nowhere."""


class Idle(Books):
    """Nothing is rolled out."""

    def __init__(self) -> None:
        super(Books, self).__init__()

    async def firmware(self) -> list[Any]:  # type: ignore[override]
        return []

    async def running(self) -> list[Any]:  # type: ignore[override]
        return []


def room(folder: Path, clock: SteeredClock, port: int) -> PhoneRoom:
    server = Authority(folder).issue("server", "127.0.0.1")
    config = Config(
        health=Health(edge_control=str(folder / "no.sock")),
        provisioning=Provisioning(
            address="127.0.0.1",
            port=port,
            certificate_file=str(server),
            key_file=str(server),
            master_key_file=str(folder / "phones.key"),
        ),
    )
    any_reactor: Any = reactor
    return PhoneRoom(any_reactor, clock, config, Idle(), RoomCounts(), Served(), lambda _: False)


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken_is_told_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = SteeredClock()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        phones = room(tmp_path, clock, port)
        phones.start()
        assert phones.server is None
        assert phones.problems
        assert f"provisioning.port {port}" in caplog.text
    await phones.looked({})
    assert phones.server is None, "not at once"
    clock.advance(30.0)
    await phones.looked({})
    assert phones.server is not None
    assert phones.server.port == port
    assert phones.problems == []
    await phones.stop()
    clock.advance(60.0)
    await phones.looked({})
    assert phones.server.port == 0, "what was stopped stays so"


@pytest_twisted.ensureDeferred
async def test_a_key_that_is_open_to_others_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "phones.key").write_bytes(b"k" * 32)
    (tmp_path / "phones.key").chmod(0o644)
    phones = room(tmp_path, SteeredClock(), 0)
    phones.start()
    assert "chmod 600" in caplog.text
    assert phones.problems
    await phones.stop()
