"""What goes wrong in mid-call ends with its right reason, harms no other call, and loses nothing."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.recording_report import report
from tests.e2e.connected import connected, wait_ended
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.peers import portal
from tests.peers.baresip import BaresipPhone
from tests.peers.waiting import wait_until
from tests.peers.workers import command, workers

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

SISTER, LAWYER = ContactEntry(), ContactEntry("lawyer", "+33639980002", confidential=True)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("faults")
    settings = {"calls": {"limit_s": 120.0, "warnings_s": [60.0]}, "media": {"outside_silent_s": 3.0}}
    phones = [PhoneEntry(), PhoneEntry("cell2", "also-none", "A 102")]
    with Stage(folder, settings=settings, phones=phones, contacts=[SISTER, LAWYER]) as stage:
        yield stage


@pytest.fixture(scope="module")
def phone(stage: Stage) -> BaresipPhone:
    return stage.phone()


@pytest.fixture(autouse=True)
def quiet_afterwards(stage: Stage, phone: BaresipPhone) -> Iterator[None]:
    """No test leaves a call behind for the next one."""
    yield
    phone.hang_up()
    wait_until(lambda: all(call["state"] == "ended" for call in stage.calls()), 30, "every call has ended")


def test_the_detainee_hangs_up(stage: Stage, phone: BaresipPhone) -> None:
    with connected(stage, phone) as (relative, call):
        phone.hang_up()
        row = wait_ended(stage, call)
        assert (row["end_reason"], row["charged"]) == ("detainee_hung_up", 1)
        wait_until(lambda: bool(portal.ending(relative)), 20, "the page tells the end")


def test_the_relative_hangs_up_and_the_phone_is_told_and_hung_up(stage: Stage, phone: BaresipPhone) -> None:
    with connected(stage, phone) as (relative, call):
        mark = phone.events.mark()
        portal.hang_up(relative)
        assert wait_ended(stage, call)["end_reason"] == "relative_hung_up"
        phone.wait_closed(20, since=mark)


CAMERA_STOPS = """() => document.getElementById("self-view").srcObject.getVideoTracks().forEach((track) => {
  track.stop();
  track.dispatchEvent(new Event("ended"));
})"""
"""As on a phone whose owner takes another call: the system takes the camera away; the page opens it anew."""


def test_a_camera_that_stops_and_comes_back_interrupts_the_call_for_a_moment_only(
    stage: Stage, phone: BaresipPhone
) -> None:
    with connected(stage, phone) as (relative, call):
        relative.evaluate(CAMERA_STOPS)
        wait_until(lambda: len(relative.connections()) == 2, 20, "the page offers anew")
        wait_until(lambda: stage.calls()[-1]["state"] == "connected", 20, "connected again")
        relative.wait_frames(15)
        shown = phone.video().frames
        phone.wait_frames(shown + 15)
        phone.hang_up()
        assert wait_ended(stage, call)["end_reason"] == "detainee_hung_up"


def test_a_page_that_is_loaded_again_is_back_without_a_code(stage: Stage, phone: BaresipPhone) -> None:
    with connected(stage, phone) as (relative, call):
        relative.reload()
        wait_until(lambda: portal.is_connected(relative), 30, "the page is back in the call")
        relative.wait_frames(15)
        events = [row["event"] for row in stage.journal(call)]
        assert events.count("CodeAccepted") == 1
        assert "CameBack" in events
        phone.hang_up()
        wait_ended(stage, call)
        wait_until(lambda: any(call in path.name for path in stage.recordings()), 60, "one recording of it all")


def test_a_media_worker_that_dies_ends_its_call_uncharged_and_its_recording_is_sealed_as_truncated(
    stage: Stage, phone: BaresipPhone
) -> None:
    with connected(stage, phone) as (relative, call):
        mark = phone.events.mark()
        relative.wait_frames(100)
        lines = stage.daemon.lines.mark()
        os.kill(workers(stage.daemon.pid, "media_worker")[0], signal.SIGKILL)
        row = wait_ended(stage, call)
        assert (row["end_reason"], row["charged"]) == ("media_failed", 0)
        phone.wait_closed(30, since=mark)
        wait_until(lambda: bool(portal.ending(relative)), 20, "the page tells the end")

        def kept() -> bool:
            return bool(stage.rows("select * from recordings where call = ?", call))

        wait_until(kept, 60, "the recording is in the store")
        kept_row = stage.rows("select * from recordings where call = ?", call)[0]
        assert kept_row["truncated"] == 1
        found = report(Path(str(kept_row["path"])))
        assert len(found.tracks) == 4
        assert found.duration_s > 2
    stage.daemon.wait_for_line("media_worker runs", 60, since=lines)
    with connected(stage, phone) as (_, again):
        phone.hang_up()
        assert wait_ended(stage, again)["end_reason"] == "detainee_hung_up"


def test_a_sip_worker_that_dies_costs_no_call(stage: Stage, phone: BaresipPhone) -> None:
    with connected(stage, phone) as (relative, call):
        killed, lines = workers(stage.daemon.pid, "sip_worker"), stage.daemon.lines.mark()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: again(stage, lines) == len(killed), 30, "the SIP workers serve again")
        frames = relative.seen().frames
        relative.wait_frames(frames + 50)
        portal.hang_up(relative)
        assert wait_ended(stage, call)["end_reason"] == "relative_hung_up"
    phone.hang_up()


def again(stage: Stage, since: int) -> int:
    """How many SIP workers were started anew."""
    return sum("sip_worker runs (pid" in each for each in stage.daemon.lines.items(since))


def test_a_lawyers_call_leaves_no_recording(stage: Stage, phone: BaresipPhone) -> None:
    def recorded() -> set[str]:
        """The calls that left any file, by name; an earlier one may still be sealed, which renames its files."""
        return {path.name.split(".")[0] for path in stage.recordings_folder.rglob("*") if path.is_file()}

    before = recorded()
    with connected(stage, phone, LAWYER) as (_, call):
        phone.hang_up()
        assert wait_ended(stage, call)["confidential"] == 1
    assert recorded() == before


def test_when_the_modem_is_gone_the_phone_is_told_instead_of_waiting(stage: Stage, phone: BaresipPhone) -> None:
    stage.modem.unplug()
    mark, before = phone.events.mark(), len(stage.calls())
    phone.dial(SISTER.dialled)
    phone.wait_closed(90, since=mark)
    assert [call["end_reason"] for call in stage.calls()[before:]] == ["sms_failed"]
    stage.modem.plug()
    wait_until(lambda: stage.metrics()["avisiod_modem_usable"] == 1.0, 40, "the modem is back")


def test_an_unknown_number_is_refused_in_words(stage: Stage, phone: BaresipPhone) -> None:
    mark = phone.events.mark()
    phone.dial("0639980099")
    phone.wait_closed(20, since=mark)
    assert stage.calls()[-1]["end_reason"] == "unknown_number"


def test_a_daemon_that_is_killed_ends_its_calls_on_both_sides_and_finds_their_recordings_again(
    stage: Stage, phone: BaresipPhone
) -> None:
    with connected(stage, phone) as (relative, call):
        mark, left = phone.events.mark(), workers(stage.daemon.pid)
        assert left
        os.kill(stage.daemon.pid, signal.SIGKILL)
        phone.wait_closed(30, since=mark)
        frames = relative.seen().frames
        # As systemd does: the next start waits until the last process of the old one has hung up, sealed and ended.
        wait_until(lambda: not any(command(pid) for pid in left), 60, "its workers have ended")
        stage.start_daemon()
        row = wait_ended(stage, call)
        assert (row["end_reason"], row["charged"]) == ("service_restarted", 0)
        wait_until(
            lambda: bool(stage.rows("select * from recordings where call = ?", call)), 60, "the recording is kept"
        )
        assert frames > 0
    with connected(stage, phone) as (_, again):
        phone.hang_up()
        wait_ended(stage, again)
