"""The recording on disk while it grows: clusters appended whole, synced every few seconds, never more than fits.

Used by one thread at a time. Every failure is a `RecorderUnavailable` whose text begins with `disk_full` or `io`.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from avisiod.gateway.wire import RecorderUnavailable

SYNC_S = 2.0
"""Written bytes reach the disk at least this often; a power cut costs no more than this and what is not written."""
CHECK_FREE_S = 1.0


class RecordingFile:
    """`path` + `.part`, locked by us as long as it is open: whoever holds no lock may take it for abandoned."""

    def __init__(self, path: Path, keep_free_bytes: int) -> None:
        self.part = part_path(path)
        self.size = 0
        self._keep_free_bytes = keep_free_bytes
        self._synced_at = self._checked_at = 0.0
        self._synced_size = 0
        with _described(self.part):
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._check_free()
            if path.exists():
                raise FileExistsError(errno.EEXIST, "a recording of this name is already there", str(path))
            self._descriptor = _create_locked(self.part)

    def append(self, data: bytes) -> None:
        """Write at the end; where that fails half-way, the file is cut back to what it was."""
        with _described(self.part):
            try:
                _write_all(self._descriptor, data)
            except OSError:
                os.ftruncate(self._descriptor, self.size)
                raise
        self.size += len(data)

    def overwrite_start(self, data: bytes) -> None:
        """Put other bytes of the same length at the beginning."""
        with _described(self.part):
            written = os.pwrite(self._descriptor, data, 0)
            if written != len(data):
                raise OSError(errno.EIO, "the header was written only in part")

    def sync(self) -> None:
        """Everything written is on disk when this returns."""
        with _described(self.part):
            os.fsync(self._descriptor)
        self._synced_size = self.size

    def tend(self, now: float) -> None:
        """Sync and look at the free space when it is time."""
        with _described(self.part):
            if now - self._checked_at >= CHECK_FREE_S:
                self._checked_at = now
                self._check_free()
            if now - self._synced_at >= SYNC_S and self._synced_size != self.size:
                self._synced_at = now
                self._synced_size = self.size
                os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Let the file go, with its lock; harmless when closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _check_free(self) -> None:
        facts = os.statvfs(self.part.parent)
        free = facts.f_bavail * facts.f_frsize
        if free < self._keep_free_bytes:
            raise OSError(errno.ENOSPC, f"{free} bytes free, {self._keep_free_bytes} are to stay free")


def _create_locked(part: Path) -> int:
    """Create a file that bears its name only once it is locked: it is never found abandoned while it begins."""
    beginning = part.with_name(part.name + ".new")
    descriptor = os.open(beginning, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.link(beginning, part)
    except OSError:
        os.close(descriptor)
        raise
    finally:
        beginning.unlink()
    return descriptor


def part_path(path: Path) -> Path:
    """Name of a recording while it is written."""
    return path.with_name(path.name + ".part")


def facts_path(path: Path) -> Path:
    """What is known of a recording while it is written, for whoever has to seal it in its writer's stead."""
    return path.with_name(path.name + ".facts.json")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def _described(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unavailable(path, error) from error


def unavailable(path: Path, error: OSError) -> RecorderUnavailable:
    """Say in one line what the disk refused."""
    why = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "io"
    return RecorderUnavailable(f"{why}: {path}: {error.strerror or error}")
