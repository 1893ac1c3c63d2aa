"""The portal under those who mean it ill, over real TLS: an honest page gets in all the while."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from avisiod.web import messages
from avisiod.web.doorman import CONNECTIONS_PER_ADDRESS
from tests.attacks.raw_page import Closed, RawPage, ask, frame, secured, upgrade
from tests.e2e.stage import Stage
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("portal")) as stage:
        yield stage


@pytest.fixture(scope="module")
def port(stage: Stage) -> int:
    return int(stage.settings["portal"]["port"])


def honest(port: int) -> None:
    """A page of another address opens and is answered."""
    with RawPage(port) as page:
        page.say(type="hello", language="fr")
        assert page.tries("000000")["why"] in {"wrong", "throttled"}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x16\x03\x01\x02\x00",  # half a ClientHello
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",  # no TLS at all
        b"\x80" * 1000,
    ],
)
def test_handshakes_that_are_never_ended_leave_room_for_others(port: int, said: bytes) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(CONNECTIONS_PER_ADDRESS + 20):
            dawdler = socket.socket()
            open_ones.enter_context(dawdler)
            dawdler.bind(("127.0.0.66", 0))
            dawdler.connect(("127.0.0.1", port))
            with contextlib.suppress(ConnectionError):
                dawdler.sendall(said)
        honest(port)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    ],
)
def test_requests_that_are_never_ended_leave_room_for_others(port: int, said: bytes) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(30):
            open_ones.enter_context(secured(port)).sendall(said)
        honest(port)


def test_more_connections_than_one_address_may_have_are_refused_and_counted(stage: Stage, port: int) -> None:
    name = 'avisiod_refused_total{door="portal",why="connection"}'
    before = stage.metrics()[name]
    with contextlib.ExitStack() as open_ones:
        for _ in range(CONNECTIONS_PER_ADDRESS + 10):
            flood = open_ones.enter_context(socket.socket())
            flood.bind(("127.0.0.67", 0))
            flood.connect(("127.0.0.1", port))
        honest(port)
        wait_until(lambda: stage.metrics()[name] >= before + 10, 15, "they are counted")


@pytest.mark.parametrize(
    "octets",
    [
        frame(b"x", said_length=2**40),
        frame(b"x", said_length=messages.MAX_MESSAGE_BYTES + 1),
        b"\x01\x80\x00\x00\x00\x00" * 50,  # a message in pieces that never ends, with a new beginning each
        b"\xff\xff\xff\xff" * 100,
        frame(b"\xff\xfe", opcode=1),
        frame(b"x" * 200, opcode=9),
        b"\x81\x05hello",  # not masked
    ],
)
def test_frames_against_the_rules_end_that_page_only(port: int, octets: bytes) -> None:
    with RawPage(port) as hostile:
        hostile.socket.sendall(octets)
        with pytest.raises((Closed, ConnectionError)):
            hostile.hears_until_closed()
    honest(port)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", "403"),
        ("http://localhost", "403"),
        ("https://localhost.evil.example", "403"),
        ("null", "400"),
    ],
)
def test_a_page_of_another_site_is_not_let_in(port: int, origin: str, status: str) -> None:
    with pytest.raises(Closed, match=status):
        RawPage(port, origin=origin)


def test_pages_of_other_sites_are_counted(stage: Stage, port: int) -> None:
    name = 'avisiod_refused_total{door="portal",why="origin"}'
    before = stage.metrics()[name]
    with pytest.raises(Closed):
        RawPage(port, origin="https://evil.example")
    wait_until(lambda: stage.metrics()[name] > before, 15, "it is counted")


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/../../avisiod.yaml",
        "/static/..%2f..%2fportal.key",
        "//etc/passwd", "/static//etc/passwd", "/%00", "/static/%00app.js", "/static/....//....//portal.key",
        "/ws/../static/../../portal.key", "/metrics", "/health", "/.git/config",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_portal(stage: Stage, port: int, path: str) -> None:
    answer = ask(port, f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
    status = int(answer.split(b" ", 2)[1])
    assert status in {301, 302, 303, 307, 308, 400, 404}, answer[:200]
    for secret in (b"PRIVATE KEY", b"root:", b"public_url", b"avisiod_build", b"Traceback"):
        assert secret not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "X" * 2000])
def test_other_methods_change_and_echo_nothing(port: int, method: str) -> None:
    request = f"{method} / HTTP/1.1\r\nHost: localhost:{port}\r\nX-Canary: canary\r\nConnection: close\r\n\r\n"
    try:
        answer = ask(port, request.encode())
    except ConnectionError:
        answer = b""
    assert b"canary" not in answer
    assert not answer or int(answer.split(b" ", 2)[1]) >= 400, answer[:100]
    honest(port)


def test_two_requests_in_one_do_not_get_past_a_proxy(port: int) -> None:
    """Content-Length and Transfer-Encoding at once (RFC 9112 section 6.3) are refused, not guessed at."""
    request = (
        f"POST / HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
    )
    answer = ask(port, request.encode())
    assert answer.count(b"HTTP/1.1 ") == 1, answer[:300]
    assert b" 400 " in answer.split(b"\r\n")[0]


def test_the_upgrade_is_for_one_path_only(port: int) -> None:
    answer = ask(port, upgrade(port, path="/elsewhere").replace(b"Connection: Upgrade", b"Connection: close"))
    assert b" 101 " not in answer.split(b"\r\n")[0]
