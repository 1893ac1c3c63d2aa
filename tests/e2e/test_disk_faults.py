"""The recordings' disk is slow, does not answer, is full or turns read-only: a kernel's own faults, in mid-call."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.recording_report import report
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.e2e.talk import line, pause, talking
from tests.peers.disk import Disk
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

SISTER, LAWYER, COUSIN, DOCTOR = (
    ContactEntry("sister", "+33639980001"),
    ContactEntry("lawyer", "+33639980002", confidential=True),
    ContactEntry("cousin", "+33639980003"),
    ContactEntry("doctor", "+33639980004", confidential=True),
)
SLOW_S, HANGS_S = 4.0, 14.0
"""Within what a recorder's queue holds, and beyond."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    folder = tmp_path_factory.mktemp("disk")
    with Disk(folder / "disk.img", folder / "disk", megabytes=128) as disk:
        yield disk


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, disk: Disk) -> Iterator[Stage]:
    settings = {
        "calls": {"limit_s": 120.0, "warnings_s": [60.0]},
        "media": {"workers": 1, "phone_silent_s": 10.0, "outside_silent_s": 5.0},
        "recordings": {"folder": str(disk.folder), "keep_free_bytes": 10_000_000},
    }
    phones = [PhoneEntry(f"cell{n}", f"secret-{n}", f"A {n}") for n in (1, 2, 3)]
    contacts = [SISTER, LAWYER, COUSIN, DOCTOR]
    folder = tmp_path_factory.mktemp("disk-faults")
    with Stage(folder, settings=settings, phones=phones, contacts=contacts) as stage:
        yield stage


@pytest.fixture(autouse=True)
def quiet_afterwards(stage: Stage, disk: Disk) -> Iterator[None]:
    """No test leaves a call or a disk that is still at fault."""
    yield
    disk.thaw()
    wait_until(lambda: "disk of the recordings" not in stage.health(), 30, "the disk is well")
    wait_until(lambda: all(call["state"] == "ended" for call in stage.calls()), 60, "every call has ended")


def recording(stage: Stage, call: str, timeout: float = 30.0) -> tuple[Path, bool]:
    """Where it is, and whether it is truncated, once it is in the store."""
    rows: list[dict[str, object]] = []

    def kept() -> bool:
        rows[:] = stage.rows("select path, truncated from recordings where call = ?", call)
        return bool(rows)

    wait_until(kept, timeout, f"the recording of {call} is in the store")
    return Path(str(rows[0]["path"])), bool(rows[0]["truncated"])


def is_served(stage: Stage) -> None:
    with talking(stage, "cell3", COUSIN) as talk:
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)
    assert not recording(stage, talk.phone.call)[1]


def test_a_disk_that_is_slow_for_some_seconds_costs_nothing(stage: Stage, disk: Disk) -> None:
    with talking(stage, "cell1", SISTER) as talk:
        disk.freeze()
        pause(SLOW_S)
        talk.wait_flowing()
        disk.thaw()
        talk.wait_flowing()
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)
    path, truncated = recording(stage, talk.phone.call)
    assert not truncated
    found = report(path)
    assert len(found.tracks) == 4
    assert found.duration_s > SLOW_S


def test_a_disk_that_does_not_answer_ends_recorded_calls_and_no_other(stage: Stage, disk: Disk) -> None:
    with talking(stage, "cell2", LAWYER) as spared:
        with talking(stage, "cell1", SISTER) as hit:
            disk.freeze()
            assert hit.phone.wait_ended(60) == ("recorder_failed", 0)
            hit.wait_told("recorder_failed")
            hit.phone.wait_hung_up()
            spared.wait_flowing()
            wait_until(lambda: "does not answer" in stage.health(), 30, "/health tells of it")
            with line(stage, "cell3", COUSIN) as refused:
                refused.dial()
                assert refused.wait_ended() == ("disk_full", 0), "nobody gets a code for a call that cannot be"
            with line(stage, "cell3", DOCTOR) as waiting:
                since = stage.sms.mark()
                assert waiting.dial() == 200, "a confidential line needs no disk"
                assert stage.wait_code(DOCTOR, since, 30)
                before = waiting.media.video.got
                wait_until(lambda: waiting.media.video.got > before, 20, "it is shown the waiting room")
                assert waiting.bye() == 200
                assert waiting.wait_ended() == ("detainee_gave_up", 0)
            disk.thaw()
            path, truncated = recording(stage, hit.phone.call)
            assert truncated
            assert len(report(path).tracks) == 4
        spared.relative.hang_up()
        assert spared.phone.wait_ended() == ("relative_hung_up", 1)
    is_served(stage)


def test_a_disk_that_fills_up_in_mid_call_ends_recorded_calls_and_is_used_again(stage: Stage, disk: Disk) -> None:
    with talking(stage, "cell2", LAWYER) as spared:
        with talking(stage, "cell1", SISTER) as hit:
            disk.fill()
            assert hit.phone.wait_ended() == ("disk_full", 0)
            hit.wait_told("disk_full")
        with line(stage, "cell3", COUSIN) as refused:
            wait_until(lambda: "disk of the recordings is full" in stage.health(), 20, "/health tells of it")
            refused.dial()
            assert refused.wait_ended() == ("disk_full", 0)
        spared.wait_flowing()
        disk.make_room()
        recording(stage, hit.phone.call)
        wait_until(lambda: "disk of the recordings" not in stage.health(), 20, "there is room again")
        assert spared.phone.bye() == 200
        assert spared.phone.wait_ended() == ("detainee_hung_up", 1)
    is_served(stage)


def test_a_disk_that_turns_read_only_ends_recorded_calls_and_their_recordings_are_found_again(
    stage: Stage, disk: Disk
) -> None:
    with talking(stage, "cell1", SISTER) as hit, talking(stage, "cell2", LAWYER) as spared:
        pause(5.0)  # so that there is something on the disk
        disk.fail()
        assert hit.phone.wait_ended() == ("recorder_failed", 0)
        hit.wait_told("recorder_failed")
        spared.wait_flowing()
        with line(stage, "cell3", COUSIN) as refused:
            wait_until(lambda: "disk of the recordings" in stage.health(), 20, "/health tells of it")
            refused.dial()
            refused.wait_ended()
        spared.relative.hang_up()
        assert spared.phone.wait_ended() == ("relative_hung_up", 1)
    stage.stop_daemon()
    disk.repair()
    stage.start_daemon()
    path, truncated = recording(stage, hit.phone.call)
    assert truncated
    assert len(report(path).tracks) == 4
    wait_until(lambda: "disk of the recordings" not in stage.health(), 20, "the disk is well")
    is_served(stage)
