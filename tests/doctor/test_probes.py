"""Probes on peers that are well and on peers that fail."""

import contextlib
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from avisiod.config.settings import Config, IceServer, Sip
from avisiod.doctor import probes
from avisiod.doctor.probes import Relayed
from tests.peers.ports import free_port, free_range
from tests.peers.processes import Process

T = TypeVar("T")
SECRET = b"shared-with-coturn"
EXPIRES = 2_000_000_000


def aside(work: Callable[[], T]) -> T:
    """In a thread without a loop, as avisioctl has none."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(60)


def test_the_edge_is_found_where_it_listens_for_phones() -> None:
    config = Config(sip=Sip(edge=("127.0.0.1:5059",)))
    listens = "listen=udp:127.0.0.1:5059\n listen = udp:192.0.2.7:5060\nlisten=tls:192.0.2.7:5061\n"
    assert probes.edge_place(config, listens) == ("192.0.2.7", 5060)
    assert probes.edge_place(config, "listen=udp:[2001:db8::7]:5060\n") == ("2001:db8::7", 5060)
    assert probes.edge_place(config, "") == ("127.0.0.1", 5060)


@pytest.mark.parametrize("listens", [True, False])
def test_nobody_or_somebody_mute_answers_no_options(listens: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        if not listens:
            mute.close()
        assert probes.options("127.0.0.1", port, 0.3) == ""


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port, (first, last) = free_port(), free_range(20)
    folder = tmp_path_factory.mktemp("coturn")
    argv = ["turnserver", "-n", "--no-cli", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--realm=avisio"]
    argv += [f"--listening-port={port}", f"--min-port={first}", f"--max-port={last}", "--use-auth-secret"]
    argv += [f"--static-auth-secret={SECRET.decode()}", "--no-tls", "--no-dtls", "--allow-loopback-peers"]
    argv += ["--log-file=stdout", "--simple-log", f"--pidfile={folder}/pid", f"--db={folder}/db"]
    with Process(argv, name="coturn", log=folder / "coturn.log") as server:
        server.wait_for_line("UDP listener opened on|Listener .*opened|IPv4. UDP|listener", 15)
        yield port


@pytest.mark.peer
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_turn_server_gives_an_address_to_a_credential_of_ours(coturn: int, transport: str) -> None:
    server = IceServer(urls=(f"turn:127.0.0.1:{coturn}?transport={transport}",), secret_file="x")
    (relayed,) = aside(lambda: probes.ice(server, SECRET, EXPIRES))
    assert (relayed.problem, relayed.address.startswith("127.0.0.1 port ")) == ("", True)


@pytest.mark.peer
def test_a_wrong_secret_and_a_credential_that_has_ended_are_refused(coturn: int) -> None:
    server = IceServer(urls=(f"turn:127.0.0.1:{coturn}",), secret_file="x")
    for secret, expires in ((b"another", EXPIRES), (SECRET, 1_000_000_000)):
        (relayed,) = aside(lambda: probes.ice(server, secret, expires))  # noqa: B023
        assert (relayed.address, relayed.problem) == ("", "refused with 401 Unauthorized")


@pytest.mark.peer
def test_a_stun_server_says_who_we_are(coturn: int) -> None:
    server = IceServer(urls=(f"stun:127.0.0.1:{coturn}",))
    (seen,) = aside(lambda: probes.ice(server, b"", EXPIRES))
    assert (seen.problem, seen.address.startswith("127.0.0.1 port ")) == ("", True)


@pytest.mark.parametrize("url", ["turn:127.0.0.1:{}", "turn:127.0.0.1:{}?transport=tcp", "stun:127.0.0.1:{}"])
def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(probes, "TURN_WITHIN_S", 1.0)
    port = free_port()
    ((_, address, problem),) = aside(lambda: probes.ice(IceServer(urls=(url.format(port),)), b"s", EXPIRES))
    assert address == ""
    assert problem


def test_a_name_that_is_none_is_told() -> None:
    (relayed,) = aside(lambda: probes.ice(IceServer(urls=("turn:nowhere.invalid",)), b"s", EXPIRES))
    assert isinstance(relayed, Relayed)
    assert relayed.problem


def test_a_disk_is_written_measured_and_left_as_it_was(tmp_path: Path) -> None:
    found = probes.disk(tmp_path)
    assert found.problem == ""
    assert found.free_bytes > 0
    assert found.bytes_per_s > 0
    assert found.sync_s >= 0
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_writes_is_told(tmp_path: Path) -> None:
    assert "No such file" in probes.disk(tmp_path / "gone").problem
    assert probes.disk(Path("/proc/sys")).problem


def test_a_full_disk_is_not_filled_for_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=probes.TRIAL_BYTES))
    found = probes.disk(tmp_path)
    assert (found.free_bytes, found.bytes_per_s, found.problem) == (probes.TRIAL_BYTES, probes.DISK_UNKNOWN, "")


def test_the_kernel_tells_of_its_clock() -> None:
    synchronised, error_s = probes.clock()
    assert synchronised in (True, False, None)
    assert error_s >= 0


def test_the_kernels_word_is_read_as_adjtimex_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __init__(self, answer: int, status: int) -> None:
            self.answer, self.status = answer, status

        def adjtimex(self, pointer: object) -> int:
            with contextlib.suppress(AttributeError):
                timex = pointer._obj  # type: ignore[attr-defined]
                timex.status, timex.maxerror = self.status, 250_000
            return self.answer

    for answer, status, expected in ((0, 0x2001, (True, 0.25)), (5, 0x40, (False, 0.25)), (-1, 0, (None, 0.0))):
        monkeypatch.setattr(probes.ctypes, "CDLL", lambda *_, **__: Library(answer, status))  # noqa: B023
        assert probes.clock() == expected
