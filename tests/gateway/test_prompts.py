"""What the phone hears and sees while no relative is there."""

import datetime
import logging
import re
import subprocess
import sys
import wave
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.admission import Limit
from avisiod.calls.ending import SPOKEN_REFUSALS
from avisiod.calls.reasons import Cause, EndReason
from avisiod.config.settings import Calls
from avisiod.gateway import pictures, prompt_catalogue
from avisiod.gateway.leg import Codec
from avisiod.gateway.parameter_sets import Size
from avisiod.gateway.prompts import Prompts
from tests.gateway.rtp_source import G722, OPUS, PCMA, PCMU

SILENCE = b"\x00\x00"


def wav(path: Path, seconds: float, *, rate: int = 16000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\x00\x10" * int(seconds * rate) * channels)


def video(profile_level_id: str, mode: str = "0") -> Codec:
    fmtp = {"profile-level-id": profile_level_id, "packetization-mode": mode}
    return Codec(name="H264", payload_type=99, clock_rate=90000, fmtp=fmtp)


LEARNS = """
import sys
from avisiod.gateway import call_recording, media_gateway, prompt_catalogue, sealing, settings
from avisiod.gateway.manifest import recording_facts
learned = []
def watch(frame, what, _):
    if frame.f_code.co_name == "get_class_annotations":
        learned.append(frame)
sys.setprofile(watch)
prompt_catalogue.language("fr")
for decoder in (settings.media_settings, settings.sip_settings, media_gateway.call_stats, recording_facts):
    try:
        decoder.decode(b"{}")
    except ValueError:
        pass
sys.setprofile(None)
raise SystemExit(len(learned))
"""
"""msgspec looks at a type's annotations when it learns it."""


def test_no_type_is_learned_when_threads_run_because_two_at_once_crash_the_process() -> None:
    assert subprocess.run([sys.executable, "-c", LEARNS]).returncode == 0


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_end_of_a_call_has_words_for_whoever_is_left_on_the_phone(reason: EndReason) -> None:
    name = prompt_catalogue.for_end_reason(reason)
    if name:
        for code in prompt_catalogue.languages():
            text = prompt_catalogue.language(code).prompts[name]
            assert text.spoken
            assert text.title
    else:
        assert reason.cause in (Cause.DETAINEE, Cause.NETWORK, Cause.SERVICE)


def test_what_is_not_charged_is_never_told_as_charged() -> None:
    for reason in EndReason:
        name = prompt_catalogue.for_end_reason(reason)
        if name and "décompté" in prompt_catalogue.language("fr").prompts[name].spoken:
            assert not reason.charged


def test_all_languages_have_the_same_prompts() -> None:
    assert {"en", "fr"} <= set(prompt_catalogue.languages())
    said = [set(prompt_catalogue.language(code).spoken()) for code in prompt_catalogue.languages()]
    assert all(names == said[0] for names in said)
    seen = [
        {name for name, text in prompt_catalogue.language(code).prompts.items() if text.title}
        for code in prompt_catalogue.languages()
    ]
    assert all(names == seen[0] for names in seen)


def test_default_warnings_are_said_with_their_time_and_odd_ones_in_general() -> None:
    said = prompt_catalogue.language("fr").spoken()
    assert [said[prompt_catalogue.for_warning(left)] for left in Calls().warnings_s] == [
        "Il vous reste 2 minutes.",
        "Il vous reste 30 secondes.",
    ]
    assert said[prompt_catalogue.for_warning(60.0)] == "Il vous reste une minute."
    assert said[prompt_catalogue.for_warning(90)] == "Il vous reste 90 secondes."


@given(st.floats(0, 10_000))
def test_every_warning_time_has_a_prompt(left: float) -> None:
    assert prompt_catalogue.for_warning(left) in prompt_catalogue.language("en").spoken()


@given(st.sampled_from(Limit), st.floats(0, 10_000))
def test_a_shortened_call_is_told_in_prompts_that_exist(by: Limit, left: float) -> None:
    said = prompt_catalogue.language("en").spoken()
    assert set(prompt_catalogue.for_shortened(by, left).split("+")) <= set(said)


def test_a_shortened_call_is_told_why_and_for_how_many_whole_minutes() -> None:
    names = prompt_catalogue.for_shortened(Limit.HOURS, 439.9).split("+")
    said = prompt_catalogue.language("en").spoken()
    assert [said[name] for name in names] == [
        "Your call will be shorter, because your calling hours end.",
        "You have 7 minutes left.",
    ]


MONDAY = datetime.datetime.fromisoformat("2026-11-23T16:30")


@pytest.mark.parametrize(
    ("again", "words"),
    [
        ("2026-11-23T18:00", "aujourd’hui à 18 heures"),
        ("2026-11-24T01:05", "demain à une heure 5"),
        ("2026-11-25T14:30", "mercredi à 14 heures 30"),
        ("2026-11-29T00:01", "dimanche à 0 heures une"),
        ("2026-11-24T23:59:01", "mercredi à 0 heures"),
        ("2026-11-30T09:00", ""),
        ("2026-11-22T09:00", ""),
        ("", ""),
    ],
)
def test_a_refusal_says_when_the_call_may_be_made_where_that_is_within_a_week(again: str, words: str) -> None:
    moment = datetime.datetime.fromisoformat(again) if again else None
    names = prompt_catalogue.for_refusal(EndReason.OUTSIDE_HOURS, MONDAY, moment).split("+")
    said = prompt_catalogue.language("fr").spoken()
    if words:
        when = f"Vous ne pouvez pas appeler à cette heure. Vous pourrez rappeler {words}"
        assert " ".join(said[name] for name in names) == when
    else:
        assert names == ["outside_hours"]


def test_the_picture_of_a_refusal_shows_the_same_time() -> None:
    again = MONDAY + datetime.timedelta(days=1)
    said = prompt_catalogue.for_refusal(EndReason.QUOTA_REACHED, MONDAY, again)
    name = prompt_catalogue.picture_of(said)
    shown = prompt_catalogue.language("fr").shown(name)
    assert shown is not None
    assert (shown.title, shown.text) == (
        "Appels de la période utilisés",
        "Vous pourrez rappeler demain à 16 heures 30.",
    )
    prompts = Prompts()
    picture = prompts.picture(name, "fr", video("42e01f"))
    assert picture != prompts.picture("quota_reached", "fr", video("42e01f"))
    assert prompts.picture(name, "fr", video("42e01f")) is picture, "many are refused until one and the same time"
    for none in ("quota_reached+nothing", "warning+again_today"):
        with pytest.raises(ValueError, match="no picture"):
            prompts.picture(none, "fr", video("42e01f"))
    plain = prompt_catalogue.for_refusal(EndReason.NOT_AUTHORISED, MONDAY, None)
    assert prompt_catalogue.picture_of(plain) == plain


def test_of_pictures_with_a_time_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "encode", lambda image: (bytes(4),))
    monkeypatch.setattr(pictures, "render", lambda name, text, size: text)
    prompts = Prompts()
    for hour in range(24):
        prompts.picture(f"closed+again_today+hour_{hour}", "fr", video("42e01f"))
        prompts.picture("closed", "fr", video("42e01f"))
    kept = [name for name, *_ in prompts._pictures]
    assert kept[1:] == [f"closed+again_today+hour_{hour}" for hour in range(8, 24)]
    assert kept[0] == "closed"


