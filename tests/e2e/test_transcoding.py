"""A browser without H.264: its pictures are converted, and whatever happens to that, the call goes on."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.recording_report import report
from tests.e2e.connected import connected, wait_ended
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.peers import portal
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Relative
from tests.peers.waiting import wait_until
from tests.peers.workers import workers

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

SISTER, BROTHER = ContactEntry(), ContactEntry("brother", "+33639980003")
LAWYER = ContactEntry("lawyer", "+33639980002", confidential=True)
LOUD_DBFS = -45.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("transcoding")
    settings = {"calls": {"limit_s": 180.0, "warnings_s": [60.0]}, "media": {"transcoded_calls": 1}}
    phones = [PhoneEntry(), PhoneEntry("cell2", "also-none", "A 102")]
    with Stage(folder, settings=settings, phones=phones, contacts=[SISTER, BROTHER, LAWYER]) as stage:
        yield stage


@pytest.fixture(scope="module")
def phone(stage: Stage) -> BaresipPhone:
    return stage.phone()


@pytest.fixture(scope="module")
def other_phone(stage: Stage) -> BaresipPhone:
    return stage.phone("cell2")


@pytest.fixture(autouse=True)
def quiet_afterwards(stage: Stage, phone: BaresipPhone) -> Iterator[None]:
    """No test leaves a call behind for the next one, nor a transcoder that is taken."""
    yield
    phone.hang_up()
    wait_until(lambda: all(call["state"] == "ended" for call in stage.calls()), 30, "every call has ended")
    wait_until(lambda: stage.metrics()["avisiod_transcoded_calls"] == 0, 30, "nothing is converted any more")


def see_each_other(phone: BaresipPhone, relative: Relative, frames: int = 50) -> None:
    seen, shown = relative.seen().frames, phone.video().frames
    relative.wait_frames(seen + frames, 40)
    phone.wait_frames(shown + frames, 40)


def test_both_see_and_hear_each_other_and_the_recording_plays(stage: Stage, phone: BaresipPhone) -> None:
    with connected(stage, phone, SISTER, h264=False) as (relative, call):
        see_each_other(phone, relative)
        assert relative.seen().codec == "video/VP8"
        assert relative.wait_heard(LOUD_DBFS) > LOUD_DBFS
        assert phone.wait_heard(LOUD_DBFS) > LOUD_DBFS
        relative.screenshot(stage.folder / "converted.png")
        phone.hang_up()
        assert wait_ended(stage, call)["end_reason"] == "detainee_hung_up"
    wait_until(lambda: any(call in path.name for path in stage.recordings()), 10, "a sealed recording")
    (path,) = [path for path in stage.recordings() if call in path.name]
    found = report(path)
    assert sorted((track.name, track.codec) for track in found.tracks) == [
        ("outside-audio", "pcm_alaw"),
        ("outside-video", "h264"),
        ("phone-audio", "pcm_alaw"),
        ("phone-video", "h264"),
    ]
    assert all(track.packets > 50 for track in found.tracks)
    errors = decoding_errors(path)
    assert errors == ""
    counted = stage.metrics()
    wait_until(lambda: stage.metrics()['avisiod_transcoded_pictures_total{towards="phone"}'] > 50, 10, "counted")
    assert counted["avisiod_transcoding_refused_total"] == 0


def test_a_lawyers_picture_is_converted_and_no_file_is_written(stage: Stage, phone: BaresipPhone) -> None:
    with connected(stage, phone, LAWYER, h264=False) as (relative, call):
        see_each_other(phone, relative)
        (converter,) = workers(stage.daemon.pid, "transcode_worker")
        assert files_of(converter) == []
        phone.hang_up()
        assert wait_ended(stage, call)["confidential"] == 1
    assert not any(call in path.name for path in stage.recordings_folder.rglob("*"))


def files_of(pid: int) -> list[str]:
    """Regular files that a process holds open for writing."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        flags = int(Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split("flags:")[1].split()[0], 8)
        if flags & (os.O_WRONLY | os.O_RDWR) and link.is_file():
            found.append(os.readlink(link))
    return found


