"""Where the phones are, as the edge last wrote it: at most a few seconds old, read and never written here."""

import datetime
import sqlite3
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from twisted.internet.threads import deferToThread

from avisiod.calls.ids import PhoneId

BUSY_S = 2.0
"""How long the edge may hold a lock on its file before the reading fails."""

_QUERY = """
    SELECT username, contact, received, socket, user_agent, expires, last_modified, callid
    FROM location WHERE expires > ? ORDER BY last_modified
"""


class EdgeUnreadable(Exception):
    """The edge's database is missing or cannot be read: nothing is known of any phone."""


class Registration(NamedTuple):
    """One phone that is registered. Times in UTC."""

    phone: PhoneId
    contact: str
    """SIP URI at which it is reached: where its packets come from, where that is not what it says."""
    transport: str
    """`udp`, `tcp` or `tls`."""
    user_agent: str
    expires: datetime.datetime
    last_seen: datetime.datetime
    """When it last registered."""
    dialogue: str = ""
    """Call-ID of its REGISTER; a phone that started anew has another one."""


def read_registrations(path: Path, now: datetime.datetime) -> dict[PhoneId, Registration]:
    """Every phone whose registration is not over at `now`. Blocks: call it in a thread. EdgeUnreadable."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as database:
            rows = database.execute(_QUERY, (int(now.timestamp()),)).fetchall()
    except sqlite3.Error as error:
        raise EdgeUnreadable(
            f"the registrations in {path} cannot be read ({error}); calls go on. Is Kamailio set up and running?"
        ) from error
    return {PhoneId(row[0]): _registration(*row) for row in rows}


def current_registrations(path: Path, now: datetime.datetime) -> Awaitable[dict[PhoneId, Registration]]:
    """`read_registrations` in a thread of the reactor's pool."""
    return deferToThread(read_registrations, path, now)


def _registration(
    phone: str,
    contact: str,
    received: str | None,
    listener: str | None,
    user_agent: str,
    expires: int,
    modified: int,
    callid: str,
) -> Registration:
    return Registration(
        phone=PhoneId(phone),
        contact=received or contact,
        transport=(listener or "udp").split(":", 1)[0],
        user_agent=user_agent,
        expires=datetime.datetime.fromtimestamp(expires, datetime.UTC),
        last_seen=datetime.datetime.fromtimestamp(modified, datetime.UTC),
        dialogue=callid,
    )
