"""The parties in a recording are as far apart as they were in truth: measured on flashes and beeps."""

from pathlib import Path

import pytest

from demo.recording_report import Sync, report, sync
from tests.e2e.stage import Stage
from tests.peers import portal
from tests.peers.rtp_phone import RtpPhone
from tests.peers.sip_client import SipClient
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

LIMIT_S = 15.0
WITHIN_MS = 40.0


def recorded(folder: Path, phone: RtpPhone) -> Sync:
    """Both parties flash and beep at the full seconds of the machine's clock, until the limit."""
    settings = {"calls": {"limit_s": LIMIT_S, "warnings_s": [5.0]}}
    with Stage(folder, settings=settings) as stage:
        entry, contact = stage.phones["cell1"], stage.contacts[0]
        with SipClient(stage.edge.edge, entry.user, entry.password) as client:
            assert client.register().status == 200
            client.new_dialogue()
            answer = client.authenticated("INVITE", f"sip:{contact.dialled}@avisio", phone.offer())
            assert answer.status == 200
            client.established(answer)
            client.send(client.within("ACK").encode())
            phone.connect(answer.body.decode())
            relative = stage.relative(sync=True)
            portal.join(relative, stage.portal_url, stage.wait_code())
            relative.wait_frames(50)
            wait_until(lambda: bool(portal.ending(relative)), LIMIT_S + 20, "the page: the end")
            wait_until(lambda: bool(stage.recordings()), 10, "a sealed recording")
            return sync(report(stage.recordings()[0]))


def test_sound_picture_and_parties_are_together(tmp_path: Path) -> None:
    with RtpPhone() as phone:
        measured = recorded(tmp_path, phone)
    assert measured.sound_after_picture["phone"] == pytest.approx(0, abs=WITHIN_MS)
    assert measured.sound_after_picture["outside"] == pytest.approx(0, abs=WITHIN_MS)
    assert measured.outside_after_phone == pytest.approx(0, abs=WITHIN_MS)


def test_a_phone_whose_sound_is_late_is_recorded_as_late(tmp_path: Path) -> None:
    with RtpPhone(audio_late_s=0.2) as phone:
        measured = recorded(tmp_path, phone)
    assert measured.sound_after_picture["phone"] == pytest.approx(200, abs=WITHIN_MS)
