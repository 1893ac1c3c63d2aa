"""What an event does to a call: the call as it is then, and what has to be done in the world."""

from collections.abc import Callable
from typing import Any

from avisiod.calls import commands as do
from avisiod.calls import events as ev
from avisiod.calls.call import Call

Commands = tuple[do.Command, ...]
Outcome = tuple[Call, Commands]
Act = Callable[[Call, Any], Outcome]


class UnexpectedEvent(Exception):
    """The event does not belong to the call's state; the call is as it was."""


def stay(call: Call, _event: ev.Event) -> Outcome:
    """Nothing comes of it."""
    return call, ()
