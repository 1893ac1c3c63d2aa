"""A box with an address on the prison LAN and another outside: each leg tells its own, and what it left out."""

import logging
import re

import msgspec
import pytest
import pytest_twisted

from avisiod.gateway.ice_path import Ports
from avisiod.gateway.leg import Codec, Kind, MediaLine
from avisiod.gateway.media_call import MediaCall
from avisiod.gateway.passage import Passage, ssrcs
from avisiod.gateway.udp_ports import UdpPorts
from tests.gateway.plain_phone import PlainPhone
from tests.gateway.test_media_call import Shop
from tests.gateway.webrtc_peer import Page, run, sdp_offer

INSIDE, OUTSIDE = "127.0.0.2", "127.0.0.3"


class TwoHomedShop(Shop):
    def __init__(self) -> None:
        super().__init__()
        self.phone_ports = UdpPorts(INSIDE, self.settings.phone_ports, width=2)
        ports = UdpPorts(OUTSIDE, self.settings.outside_ports)
        self.outside = msgspec.structs.replace(self.outside, ports=(Ports(ports),))


@pytest_twisted.ensureDeferred
async def test_each_leg_announces_the_address_of_its_own_network_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        phone, page = PlainPhone(), Page(monkeypatch)
        call = MediaCall(TwoHomedShop(), "c1", lambda *_, **__: None, confidential=True, language="fr")
        to_phone = await call.open(phone.offer())
        to_page = await call.open_outside("s1", sdp_offer(await page.offer()), [])
        addresses = re.compile(r"\d+\.\d+\.\d+\.\d+")
        assert set(addresses.findall(to_phone)) == {INSIDE}
        assert set(addresses.findall(to_page)) - {"0.0.0.0", "127.0.0.1"} == {OUTSIDE}, "RFC 8829 writes the others"
        assert set(re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) ", to_page)) == {OUTSIDE}
        await call.close("")
        phone.close()
        await page.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_line_that_is_answered_with_port_0_is_told_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        caplog.set_level(logging.INFO)
        phone, page = PlainPhone(), Page(monkeypatch)
        call = MediaCall(Shop(), "c1", lambda *_, **__: None, confidential=True, language="fr")
        answer = await call.open(phone.offer() + "m=application 5000 UDP/BFCP *\r\n")
        assert "m=application 0 " in answer
        offer = sdp_offer(await page.offer()).replace("H264/90000", "VP9/90000")
        assert "m=video 0 " in await call.open_outside("s1", offer, [])
        told = [record.getMessage() for record in caplog.records if "not taken of" in record.getMessage()]
        assert [re.sub(r"line \d+", "line N", each) for each in told] == [
            "not taken of the phone's offer: line N (m=application): this kind of media is not taken",
            "not taken of the page's offer: line N (m=video): the browser offers no H264 that the phone can decode",
        ]
        await call.close("")
        phone.close()
        await page.close()

    await run(scenario())


def test_a_stream_begins_so_far_from_the_wrap_that_srtp_guesses_its_rollover_right() -> None:
    """RFC 3711 section 3.3.1: a receiver that loses the first packets takes the first it sees for cycle 0."""
    line = MediaLine(kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000))
    for _ in range(200):
        passage = Passage()
        passage.receives(None, {Kind.AUDIO: line}, ssrcs())  # type: ignore[arg-type] # nothing is sent
        first = passage.streams[Kind.AUDIO].inserted(b"x", 0, False, 1.0)
        assert int.from_bytes(first[2:4], "big") <= 0x8000
