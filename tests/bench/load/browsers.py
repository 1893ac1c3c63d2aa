"""The WebRTC side of a call: ICE and DTLS by aiortc's classes, SDP by hand.

The browser offers: BUNDLE on one transport, or one transport for each m-line where the gateway has no BUNDLE. After
the handshake socket and keys go to the generator; STUN that arrives there comes back through `Relay`, so that aioice
goes on answering checks and asking for consent.
"""

import asyncio
import random
import socket
import struct
from collections.abc import Iterator

import aioice.ice
from aiortc import rtcdtlstransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceCandidate, RTCIceGatherer, RTCIceParameters, RTCIceTransport

from tests.bench.load.phones import PAYLOAD_TYPES
from tests.bench.load.pump import Pump

aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

PROFILES = {
    "sha1_80": (rtcdtlstransport.SRTP_AES128_CM_SHA1_80, 1),
    "gcm128": (rtcdtlstransport.SRTP_AEAD_AES_128_GCM, 7),
    "gcm256": (rtcdtlstransport.SRTP_AEAD_AES_256_GCM, 8),
}
FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb")
CONNECT_WITHIN_S = 20.0


class Relay:
    """Hands aioice what the generator received and is no media."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        self.protocols: dict[int, asyncio.DatagramProtocol] = {}
        loop.add_reader(self._ours, self._read)

    def _read(self) -> None:
        while True:
            try:
                message = self._ours.recv(4096)
            except BlockingIOError:
                return
            if not message:
                self._loop.remove_reader(self._ours)
                return
            (number,) = struct.unpack_from("=I", message)
            source = (socket.inet_ntoa(message[4:8]), struct.unpack_from("!H", message, 8)[0])
            protocol = self.protocols.get(number)
            if protocol is not None:
                protocol.datagram_received(message[10:], source)


class Transport:
    """One ICE and DTLS transport."""

    def __init__(self, certificate: RTCCertificate, profile: str) -> None:
        self.gatherer = RTCIceGatherer(iceServers=[])
        self.ice = RTCIceTransport(self.gatherer)
        self.ice._connection.ice_controlling = True
        self.dtls = RTCDtlsTransport(self.ice, [certificate])
        self.dtls._srtp_profiles = [PROFILES[profile][0]]
        self._profile = profile

    async def connect(self, ice: RTCIceParameters, dtls: RTCDtlsParameters) -> None:
        await self.ice.start(ice)
        if self.ice.state != "completed":
            raise RuntimeError(f"ICE {self.ice.state}")
        await self.dtls.start(dtls)
        if self.dtls.state != "connected":
            raise RuntimeError(f"DTLS {self.dtls.state}")

    def keys(self) -> tuple[int, bytes, bytes]:
        """Number of the SRTP profile, key to send, key to receive."""
        profile, number = PROFILES[self._profile]
        size = 2 * (profile.key_length + profile.salt_length)
        material = self.dtls._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        keys = [profile.get_key_and_salt(material, 0), profile.get_key_and_salt(material, 1)]
        if self.dtls._role == "server":
            keys.reverse()
        return number, keys[0], keys[1]


class Browser:
    """PCMA and H.264."""

    def __init__(self, certificate: RTCCertificate, *, bundle: bool, profile: str, feedback: bool) -> None:
        self._certificate = certificate
        self._feedback = feedback
        self.ssrc = {kind: random.getrandbits(31) | 1 for kind in PAYLOAD_TYPES}
        self._bundle = bundle
        self._transports = [Transport(certificate, profile) for _ in range(1 if bundle else 2)]

    async def offer(self) -> str:
        for each in self._transports:
            await each.gatherer.gather()
        lines = ["v=0", f"o=- {random.getrandbits(48)} 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines += ["a=group:BUNDLE 0 1"] if self._bundle else []
        for mid, kind in enumerate(PAYLOAD_TYPES):
            lines += self._media(mid, kind, self._transports[0 if self._bundle else mid])
        return "\r\n".join(lines) + "\r\n"

    def _media(self, mid: int, kind: str, transport: Transport) -> Iterator[str]:
        ice = transport.gatherer.getLocalParameters()
        candidates = transport.gatherer.getLocalCandidates()
        print_of = self._certificate.getFingerprints()[0]
        payload_type = PAYLOAD_TYPES[kind]
        yield f"m={kind} {candidates[0].port} UDP/TLS/RTP/SAVPF {payload_type}"
        yield "c=IN IP4 127.0.0.1"
        yield f"a=rtcp:{candidates[0].port} IN IP4 127.0.0.1"
        for c in candidates:
            yield f"a=candidate:{c.foundation} {c.component} {c.protocol} {c.priority} {c.ip} {c.port} typ {c.type}"
        yield "a=end-of-candidates"
        yield f"a=ice-ufrag:{ice.usernameFragment}"
        yield f"a=ice-pwd:{ice.password}"
        yield f"a=fingerprint:{print_of.algorithm} {print_of.value}"
        yield from ("a=setup:actpass", f"a=mid:{mid}", "a=sendrecv", "a=rtcp-mux")
        if kind == "audio":
            yield f"a=rtpmap:{payload_type} PCMA/8000"
        else:
            yield f"a=rtpmap:{payload_type} H264/90000"
            yield f"a=fmtp:{payload_type} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
            for each in FEEDBACK if self._feedback else ():
                yield f"a=rtcp-fb:{payload_type} {each}"
        yield f"a=ssrc:{self.ssrc[kind]} cname:bench"
        yield f"a=ssrc:{self.ssrc[kind]} msid:bench {kind}"

    async def accept(self, answer: str) -> None:
        """Take the gateway's answer: ICE, then DTLS, until the keys are there."""
        session, *media = answer.replace("\r\n", "\n").split("\nm=")
        connecting = []
        for transport, section in zip(self._transports, media, strict=False):
            lines = [*section.split("\n"), *session.split("\n")]
            if lines[0].split()[1] == "0":
                raise RuntimeError(f"refused: {lines[0]}")
            algorithm, value = _value(lines, "a=fingerprint:").split()
            transport.dtls._set_role("server" if _value(lines, "a=setup:") == "active" else "client")
            for line in lines:
                if line.startswith("a=candidate:"):
                    await self._candidate(transport, line[12:].split())
            await transport.ice.addRemoteCandidate(None)
            lite = any(line.startswith("a=ice-lite") for line in lines)
            ice = RTCIceParameters(_value(lines, "a=ice-ufrag:"), _value(lines, "a=ice-pwd:"), lite)
            connecting.append(transport.connect(ice, RTCDtlsParameters([RTCDtlsFingerprint(algorithm, value)])))
        await asyncio.wait_for(asyncio.gather(*connecting), CONNECT_WITHIN_S)

    @staticmethod
    async def _candidate(transport: Transport, fields: list[str]) -> None:
        foundation, component, protocol, priority, address, port, _, type_ = fields[:8]
        if component == "1" and protocol.lower() == "udp" and address.startswith("127."):
            await transport.ice.addRemoteCandidate(
                RTCIceCandidate(
                    component=1,
                    foundation=foundation,
                    protocol="udp",
                    priority=int(priority),
                    ip=address,
                    port=int(port),
                    type=type_,
                )
            )

    def handover(self, pump: Pump, relay: Relay) -> dict[str, tuple[int, int]]:
        """Give sockets and keys to the generator; the numbers of those for RTP and RTCP."""
        numbers = []
        for each in self._transports:
            if each.dtls._task is not None:
                each.dtls._task.cancel()
            pair = each.ice._connection._nominated[1]
            fd = pair.protocol.transport.get_extra_info("socket").fileno()
            asyncio.get_running_loop()._remove_reader(fd)  # type: ignore[attr-defined]  # as its transport does
            profile, tx, rx = each.keys()
            number = pump.sock(fd, pair.remote_addr, profile, tx, rx)
            relay.protocols[number] = pair.protocol
            numbers.append(number)
        return {"audio": (numbers[0], numbers[0]), "video": (numbers[-1], numbers[-1])}

    @property
    def transport(self) -> Transport:
        """The bundled one."""
        return self._transports[0]

    async def close(self) -> None:
        for each in self._transports:
            await each.dtls.stop()
            await each.ice.stop()

    @property
    def consent_lost(self) -> bool:
        return any(each.ice.state != "completed" for each in self._transports)


class StaticBrowser:
    """A browser without ICE and DTLS, for the floors: one bundled socket, keys that are given."""

    consent_lost = False

    def __init__(self, tx: bytes, rx: bytes) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.tx, self.rx = tx, rx
        self.ssrc = {kind: random.getrandbits(31) | 1 for kind in PAYLOAD_TYPES}
        self.remote = ("", 0)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def handover(self, pump: Pump, relay: Relay) -> dict[str, tuple[int, int]]:
        number = pump.sock(self._socket.fileno(), self.remote, 1, self.tx, self.rx)
        return {"audio": (number, number), "video": (number, number)}


def _value(lines: list[str], prefix: str) -> str:
    return next(line[len(prefix) :].strip() for line in lines if line.startswith(prefix))
