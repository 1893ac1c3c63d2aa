"""A real WebRTC peer in the test's own process: aiortc's ORTC objects in the roles of an offering page."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import aioice.ice
import pytest
from aiortc import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceTransport,
)
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp
from twisted.internet.defer import Deferred

from avisiod.gateway.browser_leg import BrowserLeg, IceDtls, Outside
from avisiod.gateway.ice_path import Ports
from avisiod.gateway.leg import Codec, Kind, MediaLine

LINES = {
    Kind.AUDIO: MediaLine(
        kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000), event_payload_type=126
    ),
    Kind.VIDEO: MediaLine(kind=Kind.VIDEO, codec=Codec(name="H264", payload_type=102, clock_rate=90000)),
}
CERTIFICATE = RTCCertificate.generateCertificate()


def run(coroutine: Any) -> Any:
    """An asyncio coroutine for a test that awaits Deferreds."""
    return Deferred.fromFuture(asyncio.ensure_future(coroutine))


async def until(true: Callable[[], Any], what: str = "", within: float = 10.0) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + within
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"did not happen within {within:.0f} s: {what}")
        await asyncio.sleep(0.005)


class AnyPort:
    """In place of UdpPorts: whatever port the kernel gives."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.given_back: list[int] = []
        self.rested: list[int] = []
        """Of those given back, which a peer was told of."""
        self.wanting = False

    def take(self, now: float) -> tuple[socket.socket, ...]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        self.taken.append(sock.getsockname()[1])
        return (sock,)

    def give_back(self, port: int, now: float, *, announced: bool = True) -> None:
        self.given_back.append(port)
        if announced:
            self.rested.append(port)


def outside(silent_s: float = 6.0, certificate: RTCCertificate = CERTIFICATE, announced: str = "") -> Outside:
    return Outside(ports=(Ports(AnyPort(), announced),), silent_s=silent_s, certificate=certificate)


class Heard:
    """A LegListener that remembers."""

    def __init__(self) -> None:
        self.packets: list[tuple[Kind, bytes]] = []
        self.again: list[tuple[Kind, bytes]] = []
        self.reports: list[bytes] = []
        self.states: list[str] = []

    def rtp(self, leg: Any, kind: Kind, packet: bytes, arrival: float) -> None:
        self.packets.append((kind, packet))

    def repaired(self, leg: Any, kind: Kind, packet: bytes, arrival: float) -> None:
        self.again.append((kind, packet))

    def rtcp(self, leg: Any, kind: Kind | None, packet: bytes, arrival: float) -> None:
        self.reports.append(packet)

    def state(self, leg: Any, state: str) -> None:
        self.states.append(state)


class _Dtls(RTCDtlsTransport):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.packets: list[bytes] = []
        self.reports: list[bytes] = []

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        self.packets.append(data)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        self.reports.append(data)


class Page:
    """The offering side."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])
        self.before: list[RTCIceTransport] = []
        self.gatherer = RTCIceGatherer(iceServers=[])
        self.ice = RTCIceTransport(self.gatherer)
        self.ice._connection.ice_controlling = True
        self.dtls = _Dtls(self.ice, [RTCCertificate.generateCertificate()])
        self.dtls._set_role("client")

    async def offer(self) -> IceDtls:
        await self.gatherer.gather()
        parameters = self.gatherer.getLocalParameters()
        return IceDtls(
            username=parameters.usernameFragment,
            password=parameters.password,
            fingerprints=tuple((f.algorithm, f.value) for f in self.dtls.getLocalParameters().fingerprints),
            candidates=tuple(candidate_to_sdp(each) for each in self.gatherer.getLocalCandidates()),
        )

    async def restart(self) -> IceDtls:
        """Offer an ICE restart: another port and other credentials, the same certificate."""
        self.before.append(self.ice)
        records = self.ice._connection._queue
        self.gatherer = RTCIceGatherer(iceServers=[])
        self.ice = RTCIceTransport(self.gatherer)
        self.ice._connection.ice_controlling = True
        self.ice._connection._queue = records  # DTLS and media go on where they are read
        return await self.offer()

    async def move_to(self, answer: IceDtls) -> None:
        """Go on over what the answer to the restart announces."""
        await self.ice_to(answer)
        self.dtls._transport = self.ice

    async def ice_to(self, answer: IceDtls) -> None:
        for each in answer.candidates:
            await self.ice.addRemoteCandidate(candidate_from_sdp(each))
        await self.ice.addRemoteCandidate(None)
        await self.ice.start(RTCIceParameters(usernameFragment=answer.username, password=answer.password))

    async def dtls_to(self, answer: IceDtls) -> None:
        fingerprints = [RTCDtlsFingerprint(algorithm=name, value=value) for name, value in answer.fingerprints]
        await self.dtls.start(RTCDtlsParameters(fingerprints=fingerprints))

    async def send(self, packet: bytes) -> None:
        await self.dtls._send_rtp(packet)

    async def close(self) -> None:
        await self.dtls.stop()
        for ice in (self.ice, *self.before):
            await ice.stop()


async def joined(
    page: Page, leg: BrowserLeg, lines: dict[Kind, MediaLine] = LINES, repairs: dict[int, int] | None = None
) -> IceDtls:
    """Carry offer and answer between the page and the leg, then let both connect; returns the answer."""
    offer = await page.offer()
    answer = await leg.gather()
    leg.start(offer, lines, repairs or {})
    await page.ice_to(answer)
    await page.dtls_to(answer)
    return answer


def rtp(payload_type: int, sequence: int = 1, timestamp: int = 0, ssrc: int = 7, payload: bytes = b"sound") -> bytes:
    """A plain RTP packet."""
    return (
        bytes((0x80, payload_type))
        + sequence.to_bytes(2, "big")
        + timestamp.to_bytes(4, "big")
        + ssrc.to_bytes(4, "big")
        + payload
    )


def sdp_offer(offer: IceDtls, *, video: bool = True) -> str:
    """What a page with these transport parameters offers: PCMA and H264."""
    transport = [
        "c=IN IP4 0.0.0.0",
        "a=rtcp-mux",
        "a=setup:actpass",
        f"a=ice-ufrag:{offer.username}",
        f"a=ice-pwd:{offer.password}",
        *(f"a=fingerprint:{name} {value}" for name, value in offer.fingerprints),
    ]
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {'0 1' if video else '0'}",
        "m=audio 9 UDP/TLS/RTP/SAVPF 8 126",
        *transport,
        *(f"a=candidate:{each}" for each in offer.candidates),
        "a=mid:0",
        "a=sendrecv",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:126 telephone-event/8000",
    ]
    if video:
        lines += [
            "m=video 9 UDP/TLS/RTP/SAVPF 102",
            *transport,
            "a=mid:1",
            "a=sendrecv",
            "a=rtpmap:102 H264/90000",
            "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            "a=rtcp-fb:102 nack pli",
            "a=rtcp-fb:102 ccm fir",
            "a=rtcp-fb:102 goog-remb",
        ]
    return "\r\n".join(lines) + "\r\n"


def transport_of(answer: str) -> IceDtls:
    """Our transport parameters, read off an answer."""

    def values(name: str) -> list[str]:
        return [line.partition(":")[2] for line in answer.splitlines() if line.startswith(f"a={name}:")]

    algorithm, _, value = values("fingerprint")[0].partition(" ")
    return IceDtls(
        username=values("ice-ufrag")[0],
        password=values("ice-pwd")[0],
        fingerprints=((algorithm, value),),
        candidates=tuple(dict.fromkeys(values("candidate"))),
    )
