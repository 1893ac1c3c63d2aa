"""What the rooms do with settings that were read again (reloading.Rooms): prepare what may fail, then take up."""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from twisted.internet.threads import deferToThread

from avisiod import log
from avisiod.config.settings import Config
from avisiod.devices.hooks.teller import HookTeller
from avisiod.gateway.media_gateway import MediaGateway
from avisiod.gateway.sip_gateway import SipGateway
from avisiod.gateway.transcode_gateway import TranscodeGateway
from avisiod.office.counter import Counter
from avisiod.office.desk import site_of
from avisiod.ports import StoreUnavailable
from avisiod.recordings_disk import RecordingsDisk
from avisiod.reloading import NotTaken
from avisiod.startup import code_texts, ice_secret
from avisiod.store import inventory
from avisiod.switchboard.desk import FrontDesk
from avisiod.switchboard.switchboard import Switchboard
from avisiod.telemetry import Telemetry
from avisiod.web.charter import CharterUnreadable
from avisiod.web.portal import RelativesPortal

logger = logging.getLogger(__name__)


class Rooms(Protocol):
    """What of the daemon follows its settings."""

    config: Config
    board: Switchboard
    desk: FrontDesk
    portal: RelativesPortal
    disk: RecordingsDisk
    counter: Counter
    telemetry: Telemetry
    hooks: HookTeller
    sip: SipGateway
    media: MediaGateway
    transcoders: TranscodeGateway

    def took_up(self, config: Config) -> None:
        """These settings are in use from now on."""

    async def take_inventory(self, listed: inventory.Inventory) -> None:
        """Phones and contacts of the file. StoreUnavailable, and nothing is changed."""


class Adoption:
    """Of one daemon. A room that learns to follow its settings gets its line in `take`."""

    def __init__(self, daemon: Rooms) -> None:
        self._daemon = daemon

    @property
    def config(self) -> Config:
        """What is in use."""
        return self._daemon.config

    async def prepare(self, config: Config) -> Callable[[], Awaitable[None]]:
        """See reloading.Rooms."""
        site, daemon = config.site, self._daemon
        try:
            texts = await deferToThread(code_texts, config)
            show = await deferToThread(daemon.portal.reload, config)
            servers = [(server, ice_secret(server)) for server in config.media.ice_servers]
            listed = await deferToThread(
                inventory.load, config.store.inventory_file, site.region, config.sip.realm, site.language
            )
        except (OSError, ValueError, CharterUnreadable, inventory.InventoryError) as error:
            raise NotTaken(str(error)) from None

        async def take() -> None:
            daemon.took_up(config)
            log.setup(config.log.level)
            daemon.board.adopt(config)
            if daemon.board.actions is not None:
                daemon.board.actions.adopt(config, texts)
            daemon.desk.adopt(servers)
            show()
            daemon.disk.keep_free(config.recordings.keep_free_bytes)
            daemon.counter.site = site_of(config)
            daemon.telemetry.adopt(config)
            daemon.hooks.adopt(config.hooks)
            for pool in (daemon.sip, daemon.media, daemon.transcoders):
                pool.take_up(config)
            try:
                await daemon.take_inventory(listed)
            except StoreUnavailable as error:
                logger.warning("the inventory is that of before, for the database takes no writes: %s", error)

        return take
