"""SIGHUP: read the settings and the inventory again. All of it is good and taken up, or nothing is changed."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from twisted.internet.threads import deferToThread

from avisiod.config import check, reload_rules
from avisiod.config.settings import Config

logger = logging.getLogger(__name__)


class NotTaken(Exception):
    """A room cannot use the new settings; the text says why, and nothing was changed."""


class Rooms(Protocol):
    """What the daemon does with settings that were read."""

    @property
    def config(self) -> Config:
        """What is in use."""

    async def prepare(self, config: Config) -> Callable[[], Awaitable[None]]:
        """Make everything that may fail; NotTaken. What is returned takes the settings up, and does not fail."""


class Reloading:
    """One reload after the other; what is asked for while one runs is done once, after it."""

    def __init__(self, path: Path, rooms: Rooms, told: Callable[[str], None]) -> None:
        """`told` hears what became of each: `taken` or `refused`."""
        self._path = path
        self._rooms = rooms
        self._told = told
        self._running = False
        self._again = False
        self._started_with = rooms.config

    async def reload(self) -> None:
        """Read anew. Never fails: what is wrong is a line in the log, and the settings in use stay."""
        if self._running:
            self._again = True
            return
        self._running = True
        try:
            while True:
                self._again = False
                await self._once()
                if not self._again:
                    return
        finally:
            self._running = False

    async def _once(self) -> None:
        try:
            read = await deferToThread(check.load, self._path)
            change = reload_rules.change(self._rooms.config, read)
            take = await self._rooms.prepare(change.config)
        except (check.ConfigError, NotTaken) as error:
            logger.error("the settings were not reloaded, those in use stay: %s", " ".join(str(error).split("\n")))
            self._told("refused")
            return
        except Exception:
            logger.exception("the settings were not reloaded, those in use stay")
            self._told("refused")
            return
        await take()
        self._report(change, read)
        self._told("taken")

    def _report(self, change: reload_rules.Change, read: Config) -> None:
        taken = ", ".join(change.taken) or "nothing"
        logger.info("settings reloaded from %s; new from the next call on: %s", self._path, taken)
        for key in change.later:
            logger.warning("%s was changed, which takes a restart: systemctl restart avisiod", key)
        if not change.later and reload_rules.processes_short(self._started_with, change.config):
            logger.warning(
                "calls.capacity needs more SIP workers, which takes a restart: systemctl restart avisiod; until then "
                "further calls may hear that all lines are busy"
            )
        for caution in check.cautions(read):
            logger.warning("%s", caution)
