"""Troubles that last: the first report is a WARNING, repeats are DEBUG, the end of it is told once."""

import logging


class Troubles:
    """The troubles of one device that go on at present, by name."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._present: set[str] = set()

    def tell(self, name: str, message: str, *args: object) -> None:
        """Report a trouble. The same name repeats until `over`."""
        level = logging.DEBUG if name in self._present else logging.WARNING
        self._present.add(name)
        self._logger.log(level, message, *args)

    def over(self, name: str, message: str, *args: object) -> None:
        """The trouble has passed; told only when it had been reported."""
        if name in self._present:
            self._present.discard(name)
            self._logger.info(message, *args)
