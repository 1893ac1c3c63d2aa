"""Who watches the switchboard: the metrics, without the switchboard knowing them."""

from typing import Protocol

from avisiod.calls.call import Call, State


class Observer(Protocol):
    """Told of each change; methods return at once and do not raise."""

    def moved(self, before: State | None, call: Call) -> None:
        """A call is now in `call.state`; `before` is None for a new one."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage of setting up took so long: `sms` (dialled to SMS accepted), `join` (code to connected)."""


class Nobody:
    """Watches nothing."""

    def moved(self, before: State | None, call: Call) -> None:
        """Ignore it."""

    def stage(self, name: str, seconds: float) -> None:
        """Ignore it."""