def decoding_errors(path: Path) -> str:
    """What ffmpeg says when it decodes every track; its null muxer's own troubles with rounded times are left out."""
    argv = ["ffmpeg", "-v", "error", "-i", path, "-map", "0", "-f", "null", "-"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stderr
    return "".join(line for line in said.splitlines() if not line.startswith("[null @"))


def test_beyond_the_ceiling_there_is_sound_only_and_the_page_says_so_before_the_code(
    stage: Stage, phone: BaresipPhone, other_phone: BaresipPhone
) -> None:
    refused = stage.metrics()["avisiod_transcoding_refused_total"]
    with connected(stage, phone, SISTER, h264=False) as (first, _):
        since = stage.sms.mark()
        other_phone.dial(BROTHER.dialled)
        code = stage.wait_code(BROTHER, since)
        second = stage.relative(h264=False)
        portal.try_camera(second, stage.portal_url)
        second.wait_text("Sans image pour le moment")
        second.screenshot(stage.folder / "told-before-the-code.png")
        portal.give_code(second, code)
        wait_until(lambda: portal.is_connected(second), 30, "the second page: connected")
        second.wait_text("Le son seulement")
        assert second.wait_heard(LOUD_DBFS) > LOUD_DBFS
        assert other_phone.wait_heard(LOUD_DBFS) > LOUD_DBFS
        second.screenshot(stage.folder / "sound-only.png")
        assert second.seen().frames == 0
        see_each_other(phone, first)
        portal.hang_up(second)
        other_phone.hang_up()
        second.close()
    wait_until(lambda: stage.metrics()["avisiod_transcoding_refused_total"] == refused + 1, 10, "it is counted")


def test_a_relayed_call_needs_no_transcoder(stage: Stage, phone: BaresipPhone, other_phone: BaresipPhone) -> None:
    with connected(stage, phone, SISTER, h264=False), connected(stage, other_phone, BROTHER) as (second, _):
        assert second.seen().codec == "video/H264"
        other_phone.hang_up()


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGSTOP])
def test_a_transcoder_that_dies_or_is_stopped_stops_the_picture_for_a_moment_only(
    stage: Stage, phone: BaresipPhone, other_phone: BaresipPhone, which: signal.Signals
) -> None:
    with (
        connected(stage, other_phone, BROTHER) as (relayed, _),
        connected(stage, phone, SISTER, h264=False) as (
            relative,
            call,
        ),
    ):
        (before,) = workers(stage.daemon.pid, "transcode_worker")
        untouched = relayed.seen().frames
        os.kill(before, which)
        if which is signal.SIGKILL:
            wait_until(lambda: before not in workers(stage.daemon.pid, "transcode_worker"), 30, "it is gone")
            wait_until(lambda: len(workers(stage.daemon.pid, "transcode_worker")) == 1, 30, "another one runs")
        see_each_other(phone, relative)
        relayed.wait_frames(untouched + 50)
        assert next(row for row in stage.calls() if row["id"] == call)["state"] == "connected"
        assert [row["event"] for row in stage.journal(call)].count("LegFlowing") == 2
        other_phone.hang_up()
        phone.hang_up()
        assert wait_ended(stage, call)["end_reason"] == "detainee_hung_up"
    wait_until(lambda: any(call in path.name for path in stage.recordings()), 10, "one recording of it all")
    (path,) = [path for path in stage.recordings() if call in path.name]
    assert all(track.packets > 50 for track in report(path).tracks)
    assert decoding_errors(path) == ""


def test_a_page_without_h264_that_is_loaded_again_sees_again(stage: Stage, phone: BaresipPhone) -> None:
    with connected(stage, phone, SISTER, h264=False) as (relative, call):
        relative.reload()
        wait_until(lambda: portal.is_connected(relative), 30, "the page is back in the call")
        see_each_other(phone, relative, 20)
        wait_until(lambda: stage.metrics()["avisiod_transcoded_calls"] == 1, 15, "its picture is converted")
        phone.hang_up()
        wait_ended(stage, call)
