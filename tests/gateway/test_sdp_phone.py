"""Offers of real phones are answered with what browsers take, and anything else with an exact sentence."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avisiod.gateway import sdp, sdp_phone
from avisiod.gateway.leg import Direction, Kind
from avisiod.gateway.wire import OfferUnacceptable

OWN = sdp_phone.OwnSide(
    address="192.168.40.2",
    ports={Kind.AUDIO: sdp_phone.Ports(30000, 30001), Kind.VIDEO: sdp_phone.Ports(30002, 30003)},
    session_id=77,
)
SAMPLES = Path(__file__).parent / "sdp"
PHONES = ("baresip", "grandstream", "yealink", "linphone", "door_phone")


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.sdp").read_text()


def offer(*lines: str, connection: str = "c=IN IP4 10.0.0.9") -> str:
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 10.0.0.9", "s=-", connection, "t=0 0", *lines]) + "\r\n"


def agreed(text: str) -> sdp_phone.Agreement:
    return sdp_phone.answer(text, OWN, version=1)


@pytest.mark.parametrize(
    ("name", "audio", "video", "event"),
    [
        ("baresip", ("OPUS", 96), (97, "1"), (101, 8000)),
        ("grandstream", ("G722", 9), (99, "1"), (101, 8000)),
        ("yealink", ("G722", 9), (98, "0"), (101, 8000)),
        ("linphone", ("OPUS", 96), (97, "0"), (101, 48000)),
        ("door_phone", ("PCMA", 8), (123, "1"), (None, 8000)),
    ],
)
def test_a_phone_is_answered_with_its_best_audio_codec_and_its_most_common_h264(
    name: str, audio: tuple[str, int], video: tuple[int, str], event: tuple[int | None, int]
) -> None:
    agreement = agreed(sample(name))
    audio_line, video_line = agreement.lines[Kind.AUDIO], agreement.lines[Kind.VIDEO]
    assert (audio_line.codec.name, audio_line.codec.payload_type) == audio
    assert video_line.codec.payload_type == video[0]
    assert f"packetization-mode={video[1]}" in agreement.text
    assert (audio_line.event_payload_type, audio_line.event_clock_rate) == event


def test_sound_is_what_the_site_prefers_of_what_the_phone_offers() -> None:
    """Linphone offers Opus first, then G.711; Grandstream has G.722 as well."""
    line = agreed(sample("linphone")).lines[Kind.AUDIO]
    assert (line.codec.name, line.event_payload_type, line.event_clock_rate) == ("OPUS", 101, 48000)
    rural = msgspec.structs.replace(OWN, audio=("PCMA", "PCMU"))
    assert sdp_phone.answer(sample("linphone"), rural, version=1).lines[Kind.AUDIO].codec.name == "PCMA"
    assert "m=audio 30000 RTP/AVP 8 0 101" in sdp_phone.offer(rural, version=1)
    assert "m=audio 30000 RTP/AVP 96 9 8 0 101" in sdp_phone.offer(OWN, version=1)
    with pytest.raises(OfferUnacceptable, match="none of PCMA, PCMU"):
        sdp_phone.answer(offer("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2"), rural, version=1)


@pytest.mark.parametrize("name", PHONES)
def test_an_answer_has_the_offers_m_lines_in_the_offers_order(name: str) -> None:
    offered = sdp.parse(sample(name)).media
    answered = sdp.parse(agreed(sample(name)).text).media
    assert [media.kind for media in answered] == [media.kind for media in offered]
    assert [media.protocol for media in answered] == [media.protocol for media in offered]
    for ours, theirs in zip(answered, offered, strict=True):
        assert set(ours.tokens) <= set(theirs.tokens)


def test_what_is_not_taken_is_refused_with_port_0_and_named() -> None:
    agreement = agreed(sample("grandstream"))
    ports = [media.port for media in sdp.parse(agreement.text).media]
    assert ports == [30000, 30002, 0, 0]
    assert agreement.refused == (
        "line 29 (m=video): a second m-line of the same kind is not taken",
        "line 34 (m=application): this kind of media is not taken",
    )


def test_addresses_and_ports_are_read_where_the_phone_puts_them() -> None:
    media = agreed(sample("door_phone")).media
    assert (media[Kind.AUDIO].address, media[Kind.AUDIO].rtp_port, media[Kind.AUDIO].rtcp_port) == (
        "10.0.8.6",
        4800,
        4801,
    )
    assert media[Kind.VIDEO].address == "10.0.8.5"
    explicit = offer("m=audio 4000 RTP/AVP 8", "a=rtcp:4999 IN IP4 10.0.0.10")
    audio = agreed(explicit).media[Kind.AUDIO]
    assert (audio.rtcp_address, audio.rtcp_port, audio.rtcp_mux) == ("10.0.0.10", 4999, False)


def test_rtcp_mux_is_agreed_where_the_phone_offers_it() -> None:
    agreement = agreed(offer("m=audio 4000 RTP/AVP 8", "a=rtcp-mux"))
    assert agreement.media[Kind.AUDIO].rtcp_mux
    assert agreement.media[Kind.AUDIO].rtcp_port == 4000
    assert "a=rtcp-mux\r\na=rtcp:30000\r\n" in agreement.text


def test_feedback_is_taken_as_offered_and_nothing_more() -> None:
    line = agreed(sample("grandstream")).lines[Kind.VIDEO]
    assert (line.nack, line.pli, line.fir, line.tmmbr, line.remb) == (True, False, True, True, False)
    text = agreed(sample("grandstream")).text
    assert "a=rtcp-fb:99 nack\r\na=rtcp-fb:99 ccm fir\r\na=rtcp-fb:99 ccm tmmbr\r\n" in text
    assert "a=rtcp-fb" not in agreed(sample("door_phone")).text
    line = agreed(sample("linphone")).lines[Kind.VIDEO]
    assert (line.nack, line.pli, line.fir) == (False, True, True)


def test_the_answer_states_the_phones_h264_profile_with_a_level_that_browsers_take() -> None:
    text = agreed(
        offer(
            "m=audio 4 RTP/AVP 0",
            "m=video 6 RTP/AVP 97",
            "a=rtpmap:97 H264/90000",
            "a=fmtp:97 profile-level-id=640028",
        )
    ).text
    assert "a=fmtp:97 profile-level-id=64001f;packetization-mode=0\r\n" in text


@pytest.mark.parametrize(
    ("fmtps", "chosen"),
    [
        (("profile-level-id=640028;packetization-mode=1", "profile-level-id=42801f;packetization-mode=0"), 97),
        (("profile-level-id=42e01f", "profile-level-id=42e01f;packetization-mode=1"), 97),
        (("profile-level-id=42001f;packetization-mode=1", "profile-level-id=42E00D;packetization-mode=1"), 97),
        (("profile-level-id=4d001f;packetization-mode=1", "profile-level-id=4d801f;packetization-mode=0"), 97),
        (("packetization-mode=2;profile-level-id=42e01f", "profile-level-id=64001f"), 97),
        (("profile-level-id=f4001f", "packetization-mode=1"), 97),
    ],
)
def test_of_several_h264_formats_the_one_that_browsers_take_is_chosen(fmtps: tuple[str, str], chosen: int) -> None:
    lines = ["a=rtpmap:96 H264/90000", f"a=fmtp:96 {fmtps[0]}", "a=rtpmap:97 h264/90000", f"a=fmtp:97 {fmtps[1]}"]
    line = agreed(offer("m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 96 97", *lines)).lines[Kind.VIDEO]
    assert line.codec.payload_type == chosen


def test_payload_types_that_look_like_rtcp_are_passed_over() -> None:
    """RFC 5761 section 4: 64 to 95 cannot be told from reports where both share a port."""
    lines = ("a=rtpmap:72 H264/90000", "a=rtpmap:97 H264/90000")
    agreement = agreed(offer("m=audio 4000 RTP/AVP 8", "m=video 4002 RTP/AVP 72 97", *lines))
    assert agreement.lines[Kind.VIDEO].codec.payload_type == 97


def test_both_lines_may_use_the_same_payload_type() -> None:
    lines = ("m=audio 4000 RTP/AVP 96 97", "a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/48000",
             "m=video 4002 RTP/AVP 96", "a=rtpmap:96 H264/90000")  # fmt: skip
    agreement = agreed(offer(*lines))
    assert [line.codec.payload_type for line in agreement.lines.values()] == [96, 96]
    assert agreement.lines[Kind.AUDIO].event_payload_type == 97


@pytest.mark.parametrize(
    ("attribute", "ours"),
    [
        ("a=sendrecv", Direction.SENDRECV),
        ("a=sendonly", Direction.RECVONLY),
        ("a=recvonly", Direction.SENDONLY),
        ("a=inactive", Direction.INACTIVE),
        ("b=AS:64", Direction.SENDRECV),
    ],
)
def test_a_direction_is_answered_with_its_reverse(attribute: str, ours: Direction) -> None:
    agreement = agreed(offer("m=audio 4000 RTP/AVP 0", attribute))
    assert agreement.lines[Kind.AUDIO].direction is ours
    assert f"a={ours}\r\n" in agreement.text


def test_a_direction_of_the_session_holds_for_every_m_line() -> None:
    held = offer("a=sendonly", "m=audio 4000 RTP/AVP 0")
    assert agreed(held).lines[Kind.AUDIO].direction is Direction.RECVONLY


def test_hold_by_address_0_0_0_0_stops_sending() -> None:
    media = agreed(offer("m=audio 4000 RTP/AVP 0", connection="c=IN IP4 0.0.0.0")).media[Kind.AUDIO]
    assert media.line.direction is Direction.RECVONLY
    assert media.address == ""


def test_audio_alone_is_fine() -> None:
    assert set(agreed(offer("m=audio 4000 RTP/AVP 8 101", "a=rtpmap:101 telephone-event/8000")).media) == {Kind.AUDIO}


def test_video_that_cannot_be_taken_leaves_the_sound() -> None:
    agreement = agreed(offer("m=audio 4000 RTP/AVP 8", "m=video 4002 RTP/AVP 96", "a=rtpmap:96 VP8/90000"))
    assert set(agreement.lines) == {Kind.AUDIO}
    assert agreement.refused == (
        "line 7 (m=video): no H264 of a known profile in packetization-mode 0 or 1 is offered",
    )


def test_the_unencrypted_of_two_audio_lines_is_taken() -> None:
    agreement = agreed(offer("m=audio 4000 RTP/SAVP 8", "m=audio 4002 RTP/AVP 8"))
    assert agreement.media[Kind.AUDIO].rtp_port == 4002
    assert "let the phone use SIP over TLS" in agreement.refused[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: the SDP does not begin with v=0"),
        ("hello", "line 1: not of the form letter=value"),
        ("v=0\r\ns=-\r\n", "the SDP has no m-line"),
        (offer("m=video 4002 RTP/AVP 99", "a=rtpmap:99 H264/90000"), "it has no m=audio"),
        (offer("m=audio x RTP/AVP 0"), "line 6: the port of m= is no number from 0 to 65535"),
        (offer("m=audio 99999 RTP/AVP 0"), "line 6: the port of m= is no number from 0 to 65535"),
        (offer("m=audio 4000"), "line 6: m= is not of the form kind port protocol formats"),
        (offer("m=audio 4000 RTP/AVP 300"), "line 6: '300' is no payload type from 0 to 127"),
        (offer("m=audio 4000 RTP/AVP 18"), "line 6 (m=audio): none of OPUS, G722, PCMA, PCMU is offered"),
        (offer("m=audio 0 RTP/AVP 0"), "line 6 (m=audio): the phone has switched it off with port 0"),
        (
            offer("m=audio 4000 TCP/AVP 0"),
            "line 6 (m=audio): the protocol TCP/AVP is not supported, let the phone offer RTP/AVP or RTP/SAVP",
        ),
        (offer("m=audio 4000 RTP/AVP 0", connection="c=IN IP4 phone.lan"), "line 4: c= holds no numeric IP address"),
        (
            offer("m=audio 4000 RTP/AVP 0", connection="c=IN IP4 224.1.1.1"),
            "line 4: c= is a multicast or broadcast address",
        ),
        (offer("m=audio 4000 RTP/AVP 0", connection="a=x"), "line 6 (m=audio): no c= line says where it is"),
        (
            offer("m=audio 4000 RTP/AVP 0", connection="c=IN IP6 fd00::1"),
            "line 6 (m=audio): its address is of IP version 6, ours is not",
        ),
        ("v=0\n" + "m=audio 4000 RTP/AVP 0\n" * 40, "the SDP has 40 m-lines, more than 32"),
        ("v=0\n" * 30_000, "the SDP has 120000 characters, more than 60000"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_with_an_exact_sentence(text: str, sentence: str) -> None:
    with pytest.raises(OfferUnacceptable) as refusal:
        agreed(text)
    assert str(refusal.value) == sentence


def test_an_offer_of_ours_is_accepted_by_a_phone_like_us() -> None:
    """Late offer: our own offer, read as a phone would, and its answer read back."""
    ours = sdp_phone.offer(OWN, version=1)
    phone = sdp_phone.OwnSide(
        address="10.0.0.9",
        ports={Kind.AUDIO: sdp_phone.Ports(4000, 4001), Kind.VIDEO: sdp_phone.Ports(4002, 4003)},
        session_id=1,
    )
    answered = sdp_phone.answer(ours, phone, version=1)
    assert answered.refused == ()
    agreement = sdp_phone.accept_answer(answered.text, OWN)
    assert agreement.lines[Kind.AUDIO].codec.name == "OPUS"
    assert agreement.lines[Kind.VIDEO].codec.fmtp["packetization-mode"] == "1"
    assert agreement.media[Kind.VIDEO].rtp_port == 4002
    assert agreement.lines[Kind.VIDEO].fir
    assert agreement.text == ""


def test_a_new_answer_has_a_higher_version_and_the_same_session() -> None:
    assert "o=avisiod 77 5 IN IP4 192.168.40.2\r\n" in sdp_phone.answer(sample("baresip"), OWN, version=5).text


@given(st.text(max_size=300) | st.builds(lambda tail: offer("m=audio 4000 RTP/AVP 0", tail), st.text(max_size=200)))
@settings(max_examples=150, deadline=None)
def test_any_text_gives_an_answer_or_a_refusal(text: str) -> None:
    try:
        agreement = agreed(text)
    except OfferUnacceptable:
        return
    sdp.parse(agreement.text)


@given(st.sampled_from(PHONES), st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_offer_gives_an_answer_of_the_same_shape_or_a_refusal(name: str, data: st.DataObject) -> None:
    text = sample(name)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    damaged = text[:start] + data.draw(st.text(max_size=10)) + text[end:]
    try:
        agreement = agreed(damaged)
    except OfferUnacceptable:
        return
    assert agreement.text.isascii()
    assert len(sdp.parse(agreement.text).media) == len(sdp.parse(damaged).media)
