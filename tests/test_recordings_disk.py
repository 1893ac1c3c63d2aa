"""A disk that is full, gone, read-only or silent is told apart, and never waited for."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_twisted

from avisiod import recordings_disk
from avisiod.recordings_disk import ANSWERS_WITHIN_S, TRIAL, RecordingsDisk, Seen, look
from tests.steered_clock import SteeredClock

KEEP = 1000


def disk(folder: Path, clock: SteeredClock | None = None, looks: Callable[[Path], Seen] = look) -> RecordingsDisk:
    return RecordingsDisk(folder, KEEP, clock or SteeredClock(), looks)


@pytest_twisted.ensureDeferred
async def test_a_disk_with_room_takes_recordings_and_nothing_is_left_of_the_trial(tmp_path: Path) -> None:
    one = disk(tmp_path)
    assert not one.room, "not before the first look"
    await one.look()
    assert (one.room, one.trouble) == (True, "")
    assert one.free_bytes is not None
    assert os.listdir(tmp_path) == []


@pytest_twisted.ensureDeferred
async def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    one = disk(tmp_path / "gone")
    await one.look()
    assert "cannot be read" in one.trouble


@pytest_twisted.ensureDeferred
async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    one = disk(tmp_path, looks=lambda _: Seen(KEEP, ""))
    await one.look()
    assert "full" in one.trouble
    assert not one.room


@pytest_twisted.ensureDeferred
async def test_a_file_system_that_turned_read_only_has_no_room_however_much_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refusing(path: Path, flags: int, mode: int = 0o777) -> int:
        if Path(path).name == TRIAL:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, mode)

    monkeypatch.setattr(recordings_disk.os, "open", refusing)
    one = disk(tmp_path)
    await one.look()
    assert "cannot be written (Read-only file system)" in one.trouble
    assert not one.room
    monkeypatch.undo()
    await one.look()
    assert one.room


@pytest_twisted.ensureDeferred
async def test_a_disk_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    answer, clock, asked = threading.Event(), SteeredClock(), []

    def slow(folder: Path) -> Seen:
        asked.append(folder)
        answer.wait()
        return Seen(10 * KEEP, "")

    one = disk(tmp_path, clock, slow)
    first = one.look()
    assert one.answers, "it may still"
    clock.advance(ANSWERS_WITHIN_S + 1)
    assert one.look().called
    assert not one.answers
    assert "does not answer" in one.trouble
    answer.set()
    await first
    assert len(asked) == 1
    assert one.room
    assert one.answers
