"""What stands before the pages: places, dawdlers, dead connections, TLS."""

import asyncio
import datetime
import pathlib
import re
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import address, reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from avisiod.clock import SystemClock, wall_utc
from avisiod.web import doorman, messages, socket
from avisiod.web.portal import PortalCannotStart, make_portal
from avisiod.web.tls import Certificate, CertificateUnusable
from tests.web.client import WebPage, connect
from tests.web.clock import HandClock
from tests.web.conftest import Served, configured, free_port
from tests.web.desk import FakeDesk
from tests.web.test_pages import get


class Dawdler(Protocol):
    """Opens a connection and says little."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: object = None) -> None:  # noqa: N802 - Twisted's name
        self.lost.callback(None)


class Timed(Served):
    clock: HandClock


@pytest_twisted.async_yield_fixture
async def timed(desk: FakeDesk) -> AsyncIterator[Timed]:
    config = configured(free_port())
    clock = HandClock()
    served = Timed(make_portal(config, desk, clock), desk, config)
    served.clock = clock
    served.portal.start()
    yield served
    await served.portal.stop()


async def dawdle(port: int) -> Dawdler:
    dawdler = Dawdler()
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), dawdler)
    return dawdler


@pytest_twisted.ensureDeferred
async def test_a_connection_that_never_asks_anything_is_closed(timed: Timed) -> None:
    dawdler = await dawdle(timed.portal.port)
    await get(timed, "/robots.txt")
    dawdler.transport.write(b"GET / HT")  # type: ignore[union-attr]
    timed.clock.turn(doorman.HTTP_LIFETIME_S + 1)
    await dawdler.lost


@pytest_twisted.ensureDeferred
async def test_a_page_in_use_outlives_the_limit_of_http(timed: Timed) -> None:
    page = await connect(timed.portal.port)
    await page.hears("welcome")
    timed.clock.turn(socket.PING_EVERY_S)
    timed.clock.turn(doorman.HTTP_LIFETIME_S - socket.PING_EVERY_S - 35)
    page.join()
    await page.hears("joined")
    await _pong(page, timed)
    timed.clock.turn(20)
    page.say(type="hello", language="fr")
    page.say(type="nonsense")
    assert (await page.hears("error"))["what"] == "malformed"


async def _pong(page: WebPage, timed: Timed) -> None:
    """Let a ping and its pong pass."""
    page.say(type="nonsense")
    await page.hears("error")


@pytest_twisted.ensureDeferred
async def test_a_page_that_answers_no_ping_is_dropped_and_reported_gone(timed: Timed) -> None:
    page = await connect(timed.portal.port)
    await page.hears("welcome")
    page.join()
    await page.hears("joined")
    gone: Deferred[None] = Deferred()
    timed.desk.on_asked = lambda what: gone.callback(None) if what[0] == "gone" else None
    # The clock runs on while the page says nothing at all.
    timed.clock.turn(socket.PING_EVERY_S + 3 * socket.PONG_WITHIN_S)
    await gone


@pytest_twisted.ensureDeferred
async def test_a_page_that_never_joins_is_sent_away(timed: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "IDLE_S", 1.0)
    page = await connect(timed.portal.port)
    await page.hears("welcome")
    timed.clock.turn(socket.PING_EVERY_S)
    assert (await page.closed)[0] == messages.CLOSE_IDLE


@pytest_twisted.ensureDeferred
async def test_one_address_has_so_many_connections_and_gets_them_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.portal.doorman.places = doorman.Places(total=10, per_address=2)
    first, second = await dawdle(served.portal.port), await dawdle(served.portal.port)
    third = await dawdle(served.portal.port)
    await third.lost
    first.transport.loseConnection()  # type: ignore[union-attr]
    await first.lost
    while (await get(served, "/robots.txt")).status != 200:
        pass
    second.transport.loseConnection()  # type: ignore[union-attr]
    await second.lost


@pytest_twisted.ensureDeferred
async def test_one_address_has_so_many_pages(served: Served) -> None:
    served.portal.sockets.places = doorman.Places(total=10, per_address=1)
    page = await connect(served.portal.port)
    await page.hears("welcome")
    with pytest.raises(ConnectionError):
        await connect(served.portal.port)


@pytest.mark.parametrize(("address", "visitors"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])])
@pytest_twisted.ensureDeferred
async def test_the_portal_answers_in_ipv6_and_on_both_where_it_is_bound_to_both(
    desk: FakeDesk, address: str, visitors: list[str]
) -> None:
    config = configured(free_port())
    config = msgspec.structs.replace(config, portal=msgspec.structs.replace(config.portal, address=address))
    portal = make_portal(config, desk, HandClock())
    portal.start()
    for host in visitors:
        page = await connect(portal.port, endpoint=HostnameEndpoint(reactor, host, portal.port))
        await page.hears("welcome")
        page.join()
        await page.hears("joined")
        assert desk.asked[-1][-1] == host
    await portal.stop()


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_told_with_the_key_to_change(served: Served, desk: FakeDesk) -> None:
    second = make_portal(served.config, desk, HandClock())
    with pytest.raises(PortalCannotStart, match=r"portal\.port"):
        second.start()
    assert (await get(served, "/")).status == 200


def certificate(folder: pathlib.Path, name: str, *, ended: bool = False) -> None:
    """A self-signed certificate for `name`, in folder/cert.pem and folder/key.pem."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ends = wall_utc() + datetime.timedelta(days=-1 if ended else 30)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - datetime.timedelta(days=60))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))


