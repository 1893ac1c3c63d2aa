"""avisioctl selftest: names what is wrong, part by part, and is green for nothing that it has not seen."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from avisiod.cli import selftest
from avisiod.config.settings import Config, Recordings, Sip, Store
from tests.cli.conftest import Ctl


@pytest.fixture
def kamailio() -> Iterator[tuple[socket.socket, list[bytes]]]:
    """A socket that answers each datagram with what stands first in the list."""
    answers = [b"SIP/2.0 200 OK\r\n\r\n"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                _, there = bound.recvfrom(4096)
                if not answers:
                    return
                bound.sendto(answers[0], there)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield bound, answers
        answers.clear()
        bound.sendto(b"", bound.getsockname())
        server.join()


def listening(bound: socket.socket) -> str:
    return f"# listen=udp:192.0.2.9:5060\nlisten=udp:127.0.0.1:5059\nlisten=udp:127.0.0.1:{bound.getsockname()[1]}\n"


def test_the_edge_is_asked_where_it_listens_for_phones(kamailio: tuple[socket.socket, list[bytes]]) -> None:
    bound, answers = kamailio
    said = selftest.edge(Config(), listening(bound))
    assert str(bound.getsockname()[1]) in said
    answers[0] = b"SIP/2.0 503 Service Unavailable\r\n\r\n"
    with pytest.raises(selftest.Wrong, match="503"):
        selftest.edge(Config(), listening(bound))


def test_the_socket_for_workers_is_not_taken_for_the_edge(kamailio: tuple[socket.socket, list[bytes]]) -> None:
    bound, _ = kamailio
    port = bound.getsockname()[1]
    config = Config(sip=Sip(edge=("127.0.0.1:5058",)))
    lines = f"listen=udp:127.0.0.1:5058\nlisten=udp:127.0.0.1:{port}\n"
    assert str(port) in selftest.edge(config, lines)


def test_a_database_of_another_program_is_named_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "avisiod.db"
    path.write_bytes(b"somebody else's")
    with pytest.raises(selftest.StoreUnavailable, match=str(path)):
        selftest.stored(Config(store=Store(path=str(path))))


def test_too_little_room_for_recordings_is_wrong(tmp_path: Path) -> None:
    enough = Config(recordings=Recordings(folder=str(tmp_path), keep_free_bytes=0))
    assert "GB free" in selftest.disk(enough)
    with pytest.raises(selftest.Wrong, match="calls need"):
        selftest.disk(Config(recordings=Recordings(folder=str(tmp_path), keep_free_bytes=2**60)))


def test_without_a_daemon_each_part_says_what_is_missing(ctl: Ctl) -> None:
    ctl.config.write_text(ctl.config.read_text() + "metrics: {port: 1}\nportal: {port: 2}\n")
    found = ctl.json("selftest", status=1)
    assert found["ok"] is False
    parts = {part["part"]: part for part in found["parts"]}
    assert list(parts) == ["settings", "database", "daemon", "workers", "edge", "portal", "disk"]
    assert not parts["daemon"]["ok"]
    assert "127.0.0.1 port 1" in parts["daemon"]["says"]
    assert parts["daemon"]["remedy"]


def test_wrong_settings_are_told_line_by_line(ctl: Ctl) -> None:
    ctl.config.write_text("calls: {limt_s: 5}\n")
    found = ctl.json("selftest", status=1)
    assert [part["ok"] for part in found["parts"]] == [False]
    assert "calls.limt_s" in found["parts"][0]["says"]
