"""All that is done about phones as devices, made and joined for the daemon."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from avisiod.calls.ids import PhoneId
from avisiod.clock import Clock
from avisiod.config import Config
from avisiod.devices.phones.asker import Counts as AskerCounts
from avisiod.devices.phones.asker import PhoneAsker
from avisiod.devices.phones.edge_client import EdgeClient
from avisiod.devices.phones.keeper import Counts as KeeperCounts
from avisiod.devices.phones.keeper import PhoneKeeper, Sighting
from avisiod.phone_ports import DeviceStore


class PhoneCounts(KeeperCounts, AskerCounts, Protocol):
    """metrics.phones.PhoneMetrics."""


class PhoneRoom:
    """Watches phones and asks them. For the reactor's thread."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        config: Config,
        store: DeviceStore,
        counts: PhoneCounts,
        in_call: Callable[[PhoneId], bool],
    ) -> None:
        self.keeper = PhoneKeeper(clock, store, config.health, counts)
        edge = config.sip.edge[0] if config.sip.edge and ":" in config.sip.edge[0] else "127.0.0.1:5059"
        self.edge = EdgeClient(reactor, clock, edge, Path(config.health.edge_control))
        self.asker = PhoneAsker(clock, self.edge, self.keeper, counts, config.health, in_call, config.site.time_zone)

    def start(self) -> None:
        """Begin to ask; OSError or CannotListenError where no socket is to be had."""
        self.edge.start()
        self.asker.start()

    async def looked(self, registered: Mapping[PhoneId, Sighting] | None) -> None:
        """Every few seconds: the edge's registrations, None where they cannot be read."""
        await self.keeper.looked(registered)

    async def stop(self) -> None:
        """Ask no more."""
        self.asker.stop()
        self.edge.stop()
