"""Datagrams of strangers at the port towards the relatives: STUN, DTLS, SRTP and noise."""

import asyncio
from collections.abc import Iterator

from aioice import Candidate, stun

from avisiod.gateway.ortc import GuardedProtocol, IceConnection
from tests.fuzz.common import Errors, packed, pieces

MAX_OCTETS = 4_000
ERRORS = Errors()
LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)
STRANGER = ("192.0.2.66", 1234)
WAITED_FOR = 2
"""Answers that nobody waits for are not counted; neither is anything else of which the library keeps no trace."""


def _check(password: str, **attributes: object) -> bytes:
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.transaction_id = b"t" * 12
    request.attributes["USERNAME"] = "abcd:efgh"
    request.attributes["PRIORITY"] = 1853693695
    for name, value in attributes.items():
        request.attributes[name.replace("_", "-")] = value
    if password:
        request.add_message_integrity(password.encode())
    return bytes(request)


def seeds() -> Iterator[bytes]:
    """Checks, an answer, an indication; a ClientHello, SRTP, SRTCP."""
    yield packed([_check(""), _check("wrong", ICE_CONTROLLING=1, USE_CANDIDATE=None)])
    yield packed([_check("wrong-wrong-wrong-wrong-")[:40], b"\x01\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)])
    yield packed([bytes.fromhex("16feff0000000000000000003a01"), b"\x80\x08" + bytes(20), b"\x80\xc8" + bytes(40)])


class _Nowhere:
    def __init__(self) -> None:
        self.octets = 0

    def sendto(self, data: bytes, _address: object) -> None:
        self.octets += len(data)


def one(data: bytes) -> None:
    """None is let in, none raises, and less is sent back than 64 answers make."""
    records: list[bytes] = []
    connection = IceConnection(list, records.append, components=1)
    protocol = GuardedProtocol(connection)
    transport = _Nowhere()
    protocol.transport = transport  # type: ignore[assignment] # enough of one
    protocol.local_candidate = Candidate.from_sdp("1 1 udp 1 127.0.0.1 9 typ host")
    media: list[bytes] = []
    connection.release(lambda packet: bool(media.append(packet)))
    for piece in pieces(data, 200):
        before = connection.dropped_invalid + connection.dropped_strangers
        protocol.datagram_received(piece, STRANGER)
        assert connection.dropped_invalid + connection.dropped_strangers - before in {0, 1}
    assert protocol.valid == set()
    assert media == records == []
    assert connection._queue.empty()
    assert transport.octets <= 64 * 200
    ERRORS.none()
