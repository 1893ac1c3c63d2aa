"""A disk of its own, as the kernel has disks: it can be full, read-only after an error, or not answer. Needs root."""

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Self

FILLER = "filler"
SPARE_BYTES = 64 * 1024


class Disk:
    """An ext4 file system in a file, mounted at `folder` until `close`. What is done to it is the kernel's own doing:
    ENOSPC, a file system that turned read-only (EROFS for files that are open, too), writers that wait."""

    def __init__(self, image: Path, folder: Path, megabytes: int = 64) -> None:
        self.folder = folder
        self._image = image
        self._frozen = False
        folder.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        _run("mount", "-o", "loop,errors=remount-ro", image, folder)
        (folder / "lost+found").rmdir()

    def fill(self) -> None:
        """Leave no room but a few blocks."""
        free = os.statvfs(self.folder)
        size = max(0, free.f_bavail * free.f_frsize - SPARE_BYTES)
        with (self.folder / FILLER).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def make_room(self) -> None:
        (self.folder / FILLER).unlink(missing_ok=True)

    def freeze(self) -> None:
        """Whoever writes, waits."""
        _run("fsfreeze", "--freeze", self.folder)
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            _run("fsfreeze", "--unfreeze", self.folder)

    def fail(self) -> None:
        """The kernel finds an error and makes the file system read-only, for files that are open as well."""
        _run("mount", "-o", "remount,abort", self.folder)

    def repair(self) -> None:
        """What a technician does after `fail`: check, mount again. Nobody may have anything open there."""
        _run("umount", self.folder)
        subprocess.run(
            ["e2fsck", "-p", "-f", self._image], check=False, capture_output=True
        )  # 1: it mended something
        _run("mount", "-o", "loop,errors=remount-ro", self._image, self.folder)

    def close(self) -> None:
        self.thaw()
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("umount", "-l", self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(*argv: str | Path) -> None:
    subprocess.run([str(each) for each in argv], check=True, capture_output=True)
