"""The browser leg against a real WebRTC peer."""

import asyncio
import random
import socket

import msgspec
import pytest
import pytest_twisted
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_PROFILES
from OpenSSL import SSL

from avisiod.gateway.browser_leg import BrowserLeg
from avisiod.gateway.ice_path import usable_candidate
from avisiod.gateway.leg import Kind
from tests.gateway.webrtc_peer import LINES, Heard, Page, joined, outside, rtp, run, until

RECEIVER_REPORT = bytes((0x80, 201, 0, 1)) + (7).to_bytes(4, "big")


def _port(answer_candidate: str) -> int:
    return int(answer_candidate.split()[5])


def _client_hello() -> bytes:
    context = RTCCertificate.generateCertificate()._create_ssl_context(srtp_profiles=SRTP_PROFILES)
    connection = SSL.Connection(context)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(1500)


@pytest_twisted.ensureDeferred
async def test_media_flows_both_ways_through_ice_and_dtls(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        await page.send(rtp(8))
        await page.send(rtp(102, ssrc=8))
        await page.send(rtp(126, sequence=2))
        await page.send(RECEIVER_REPORT)
        leg.send_rtp(Kind.AUDIO, rtp(8, ssrc=99))
        leg.send_rtp(Kind.VIDEO, bytearray(rtp(102, ssrc=98, payload=bytes(1460))))
        leg.send_rtcp(Kind.VIDEO, RECEIVER_REPORT)
        await until(lambda: len(heard.packets) == 3 and heard.reports and len(page.dtls.packets) == 2, "all arrived")
        await until(lambda: page.dtls.reports, "the report arrived")
        await leg.close()
        await leg.close()
        await page.close()
        assert heard.packets == [
            (Kind.AUDIO, rtp(8)),
            (Kind.VIDEO, rtp(102, ssrc=8)),
            (Kind.AUDIO, rtp(126, sequence=2)),
        ]
        assert page.dtls.packets == [rtp(8, ssrc=99), rtp(102, ssrc=98, payload=bytes(1460))]
        assert (leg.dropped_strangers, leg.dropped_invalid) == (0, 0)

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_strangers_client_hello_hurts_neither_before_nor_after_the_real_one(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        hello = _client_hello()
        offer = await page.offer()
        answer = await leg.gather()
        there = ("127.0.0.1", _port(answer.candidates[0]))
        stranger.sendto(hello, there)
        leg.start(offer, {})
        await page.ice_to(answer)
        stranger.sendto(hello, there)
        await until(lambda: leg.dropped_strangers == 2, "both were counted")
        await page.dtls_to(answer)
        await until(lambda: heard.states == ["connected"])
        stranger.sendto(hello, there)
        stranger.sendto(rtp(8), there)
        stranger.sendto(b"", there)
        await until(lambda: leg.dropped_strangers == 5, "the late ones were counted")
        stranger.close()
        await leg.close()
        await page.close()
        assert heard.states == ["connected"]
        assert heard.packets == []

    await run(scenario())


@pytest.mark.parametrize("lost", [1, 2, 3, 4], ids=["ClientHello", "ServerHello", "client's keys", "last flight"])
@pytest_twisted.ensureDeferred
async def test_a_handshake_goes_on_where_the_beginning_of_a_flight_was_lost(monkeypatch, lost):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        send, receive = page.ice._send, page.ice._recv
        sides = [""]

        def arrives(side: str, data: bytes) -> bool:
            if not 19 < data[0] < 64 or side == sides[-1]:
                return True  # no DTLS, or not the first of its flight
            sides.append(side)
            return len(sides) - 1 != lost

        async def lossy_send(data: bytes) -> None:
            if arrives("page", data):
                await send(data)

        async def lossy_receive() -> bytes:
            while not arrives("leg", data := await receive()):
                pass
            return data

        monkeypatch.setattr(page.ice, "_send", lossy_send)
        monkeypatch.setattr(page.ice, "_recv", lossy_receive)
        if lost == 2:  # ours to repeat: a page that waits longer than we do must not do it for us
            page.dtls._RTCDtlsTransport__handshake_done = True
        await joined(page, leg)
        await until(lambda: heard.states == ["connected"], "the handshake", 30)
        await page.send(rtp(8))
        await until(lambda: heard.packets == [(Kind.AUDIO, rtp(8))])
        assert len(sides) > lost, "there was such a flight"
        await leg.close()
        await page.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_noise_of_a_stranger_hurts_nothing(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        answer = await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        there = ("127.0.0.1", _port(answer.candidates[0]))
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        dice = random.Random(5)
        attributes = (0x0006, 0x0008, 0x0024, 0x0025, 0x8029, 0x802A, 0x0020, 0x8028, 0x0009)
        for n in range(300):
            body = dice.choice(attributes).to_bytes(2, "big") + (n % 9).to_bytes(2, "big") + dice.randbytes(n % 9)
            body += bytes(-len(body) % 4)
            stun = dice.choice((1, 0x101, 0x111, 0x11)).to_bytes(2, "big") + len(body).to_bytes(2, "big")
            stranger.sendto(stun + b"\x21\x12\xa4\x42" + dice.randbytes(12) + body, there)
            stranger.sendto(dice.randbytes(dice.randrange(0, 1500)), there)
            await asyncio.sleep(0)
        await until(lambda: leg.dropped_strangers + leg.dropped_invalid > 400, "most were counted")
        await page.send(rtp(8))
        await until(lambda: heard.packets == [(Kind.AUDIO, rtp(8))])
        stranger.close()
        await leg.close()
        await page.close()
        assert heard.states == ["connected"]

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_the_sdp_does_not_name_fails_the_leg(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        offer = await page.offer()
        wrong = ("sha-256", ":".join(["00"] * 32))
        offer = type(offer)(
            username=offer.username, password=offer.password, fingerprints=(wrong,), candidates=offer.candidates
        )
        answer = await leg.gather()
        leg.start(offer, {})
        await page.ice_to(answer)
        handshake = asyncio.ensure_future(page.dtls_to(answer))
        await until(lambda: heard.states == ["failed"])
        leg.send_rtp(Kind.AUDIO, rtp(8))
        await leg.close()
        await page.close()
        await handshake
        assert page.dtls.packets == []

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_page_that_says_goodbye_fails_the_leg_at_once(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        await page.close()
        await until(lambda: heard.states == ["connected", "failed"])
        await leg.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_silence_and_its_end_are_told(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(silent_s=0.2), [], {})
        await joined(page, leg)
        await until(lambda: heard.states == ["connected", "silent"])
        sequence = 1
        while heard.states[-1] != "flowing":
            sequence += 1
            await page.send(rtp(8, sequence=sequence))
            await asyncio.sleep(0.01)
            assert sequence < 1000
        await leg.close()
        await page.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_forged_replayed_and_unagreed_packets_are_counted_and_dropped(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        good = page.dtls._tx_srtp.protect(rtp(8))
        send = page.ice._connection.send
        await send(good)
        await send(good)
        await send(good[:-1] + bytes((good[-1] ^ 1,)))
        await send(rtp(8, sequence=5))
        await send(b"\x80")
        await page.send(rtp(77, sequence=9))  # a number of its own: it must not fail as a replay
        await until(lambda: leg.dropped_invalid == 5)
        await leg.close()
        await page.close()
        assert heard.packets == [(Kind.AUDIO, rtp(8))]

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_public_address_is_announced_in_place_of_the_bound_one():
    async def scenario():
        settings = outside(announced="192.0.2.7")
        leg = BrowserLeg(Heard(), settings, [], {})
        answer = await leg.gather()
        await leg.close()
        assert settings.ports[0].pool.given_back == settings.ports[0].pool.taken != []
        assert [each.split()[4] for each in answer.candidates] == ["192.0.2.7"]
        assert [name for name, _ in answer.fingerprints] == ["sha-256"]

    await run(scenario())


@pytest.mark.parametrize(
    "nonsense",
    [
        "x",
        "candidate:1 1 udp x 127.0.0.1 1 typ host",
        "",
        "1 1 tcp 1 127.0.0.1 9 typ host",
        "1 1 udp 2 0e1a.local 40000 typ host",
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_candidate_that_cannot_be_used_is_passed_over(nonsense):
    async def scenario():
        leg = BrowserLeg(Heard(), outside(), [], {})
        await leg.gather()
        leg.add_candidate(nonsense)
        assert leg._connection.remote_candidates == []
        await leg.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_retransmission_is_heard_as_what_it_repeats(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        lines = LINES | {Kind.VIDEO: msgspec.structs.replace(LINES[Kind.VIDEO], rtx_payload_type=103)}
        await joined(page, leg, lines, {9: 8})
        await until(lambda: heard.states == ["connected"])
        await page.send(rtp(103, sequence=1, ssrc=9, payload=(77).to_bytes(2, "big") + b"slice"))
        await page.send(rtp(103, sequence=2, ssrc=9, payload=b""))
        await page.send(rtp(103, sequence=3, ssrc=10, payload=bytes(9)))
        await page.send(rtp(102, ssrc=8))
        await until(lambda: heard.packets, "the last one arrived")
        await leg.close()
        await page.close()
        assert heard.again == [(Kind.VIDEO, rtp(102, sequence=77, ssrc=8, payload=b"slice"))]
        assert leg.dropped_invalid == 1, "of a stream that nobody announced"

    await run(scenario())


@pytest.mark.parametrize(
    ("address", "ours", "used"),
    [
        ("198.18.0.9 50000", "198.18.0.1", True),
        ("10.0.0.9 50000", "198.18.0.1", True),
        ("10.0.0.9 50000", "9.9.9.9", False),
        ("8.8.8.8 50000", "9.9.9.9", True),
        ("127.0.0.1 5062", "198.18.0.1", False),
        ("::1 5062", "2001:db8::1", False),
        ("169.254.169.254 80", "198.18.0.1", False),
        ("127.0.0.1 50000", "127.0.0.1", True),
        ("10.0.0.9 50000", "198.18.0.1 2620:fe::9", True),
        ("10.0.0.9 50000", "2620:fe::9", False),
        ("fd00::9 50000", "198.18.0.1 2620:fe::9", False),
        ("fe80::9 50000", "198.18.0.1 2620:fe::9", False),
        ("2620:fe::fe 50000", "198.18.0.1 2620:fe::9", True),
    ],
)
def test_checks_are_not_aimed_at_this_machine_or_at_networks_that_a_relative_cannot_be_in(address, ours, used):
    candidate = usable_candidate(f"1 1 udp 1 {address} typ host", ours.split())
    assert (candidate is not None) is used


@pytest.mark.parametrize(
    "address",
    [
        "224.0.0.251 5353",
        "255.255.255.255 9",
        "0.0.0.0 9",
        "::ffff:127.0.0.1 5062",
        "8.8.8.8 0",
        "8.8.8.8 65536",
        "evil.example 9",
    ],
)
def test_an_address_that_nobody_has_is_no_candidate(address):
    with pytest.raises(ValueError, match=r"."):
        usable_candidate(f"1 1 udp 1 {address} typ host", ("9.9.9.9",))


@pytest_twisted.ensureDeferred
async def test_after_an_ice_restart_the_same_encryption_goes_on_over_another_path(monkeypatch):
    async def scenario():
        heard, settings = Heard(), outside()
        page, leg = Page(monkeypatch), BrowserLeg(heard, settings, [], {})
        first = await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        await page.send(rtp(8, sequence=1))
        offer = await page.restart()
        second = await leg.restart([])
        leg.restarted(offer)
        await page.send(rtp(8, sequence=2))  # over the old path, which serves until the new one stands
        await page.move_to(second)
        await until(lambda: heard.states == ["connected", "moved"])
        await page.send(rtp(8, sequence=3))
        leg.send_rtp(Kind.AUDIO, rtp(8, ssrc=99))
        leg.send_rtcp(Kind.AUDIO, RECEIVER_REPORT)
        await until(lambda: len(heard.packets) == 3 and page.dtls.packets and page.dtls.reports, "all arrived")
        for each in page.before:
            await each.stop()  # with an old path that is gone the new one goes on
        pool = settings.ports[0].pool
        await until(lambda: pool.given_back == pool.taken[:1], "the old port is free again")
        leg.send_rtp(Kind.AUDIO, rtp(8, sequence=2, ssrc=99))
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stranger.sendto(rtp(8), ("127.0.0.1", _port(second.candidates[0])))
        stranger.close()
        await until(lambda: leg.dropped_strangers == 1, "the new path is guarded as the old one")
        await leg.close()
        await page.close()
        assert [packet for _, packet in heard.packets] == [rtp(8, sequence=n) for n in (1, 2, 3)]
        assert (second.username, second.password) != (first.username, first.password)
        assert second.fingerprints == first.fingerprints
        assert _port(second.candidates[0]) != _port(first.candidates[0])
        assert heard.states == ["connected", "moved"]
        assert sorted(settings.ports[0].pool.given_back) == sorted(settings.ports[0].pool.taken)

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_an_ice_restart_that_is_given_up_or_goes_nowhere_leaves_the_old_path(monkeypatch):
    async def scenario():
        monkeypatch.setattr("avisiod.gateway.browser_leg.CONNECT_TIMEOUT_S", 0.3)
        heard, settings = Heard(), outside()
        page, leg = Page(monkeypatch), BrowserLeg(heard, settings, [], {})
        await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        await leg.restart([])
        await leg.abandon()
        await leg.restart([])
        await leg.restart([])  # another one before the first is answered
        leg.restarted(await page.offer())  # of a path that nobody checks from
        await until(lambda: len(settings.ports[0].pool.given_back) == 3, "each port is free again")
        assert settings.ports[0].pool.rested == settings.ports[0].pool.given_back[2:], "the page was told of one only"
        await page.send(rtp(8))
        await until(lambda: heard.packets, "the old path serves")
        await leg.close()
        await page.close()
        assert heard.states == ["connected"]
        assert sorted(settings.ports[0].pool.given_back) == sorted(settings.ports[0].pool.taken)

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_without_consent_the_leg_fails_unless_a_restart_brings_another_path(monkeypatch):
    async def scenario():
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        offer = await page.restart()
        answer = await leg.restart([])
        leg.restarted(offer)
        await leg._connection.close()  # what aioice does once consent has expired
        await asyncio.sleep(0)
        leg.send_rtp(Kind.AUDIO, rtp(8, ssrc=99))
        await page.move_to(answer)
        await until(lambda: heard.states == ["connected", "moved"])
        await page.send(rtp(8))
        await until(lambda: heard.packets, "media goes on")
        await leg._connection.close()
        await until(lambda: heard.states == ["connected", "moved", "failed"])
        assert not leg.may_restart
        await leg.close()
        await page.close()

    await run(scenario())
