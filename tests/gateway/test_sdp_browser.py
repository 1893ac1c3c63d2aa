"""Browsers are offered exactly what the phone speaks, compared by meaning."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avisiod.gateway import sdp, sdp_browser
from avisiod.gateway.leg import Codec, Direction, Kind, MediaLine
from avisiod.gateway.wire import OfferUnacceptable

SAMPLES = Path(__file__).parent / "sdp"
BROWSERS = ("chromium", "firefox", "safari")
FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
OWN = sdp_browser.OwnBrowserSide(
    session_id=5,
    ice_ufrag="abcd",
    ice_pwd="abcdefghijklmnopqrstuvwx",
    fingerprint=FINGERPRINT,
    candidates=("candidate:1 1 udp 2130706431 192.0.2.1 31000 typ host",),
    ssrcs={Kind.AUDIO: 1111, Kind.VIDEO: 2222},
)


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.sdp").read_text()


def audio(name: str = "PCMA", event: int | None = None, event_clock_rate: int = 8000) -> MediaLine:
    rate, channels = (48000, 2) if name == "OPUS" else (8000, 1)
    codec = Codec(name=name, payload_type=8, clock_rate=rate, channels=channels)
    return MediaLine(kind=Kind.AUDIO, codec=codec, event_payload_type=event, event_clock_rate=event_clock_rate)


def video(profile_level_id: str = "42e01f", mode: str = "1") -> MediaLine:
    fmtp = {"profile-level-id": profile_level_id, "packetization-mode": mode}
    return MediaLine(kind=Kind.VIDEO, codec=Codec(name="H264", payload_type=99, clock_rate=90000, fmtp=fmtp))


def answered(name: str, *lines: MediaLine) -> sdp_browser.BrowserAgreement:
    return sdp_browser.answer(sample(name), {line.kind: line for line in lines}, OWN)


@pytest.mark.parametrize(
    ("browser", "profile_level_id", "mode", "payload_type"),
    [
        ("chromium", "42e01f", "1", 108),
        ("chromium", "42e01f", "0", 114),
        ("chromium", "42801F", "1", 108),
        ("chromium", "42800d", "0", 114),
        ("chromium", "4d001f", "1", 116),
        ("chromium", "640028", "1", 116),
        ("firefox", "42e01f", "1", 126),
        ("firefox", "42801f", "0", 97),
        ("firefox", "640028", "0", 97),
        ("safari", "42e01f", "1", 98),
        ("safari", "42001f", "0", 102),
        ("safari", "64001f", "1", 96),
        ("safari", "4d001f", "1", 98),
    ],
)
def test_h264_is_chosen_by_mode_and_by_what_the_phone_can_decode(
    browser: str, profile_level_id: str, mode: str, payload_type: int
) -> None:
    agreement = answered(browser, audio(), video(profile_level_id, mode))
    line = agreement.lines[Kind.VIDEO]
    assert line.codec.payload_type == payload_type
    assert line.direction is Direction.SENDRECV
    assert (line.pli, line.nack or browser == "safari") == (True, True)


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize(
    ("codec", "payload_types"), [("OPUS", {109, 111}), ("G722", {9}), ("PCMA", {8}), ("PCMU", {0})]
)
def test_the_phones_audio_codec_is_the_only_one_answered(browser: str, codec: str, payload_types: set[int]) -> None:
    agreement = answered(browser, audio(codec))
    assert agreement.lines[Kind.AUDIO].codec.payload_type in payload_types
    media = sdp.parse(agreement.answer).media
    assert [each.port for each in media] == [9, 0]
    assert len(media[0].tokens) == 1


@pytest.mark.parametrize("browser", BROWSERS)
def test_the_answer_is_passive_multiplexed_bundled_and_without_extensions(browser: str) -> None:
    agreement = answered(browser, audio(), video())
    session = sdp.parse(agreement.answer)
    assert session.attributes["group"] == ("BUNDLE 0 1",)
    for media in session.media:
        assert media.flag("rtcp-mux")
        assert media.value("setup") == "passive"
        assert media.value("fingerprint") == FINGERPRINT
        assert media.value("ice-ufrag") == "abcd"
        assert media.value("candidate") == "1 1 udp 2130706431 192.0.2.1 31000 typ host"
        assert media.flag("end-of-candidates")
        assert not media.flag("extmap")
    assert session.media[1].value("ssrc") == "2222 cname:avisiod"
    assert agreement.mids == {Kind.AUDIO: "0", Kind.VIDEO: "1"}


def test_the_browsers_transport_is_read_from_either_level() -> None:
    chromium, firefox = answered("chromium", audio(), video()), answered("firefox", audio(), video())
    assert len(chromium.candidates) == 2
    assert chromium.candidates[0].startswith("candidate:283199934 1 udp")
    assert firefox.fingerprints[0][1].startswith("6B:8B:F0")
    assert firefox.ice_ufrag == "6f5bb8a3"
    assert firefox.ssrcs == {Kind.AUDIO: (2655508255,), Kind.VIDEO: (1483931273,)}, "retransmission is left out"


def test_telephone_event_is_taken_only_at_the_phones_clock() -> None:
    assert answered("chromium", audio("PCMA", 101)).lines[Kind.AUDIO].event_payload_type == 126
    assert answered("chromium", audio("OPUS", 101, 48000)).lines[Kind.AUDIO].event_payload_type == 110
    assert answered("firefox", audio("OPUS", 101, 48000)).lines[Kind.AUDIO].event_payload_type is None
    assert answered("chromium", audio("PCMA")).lines[Kind.AUDIO].event_payload_type is None


@pytest.mark.parametrize(("phone_mode", "other", "direction"), [("0", "1", "sendonly"), ("1", "0", "recvonly")])
def test_with_unlike_packetization_modes_only_the_legal_direction_is_opened(
    phone_mode: str, other: str, direction: str
) -> None:
    one_mode = sample("safari").replace(f"packetization-mode={phone_mode}", f"packetization-mode={other}")
    agreement = sdp_browser.answer(one_mode, {Kind.AUDIO: audio(), Kind.VIDEO: video(mode=phone_mode)}, OWN)
    assert agreement.lines[Kind.VIDEO].direction == direction
    assert sdp.parse(agreement.answer).media[1].direction == direction


def test_a_browser_without_h264_gets_sound_alone() -> None:
    agreement = sdp_browser.answer(
        sample("firefox").replace("H264", "VP8"), {Kind.AUDIO: audio(), Kind.VIDEO: video()}, OWN
    )
    assert set(agreement.lines) == {Kind.AUDIO}
    assert agreement.refused == ("line 29 (m=video): the browser offers no H264 that the phone can decode",)
    assert "a=group:BUNDLE 0\r\n" in agreement.answer


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("direction", ["sendrecv", "recvonly"])
def test_a_browser_without_h264_has_its_vp8_converted_where_that_can_be_had(browser: str, direction: str) -> None:
    phone = {line.kind: line for line in (audio(), video())}
    assert not sdp_browser.needs_conversion(sample(browser), phone)
    offer = sample(browser).replace("H264/90000", "H263/90000")
    head, _, tail = offer.partition("m=video")
    offer = head + "m=video" + tail.replace("a=sendrecv", f"a={direction}", 1)
    assert sdp_browser.needs_conversion(offer, phone)
    agreed = sdp_browser.answer(offer, phone, OWN, convert=True)
    line = agreed.lines[Kind.VIDEO]
    assert line.codec.name == "VP8"
    assert line.direction is (Direction.SENDRECV if direction == "sendrecv" else Direction.SENDONLY)
    assert f"a=rtpmap:{line.codec.payload_type} VP8/90000" in agreed.answer
    assert f"a=fmtp:{line.codec.payload_type} max-fs=1200;max-fr=30" in agreed.answer
    assert Kind.VIDEO not in sdp_browser.answer(offer, phone, OWN).lines


def test_no_conversion_is_needed_where_there_is_nothing_to_convert() -> None:
    phone = {line.kind: line for line in (audio(), video())}
    without = sample("chromium").replace("H264/90000", "H263/90000")
    assert not sdp_browser.needs_conversion(without, {Kind.AUDIO: audio()})
    assert not sdp_browser.needs_conversion(without.replace("VP8/90000", "VP7/90000"), phone)
    head, _, tail = without.partition("m=video")
    inactive = head + "m=video" + tail.replace("a=sendrecv", "a=inactive", 1)
    assert not sdp_browser.needs_conversion(inactive, phone)
    assert not sdp_browser.needs_conversion(sample("chromium"), phone)


def test_a_bundle_only_line_with_port_0_is_not_switched_off() -> None:
    offer = sample("chromium").replace("m=video 9 ", "m=video 0 ").replace("a=mid:1", "a=mid:1\na=bundle-only")
    agreement = sdp_browser.answer(offer, {Kind.AUDIO: audio(), Kind.VIDEO: video()}, OWN)
    assert Kind.VIDEO in agreement.lines


def test_a_browser_without_a_camera_only_receives() -> None:
    head, tail = sample("chromium").split("m=video")
    agreement = sdp_browser.answer(
        head + "m=video" + tail.replace("a=sendrecv", "a=recvonly"), {Kind.AUDIO: audio(), Kind.VIDEO: video()}, OWN
    )
    assert agreement.lines[Kind.VIDEO].direction is Direction.SENDONLY


def test_the_phones_level_and_bandwidth_reach_the_browser() -> None:
    agreement = sdp_browser.answer(
        sample("chromium"), {Kind.AUDIO: audio(), Kind.VIDEO: video("42e00d")}, OWN, bandwidth_kbps=384
    )
    assert "profile-level-id=42e00d;packetization-mode=1;level-asymmetry-allowed=1" in agreement.answer
    assert "b=AS:384\r\nb=TIAS:384000\r\n" in agreement.answer


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("a=group:BUNDLE 0 1", "a=x", "the browser offers no BUNDLE group: open the page in a current browser"),
        ("a=rtcp-mux", "a=x", "line 8 (m=audio): rtcp-mux is not offered"),
        ("a=setup:actpass", "a=setup:passive", "line 8 (m=audio): the browser does not offer to be the DTLS client"),
        ("audio 9 UDP/TLS/RTP/SAVPF", "audio 9 RTP/AVP", "line 8 (m=audio): the protocol RTP/AVP is not DTLS-SRTP"),
        ("a=ice-pwd", "a=x", "line 8 (m=audio): a=ice-pwd is missing or malformed"),
        ("a=fingerprint", "a=x", "line 8 (m=audio): a=fingerprint is missing or malformed"),
        ("m=audio", "m=image", "line 8 (m=image): this kind of media is not taken"),
    ],
)  # fmt: skip
def test_an_offer_that_cannot_be_answered_is_refused_with_an_exact_sentence(
    old: str, new: str, sentence: str
) -> None:
    with pytest.raises(OfferUnacceptable) as refusal:
        sdp_browser.answer(sample("chromium").replace(old, new), {Kind.AUDIO: audio(), Kind.VIDEO: video()}, OWN)
    assert str(refusal.value).split("; ")[0] == sentence


def test_a_browser_without_the_phones_sound_is_refused() -> None:
    with pytest.raises(OfferUnacceptable, match="the browser offers no G722, which is what the phone speaks"):
        sdp_browser.answer(sample("chromium").replace("G722", "G719"), {Kind.AUDIO: audio("G722")}, OWN)


@given(st.sampled_from(BROWSERS), st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_offer_gives_an_answer_of_the_same_shape_or_a_refusal(name: str, data: st.DataObject) -> None:
    text = sample(name)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 60)))
    damaged = text[:start] + data.draw(st.text(max_size=10)) + text[end:]
    try:
        agreement = sdp_browser.answer(damaged, {Kind.AUDIO: audio(), Kind.VIDEO: video()}, OWN)
    except OfferUnacceptable:
        return
    assert agreement.answer.isascii()
    assert len(sdp.parse(agreement.answer).media) == len(sdp.parse(damaged).media)


@pytest.mark.parametrize(
    ("browser", "payload_type", "repairs"),
    [("chromium", 109, {1056021732: 2775584032}), ("firefox", 127, {3405101218: 1483931273})],
)
def test_retransmission_on_a_stream_of_its_own_is_agreed_where_it_is_offered(browser, payload_type, repairs) -> None:
    agreement = answered(browser, audio(), video())
    line = agreement.lines[Kind.VIDEO]
    media = sdp.parse(agreement.answer).media[1]
    chosen = str(line.codec.payload_type)
    assert line.rtx_payload_type == payload_type
    assert media.tokens == (chosen, str(payload_type))
    assert {each.payload_type: each.fmtp.get("apt") for each in media.formats}[payload_type] == chosen
    assert media.value("ssrc-group") == f"FID 2222 {2222 ^ 0x80000000}"
    assert agreement.repairs == repairs


@pytest.mark.parametrize("changed", [("a=ssrc-group:FID", "a=ssrc-group:SIM"), (" nack\r\n", " none\r\n")])
def test_retransmission_that_could_not_be_told_apart_is_not_agreed(changed) -> None:
    text = sample("chromium").replace("\r\n", "\n").replace("\n", "\r\n").replace(*changed)
    agreement = sdp_browser.answer(text, {Kind.AUDIO: audio(), Kind.VIDEO: video()}, OWN)
    assert agreement.lines[Kind.VIDEO].rtx_payload_type is None
    assert "rtx" not in agreement.answer
    assert "FID" not in agreement.answer


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_page_without_a_camera_gets_the_sound_alone(browser: str) -> None:
    text = re.sub(r"(a=group:BUNDLE \S+) .*", r"\1", sample(browser)).partition("m=video")[0]
    agreement = sdp_browser.answer(text, {Kind.AUDIO: audio(), Kind.VIDEO: video()}, OWN)
    assert set(agreement.lines) == {Kind.AUDIO}
    assert "m=video" not in agreement.answer


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_phone_without_a_camera_gets_the_sound_alone_and_the_pages_picture_is_refused(browser: str) -> None:
    agreement = answered(browser, audio())
    assert set(agreement.lines) == {Kind.AUDIO}
    assert "m=video 0 " in agreement.answer
    assert any("the phone has no video" in sentence for sentence in agreement.refused)