def test_refusals_that_time_does_not_end_have_no_time() -> None:
    again = MONDAY + datetime.timedelta(hours=1)
    assert prompt_catalogue.for_refusal(EndReason.NOT_AUTHORISED, MONDAY, again) == "not_authorised"


@given(reason=st.sampled_from(sorted(SPOKEN_REFUSALS, key=str)), minutes=st.integers(-1500, 12_000))
def test_every_refusal_is_told_in_prompts_that_exist(reason: EndReason, minutes: int) -> None:
    again = MONDAY + datetime.timedelta(minutes=minutes)
    names = prompt_catalogue.for_refusal(reason, MONDAY, again).split("+")
    for code in prompt_catalogue.languages():
        said = prompt_catalogue.language(code).spoken()
        assert set(names) <= set(said)
        assert names[0].removesuffix("_now") == prompt_catalogue.for_end_reason(reason)


@pytest.mark.parametrize("reason", sorted(SPOKEN_REFUSALS, key=str))
def test_every_refusal_says_what_can_be_done(reason: EndReason) -> None:
    """By the words for it: call again, check, ask or tell the staff, end the other call, wait."""
    name = prompt_catalogue.for_end_reason(reason)
    words = {
        "fr": r"[Rr]appele[rz]|recommence|personnel|[Vv]érifiez|[Tt]erminez|[Pp]atientez",
        "en": r"[Cc]all again|[Tt]ry again|staff|[Cc]heck|End th|[Ww]ait",
    }
    for code, remedy in words.items():
        text = prompt_catalogue.language(code).prompts[name]
        assert re.search(remedy, text.spoken), (code, text)
        assert re.search(remedy, f"{text.title}. {text.text}"), (code, text)


