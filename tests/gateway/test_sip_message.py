"""Headers, session descriptions and bodies of INFO, as phones write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway.sip_message import (
    MAX_SDP_BYTES,
    PICTURE_REQUEST,
    PICTURE_REQUEST_TYPE,
    STAND_IN,
    BodyUnsupported,
    Message,
    for_pjsip,
    media_lines,
    of_phone,
    reason_header,
)

HEAD, LINES = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\n", "m=audio 4000 RTP/AVP 8\r\n"
SDP = HEAD + LINES
OFFERED = HEAD + STAND_IN + LINES
"""As it comes from the edge."""


def message(body: str = "", kind: str = "application/sdp", start: str = "INVITE sip:1@avisio SIP/2.0") -> Message:
    lines = [start, "Via: SIP/2.0/UDP h", *([f"c: {kind}"] if kind else []), f"Content-Length: {len(body)}"]
    return Message("\r\n".join(lines) + "\r\n\r\n" + body)


def test_headers_are_found_whatever_their_case_and_folding() -> None:
    read = Message("INVITE sip:1@a SIP/2.0\r\nx-AVISIO-phone:\r\n cell1\r\nf: <sip:a@b>\r\n\r\n")
    assert read.header("X-Avisio-Phone") == "cell1"
    assert read.header("From") == "<sip:a@b>"
    assert read.header("To") == ""


def test_a_header_that_stands_twice_says_nothing() -> None:
    assert Message("INVITE sip:1@a SIP/2.0\r\nX-A: one\r\nX-A: two\r\n\r\n").header("X-A") == ""


@pytest.mark.parametrize(
    ("uri", "dialled"),
    [
        ("sip:0612345678@avisio", "0612345678"),
        ("sips:%2B33612345678@avisio:5060;transport=tls", "+33612345678"),
        ("sip:0612345678;phone-context=x@avisio", "0612345678"),
        ("sip:06:secret@avisio", "06"),
        ("tel:+33612345678", "+33612345678"),
        ("sip:avisio", ""),
        ("http://avisio", ""),
    ],
)
def test_the_dialled_number_is_the_user_of_the_request(uri: str, dialled: str) -> None:
    assert message(start=f"INVITE {uri} SIP/2.0").dialled == dialled


def test_the_phones_description_is_what_stands_beside_the_edges_line() -> None:
    assert message().sdp() == ""
    assert message(OFFERED).sdp() == SDP


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        ("<xml/>", "application/xml", "no session description"),
        ("--b\r\n\r\nhello\r\n--b--", "multipart/mixed;boundary=b", "no session description"),
        (SDP, "application/sdp", "no line of the edge's"),
        ("a" * (MAX_SDP_BYTES + 1), "application/sdp", "too long"),
        (SDP, "application/sdp\r\nContent-Encoding: gzip", "encoded"),
    ],
)
def test_another_body_is_refused_and_named(body: str, kind: str, why: str) -> None:
    with pytest.raises(BodyUnsupported, match=why):
        message(body, kind).sdp()


@pytest.mark.parametrize(
    ("body", "kind", "digit"),
    [
        ("Signal=5\r\nDuration=160\r\n", "application/dtmf-relay", "5"),
        ("Signal= *\r\n", "application/dtmf-relay; charset=x", "*"),
        ("signal=11", "application/dtmf-relay", "#"),
        ("d", "application/dtmf", "D"),
        ("Signal=7\r\n", "application/dtmf", "7"),
        ("Signal=77\r\n", "application/dtmf-relay", ""),
        ("5", "text/plain", ""),
        ("", "application/dtmf", ""),
    ],
)
def test_digits_by_info(body: str, kind: str, digit: str) -> None:
    assert message(body, kind, "INFO sip:a@b SIP/2.0").digit == digit


def test_our_own_picture_request_is_understood() -> None:
    assert message(PICTURE_REQUEST, PICTURE_REQUEST_TYPE).asks_picture
    assert not message(PICTURE_REQUEST, "application/xml").asks_picture
    assert not message("<media_control/>", PICTURE_REQUEST_TYPE).asks_picture


def test_media_lines_are_counted() -> None:
    assert media_lines(SDP + "m=video 0 RTP/AVP 99\r\na=m=x\r\n") == 2


def test_pjsip_negotiates_nothing_but_the_stand_in() -> None:
    other = "m=video {0} RTP/SAVP 99\r\na=m=x\r\nm=application {1} UDP/BFCP *\r\n"
    ours = SDP + other.format("30002", "0")
    hidden = for_pjsip(ours)
    assert hidden == HEAD + STAND_IN + LINES.replace("4000", "0/4000") + other.format("0/30002", "0/0")
    assert of_phone(hidden.replace("0/", "")) == ours


def test_a_reason_cannot_break_out_of_its_quotes() -> None:
    assert reason_header(480, 'lim"it\r\nX: y') == 'SIP;cause=480;text="limitX: y"'


@given(st.text())
def test_no_text_upsets_the_reading(text: str) -> None:
    for read in (Message(text), message(text, "application/dtmf"), message(text, "multipart/x;boundary=b")):
        _ = read.dialled, read.digit, read.asks_picture, read.header("via")
        try:
            read.sdp()
        except BodyUnsupported:
            continue


def test_bytes_that_are_no_utf_8_do_not_keep_a_message_from_control() -> None:
    read = message(OFFERED.replace("s=-", "s=T\udce9l\udce9phone"), start="INVITE sip:1\udce92@avisio SIP/2.0")
    assert read.sdp().encode() == SDP.replace("s=-", "s=T\ufffdl\ufffdphone").encode()
    assert read.dialled == "1\ufffd2"
