"""A real phone (baresip) on the leg: it is seen and heard, sees and hears itself, dials digits, holds and asks."""

import asyncio
import re
import time
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from avisiod.gateway import rtcp, rtp
from avisiod.gateway.dtmf import DigitReader
from avisiod.gateway.keyframes import KeyframeRequests
from avisiod.gateway.leg import Direction, Kind, Leg
from avisiod.gateway.phone_leg import PhoneLeg, PhoneRules
from avisiod.gateway.reception import Reception
from avisiod.gateway.reports import Reports
from avisiod.gateway.udp_ports import UdpPorts
from tests.gateway.test_udp_ports import free_range
from tests.peers.baresip import BaresipPhone
from tests.peers.offreactor import aside

pytestmark = pytest.mark.peer


class Echo(asyncio.DatagramProtocol):
    """The least that a phone needs to be called with: answers INVITE and BYE, and sends its media back to it."""

    def __init__(self, pool: UdpPorts) -> None:
        self.pool = pool
        self.leg: PhoneLeg | None = None
        self.offers: list[str] = []
        self.states: list[str] = []
        self.digits = ""
        self.reader = DigitReader()
        self.reception: dict[Kind, Reception] = {}
        self.reports: dict[Kind, Reports] = {}
        self.sent: dict[Kind, Echoed] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        method = head.split(" ")[0]
        if method == "INVITE":
            self.offers.append(body)
            self._respond(head, address, self._answered(body))
        elif method != "ACK" and not method.startswith("SIP/"):
            self._respond(head, address, "")

    def _answered(self, offer: str) -> str:
        if self.leg is not None:
            return self.leg.update(offer, keep_codecs=True)
        loop, now = asyncio.get_running_loop(), time.monotonic()
        self.leg = PhoneLeg("call", offer, self.pool, self, rules=PhoneRules(silent_s=5.0), now=now, loop=loop)
        for kind, line in self.leg.lines.items():
            rate = line.codec.clock_rate
            self.reception[kind] = Reception(kind, rate)
            self.sent[kind] = Echoed(rate)
            self.reports[kind] = Reports(kind, rate, "echo", self.sent[kind], self.reception[kind], now)
        self.leg.start()
        return self.leg.text

    def _respond(self, head: str, address: tuple[str, int], body: str) -> None:
        kept = re.findall(r"(?im)^(?:Via|From|Call-ID|CSeq): .*$", head)
        to = re.findall(r"(?im)^To: .*$", head)[0].strip()
        lines = ["SIP/2.0 200 OK", *(line.strip() for line in kept), to if ";tag=" in to else f"{to};tag=echo"]
        own = self.transport.get_extra_info("sockname")
        lines += [f"Contact: <sip:echo@{own[0]}:{own[1]}>", "Content-Type: application/sdp"]
        lines += [f"Content-Length: {len(body)}", "", body]
        self.transport.sendto("\r\n".join(lines).encode(), address)  # type: ignore[attr-defined]

    def rtp(self, leg: Leg, kind: Kind, packet: bytes, arrival: float) -> None:
        line = leg.lines[kind]
        if rtp.payload_type(packet) == line.event_payload_type:
            self.digits += self.reader.read(packet) or ""
            return
        self.reception[kind].count(packet, arrival)
        out = self.sent[kind]
        out.packets += 1
        out.octets += len(packet) - rtp.header_length(packet)
        out.last = rtp.timestamp(packet), arrival
        leg.send_rtp(
            kind,
            rtp.rewritten(packet, line.codec.payload_type, rtp.sequence(packet), rtp.timestamp(packet), out.ssrc),
        )
        if self.reports[kind].due(arrival):
            leg.send_rtcp(kind, self.reports[kind].make(arrival))

    def rtcp(self, leg: Leg, kind: Kind | None, packet: bytes, arrival: float) -> None:
        for each in rtcp.parse(packet):
            if kind is not None and isinstance(each, rtcp.SenderReport | rtcp.ReceiverReport):
                self.reports[kind].heard(each, arrival)

    def state(self, leg: Leg, state: str) -> None:
        self.states.append(state)


class Echoed:
    """What is sent back."""

    ssrc = 4711

    def __init__(self, rate: int) -> None:
        self.packets = 0
        self.octets = 0
        self.last = (0, 0.0)
        self._rate = rate

    def timestamp_at(self, now: float) -> int:
        return self.last[0] + round((now - self.last[1]) * self._rate) & 0xFFFFFFFF


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - counters tell nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("codec", ["PCMA", "opus"])
@pytest_twisted.ensureDeferred
async def test_a_phone_sees_and_hears_itself_through_the_leg(tmp_path: Path, codec: str) -> None:
    loop = asyncio.get_event_loop()
    pool = UdpPorts("127.0.0.1", free_range(8), width=2)

    async def open_endpoint():
        return await loop.create_datagram_endpoint(lambda: Echo(pool), local_addr=("127.0.0.1", 0))

    transport, echo = await Deferred.fromFuture(asyncio.ensure_future(open_endpoint()))
    edge = "{}:{}".format(*transport.get_extra_info("sockname"))
    phone = BaresipPhone(tmp_path, edge=edge, register=False, codecs=[codec])
    try:
        await aside(phone.start)
        await aside(phone.dial, "0612345678")
        await aside(phone.wait_established)
        assert (await aside(phone.wait_frames, 30)).width == 640
        assert await aside(phone.wait_heard, -40) < 0
        assert echo.states == ["connected"]
        await Deferred.fromFuture(asyncio.ensure_future(scenario(echo, phone)))
    finally:
        await aside(phone.stop)
        if echo.leg is not None:
            await Deferred.fromFuture(asyncio.ensure_future(echo.leg.close()))
        transport.close()


async def scenario(echo: Echo, phone: BaresipPhone) -> None:
    leg = echo.leg
    assert leg is not None
    assert leg._streams[Kind.AUDIO].rtp.locked is not None

    video = echo.reception[Kind.VIDEO]
    before = video.keyframes
    requests = KeyframeRequests(leg.lines[Kind.VIDEO], 4711, "echo", lambda packet: leg.send_rtcp(Kind.VIDEO, packet))
    requests.want(time.monotonic(), video.ssrc)
    await until(lambda: video.keyframes > before)

    await asyncio.to_thread(phone.press, "12#")
    await until(lambda: echo.digits == "12#")

    await until(lambda: echo.reports[Kind.AUDIO].round_trip_s > 0)
    assert echo.reports[Kind.AUDIO].round_trip_s < 0.5

    await asyncio.to_thread(phone.hold)
    await until(lambda: len(echo.offers) == 2)
    assert leg.lines[Kind.AUDIO].direction in (Direction.RECVONLY, Direction.INACTIVE)
    await asyncio.to_thread(phone.resume)
    await until(lambda: len(echo.offers) == 3)
    assert leg.lines[Kind.AUDIO].direction is Direction.SENDRECV
    count = video.packets
    await until(lambda: video.packets > count + 30)
    assert (leg.dropped_strangers, leg.dropped_invalid) == (0, 0)
    assert video.lost == 0
