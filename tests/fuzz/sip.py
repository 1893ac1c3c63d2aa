"""SIP messages as PJSIP hands them over."""

from collections.abc import Iterator

from avisiod.gateway.sip_message import (
    BodyUnsupported,
    Message,
    for_pjsip,
    media_lines,
    reason_header,
)
from tests.attacks.torture import RFC_4475
from tests.fuzz.common import in_words

MAX_OCTETS = 8_000


def seeds() -> Iterator[bytes]:
    """The torture messages, and an INFO of each kind."""
    yield from RFC_4475.values()
    for kind, body in (
        (b"application/dtmf-relay", b"Signal=5\r\nDuration=160"),
        (b"application/dtmf", b"#"),
        (b"application/media_control+xml", b"<media_control><vc_primitive><to_encoder><picture_fast_update/>"),
        (b"multipart/mixed;boundary=b", b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--"),
    ):
        yield b"INFO sip:1@avisio SIP/2.0\r\nContent-Type: " + kind + b"\r\n\r\n" + body


def one(data: bytes) -> None:
    """What is read of it is text that can go on to control, a digit is one."""
    message = Message(data.decode(errors="surrogateescape"))
    try:
        sdp = message.sdp()
    except BodyUnsupported as why:
        in_words(why)
        sdp = ""
    for text in (message.dialled, message.header("via"), message.header("x-avisio-phone"), sdp):
        text.encode()
    assert "\n" not in message.header("subject")
    assert message.digit in {"", *"0123456789ABCD*#"}
    assert message.asks_picture in {True, False}
    lines = media_lines(sdp)
    assert media_lines(for_pjsip(sdp)) == lines + (1 if lines else 0)
    assert "\n" not in reason_header(480, message.start)
