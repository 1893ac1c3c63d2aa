"""Bad offers, a full disk and an impatient code: a clear answer to whoever caused it, every other call unharmed."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.connected import connected, wait_ended
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.peers import portal
from tests.peers.baresip import BaresipPhone
from tests.peers.sip_client import SipClient
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

SISTER, LAWYER = ContactEntry(), ContactEntry("lawyer", "+33639980002", confidential=True)
BROTHER = ContactEntry("brother", "+33639980003")
PHONES = [PhoneEntry(), PhoneEntry("cell2", "also-none", "A 102"), PhoneEntry("odd", "third", "A 103")]
DISK_MB, KEEP_FREE_MB = 12, 9

HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
AUDIO = "m=audio 9000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
VIDEO = "m=video 9002 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\na=fmtp:99 profile-level-id=42e01f\r\n"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, soon full."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("bad-input")
    with small_disk(folder / "disk") as disk:
        settings = {
            "calls": {"limit_s": 120.0, "warnings_s": [60.0], "code_valid_s": 8.0},
            "recordings": {"folder": str(disk), "keep_free_bytes": KEEP_FREE_MB * 1_000_000},
        }
        with Stage(folder, settings=settings, phones=PHONES, contacts=[SISTER, LAWYER, BROTHER]) as stage:
            yield stage


@pytest.fixture(scope="module")
def phone(stage: Stage) -> BaresipPhone:
    return stage.phone()


@pytest.fixture(scope="module")
def odd(stage: Stage) -> Iterator[SipClient]:
    with SipClient(stage.edge.edge, "odd", "third") as client:
        assert client.register().status == 200
        yield client


@pytest.mark.parametrize(
    ("what", "offer"),
    [
        ("no codec in common", HEAD + "m=audio 9000 RTP/AVP 3\r\na=rtpmap:3 GSM/8000\r\n" + VIDEO),
        ("no sound at all", HEAD + VIDEO),
        ("only an encryption that we do not have", HEAD + AUDIO.replace("RTP/AVP", "RTP/SAVP") + VIDEO),
        ("nonsense", "this is no session description\r\n"),
        ("half a line", HEAD + "m=audio\r\n"),
    ],
)
def test_an_offer_that_cannot_be_answered_is_refused_and_the_next_one_is_served(
    stage: Stage, odd: SipClient, what: str, offer: str
) -> None:
    odd.new_dialogue()
    response = odd.authenticated("INVITE", f"sip:{BROTHER.dialled}@avisio", offer)
    assert 400 <= response.status < 500, (what, response.status)
    odd.new_dialogue()
    good = odd.authenticated("INVITE", f"sip:{BROTHER.dialled}@avisio", HEAD + AUDIO + VIDEO)
    assert good.status == 200
    odd.established(good)
    odd.send(odd.within("ACK").encode())
    assert odd.ask(odd.within("BYE")).status == 200
    wait_until(lambda: all(call["state"] == "ended" for call in stage.calls()), 60, "every call has ended")


def test_a_phone_without_video_is_answered_with_sound_only(stage: Stage, odd: SipClient) -> None:
    odd.new_dialogue()
    response = odd.authenticated("INVITE", f"sip:{BROTHER.dialled}@avisio", HEAD + AUDIO)
    assert response.status == 200
    assert "m=audio" in response.body.decode()
    assert "m=video" not in response.body.decode()
    odd.established(response)
    odd.send(odd.within("ACK").encode())
    assert odd.ask(odd.within("BYE")).status == 200
    wait_until(lambda: all(call["state"] == "ended" for call in stage.calls()), 60, "every call has ended")


def test_a_code_that_nobody_types_expires_and_both_are_told(stage: Stage, phone: BaresipPhone) -> None:
    since, mark = stage.sms.mark(), phone.events.mark()
    phone.dial(SISTER.dialled)
    code = stage.wait_code(SISTER, since)
    relative = stage.relative()
    try:
        portal.try_camera(relative, stage.portal_url)
        phone.wait_closed(40, since=mark)
        assert stage.calls()[-1]["end_reason"] == "code_expired"
        portal.give_code(relative, code)
        assert "n’est plus valable" in portal.rejection(relative)
    finally:
        relative.close()


def test_a_full_disk_ends_the_call_that_is_recorded_and_no_other(stage: Stage, phone: BaresipPhone) -> None:
    second, mark = stage.phone("cell2"), phone.events.mark()
    with connected(stage, second, LAWYER) as (lawyer, confidential):
        with connected(stage, phone, SISTER) as (relative, recorded):
            row = wait_ended(stage, recorded, 90)
            assert (row["end_reason"], row["charged"]) == ("disk_full", 0)
            wait_until(lambda: bool(portal.ending(relative)), 20, "the page tells the end")
            phone.wait_closed(20, since=mark)
        frames = lawyer.seen().frames
        lawyer.wait_frames(frames + 25)
        assert next(call["state"] for call in stage.calls() if call["id"] == confidential) == "connected"
        kept = stage.rows("select * from recordings where call = ?", recorded)
        assert kept, "what was recorded until then is kept"
        second.hang_up()
        wait_ended(stage, confidential)
    mark = phone.events.mark()
    phone.dial(SISTER.dialled)
    phone.wait_closed(30, since=mark)
    assert stage.calls()[-1]["end_reason"] == "disk_full", "a further call is refused in words"
    assert "disk" in stage.health()
