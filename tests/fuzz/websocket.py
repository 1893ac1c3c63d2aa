"""A page that speaks HTTP and WebSocket as it likes, over a connection of its own."""

import json
from collections.abc import Iterator

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from avisiod.web import messages, texts
from avisiod.web.charter import load
from avisiod.web.conversation import Conversation, Line
from avisiod.web.socket import Pages
from tests.attacks.raw_page import frame, upgrade
from tests.fuzz.common import Errors, packed, pieces
from tests.web.client import ACCEPTED
from tests.web.clock import HandClock
from tests.web.desk import FakeDesk

MAX_OCTETS = 20_000
ERRORS = Errors()
GONE = Failure(ConnectionDone())
CHARTERS, LANGUAGES = load("", "fr"), texts.load("fr")
UPGRADE = upgrade(8443)
TALK = (
    {"type": "hello", "language": "en"},
    {"type": "join", "code": "123456", "link": "", "charter": ACCEPTED},
    {"type": "offer", "sdp": "v=0\r\n"},
    {"type": "candidate", "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host"},
    {"type": "resume", "token": "x"},
    {"type": "hang_up"},
)


def seeds() -> Iterator[bytes]:
    """A whole talk; control frames; fragments; a handshake of one's own."""
    said = [frame(json.dumps(each).encode()) for each in TALK]
    yield b"\x01" + packed(said)
    yield b"\x01" + packed([frame(b"x" * 20, opcode=9), frame(b"", opcode=10), frame(b"\x03\xe8", opcode=8)])
    yield b"\x01" + packed([b"\x01\x82\x00\x00\x00\x00{}", b"\x00\x80\x00\x00\x00\x00", b"\x80\x80\x00\x00\x00\x00"])
    yield b"\x00" + packed([UPGRADE[:60], UPGRADE[60:], said[0]])


class _Transport(StringTransport):
    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def setTcpNoDelay(self, _on: bool) -> None:  # noqa: N802 - Twisted's name
        """As TCP has it."""

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """TCP and TLS take it without a producer too."""

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.aborted = self.disconnecting = True


def one(data: bytes) -> None:
    """Messages are answered or refused, pages come to an end, and no place stays taken."""
    clock, desk = HandClock(), FakeDesk()

    def converse(address: str, line: Line) -> Conversation:
        return Conversation(
            desk=desk, charters=CHARTERS, languages=LANGUAGES, address=address, line=line, now=clock.now
        )

    pages = Pages(public_url="https://localhost:8443", trusted=(), clock=clock, converse=converse)
    pages.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0)
    socket, transport = pages.buildProtocol(None), _Transport()
    socket.makeConnection(transport)
    if data[:1] == b"\x01":
        socket.dataReceived(UPGRADE)
    for piece in pieces(data[1:]):
        if transport.disconnecting:
            break
        socket.dataReceived(piece)
        clock.turn(0.01)
    socket.connectionLost(GONE)
    assert pages.places.taken == 0
    assert not pages.open
    assert len(transport.value()) < 10_000 + 40 * len(data), "little in, little out"
    inside = sum(what[0] == "redeem" for what in desk.asked)
    assert inside <= messages.MAX_MESSAGE_BYTES
    ERRORS.none()
