"""A call brought to the point where both see each other, for tests of what happens then."""

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.e2e.stage import ContactEntry, Stage
from tests.peers import portal
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Relative
from tests.peers.waiting import wait_until

FRAMES = 15


@contextlib.contextmanager
def connected(
    stage: Stage, phone: BaresipPhone, contact: ContactEntry | None = None, **person: Any
) -> Iterator[tuple[Relative, str]]:
    """Dial, join, wait for pictures on both sides; the relative, a `person` of Stage.relative, and the call's id."""
    contact = contact or stage.contacts[0]
    since = stage.sms.mark()
    phone.dial(contact.dialled)
    code = stage.wait_code(contact, since)
    relative = stage.relative(**person)
    try:
        portal.join(relative, stage.portal_url, code)
        wait_until(lambda: portal.is_connected(relative), 60, "the page: connected")
        shown = phone.video().frames
        relative.wait_frames(FRAMES)
        phone.wait_frames(shown + FRAMES)
        yield relative, str(stage.calls()[-1]["id"])
    finally:
        relative.close()


def wait_ended(stage: Stage, call: str, timeout: float = 60.0) -> dict[str, object]:
    """The call's row once it has ended."""
    row: dict[str, object] = {}

    def ended() -> bool:
        row.update(next(r for r in stage.calls() if r["id"] == call))
        return row["state"] == "ended"

    wait_until(ended, timeout, f"call {call} has ended")
    return row
