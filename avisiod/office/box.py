"""How the running box is, for staff who look at it: facts that only the daemon's own process knows."""

from typing import Any

import msgspec

from avisiod.office.desk import Desk, Request, operation


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Workers of one kind."""

    kind: str
    up: int
    wanted: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A way for SMS, as devices.sms.service.RouteRow has it."""

    route: str
    kind: str
    """`modem`, or a provider's."""
    state: str
    """`up`, `to be tried`, `absent`, `rests …`, `spent for today`."""
    trouble: str = ""
    today: str = ""
    """Accepted of tried."""
    detail: str = ""
    """Of a modem: network and signal."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """One that the settings name."""

    of: str
    ends_utc: str
    """ISO 8601; empty: the file cannot be read."""
    problem: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A warning or an error of the log."""

    at_utc: str
    level: str
    text: str
    call: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The box at one moment. Nothing in it points to a person."""

    version: str
    host: str
    at_utc: str
    up_s: float
    """Since the daemon was ready."""
    state: str
    """`serving` or `stopping`."""
    calls: dict[str, int]
    """Calls under way, by state."""
    capacity: int
    workers: tuple[Pool, ...]
    phones_registered: int | None
    """None: the edge's registrations cannot be read."""
    phones_listed: int
    sms: tuple[Route, ...]
    """In the order in which they are tried."""
    disk_free_bytes: int | None
    disk_keep_free_bytes: int
    disk_trouble: str
    store_up: bool
    certificates: tuple[Certificate, ...]
    backup_age_s: float | None
    """Since the last good one; None: there is none."""
    backup_problem: str
    problems: tuple[str, ...]
    """Sentences: what is wrong, and what to do."""
    lines: tuple[Line, ...]
    """The latest warnings and errors, oldest first."""


class Look(Request, frozen=True, kw_only=True):
    """Asks how the box is."""


class Probe(Request, frozen=True, kw_only=True):
    """A call of avisioctl doctor through a media worker: `open` with an SDP offer, `speak`, `close`."""

    step: str
    offer: str = ""


@operation("box.status", needs="see_phones")
def status(desk: Desk, request: Look) -> Any:
    """As `Status`."""
    del request
    return desk.ask("box.status")


@operation("box.probe")
def probe(desk: Desk, request: Probe) -> Any:
    """The SDP answer to `open`; else nothing."""
    return desk.ask("box.probe", step=request.step, offer=request.offer)