class Handshake(Protocol):
    def __init__(self) -> None:
        self.done: Deferred[tuple[str, str]] = Deferred()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.transport.write(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if not self.done.called:
            connection = self.transport.getHandle()  # type: ignore[union-attr]
            peer = connection.get_peer_certificate().to_cryptography().subject.rfc4514_string()
            self.done.callback((peer, connection.get_protocol_version_name()))


async def shake_hands(port: int) -> tuple[str, str]:
    protocol = Handshake()
    reactor.connectSSL("127.0.0.1", port, _Once(protocol), ssl.CertificateOptions())  # type: ignore[attr-defined]
    return await protocol.done


class _Once(ssl.ClientContextFactory):
    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol

    def doStart(self) -> None:  # noqa: N802 - Twisted's name
        pass

    doStop = startedConnecting = clientConnectionFailed = clientConnectionLost = lambda self, *words: None  # noqa: N815

    def buildProtocol(self, address: object) -> Protocol:  # noqa: N802 - Twisted's name
        return self.protocol


class Spy(Handshake):
    """Stays connected, and asks again when it is told to."""

    REQUEST = b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n"

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.transport.write(self.REQUEST)  # type: ignore[union-attr]

    def ask(self) -> None:
        self.done = Deferred()
        self.transport.write(self.REQUEST)  # type: ignore[union-attr]


@pytest_twisted.ensureDeferred
async def test_a_renewed_certificate_is_used_without_a_lost_connection_and_a_bad_one_is_not(
    desk: FakeDesk, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate(tmp_path, "first.example")
    files = {"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    portal = make_portal(configured(free_port(), **files), desk, SystemClock(asyncio.get_event_loop()))
    portal.start()
    open_connection = Spy()
    reactor.connectSSL(  # type: ignore[attr-defined]
        "127.0.0.1", portal.port, _Once(open_connection), ssl.CertificateOptions()
    )
    assert (await open_connection.done) == ("CN=first.example", "TLSv1.3")
    certificate(tmp_path, "second.example")
    good = [(tmp_path / name).read_bytes() for name in ("cert.pem", "key.pem")]
    assert (await shake_hands(portal.port))[0] == "CN=second.example"
    certificate(tmp_path, "ended.example", ended=True)
    assert (await shake_hands(portal.port))[0] == "CN=second.example"
    assert "cert.pem: it ended on" in caplog.text
    certificate(tmp_path, "third.example")
    (tmp_path / "key.pem").write_bytes(good[1])
    assert (await shake_hands(portal.port))[0] == "CN=second.example"
    assert "is not that of the certificate" in caplog.text
    (tmp_path / "cert.pem").write_text("half a file")
    assert (await shake_hands(portal.port))[0] == "CN=second.example"
    assert caplog.text.count("stays in use") == 3
    assert portal.certificate is not None
    assert portal.certificate.renewable.refused == 3
    open_connection.ask()
    assert (await open_connection.done)[0] == "CN=first.example"
    await portal.stop()


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_ended_is_told_at_the_start_and_served(
    desk: FakeDesk, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate(tmp_path, "late.example", ended=True)
    files = {"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    portal = make_portal(configured(free_port(), **files), desk, SystemClock(asyncio.get_event_loop()))
    assert "it ended on 20" in caplog.text
    assert "it is not made out for localhost" in caplog.text
    portal.start()
    assert (await shake_hands(portal.port))[0] == "CN=late.example"
    await portal.stop()


def test_a_certificate_that_does_not_fit_its_key_is_refused_at_start(tmp_path: pathlib.Path) -> None:
    certificate(tmp_path, "first.example")
    key = (tmp_path / "key.pem").read_bytes()
    certificate(tmp_path, "second.example")
    (tmp_path / "key.pem").write_bytes(key)
    with pytest.raises(CertificateUnusable, match=r"cert\.pem"):
        Certificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    with pytest.raises(CertificateUnusable, match="none"):
        Certificate(str(tmp_path / "none.pem"), str(tmp_path / "key.pem"))


@pytest_twisted.ensureDeferred
async def test_plain_http_leads_to_the_portal_and_answers_a_certificate_authority(
    desk: FakeDesk, tmp_path: pathlib.Path
) -> None:
    challenges = tmp_path / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "a-token_1").write_text("a-token_1.thumbprint")
    (tmp_path / ".well-known" / "secret").write_text("nobody's")
    port = free_port()
    config = configured(free_port(), http_port=port, acme_folder=str(tmp_path), public_url="https://visio.example")
    portal = make_portal(config, desk, HandClock())
    portal.start()
    answers = {
        "/.well-known/acme-challenge/a-token_1": (200, None, b"a-token_1.thumbprint"),
        "/.well-known/acme-challenge/none": (404, None, b""),
        "/.well-known/acme-challenge/..%2fsecret": (404, None, b""),
        "/.well-known/acme-challenge/../secret": (404, None, b""),
        "/Ab3-x": (308, "https://visio.example/Ab3-x", b""),
        "//evil.example/": (308, "https://visio.example/", b""),
        "/%0d%0aSet-Cookie:x": (308, "https://visio.example/", b""),
    }
    for path, (status, location, body) in answers.items():
        found = await raw_get(port, path)
        head, _, content = found.partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode()), (path, head)
        assert content == body
        told = re.search(rb"(?i)\r\nlocation: (\S+)", head)
        assert (told[1].decode() if told else None) == location
    await portal.stop()


async def raw_get(port: int, path: str) -> bytes:
    """The whole answer to a path that no library has tidied up."""

    class Raw(Protocol):
        def __init__(self) -> None:
            self.got = b""
            self.done: Deferred[bytes] = Deferred()

        def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
            request = f"GET {path} HTTP/1.1\r\nHost: visio.example\r\nConnection: close\r\n\r\n"
            self.transport.write(request.encode())  # type: ignore[union-attr]

        def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
            self.got += data

        def connectionLost(self, reason: object = None) -> None:  # noqa: N802 - Twisted's name
            self.done.callback(self.got)

    raw = Raw()
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), raw)
    return await raw.done


@pytest_twisted.ensureDeferred
async def test_a_page_that_only_pings_is_dropped_and_counted(served: Served) -> None:
    """Whoever never reads would have us keep an answer to each."""
    page = await connect(served.portal.port)
    await page.hears("welcome")
    for _ in range(int(socket.FRAMES_AT_ONCE) + 30):
        page.sendPing(b"x" * 100)
    await page.closed
    assert served.portal.refused["frame"] == 1


@pytest_twisted.ensureDeferred
async def test_a_message_in_endless_fragments_is_dropped_and_counted(served: Served) -> None:
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.beginMessage()
    for _ in range(int(socket.FRAMES_AT_ONCE) + 30):
        page.sendMessageFrame(b"")
    await page.closed
    assert served.portal.refused["frame"] == 1


@pytest_twisted.ensureDeferred
async def test_one_person_has_a_whole_64_of_ipv6_and_no_more_places_for_it(served: Served) -> None:
    door = served.portal.doorman
    door.places = doorman.Places(total=10, per_address=2)
    hosts = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3", "2001:db8:0:1::1"]
    let_in = [door.buildProtocol(address.IPv6Address("TCP", host, 1)) is not None for host in hosts]
    assert let_in == [True, True, False, True]
    assert served.portal.refused["connection"] == 1


@pytest_twisted.ensureDeferred
async def test_whatever_is_turned_away_is_counted_by_its_reason(timed: Timed) -> None:
    before = dict.fromkeys(timed.portal.refused, 0)
    assert timed.portal.refused == before
    dawdler = await dawdle(timed.portal.port)
    await get(timed, "/robots.txt")
    timed.clock.turn(doorman.HTTP_LIFETIME_S + 1)
    await dawdler.lost
    await get(timed, "/%ff")
    await get(timed, "/", method="POST", Content_Length="5")
    with pytest.raises(ConnectionError):
        await connect(timed.portal.port, origin="http://elsewhere.example")
    with pytest.raises(ConnectionError):
        await connect(timed.portal.port, protocols=("other",))
    page = await connect(timed.portal.port)
    await page.hears("welcome")
    page.say(type="nonsense")
    assert (await page.hears("error"))["what"] == "malformed"
    page.say(type="hang_up")
    assert (await page.hears("error"))["what"] == "out_of_order"
    for _ in range(70):
        page.say(type="hello", language="fr")
    assert (await page.hears("error"))["what"] == "too_fast"
    await page.closed
    broken = await connect(timed.portal.port)
    await broken.hears("welcome")
    broken.sendFrame(opcode=3)  # reserved (RFC 6455 section 5.2)
    await broken.closed
    expected = {"dawdling": 1, "request": 2, "origin": 1, "message": 2, "too_fast": 1, "frame": 2}
    assert timed.portal.refused == before | expected
