"""What systemd is told (sd_notify(3)): ready, what goes on, alive, stopping. Harmless where no systemd listens."""

import logging
import os
from collections.abc import Callable, Sequence

from systemd.daemon import notify

from avisiod.clock import Clock, Timer
from avisiod.log import FirstThenDebug

_log = logging.getLogger(__name__)


def watchdog_interval_s() -> float | None:
    """How often systemd wants to hear that we live (sd_watchdog_enabled(3)): half of WATCHDOG_USEC; None if never."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not usec.isdecimal() or int(usec) == 0 or pid != str(os.getpid()):
        return None
    return int(usec) / 2 / 1_000_000


class Notifier:
    """Speaks to systemd for one daemon.

    The watchdog's timer runs on the loop that serves the calls: a loop that is stuck feeds nothing, and systemd
    restarts the service. What else starves it is for whoever makes `missing` to say.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: Timer | None = None
        self._missing: Callable[[], Sequence[str]] = lambda: ()
        self._unheard = FirstThenDebug(_log)
        self._starved = FirstThenDebug(_log)

    def ready(self) -> None:
        """Everything serves; `systemctl start` returns."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The settings are read again; `ready` follows."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={round(self._clock.now() * 1_000_000)}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`, such as `3 of 20 calls`."""
        self._tell("STATUS=" + " ".join(text.split()))

    def feed_unless(self, missing: Callable[[], Sequence[str]]) -> None:
        """Feed the watchdog, if systemd wants it fed, at each half interval at which `missing()` names nothing."""
        self._missing = missing
        if self._timer is not None:
            self._timer.cancel()
        self._feed()

    def stopping(self) -> None:
        """Going down in good order; fed until the end, whatever is missing of parts that are stopping too."""
        self._missing = lambda: ()
        self._tell("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Stopping takes so long from now on, whatever TimeoutStopSec says (EXTEND_TIMEOUT_USEC)."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}")

    def close(self) -> None:
        """Feed no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _feed(self) -> None:
        interval = watchdog_interval_s()
        if interval is None:
            return
        self._timer = self._clock.call_at(self._clock.now() + interval, self._feed)
        try:
            missing = self._missing()
        except Exception:  # noqa: BLE001 - a check that fails is not a good one, and is asked again
            _log.exception("the check of our own health failed; the watchdog is not fed")
            return
        if missing:
            self._starved.failed(
                "the watchdog is not fed, systemd restarts the service if this lasts: %s", "; ".join(missing)
            )
        else:
            self._starved.recovered("everything answers again; the watchdog is fed")
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        try:
            notify(message)
        except OSError as error:
            self._unheard.failed("systemd does not hear us (%s); it may think that we hang", error.strerror)
        else:
            self._unheard.recovered("systemd hears us again")
