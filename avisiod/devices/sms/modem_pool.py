"""Several modems as one route: whichever are plugged in, found by the pattern of their paths.

udev gives each modem a path of its own (etc/udev/70-avisiod-modem.rules): one that appears is taken up, one that is
gone for a while is dropped. A message goes to the modem that has the least to do.
"""

import glob
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from avisiod.clock import Clock, Timer
from avisiod.config.sms import Modem as ModemSettings
from avisiod.devices.delivery import DeliveryReport
from avisiod.devices.modem import Modem
from avisiod.devices.modem_state import ModemState
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.ports import Sms

log = logging.getLogger(__name__)

LOOK_S = 1.0
GONE_S = 30.0
"""A modem that is away for less has merely started anew."""
AT_ONCE = 16
"""Messages in the hands of a pool; each modem still sends one after the other."""


class ModemPool:
    """Route for SMS through every modem whose path fits `settings.device`; without * or ? it is one path."""

    def __init__(
        self,
        settings: ModemSettings,
        clock: Clock,
        reactor: Any,
        *,
        changed: Callable[[str, ModemState], None] = lambda _path, _state: None,
        reported: Callable[[DeliveryReport], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._reactor = reactor
        self._changed = changed
        self._reported = reported
        self._pattern = settings.device
        self._is_pattern = any(char in settings.device for char in "*?[")
        self._seen: dict[str, float] = {}
        self._in_hand: dict[str, int] = {}
        self._timer: Timer | None = None
        self.modems: dict[str, Modem] = {}

    def start(self) -> None:
        """Begin to look for modems."""
        if self._is_pattern:
            self._look()
        else:
            self._add(self._pattern)

    def stop(self) -> None:
        """Close every port."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for path in list(self.modems):
            self._drop(path)

    @property
    def usable(self) -> bool:
        """One of them can send."""
        return any(modem.state.usable for modem in self.modems.values())

    @property
    def states(self) -> dict[str, ModemState]:
        """By path."""
        return {path: modem.state for path, modem in self.modems.items()}

    def send(self, sms: Sms) -> Deferred[None]:
        """By the modem that can send and has the least to do; what `Modem.send` says."""
        if not self.modems:
            none: Deferred[None] = Deferred()
            none.errback(Failure(RouteFailure(FailureKind.NO_MODEM, "no modem is plugged in")))
            return none
        path = min(self.modems, key=lambda each: (not self.modems[each].state.usable, self._in_hand.get(each, 0)))
        self._in_hand[path] = self._in_hand.get(path, 0) + 1

        def done(result: Any) -> Any:
            self._in_hand[path] = max(0, self._in_hand.get(path, 0) - 1)
            return result

        return self.modems[path].send(sms).addBoth(done)

    def _look(self) -> None:
        now = self._clock.now()
        for path in sorted(glob.glob(self._pattern)):
            self._seen[path] = now
            if path not in self.modems:
                log.info("Modem %s is taken up", path)
                self._add(path)
        for path in [each for each in self.modems if now - self._seen[each] > GONE_S]:
            log.warning("Modem %s is gone and not waited for any more", path)
            self._drop(path)
        self._timer = self._clock.call_at(now + LOOK_S, self._look)

    def _add(self, path: str) -> None:
        mark = self._settings.pin_mark_file
        if self._is_pattern:
            mark = f"{mark}-{Path(path).name}"
        settings = msgspec.structs.replace(self._settings, device=path, pin_mark_file=mark)
        modem = Modem(
            settings,
            self._clock,
            self._reactor,
            changed=lambda state: self._changed(path, state),
            reported=self._reported,
        )
        self.modems[path] = modem
        modem.start()

    def _drop(self, path: str) -> None:
        modem = self.modems.pop(path)
        self._in_hand.pop(path, None)
        modem.stop()
        self._changed(path, ModemState())
