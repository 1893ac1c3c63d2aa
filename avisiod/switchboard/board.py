"""What the hands of the switchboard need of it."""

from typing import Protocol

from twisted.internet.defer import Deferred

from avisiod.calls.events import Event
from avisiod.calls.invitation import Invitations
from avisiod.clock import Clock
from avisiod.ports import Kept
from avisiod.store.store import Store
from avisiod.switchboard.entry import Entry
from avisiod.switchboard.gatekeeper import Gatekeeper


class Board(Protocol):
    """Outcomes go back to it as events."""

    clock: Clock
    store: Store
    invitations: Invitations
    unsealed: set[str]
    gatekeeper: Gatekeeper

    def post(self, entry: Entry, event: Event, *kept: Kept) -> Deferred[None]:
        """Put an event into the call's row; `kept` is stored with it."""

    def forget(self, entry: Entry) -> None:
        """The call is over, closed and sealed."""
