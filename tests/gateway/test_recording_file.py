"""What was written of a recording is on the disk, not only in the kernel, once a second."""

import os
from pathlib import Path

import pytest

from avisiod.gateway import recording_file
from avisiod.gateway.recording_file import SYNC_S, RecordingFile


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of the file at each fdatasync(2)."""
    sizes: list[int] = []
    sync = os.fdatasync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(recording_file.os, "fdatasync", watched)
    return sizes


def test_each_second_of_a_recording_is_synced_and_silence_costs_nothing(tmp_path: Path, synced: list[int]) -> None:
    file = RecordingFile(tmp_path / "call.mkv", keep_free_bytes=0)
    for second in range(1, 4):
        file.append(b"x" * 100)
        file.tend(1000.0 + second * SYNC_S)
        file.tend(1000.0 + second * SYNC_S + SYNC_S / 2)
    file.tend(1010.0)
    assert synced == [100, 200, 300]
    file.close()
