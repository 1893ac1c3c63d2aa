"""The files of firmware as phones get them: checked ones, whole, and only to phones that should run them."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.threads import deferToThread

from avisiod.devices.provisioning.reception import Reply, nothing
from avisiod.log import FirstThenDebug
from avisiod.phone_ports import Device, FirmwareFile

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20


class Library:
    """Knows the files; `take` tells it what the store has. For the reactor's thread."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._files: Sequence[FirmwareFile] = ()
        self._good: dict[str, tuple[int, int, int]] = {}
        """Files whose digest was right, with inode, time and size of then."""
        self._trouble = FirstThenDebug(_log)

    def take(self, files: Sequence[FirmwareFile]) -> None:
        """The files that the store knows."""
        self._files = files

    def _for(self, device: Device) -> FirmwareFile | None:
        if not device.firmware:
            return None
        return next(
            (
                file
                for file in self._files
                if (file.vendor, file.release) == (device.vendor, device.firmware)
                and file.model in ("", device.model)
            ),
            None,
        )

    async def wanted(self, device: Device) -> tuple[str, str]:
        """Version and name of the file that the device should fetch; empty for none."""
        file = self._for(device)
        return ("", "") if file is None else (file.release, file.file)

    async def given(self, device: Device, name: str) -> Reply:
        """The file, where it is the one that the device should run and is as it was checked."""
        file = self._for(device)
        if file is None or file.file != name:
            return nothing("no_such_file")
        if not await self.whole(file):
            self._trouble.failed(
                "the firmware %s is not as it was checked: no phone gets it; add it again, or restore the file",
                file.id,
            )
            return nothing("firmware_damaged")
        return Reply(200, file=str(self._folder / file.file), why="firmware")

    async def whole(self, file: FirmwareFile) -> bool:
        """Whether the file on disk has the size and digest that were checked."""
        path = self._folder / file.file
        try:
            found = path.stat()
        except OSError:
            return False
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if found.st_size != file.size:
            return False
        if self._good.get(file.file) == stamp:
            return True
        if await deferToThread(_sha256, path) != file.sha256:
            return False
        self._good[file.file] = stamp
        return True


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()
