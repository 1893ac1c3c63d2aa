"""Tells the service avisiod-hooks what happens, and hears what became of its scripts. Never blocks, never fails.

The daemon itself starts nothing (NoNewPrivileges, its memory full of codes): scripts run in a service of their own,
as a user of their own, which is all that this socket leads to.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from avisiod.config.hooks import Hooks
from avisiod.hook_runner import EVENTS, Happening, Outcome
from avisiod.log import FirstThenDebug

log = logging.getLogger(__name__)

WAITING = 100
"""Events that wait for the connection; further ones are dropped."""

_OUTCOME = msgspec.json.Decoder(Outcome)


class HookMetrics(Protocol):
    """metrics.hooks.HookMetrics."""

    def told(self, event: str, result: str) -> None:
        """An event was told, or dropped."""

    def ran(self, result: str) -> None:
        """A script ran."""


class HookTeller:
    """Implements ports.SiteEvents."""

    def __init__(self, reactor: Any, settings: Hooks, metrics: HookMetrics) -> None:
        self._reactor = reactor
        self._settings = settings
        self._silent = settings.silent
        self._metrics = metrics
        self._waiting: list[Happening] = []
        self._line: _Line | None = None
        self._connecting = False
        self._trouble = FirstThenDebug(log)

    def happened(self, event: str, facts: Mapping[str, str]) -> None:
        """See ports.SiteEvents."""
        if event not in EVENTS:
            raise ValueError(f"{event!r} is not an event of hook_runner.EVENTS")
        if not self._settings.socket_file or event in self._silent:
            return
        if len(self._waiting) >= WAITING:
            self._metrics.told(event, "dropped")
            return
        self._waiting.append(Happening(event=event, facts={name: _clean(value) for name, value in facts.items()}))
        self._flush()

    def adopt(self, settings: Hooks) -> None:
        """Take up of which events nobody is told; the socket stays."""
        self._silent = settings.silent

    def stop(self) -> None:
        """Tell nothing more."""
        self._waiting.clear()
        if self._line is not None:
            self._line.leave()

    def _flush(self) -> None:
        if self._line is not None:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                self._line.tell(each)
                self._metrics.told(each.event, "told")
        elif not self._connecting:
            if not Path(self._settings.socket_file).exists():
                self._drop()  # a site without scripts
                return
            self._connecting = True
            endpoint = UNIXClientEndpoint(self._reactor, self._settings.socket_file, timeout=5)
            endpoint.connect(_Lines(self)).addCallbacks(self._connected, self._not_connected)

    def _drop(self) -> None:
        for each in self._waiting:
            self._metrics.told(each.event, "dropped")
        self._waiting.clear()

    def _connected(self, line: Any) -> None:
        self._connecting = False
        self._line = line
        self._trouble.recovered("avisiod-hooks is told again what happens")
        self._flush()

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = False
        self._trouble.failed("avisiod-hooks cannot be told what happens (%s)", failure.type.__name__)  # type: ignore[union-attr]
        self._drop()

    def heard(self, line: bytes) -> None:
        """What became of a script."""
        try:
            outcome = _OUTCOME.decode(line)
        except msgspec.DecodeError:
            return
        if outcome.result == "dropped":
            self._metrics.told(outcome.event, "dropped")
            return
        self._metrics.ran(outcome.result)
        if outcome.result != "done":
            log.warning("a script for %s: %s; journalctl -u avisiod-hooks says why", outcome.event, outcome.result)

    def lost(self) -> None:
        """The connection is gone; the next event makes another."""
        self._line = None


def _clean(value: str) -> str:
    return "".join(char if char.isprintable() else " " for char in value)[:200]


class _Lines(Factory):
    noisy = False

    def __init__(self, teller: HookTeller) -> None:
        self._teller = teller

    def buildProtocol(self, addr: Any) -> "_Line":  # noqa: ARG002, N802 - Twisted's
        return _Line(self._teller)


class _Line(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, teller: HookTeller) -> None:
        self._teller = teller

    def tell(self, happening: Happening) -> None:
        """Send it."""
        transport: Any = self.transport
        transport.write(msgspec.json.encode(happening) + b"\n")

    def leave(self) -> None:
        """Hang up."""
        transport: Any = self.transport
        transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """An outcome."""
        self._teller.heard(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The service has stopped."""
        self._teller.lost()