def test_two_prompts_in_a_row_are_one_after_the_other(tmp_path: Path) -> None:
    wav(tmp_path / "fr" / "waiting.wav", 1.0)
    wav(tmp_path / "fr" / "joining.wav", 0.5)
    prompts = Prompts(folder=tmp_path)
    both = prompts.audio("waiting+joining", "fr", PCMA)
    assert both == prompts.audio("waiting", "fr", PCMA) + prompts.audio("joining", "fr", PCMA)


def test_a_language_without_texts_is_french() -> None:
    assert prompt_catalogue.language("eo") == prompt_catalogue.language("fr")
    assert prompt_catalogue.language("../fr") == prompt_catalogue.language("fr")


@pytest.mark.parametrize("codec", [PCMA, PCMU, G722])
def test_sound_is_cut_into_payloads_of_20_ms(tmp_path: Path, codec: Codec) -> None:
    wav(tmp_path / "fr" / "waiting.wav", 1.01, rate=44100, channels=2)
    payloads = Prompts(folder=tmp_path).audio("waiting", "fr", codec)
    assert 51 <= len(payloads) <= 52
    assert {len(payload) for payload in payloads} == {160}


def test_opus_payloads_hold_20_ms_each(tmp_path: Path) -> None:
    wav(tmp_path / "fr" / "waiting.wav", 1.0)
    payloads = Prompts(folder=tmp_path).audio("waiting", "fr", OPUS)
    decoder = av.CodecContext.create("libopus", "r")
    decoded = [frame for payload in payloads for frame in decoder.decode(av.Packet(payload))]
    assert {frame.samples for frame in decoded if isinstance(frame, av.AudioFrame)} == {960}
    assert 50 <= len(payloads) <= 52


def test_silence_is_one_payload_of_each_codec() -> None:
    prompts = Prompts(folder=Path("none"))
    assert prompts.silence(PCMA) == b"\xd5" * 160
    assert prompts.silence(PCMU) == b"\xff" * 160
    assert len(prompts.silence(G722)) == 160
    assert 1 <= len(prompts.silence(OPUS)) < 100


def test_the_site_s_own_sound_replaces_ours_one_by_one(tmp_path: Path) -> None:
    wav(tmp_path / "own" / "fr" / "waiting.wav", 1.0)
    wav(tmp_path / "own" / "fr" / "joining.wav", 1.0)
    wav(tmp_path / "site" / "fr" / "waiting.wav", 2.0, rate=8000)
    prompts = Prompts(str(tmp_path / "site"), tmp_path / "own")
    assert len(prompts.audio("waiting", "fr", PCMA)) == 100
    assert len(prompts.audio("joining", "fr", PCMA)) == 50


def test_a_missing_prompt_is_a_tone_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prompts = Prompts(folder=tmp_path)
    with caplog.at_level(logging.WARNING):
        assert 20 < len(prompts.audio("waiting", "fr", PCMA)) < 60
        prompts.audio("waiting", "fr", PCMU)
    assert [record.getMessage().count("make-prompts") for record in caplog.records] == [1]


