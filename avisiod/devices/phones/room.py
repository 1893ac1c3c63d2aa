"""All that is done about phones as devices, made and joined for the daemon."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from avisiod.calls.ids import PhoneId
from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.devices.firmware.library import Library
from avisiod.devices.firmware.runner import Counts as RunnerCounts
from avisiod.devices.firmware.runner import Runner
from avisiod.devices.phones.asker import Counts as AskerCounts
from avisiod.devices.phones.asker import PhoneAsker
from avisiod.devices.phones.edge_client import EdgeClient
from avisiod.devices.phones.incoming import Incoming, MappingUnusable, mappings
from avisiod.devices.phones.keeper import Counts as KeeperCounts
from avisiod.devices.phones.keeper import PhoneKeeper, Sighting
from avisiod.devices.provisioning.phone_secrets import KeyUnusable, PhoneSecrets, master_key
from avisiod.devices.provisioning.reception import Reception
from avisiod.devices.provisioning.render import CannotRender, Templates
from avisiod.devices.provisioning.server import PhoneServer, ServerCannotStart
from avisiod.log import FirstThenDebug
from avisiod.phone_ports import DeviceStore, RolloutStore

_log = logging.getLogger(__name__)

AGAIN_S = 30.0
"""A server that could not start is tried again after this."""


class PhoneCounts(KeeperCounts, AskerCounts, RunnerCounts, Protocol):
    """metrics.phones.PhoneMetrics."""


class Stores(DeviceStore, RolloutStore, Protocol):
    """store.device_store.StoredDevices."""


class ServerCounts(Protocol):
    """metrics.provisioning.ProvisioningMetrics."""

    def answered(self, result: str, seconds: float) -> None:
        """A request is answered."""


class PhoneRoom:
    """Watches phones, asks them, and gives them their settings. For the reactor's thread."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        config: Config,
        store: Stores,
        counts: PhoneCounts,
        served: ServerCounts,
        in_call: Callable[[PhoneId], bool],
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._config = config
        self._store = store
        self._served = served
        self.keeper = PhoneKeeper(clock, store, config.health, counts)
        edge = config.sip.edge[0] if config.sip.edge and ":" in config.sip.edge[0] else "127.0.0.1:5059"
        self.edge = EdgeClient(reactor, clock, edge, Path(config.health.edge_control))
        self.asker = PhoneAsker(clock, self.edge, self.keeper, counts, config.health, in_call, config.site.time_zone)
        self.library = Library(config.firmware.folder)
        self.runner = Runner(
            clock,
            store,
            self.keeper,
            self.asker,
            self.library,
            counts,
            config.firmware,
            in_call,
            config.site.time_zone,
        )
        self.server: PhoneServer | None = None
        self.problems: list[str] = []
        """What /health tells: sentences for the technician."""
        self._trouble = FirstThenDebug(_log)
        self._again_at = float("-inf")
        self._stopped = False

    def start(self) -> None:
        """Begin to ask and to serve. What is in the way of serving keeps no family from its call: it is told."""
        self.edge.start()
        self.asker.start()
        self._serve()

    def _serve(self) -> None:
        """Begin to serve, where that is wanted and not done yet: an address may not be up when the box starts."""
        now = self._clock.now()
        if not self._config.provisioning.address or self.server is not None or self._stopped or now < self._again_at:
            return
        self._again_at = now + AGAIN_S
        try:
            server = self._make_server()
            server.start()
        except (ServerCannotStart, KeyUnusable, CannotRender, MappingUnusable) as error:
            self._trouble.failed("phones are given no settings, and nobody hears their events: %s", error)
            self.problems = ["phones are given no settings, and nobody hears their events: the journal says why"]
        else:
            self.server, self.problems = server, []
            self._trouble.recovered("phones are given their settings again")

    def _make_server(self) -> PhoneServer:
        provisioning = self._config.provisioning
        templates = Templates(provisioning.templates_folder)
        templates.check()
        reception = Reception(
            self._clock,
            self._config,
            self._store,
            PhoneSecrets(master_key(Path(provisioning.master_key_file))),
            templates,
            self.keeper,
            Incoming(self._clock, mappings(provisioning.events_folder), self.keeper.said, self.keeper.reports_of),
        )
        reception.firmware_for, reception.firmware_file = self.library.wanted, self.library.given
        return PhoneServer(self._reactor, self._clock, provisioning, reception, self._served.answered)

    async def looked(self, registered: Mapping[PhoneId, Sighting] | None) -> None:
        """Every few seconds: the edge's registrations, None where they cannot be read."""
        self._serve()
        await self.keeper.looked(registered)
        await self.runner.looked()

    @property
    def live(self) -> dict[str, Callable[..., Any]]:
        """What staff may have done by the running daemon: office.counter.Counter.live."""
        return {"phones.reload": self._reload, "phones.test": self._test}

    async def _reload(self, phone: str, reboot: bool) -> dict[str, Any]:
        await self.keeper.refresh()
        why = await self.asker.told(PhoneId(phone), reboot=reboot)
        return {"phone": phone, "done": not why, "why": why}

    async def _test(self, phone: str) -> dict[str, Any]:
        await self.keeper.refresh()
        why = await self.asker.tested(PhoneId(phone))
        return {"phone": phone, "done": not why, "why": why}

    async def stop(self) -> None:
        """Ask no more, serve no more."""
        self._stopped = True
        self.asker.stop()
        if self.server is not None:
            await self.server.stop()
        self.edge.stop()
        await self.keeper.close()
