"""Offers and trickled candidates of pages."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from avisiod.gateway import ice_path, sdp, sdp_browser
from avisiod.gateway.leg import Codec, Kind, MediaLine
from avisiod.gateway.wire import OfferUnacceptable
from tests.fuzz.common import in_words

MAX_OCTETS = 12_000
BROWSERS = ("chromium", "firefox", "safari")
SAMPLES = Path(__file__).parents[1] / "gateway" / "sdp"
OWN = sdp_browser.OwnBrowserSide(
    session_id=5,
    ice_ufrag="abcd",
    ice_pwd="abcdefghijklmnopqrstuvwx",
    fingerprint="sha-256 " + ":".join(["AB"] * 32),
    candidates=("candidate:1 1 udp 2130706431 192.0.2.1 31000 typ host",),
    ssrcs={Kind.AUDIO: 1111, Kind.VIDEO: 2222},
)
PHONE = {
    Kind.AUDIO: MediaLine(
        kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000), event_payload_type=101
    ),
    Kind.VIDEO: MediaLine(
        kind=Kind.VIDEO,
        codec=Codec(
            name="H264",
            payload_type=99,
            clock_rate=90000,
            fmtp={"profile-level-id": "42e01f", "packetization-mode": "1"},
        ),
    ),
}
CANDIDATES = (
    b"842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0",
    b"1 1 UDP 2122252543 2001:db8::7 50000 typ host",
    b"1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
    b"1 1 udp 2 0e1a.local 40000 typ host",
)


def seeds() -> Iterator[bytes]:
    """What real browsers offer."""
    for name in BROWSERS:
        yield b"\x00" + (SAMPLES / f"{name}.sdp").read_bytes()
    for candidate in CANDIDATES:
        yield b"\x01" + candidate


def one(data: bytes) -> None:
    """An answer of the same shape that can be read again, or a sentence."""
    text = data[1:].decode(errors="replace")
    if data[:1] == b"\x01":
        _usable(text)
        return
    try:
        converted = sdp_browser.needs_conversion(text, PHONE)
        agreement = sdp_browser.answer(text, PHONE, OWN, bandwidth_kbps=800, convert=converted)
    except OfferUnacceptable as why:
        in_words(why)
        return
    assert agreement.answer.isascii()
    assert "\r" not in agreement.answer.replace("\r\n", "")
    answered, offered = sdp.parse(agreement.answer), sdp.parse(text)
    assert [each.kind for each in answered.media] == [each.kind for each in offered.media]
    assert len(agreement.candidates) <= sdp_browser.MAX_CANDIDATES
    for candidate in agreement.candidates:
        _usable(candidate.removeprefix("candidate:"))


def _usable(text: str) -> None:
    try:
        found = ice_path.usable_candidate(text, ("8.8.8.8",))
    except ValueError:
        return
    assert found is None or ipaddress.ip_address(found.ip).is_global
