"""The socket between control and its workers, each side in turn speaking to one that was taken over."""

from collections.abc import Iterator
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols import amp
from twisted.python.failure import Failure

from avisiod.config.settings import Config
from avisiod.gateway import media_gateway, sip_gateway, wire
from avisiod.gateway.sip_worker import ControlLink, SipWorker
from tests.fuzz.common import Errors, packed, pieces

MAX_OCTETS = 4_000
ERRORS = Errors()
GONE = Failure(ConnectionDone())


def _ask(command: type[amp.Command], **values: bytes) -> bytes:
    box = {b"_ask": b"1", b"_command": bytes(command.commandName)}
    box |= {name.encode(): value for name, value in values.items()}
    return bytes(amp.Box(box).serialize())


def seeds() -> Iterator[bytes]:
    """Commands both ways, a broken one, nonsense."""
    yield b"\x00" + packed([_ask(wire.Ping), _ask(wire.HangUp, sip_call=b"x", status=b"480", reason=b"limit")])
    yield b"\x00" + packed([_ask(wire.Configure, settings=b"{}"), _ask(wire.AnswerInvite, sip_call=b"x")])
    yield b"\x01" + packed([_ask(wire.Invited, sip_call=b"1", phone=b"cell1", number=b"06", offer=b"v=0\r\n")])
    yield b"\x01" + packed([_ask(wire.SipEnded, sip_call=b"1", by=b"phone", status=b"200")])
    yield b"\x02" + packed([_ask(wire.Stats, call=b"c", stats=b'{"phone":{}}'), _ask(wire.RtpDigit, call=b"c")])
    yield b"\x02" + packed([_ask(wire.LegChanged, call=b"c", leg=b"phone", session=b"", state=b"silent", at=b"nan")])
    yield b"\x00" + packed([b"\x00\x04_ask", b"\xff\xff"])


class _Hears:
    """Whichever event comes, it is taken."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_arguments, **_named: None


class _Reactor:
    running = True

    def stop(self) -> None:
        self.running = False


def _end(which: int) -> amp.AMP:
    if which == 0:
        return ControlLink(SipWorker(_Reactor()))
    reactor, config = MemoryReactorClock(), Config()
    if which == 1:
        sip = sip_gateway.SipGateway(reactor, reactor, config)  # type: ignore[arg-type] # never started
        sip.listener = _Hears()
        return sip_gateway._SipLink(sip, 0)
    media = media_gateway.MediaGateway(reactor, reactor, config)  # type: ignore[arg-type] # as above
    media.listener = _Hears()
    return media_gateway._MediaLink(media, 0)


def one(data: bytes) -> None:
    """An answer, an error in words, or the end of the connection, before which AMP logs what it did not expect."""
    link, transport = _end(data[0] % 3 if data else 0), StringTransport()
    link.makeConnection(transport)
    for piece in pieces(data[1:]):
        try:
            link.dataReceived(piece)
        except (amp.NoEmptyBoxes, UnicodeDecodeError):  # what a protocol raises here ends its connection
            break
        if transport.disconnecting:
            break
    ended = transport.disconnecting
    link.connectionLost(GONE)
    told = [each for each in ERRORS.take() if not each.startswith("an event of a worker was lost")]
    assert ended or not told, told[0]
