"""avisioctl selftest: names what is wrong, part by part, and is green for nothing that it has not seen."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread

from avisiod.cli import selftest
from avisiod.config.settings import Admin, Config, Media, Recordings, Sip, Store
from avisiod.config.settings import Metrics as MetricsConfig
from avisiod.metrics import Metrics
from avisiod.metrics_login import hashed
from avisiod.metrics_page import listen
from avisiod.office import box
from avisiod.office.counter import Counter
from avisiod.office.desk import Site
from avisiod.store.database import Database
from tests.cli.conftest import Ctl
from tests.steered_clock import SteeredClock

reactor: Any = _reactor


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


def _status(problems: tuple[str, ...], media_up: int) -> box.Status:
    pools = (box.Pool(kind="sip", up=1, wanted=1), box.Pool(kind="media", up=media_up, wanted=2))
    return box.Status(
        version="1", host="box", at_utc="", up_s=1.0, state="serving", calls={}, capacity=20, workers=pools,
        phones_registered=0, phones_listed=0, sms=(), disk_free_bytes=1, disk_keep_free_bytes=1, disk_trouble="",
        store_up=True, certificates=(), backup_age_s=None, backup_problem="", problems=problems, lines=(),
    )  # fmt: skip


@pytest.fixture
def closed(ctl: Ctl, database: Database) -> Iterator[tuple[Config, Callable[[box.Status], None]]]:
    """A daemon's metrics that want a password, and its socket; the settings, and how to change what it says."""
    hash_file = ctl.folder / "hash"
    hash_file.write_text(hashed("of nobody here"))
    said = [_status((), 2)]
    metrics = MetricsConfig(port=0, user="prometheus", password_hash_file=str(hash_file))
    port = listen(reactor, metrics, Metrics().registry, lambda: ())
    counter = Counter(reactor, SteeredClock(), ctl.socket, "", Site(), lambda: database, lambda _: False)
    counter.live["box.status"] = lambda: msgspec.to_builtins(said[0])
    counter.start()
    config = Config(
        admin=Admin(socket_file=str(ctl.socket)),
        media=Media(workers=2),
        metrics=msgspec.structs.replace(metrics, port=port.getHost().port),
        sip=Sip(workers=1),
    )
    yield config, lambda status: said.__setitem__(0, status)
    pytest_twisted.blockon(counter.stop())
    pytest_twisted.blockon(port.stopListening())


@pytest_twisted.ensureDeferred
async def test_where_the_metrics_want_a_password_the_daemon_is_asked_over_its_socket(
    closed: tuple[Config, Callable[[box.Status], None]],
) -> None:
    config, say = closed
    assert "want the password" in await deferToThread(selftest.daemon, config)
    assert await deferToThread(selftest.workers, config) == "2 media, 1 sip"
    say(_status(("the database does not answer",), 1))
    with pytest.raises(selftest.Wrong, match="the database does not answer"):
        await deferToThread(selftest.daemon, config)
    with pytest.raises(selftest.Wrong, match="too few: 1 media, 1 sip"):
        await deferToThread(selftest.workers, config)
