"""Whether recordings can be written: room, a file system that takes writes, a disk that answers. Tried, not believed.

A file system that turned read-only after an error still tells how much is free, and one that hangs tells nothing at
all: so a small file is written and deleted again, in a thread, and control's loop never waits for the disk.
"""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from avisiod.clock import Clock
from avisiod.log import FirstThenDebug

logger = logging.getLogger(__name__)

ANSWERS_WITHIN_S = 8.0
"""Less than the recorders' queues hold; a disk that spins up again takes some seconds."""
TRIAL = ".avisiod-writes"


class Seen(NamedTuple):
    """What a look found."""

    free_bytes: int | None
    """None: the folder cannot be read."""
    refused: str
    """Why nothing can be written there; empty where it can."""


def look(folder: Path) -> Seen:
    """Look and try. Blocks, for ever where the disk does not answer."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Seen(None, error.strerror or str(error))
    trial = folder / TRIAL
    try:
        descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, b"x")
        finally:
            os.close(descriptor)
            trial.unlink()
    except OSError as error:
        return Seen(free, error.strerror or str(error))
    return Seen(free, "")


class RecordingsDisk:
    """The last look at the disk; `room` and `trouble` never block."""

    def __init__(
        self, folder: Path, keep_free_bytes: int, clock: Clock, looks: Callable[[Path], Seen] = look
    ) -> None:
        self._folder = folder
        self._keep_free_bytes = keep_free_bytes
        self._clock = clock
        self._looks = looks
        self._seen: Seen | None = None
        self._asked_at: float | None = None
        self._log = FirstThenDebug(logger)

    def keep_free(self, size: int) -> None:
        """Recordings are refused from now on where no more than this is free."""
        self._keep_free_bytes = size

    @property
    def free_bytes(self) -> int | None:
        """As of the last look; None where it could not be told."""
        return self._seen.free_bytes if self._seen is not None else None

    @property
    def room(self) -> bool:
        """Whether a recording may be begun. Not before the first look."""
        return not self.trouble

    @property
    def answers(self) -> bool:
        """Whether the last look has been answered, or may still be: what it found does not matter."""
        return self._asked_at is None or self._clock.now() - self._asked_at <= ANSWERS_WITHIN_S

    @property
    def trouble(self) -> str:
        """What is in the way of recordings, for the technician; empty where nothing is."""
        if not self.answers:
            return "the disk of the recordings does not answer: recorded calls are refused; look at the kernel's log"
        if self._seen is None or self._seen.free_bytes is None:
            return "the recordings' folder cannot be read: recorded calls are refused"
        if self._seen.free_bytes <= self._keep_free_bytes:
            return "the disk of the recordings is full: recorded calls are refused; free some space"
        if self._seen.refused:
            return (
                f"the disk of the recordings cannot be written ({self._seen.refused}): recorded calls are refused; "
                "look at the kernel's log, then check the file system and mount it again"
            )
        return ""

    def look(self) -> Deferred[None]:
        """Look anew; fires when that is done. While an older look has no answer none is begun: fires at once."""
        done: Deferred[None] = Deferred()
        if self._asked_at is not None:
            self._tell()
            done.callback(None)
            return done
        self._asked_at = self._clock.now()

        def looked(seen: Seen | Failure) -> None:
            self._asked_at = None
            self._seen = seen if isinstance(seen, Seen) else Seen(None, str(seen.value))
            self._tell()
            done.callback(None)

        deferToThread(self._looks, self._folder).addBoth(looked)
        return done

    def _tell(self) -> None:
        if self.trouble:
            self._log.failed("%s", self.trouble)
        else:
            self._log.recovered("recordings can be written again")
