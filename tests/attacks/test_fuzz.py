"""Whatever octets an authenticated but hostile sender writes, the parts that read them refuse or pass on, never fail.

Parsers with fuzz tests of their own (RTP headers, RTCP, H.264, depacketizer, DTMF, SDP of phones and browsers, SIP,
web messages) are tested beside their other tests; here are the places where they meet.
"""

import struct

import pytest_twisted
from aioice import Candidate
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.protocols import amp

from avisiod.gateway import rtp, wire
from avisiod.gateway.leg import Codec, Kind, MediaLine
from avisiod.gateway.ortc import GuardedProtocol, IceConnection
from avisiod.gateway.reception import Reception
from avisiod.gateway.relay import OutStream, Path
from avisiod.gateway.sip_worker import ControlLink, SipWorker
from tests.gateway.webrtc_peer import run

AUDIO = MediaLine(kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000), event_payload_type=101)
VIDEO = MediaLine(kind=Kind.VIDEO, codec=Codec(name="H264", payload_type=102, clock_rate=90000))
TYPES = st.sampled_from([8, 101, 102, 0, 127])
UINT16 = st.sampled_from([0, 1, 2, 99, 3000, 3001, 32767, 32768, 65535]) | st.integers(0, 0xFFFF)
UINT32 = st.sampled_from([0, 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)


@st.composite
def decrypted(draw: st.DrawFn) -> bytes:
    """A packet whose header libsrtp lets pass; padding it does not look at."""
    sources, extended, padded = draw(st.integers(0, 15)), draw(st.booleans()), draw(st.booleans())
    first = 0x80 | sources | (0x10 if extended else 0) | (0x20 if padded else 0)
    marker = draw(st.sampled_from([0, 0x80]))
    packet = struct.pack("!BBHII", first, marker | draw(TYPES), draw(UINT16), draw(UINT32), draw(st.integers(0, 3)))
    packet += bytes(4 * sources)
    if extended:
        words = draw(st.integers(0, 5))
        packet += struct.pack("!HH", draw(UINT16), words) + bytes(4 * words)
    return packet + draw(st.binary(max_size=40))


ARRIVALS = st.lists(st.tuples(decrypted(), st.floats(0, 20)), max_size=40)


@given(st.sampled_from([AUDIO, VIDEO]), ARRIVALS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_sender_writes_leaves_as_well_formed_rtp_of_one_stream(
    line: MediaLine, arrivals: list[tuple[bytes, float]]
) -> None:
    kind = line.kind
    stream, reception = OutStream(kind, line.codec.clock_rate, 7, 65530, 0), Reception(kind, line.codec.clock_rate)
    stream.translate(line, line)
    path = Path(kind, stream, reception.count)
    sent: list[bytes] = []
    path.open(1e9, lambda _kind, packet: sent.append(bytes(packet)), lambda _packet, _at: None)
    now = 100.0
    for packet, pause in arrivals:
        now += pause
        path.packet(packet, now)
        reception.block(now)
    assert reception.stats().packets <= len(arrivals)
    assert {rtp.ssrc(packet) for packet in sent} <= {7}
    assert {rtp.payload_type(packet) for packet in sent} <= {line.codec.payload_type, line.event_payload_type}
    assert all(rtp.header_length(packet) == 12 for packet in sent), "nothing of CSRC list or extension goes on"
    assert stream.octets >= 0


class _Transport:
    """Takes what a protocol sends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, address: object) -> None:
        self.sent.append(data)


def _stun() -> st.SearchStrategy[bytes]:
    kinds = st.sampled_from([0x0001, 0x0101, 0x0111, 0x0011, 0x0003, 0x0017, 0x3FFF])
    names = st.sampled_from([0x0001, 0x0006, 0x0008, 0x0009, 0x0020, 0x0024, 0x0025, 0x8028, 0x8029, 0x802A, 0x7777])
    attribute = st.builds(
        lambda name, value, lie: struct.pack("!HH", name, max(0, len(value) + lie)) + value + bytes(-len(value) % 4),
        names,
        st.binary(max_size=24),
        st.sampled_from([0, 0, 0, -1, 5, 60000]),
    )
    return st.builds(
        lambda kind, attributes, identity, lie: (
            struct.pack("!HHI", kind, max(0, len(b"".join(attributes)) + lie) & 0xFFFF, 0x2112A442)
            + identity
            + b"".join(attributes)
        ),
        kinds,
        st.lists(attribute, max_size=5),
        st.binary(min_size=12, max_size=12),
        st.sampled_from([0, 0, 0, -4, 4]),
    )


@pytest_twisted.ensureDeferred
async def test_no_datagram_whatsoever_opens_a_pair_or_raises() -> None:
    async def scenario() -> None:
        records: list[bytes] = []
        connection = IceConnection(list, records.append, components=1)
        protocol = GuardedProtocol(connection)
        transport = _Transport()
        protocol.transport = transport  # type: ignore[assignment] # enough of one
        protocol.local_candidate = Candidate.from_sdp("1 1 udp 1 127.0.0.1 9 typ host")
        media: list[bytes] = []
        connection.release(lambda data: bool(media.append(data)))

        @given(st.binary(max_size=80) | _stun())
        @settings(max_examples=300, deadline=None)
        def none_passes(data: bytes) -> None:
            before = connection.dropped_invalid + connection.dropped_strangers
            protocol.datagram_received(data, ("192.0.2.66", 1234))
            after = connection.dropped_invalid + connection.dropped_strangers
            assert after - before in {0, 1}, "0: a STUN response or indication that nobody waits for"

        none_passes()
        assert protocol.valid == set()
        assert media == []
        assert records == []
        assert connection._queue.empty()
        await connection.close()

    await run(scenario())


class _NoReactor:
    """Of a reactor only what ends the worker."""

    running = True

    def __init__(self) -> None:
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1
        self.running = False


@given(
    st.lists(
        st.binary(max_size=60)
        | st.builds(
            lambda name, key, value: (
                b"\x00\x04_ask\x00\x011\x00\x08_command"
                + struct.pack("!H", len(name)) + name
                + struct.pack("!H", len(key)) + key
                + struct.pack("!H", len(value)) + value
                + b"\x00\x00"
            ),
            st.sampled_from([wire.Ping, wire.Drain, wire.HangUp, wire.AnswerInvite, wire.OpenCall]).map(
                lambda command: bytes(command.commandName)
            ),
            st.sampled_from([b"sip_call", b"status", b"settings", b"x"]),
            st.binary(max_size=20),
        ),
        max_size=6,
    )
)  # fmt: skip
@example([b"\0", b"\0"])
@settings(max_examples=100, deadline=None)
def test_control_that_speaks_nonsense_ends_the_sip_worker_or_hears_an_error(pieces: list[bytes]) -> None:
    reactor = _NoReactor()
    link, transport = ControlLink(SipWorker(reactor)), StringTransport()
    link.makeConnection(transport)
    ended = False
    for piece in pieces:
        if not ended:
            try:
                link.dataReceived(piece)
            except amp.NoEmptyBoxes:  # what is raised here closes the socket; test_workers.py has it with a real one
                transport.loseConnection()
        ended = transport.disconnecting
    if ended:
        link.connectionLost()
        assert reactor.stopped == 1