def test_a_damaged_file_of_the_site_gives_way_to_ours(tmp_path: Path) -> None:
    wav(tmp_path / "own" / "fr" / "waiting.wav", 1.0)
    (tmp_path / "site" / "fr").mkdir(parents=True)
    (tmp_path / "site" / "fr" / "waiting.wav").write_bytes(b"RIFF no sound at all")
    assert len(Prompts(str(tmp_path / "site"), tmp_path / "own").audio("waiting", "fr", PCMA)) == 50


def test_a_warning_without_its_own_sound_is_the_general_one(tmp_path: Path) -> None:
    wav(tmp_path / "fr" / "warning.wav", 3.0)
    assert len(Prompts(folder=tmp_path).audio("warning_120", "fr", PCMA)) == 150


@pytest.mark.parametrize(
    ("profile_level_id", "size"),
    [
        ("42e01f", Size(640, 480)),
        ("640028", Size(640, 480)),
        ("42e016", Size(640, 480)),
        ("42e015", Size(352, 288)),
        ("42e00d", Size(352, 288)),
        ("42000a", Size(176, 144)),
    ],
)
def test_a_picture_is_one_keyframe_within_the_phone_s_level_in_payloads_for_mode_0(
    profile_level_id: str, size: Size
) -> None:
    codec = video(profile_level_id)
    payloads = Prompts(folder=Path("none")).picture("waiting", "fr", codec)
    assert max(map(len, payloads)) <= 1100
    kinds = [payload[0] & 0x1F for payload in payloads]
    assert kinds[:2] == [7, 8]
    assert set(kinds[2:]) == {5}
    sps = payloads[0]
    assert sps[1] == 0x42
    assert sps[2] & 0x40
    assert sps[3] <= int(profile_level_id[4:], 16)
    decoder = av.CodecContext.create("h264", "r")
    packet = av.Packet(b"".join(b"\x00\x00\x00\x01" + payload for payload in payloads))
    frames = [*decoder.decode(packet), *decoder.decode(None)]
    assert [(frame.width, frame.height) for frame in frames if isinstance(frame, av.VideoFrame)] == [size]


def test_a_phone_that_declares_no_level_gets_the_large_picture() -> None:
    assert pictures.size_for({}) == Size(640, 480)


@pytest.mark.parametrize("code", prompt_catalogue.languages())
def test_even_the_most_words_stay_inside_the_picture(code: str) -> None:
    texts = prompt_catalogue.language(code).prompts
    longest = {
        max(texts, key=lambda name: len(texts[name].title)),
        max(texts, key=lambda name: len(texts[name].text)),
    }
    for name in longest | {"waiting"}:
        image = pictures.render(name, texts[name], Size(640, 480)).convert("L")
        for edge in ((0, 0, 640, 20), (0, 460, 640, 480), (0, 0, 24, 480), (616, 0, 640, 480)):
            assert image.crop(edge).getextrema()[1] < 80, (name, edge)


def test_a_name_without_picture_is_refused() -> None:
    for name in ("warning", "nonsense"):
        with pytest.raises(ValueError, match="no picture"):
            Prompts(folder=Path("none")).picture(name, "fr", video("42e01f"))


def test_what_was_prepared_is_not_encoded_again(tmp_path: Path) -> None:
    wav(tmp_path / "fr" / "waiting.wav", 1.0)
    prompts = Prompts(folder=tmp_path)
    prompts.prepare(["fr"], [PCMA])
    (tmp_path / "fr" / "waiting.wav").unlink()
    assert len(prompts.audio("waiting", "fr", PCMA)) == 50


@pytest.mark.peer
def test_the_prompts_are_spoken_in_every_language(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "scripts/make-prompts", str(tmp_path)], check=True, timeout=110, capture_output=True
    )
    for code in prompt_catalogue.languages():
        for name in prompt_catalogue.language(code).spoken():
            payloads = Prompts(folder=tmp_path).audio(name, code, PCMA)
            assert 0.6 < len(payloads) * 0.02 < 15, (code, name)
            loud = sum(payload.count(0xD5) + payload.count(0x55) < 100 for payload in payloads)
            assert loud > len(payloads) // 5, (code, name)
