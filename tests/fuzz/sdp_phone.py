"""Offers and answers of phones."""

from collections.abc import Iterator
from pathlib import Path

from avisiod.gateway import sdp, sdp_phone
from avisiod.gateway.leg import Kind
from avisiod.gateway.wire import OfferUnacceptable
from tests.fuzz.common import in_words

MAX_OCTETS = 8_000
OWN = sdp_phone.OwnSide(
    address="192.168.40.2",
    ports={Kind.AUDIO: sdp_phone.Ports(30000, 30001), Kind.VIDEO: sdp_phone.Ports(30002, 30003)},
    session_id=77,
)
PHONES = ("baresip", "grandstream", "yealink", "linphone", "door_phone")
SAMPLES = Path(__file__).parents[1] / "gateway" / "sdp"


def seeds() -> Iterator[bytes]:
    """What real phones offer."""
    for name in PHONES:
        yield b"\x00" + (SAMPLES / f"{name}.sdp").read_bytes()
    yield b"\x01" + sdp_phone.offer(OWN, version=1).encode()


def one(data: bytes) -> None:
    """An answer of the same shape that can be read again, or a sentence."""
    text = data[1:].decode(errors="replace")
    try:
        if data[:1] == b"\x01":
            sdp_phone.accept_answer(text, OWN)
            return
        agreement = sdp_phone.answer(text, OWN, version=1)
    except OfferUnacceptable as why:
        in_words(why)
        return
    assert agreement.text.isascii()
    assert "\r" not in agreement.text.replace("\r\n", "")
    answered, offered = sdp.parse(agreement.text), sdp.parse(text)
    assert [each.kind for each in answered.media] == [each.kind for each in offered.media]
    for media in agreement.media.values():
        assert media.rtp_port < 65536
        assert media.rtcp_port < 65536
    again = sdp_phone.answer(text, OWN, version=2, kept=agreement.lines)
    assert again.lines == agreement.lines, "what was agreed stays so when it is offered again"
