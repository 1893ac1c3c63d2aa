"""The edge takes a renewed certificate up, and phones that are connected stay so."""

import hashlib
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted

from avisiod.clock import wall_utc
from avisiod.config.phones import Health
from avisiod.config.settings import Config, Sip
from avisiod.gateway.edge_certificate import EdgeCertificate, tell_edge
from tests.e2e.stage import make_certificate
from tests.peers.kamailio import Kamailio
from tests.peers.offreactor import aside

pytestmark = [pytest.mark.peer]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with Kamailio(tmp_path_factory.mktemp("edge"), [("127.0.0.1", 9)], tls=True) as edge:
        yield edge


def connected(edge: Kamailio) -> ssl.SSLSocket:
    """A phone's connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((edge.address, edge.tls_port), 10)
    return context.wrap_socket(plain)


def shown(connection: ssl.SSLSocket) -> str:
    """Digest of the certificate that the edge showed on this connection."""
    return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def answers(connection: ssl.SSLSocket, number: int) -> bool:
    """Whether an OPTIONS is answered on it."""
    here = "{}:{}".format(*connection.getsockname())
    lines = [
        "OPTIONS sip:edge SIP/2.0",
        f"Via: SIP/2.0/TLS {here};branch=z9hG4bK{number};rport",
        "Max-Forwards: 70",
        f"From: <sip:probe@{here}>;tag={number}",
        "To: <sip:edge>",
        f"Call-ID: {number}@{here}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    ]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return connection.recv(4096).startswith(b"SIP/2.0 200")


def of_file(path: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(path.read_text())).hexdigest()


@pytest_twisted.ensureDeferred
async def test_a_renewed_certificate_is_shown_to_new_phones_and_the_old_ones_stay(
    edge: Kamailio, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = edge.folder / "edge.pem", edge.folder / "edge.key"
    files = Sip(edge_certificate_file=str(certificate), edge_key_file=str(key))
    control = edge.folder / "edge-rpc.sock"
    watched = EdgeCertificate(Config(sip=files, health=Health(edge_control=str(control))), wall_utc)
    await watched.look()
    first = of_file(certificate)
    with await aside(connected, edge) as before:
        assert shown(before) == first
        assert await aside(answers, before, 1)
        await aside(make_certificate, certificate, key)
        second = of_file(certificate)
        await watched.look()
        with await aside(connected, edge) as after:
            assert shown(after) == second != first
            assert await aside(answers, after, 2)
        certificate.write_text("half a file")
        await watched.look()
        assert watched.refused == 1
        assert "the former certificate of the edge stays in use" in caplog.text
        with await aside(connected, edge) as later:
            assert shown(later) == second
        assert await aside(answers, before, 3)


def test_kamailio_itself_keeps_the_former_one_where_the_files_do_not_fit(edge: Kamailio) -> None:
    certificate, key = edge.folder / "edge.pem", edge.folder / "edge.key"
    make_certificate(certificate, key)
    tell_edge(edge.folder / "edge-rpc.sock")
    good = of_file(certificate)
    make_certificate(certificate, edge.folder / "other.key")
    with pytest.raises(OSError, match="it said"):
        tell_edge(edge.folder / "edge-rpc.sock")
    with connected(edge) as after:
        assert shown(after) == good


@pytest_twisted.ensureDeferred
async def test_an_edge_that_is_down_is_asked_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    certificate, key = tmp_path / "edge.pem", tmp_path / "edge.key"
    await aside(make_certificate, certificate, key)
    files = Sip(edge_certificate_file=str(certificate), edge_key_file=str(key))
    control = tmp_path / "edge-rpc.sock"
    watched = EdgeCertificate(Config(sip=files, health=Health(edge_control=str(control))), wall_utc)
    await watched.look()
    await aside(make_certificate, certificate, key)
    await watched.look()
    assert "it is asked again" in caplog.text
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    asked.bind(str(control))

    def answer() -> bytes:
        said, who = asked.recvfrom(4096)
        asked.sendto(b'{"jsonrpc":"2.0","result":"Ok","id":1}', who)
        return said

    answering = aside(answer)
    await watched.look()
    assert b"tls.reload" in await answering
    assert "taken its renewed certificate up" in caplog.text
    asked.close()
