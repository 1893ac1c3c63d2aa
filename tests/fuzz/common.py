"""What harnesses share: inputs of several pieces, and errors that were logged instead of raised."""

import logging
from collections.abc import Iterable, Iterator

from twisted.logger import LogEvent, globalLogPublisher


def pieces(data: bytes, most: int = 64) -> Iterator[bytes]:
    """The input as a run of datagrams or reads: each begins with its length in two octets."""
    at, count = 0, 0
    while at + 2 <= len(data) and count < most:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : end]
        at, count = end, count + 1


def packed(found: Iterable[bytes]) -> bytes:
    """The input that gives these pieces."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in found)


def in_words(error: Exception) -> None:
    """AssertionError where something was refused and nobody told why."""
    if not str(error):
        raise AssertionError("refused without a word")


class _Kept(logging.Handler):
    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(f"{record.getMessage()} {record.exc_info}")


class Errors:
    """Collects what is logged as an error: behind each is an exception that somebody foresaw only in general."""

    def __init__(self) -> None:
        self._told: list[str] = []
        root = logging.getLogger()
        root.handlers = [_Kept(self._told)]
        root.setLevel(logging.ERROR)
        globalLogPublisher.addObserver(self._hear)

    def _hear(self, event: LogEvent) -> None:
        failure = event.get("log_failure") or event.get("failure")  # the latter in Twisted's older log
        if failure is not None:
            self._told.append(failure.getTraceback())

    def take(self) -> list[str]:
        """All of them; from now on there are none."""
        told = self._told.copy()
        self._told.clear()
        return told

    def none(self) -> None:
        """AssertionError with the first one."""
        told = self.take()
        if told:
            raise AssertionError(told[0])
