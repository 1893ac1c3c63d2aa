"""Who watches the switchboard: the metrics, without the switchboard knowing them."""

from typing import Literal, Protocol

from avisiod.calls.call import Call, State


class Observer(Protocol):
    """Told of each change; methods return at once and do not raise."""

    def moved(self, before: State | None, call: Call) -> None:
        """A call is now in `call.state`; `before` is None for a new one."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage of setting up took so long.

        `sms`: dialled to SMS accepted; `code`: until the code was typed; `join`: until connected.
        """

    def code_tried(self, answer: str) -> None:
        """A code was typed; `answer` is a value of calls.invitation.Answer."""

    def pin_tried(self, answer: Literal["right", "wrong", "locked"]) -> None:
        """Identifier and PIN were typed on a shared phone."""

    def unpriced(self) -> None:
        """A call is free only because no tariff is set for its class now."""

    def forgotten(self, call: Call) -> None:
        """A call is over, closed and sealed."""


class Nobody:
    """Watches nothing."""

    def moved(self, before: State | None, call: Call) -> None:
        """Ignore it."""

    def stage(self, name: str, seconds: float) -> None:
        """Ignore it."""

    def code_tried(self, answer: str) -> None:
        """Ignore it."""

    def pin_tried(self, answer: Literal["right", "wrong", "locked"]) -> None:
        """Ignore it."""

    def unpriced(self) -> None:
        """Ignore it."""

    def forgotten(self, call: Call) -> None:
        """Ignore it."""
