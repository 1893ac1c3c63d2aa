"""Phones of several kinds, each a real one, through the real edge, in a whole call with a browser."""

import signal
from collections.abc import Iterator

import pytest

from demo.recording_report import report
from tests.e2e.connected import connected, wait_ended
from tests.e2e.stage import PhoneEntry, Stage
from tests.peers import assets, portal
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

KINDS = {"opus": ["opus"], "wide": ["PCMA", "G722"]}
"""What each phone's baresip speaks, in its own order of preference."""
ENCRYPTED = ("srtp-mand", "srtp-mandf", "srtp")
"""How baresip asks for SRTP: RTP/SAVP, RTP/SAVPF, and keys beside RTP/AVP."""
RATES = {"audio/opus": (48000, 2), "audio/G722": (16000, 1)}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    phones = [PhoneEntry(kind, cell=f"A {kind}") for kind in (*KINDS, *ENCRYPTED, "plain", "reboots", "blind")]
    settings = {"log": {"level": "DEBUG"}}
    with Stage(tmp_path_factory.mktemp("phones"), phones=phones, settings=settings, tls=True) as stage:
        yield stage


@pytest.mark.parametrize(
    ("kind", "codec", "recorded"), [("opus", "audio/opus", "opus"), ("wide", "audio/G722", "adpcm_g722")]
)
def test_sound_is_the_best_that_the_phone_speaks_and_is_relayed_as_it_is(
    stage: Stage, kind: str, codec: str, recorded: str
) -> None:
    sound = assets.talk("CELLULE", *RATES[codec])
    phone = stage.phone(kind, codecs=KINDS[kind], sound=sound)
    with connected(stage, phone) as (relative, call):
        assert phone.wait_heard(above_dbfs=-45) < 0
        assert relative.wait_heard(above_dbfs=-50) < 0
        assert relative.heard().codec == codec
        phone.hang_up()
        assert wait_ended(stage, call)["end_reason"] == "detainee_hung_up"
        wait_until(lambda: any(call in path.name for path in stage.recordings()), 10, "the recording is sealed")
    recording = next(path for path in stage.recordings() if call in path.name)
    assert {track.codec for track in report(recording).tracks} == {"h264", recorded}


@pytest.mark.parametrize("how", ENCRYPTED)
def test_a_phone_with_tls_and_srtp_sees_and_hears_and_its_keys_stand_in_no_log(stage: Stage, how: str) -> None:
    phone = stage.phone(
        how, transport="tls", settings=["module srtp.so"], account_parameters=[f"mediaenc={how}"], codecs=["PCMA"]
    )
    with connected(stage, phone) as (relative, call):
        assert phone.wait_heard(above_dbfs=-45) < 0
        assert relative.wait_heard(above_dbfs=-50) < 0
        phone.hold()
        phone.resume()
        shown, seen = phone.video().frames, relative.seen().frames
        phone.wait_frames(shown + 30)
        relative.wait_frames(seen + 30)
        assert phone.wait_heard(above_dbfs=-45) < 0
        phone.hang_up()
        assert wait_ended(stage, call)["end_reason"] == "detainee_hung_up"
    said = " ".join(phone.process.lines.items())
    assert f"{how}@" in said
    log = (stage.folder / "avisiod.log").read_text(errors="replace")
    assert "the phone's sound is encrypted" in log
    assert "inline:" not in log
    assert "inline:" not in (stage.folder / "kamailio" / "kamailio.log").read_text(errors="replace")


def test_a_phone_that_wants_srtp_without_tls_is_refused_and_the_log_says_what_to_do(stage: Stage) -> None:
    phone = stage.phone("plain", settings=["module srtp.so"], account_parameters=["mediaenc=srtp-mand"])
    phone.dial(stage.contacts[0].dialled)
    assert "488" in phone.wait_closed()
    assert "let the phone use SIP over TLS" in (stage.folder / "avisiod.log").read_text(errors="replace")


def test_a_phone_that_starts_anew_in_mid_call_calls_again_at_once_and_its_first_call_is_lost(
    stage: Stage,
) -> None:
    """It loses its power: no BYE, no more packets, and its registration is renewed from another port."""
    phone = stage.phone("reboots", codecs=["PCMA"])
    with connected(stage, phone) as (_relative, call):
        phone.process.signal(signal.SIGKILL)
        again = stage.phone("reboots", codecs=["PCMA"])
        log = stage.folder / "avisiod.log"
        wait_until(lambda: "nothing is heard of the phone" in log.read_text(errors="replace"), 20, "it is missed")
        since = stage.sms.mark()
        again.dial(stage.contacts[0].dialled)
        stage.wait_code(stage.contacts[0], since)
        assert wait_ended(stage, call)["end_reason"] == "phone_lost"
        again.hang_up()
        wait_ended(stage, str(stage.calls()[-1]["id"]))


def test_a_phone_without_a_camera_and_a_relative_hear_each_other(stage: Stage) -> None:
    phone = stage.phone("blind", codecs=["PCMA"], video=False)
    since = stage.sms.mark()
    phone.dial(stage.contacts[0].dialled)
    relative = stage.relative()
    try:
        portal.join(relative, stage.portal_url, stage.wait_code(stage.contacts[0], since))
        wait_until(lambda: portal.is_connected(relative), 30, "the page: connected")
        assert relative.wait_heard(above_dbfs=-50) < 0
        assert phone.wait_heard(above_dbfs=-45) < 0
        call = str(stage.calls()[-1]["id"])
        phone.hang_up()
        assert wait_ended(stage, call)["end_reason"] == "detainee_hung_up"
    finally:
        relative.close()
    wait_until(lambda: any(call in path.name for path in stage.recordings()), 10, "the recording is sealed")
    recording = next(path for path in stage.recordings() if call in path.name)
    assert {track.codec for track in report(recording).tracks} == {"pcm_alaw"}
