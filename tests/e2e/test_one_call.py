"""One whole call through every station, seen from both ends: each test is one promise about it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.checks import Check, checks
from demo.contact_sheet import contact_sheet
from demo.recording_report import Report, report
from tests.e2e.one_call import Call, play
from tests.e2e.stage import Stage
from tests.peers import portal

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

LIMIT_S = 20.0
WARNINGS_S = (10.0, 5.0)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    settings = {"calls": {"limit_s": LIMIT_S, "warnings_s": list(WARNINGS_S)}}
    with Stage(tmp_path_factory.mktemp("one-call"), settings=settings) as stage:
        yield stage


@pytest.fixture(scope="module")
def call(stage: Stage) -> Call:
    return play(stage, LIMIT_S)


@pytest.fixture(scope="module")
def recording(call: Call) -> Report:
    assert call.recording, call.troubles
    return report(call.recording)


def test_every_step_is_seen_to_happen(call: Call, recording: Report) -> None:
    missing: list[Check] = [check for check in checks(call, LIMIT_S, WARNINGS_S, recording) if not check.seen]
    assert (missing, call.troubles) == ([], [])


def test_nothing_is_transcoded(call: Call, recording: Report) -> None:
    assert call.page_seen
    assert call.page_heard
    assert (call.page_seen.codec, call.page_heard.codec) == ("video/H264", "audio/PCMA")
    assert {track.codec for track in recording.tracks} == {"h264", "pcm_alaw"}


def test_no_packet_is_lost_on_the_way_to_the_page(call: Call) -> None:
    assert call.page_seen
    assert call.page_heard
    assert (call.page_seen.lost, call.page_heard.lost) == (0, 0)


def test_the_waiting_phone_sees_another_picture_than_the_connected_one(call: Call) -> None:
    waiting, talking = call.pictures[0], call.pictures[1]
    assert waiting.read_bytes() != talking.read_bytes()


def test_the_sms_is_one_part_and_names_the_portal(call: Call, stage: Stage) -> None:
    assert len(call.sms_text) <= 160
    assert "localhost" in call.sms_text


def test_a_code_opens_one_call_only(call: Call, stage: Stage) -> None:
    assert call.page_ended_at
    other = stage.relative()
    portal.join(other, stage.portal_url, call.code)
    assert portal.rejection(other)
    assert not portal.is_connected(other)


def test_neither_code_nor_number_stands_in_the_log(call: Call, stage: Stage) -> None:
    log = (stage.folder / "avisiod.log").read_text()
    assert log
    assert call.code not in log
    assert stage.contacts[0].number.removeprefix("+33") not in log
    assert stage.phones["cell1"].ha1 not in log


def test_a_contact_sheet_can_be_made_of_the_recording(recording: Report, tmp_path: Path) -> None:
    assert contact_sheet(recording, tmp_path / "sheet.png").stat().st_size > 20_000


def test_the_daemon_stops_when_told_to_and_leaves_nothing_running(call: Call, stage: Stage) -> None:
    stage.stop_daemon()
    assert stage.daemon.returncode == 0
