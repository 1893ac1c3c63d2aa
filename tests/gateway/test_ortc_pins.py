"""Every underscored member that gateway/ortc.py touches: when a library moves one, this fails first, by name."""

import asyncio
import inspect

import aioice
import aiortc
import pylibsrtp
import pytest_twisted
from aioice.ice import Connection, StunProtocol, relayed_candidate, server_reflexive_candidate
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib

from tests.gateway.webrtc_peer import run


def test_the_versions_are_the_ones_that_were_looked_into():
    assert (aiortc.__version__, aioice.__version__, pylibsrtp.__version__) == ("1.16.0", "0.13.0", "1.0.0")


@pytest_twisted.ensureDeferred
async def test_a_connection_keeps_its_queue_its_protocols_and_its_nominated_pair():
    async def scenario():
        connection = Connection(ice_controlling=False)
        assert isinstance(connection._queue, asyncio.Queue)
        assert connection._protocols == []
        assert connection._nominated == {}

    await run(scenario())


def test_a_connection_calls_what_is_overridden():
    source = inspect.getsource(aioice.ice)
    for call in (
        "self.receiver.data_received(data, self.local_candidate.component)",
        "self.receiver.request_received(message, addr, self)",
        "self.respond_error(message, addr, protocol, (401,",
        "self.check_incoming(message, addr, protocol)",
        "self.check_state(pair, CandidatePair.State.SUCCEEDED)",
        "self.check_complete(pair)",
        "self.get_component_candidates(component=component, addresses=addresses)",
        "self._nominated[pair.component] = pair",
        "result = await self._queue.get()",
    ):
        assert call in source, call


def test_the_helpers_of_gathering_take_what_they_are_given():
    assert {
        "component",
        "hide_related_address",
        "protocol_factory",
        "turn_server",
        "turn_username",
        "turn_password",
        "turn_ssl",
        "turn_transport",
    } == set(inspect.signature(relayed_candidate).parameters)
    assert list(inspect.signature(server_reflexive_candidate).parameters) == ["protocol", "stun_server"]
    assert list(inspect.signature(StunProtocol.__init__).parameters) == ["self", "receiver"]


@pytest_twisted.ensureDeferred
async def test_a_gatherer_hands_its_connection_to_the_transport():
    async def scenario():
        gatherer = RTCIceGatherer(iceServers=[])
        other = Connection(ice_controlling=False)
        gatherer._connection = other
        transport = RTCIceTransport(gatherer)
        assert transport._connection is other
        assert gatherer.getLocalParameters().usernameFragment == other.local_username
        dtls = RTCDtlsTransport(transport, [RTCCertificate.generateCertificate()])
        dtls._set_role("server")
        assert dtls._role == "server"
        assert (dtls._rx_srtp, dtls._tx_srtp) == (None, None)

    await run(scenario())


def test_a_session_holds_the_context_that_libsrtp_takes():
    session = Session(Policy(key=bytes(30), ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    buffer = ffi.new("char[]", b"\x80\x00" + bytes(10) + b"payload" + bytes(148))
    length = ffi.new("int *", 19)
    assert lib.srtp_protect(session._srtp[0], buffer, length) == 0
    assert length[0] == 29
    for name in ("srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp"):
        assert hasattr(lib, name)
