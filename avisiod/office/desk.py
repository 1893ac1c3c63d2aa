"""Where operations are done: on a database, for somebody, with a reason. The daemon and avisioctl both make one."""

import datetime
import socket
import sqlite3
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import StatementError

from avisiod.config.settings import Config
from avisiod.office.kind import Kind
from avisiod.office.kinds import kinds
from avisiod.office.permissions import EVERYTHING
from avisiod.office.plan import Problem, Progress, Refused, Who, quietly
from avisiod.store import trail
from avisiod.store.database import Database

T = TypeVar("T")
Live = Callable[[str, Mapping[str, Any]], Any]
"""Asks the running daemon."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What operations need of the settings."""

    region: str = "FR"
    time_zone: str = "Europe/Paris"
    realm: str = "avisio"
    limit_s: float = 1200.0
    shortest_s: float = 60.0
    audit_days: int = 1096
    admission: Literal["listed", "full"] = "full"
    provisioning_url: str = ""
    """Where phones fetch their settings; empty: nowhere."""
    token_valid_s: float = 86400.0
    firmware_folder: str = ""
    firmware_keys: tuple[str, ...] = ()
    """Who may sign firmware."""
    designation_days: int = 366
    box: str = ""
    """This box's name among those that share the database; empty: the database is its own."""
    recordings_folder: str = ""
    keep_days: int = 90
    retention_file: str = ""


def box_of(config: Config) -> str:
    """The name under which calls of this box are kept."""
    return (config.store.box or socket.gethostname()) if config.store.url else ""


def site_of(config: Config) -> Site:
    """The settings that operations need."""
    return Site(
        region=config.site.region,
        time_zone=config.site.time_zone,
        realm=config.sip.realm,
        limit_s=config.calls.limit_s,
        audit_days=config.store.audit_days,
        admission=config.site.admission,
        shortest_s=config.calls.shortest_s,
        provisioning_url=config.provisioning.url,
        token_valid_s=config.provisioning.token_valid_s,
        firmware_folder=config.firmware.folder,
        firmware_keys=config.firmware.public_keys,
        designation_days=config.admin.designation_days,
        box=box_of(config),
        recordings_folder=config.recordings.folder,
        keep_days=config.recordings.keep_days,
        retention_file=config.recordings.record_file,
    )


class Desk:
    """One request of one person. Blocks: never used in the reactor's thread.

    `why` is written into the trail with whatever is done.
    """

    def __init__(
        self,
        database: Database,
        site: Site,
        who: Who,
        progress: Progress = quietly,
        cut: Callable[[str], bool] | None = None,
        live: Live | None = None,
    ) -> None:
        self.database = database
        self.site = site
        self.who = who
        self.progress = progress
        self.cut = cut
        """Ends a call that is under way, False where it is not; None where the daemon is down."""
        self._live = live
        self.kinds: Mapping[str, Kind] = kinds(site.region, site.designation_days)
        self.zone = zoneinfo.ZoneInfo(site.time_zone)

    def ask(self, what: str, **arguments: Any) -> Any:
        """What only the running daemon knows or can do, of `Counter.live`; Refused where it is down."""
        if self._live is None:
            raise Refused(Problem(reason="the daemon is down", remedy="start it: systemctl start avisiod"))
        return self._live(what, arguments)

    @property
    def today(self) -> datetime.date:
        """The site's calendar."""
        return self.who.at_utc.astimezone(self.zone).date()

    def kind(self, plural: str) -> Kind:
        """By its plural; Refused where there is none."""
        if plural not in self.kinds:
            raise Refused(Problem(reason=f"no list `{plural}`", remedy=f"known: {', '.join(self.kinds)}"))
        return self.kinds[plural]

    def write(self, work: Callable[[Connection], T]) -> T:
        """In one transaction, whole or not at all. StoreUnavailable or StoreRefused, and nothing was changed."""
        try:
            with self.database.writing() as connection:
                return work(connection)
        except (StatementError, sqlite3.Error) as error:
            raise self.database.explained(error) from None

    def read(self, work: Callable[[Connection], T]) -> T:
        """One state of the database throughout."""
        try:
            with self.database.reading() as connection:
                return work(connection)
        except (StatementError, sqlite3.Error) as error:
            raise self.database.explained(error) from None

    def note(self, connection: Connection, action: str, kind: str, object_: str, **details: Any) -> None:
        """A line of the trail, for what was done in this transaction."""
        trail.append(connection, self._line(action, kind, object_, details))

    def consult(self, kind: str, object_: str, work: Callable[[Connection], T], **details: Any) -> T:
        """Read, once the trail says that it was read."""
        self.write(lambda connection: self.note(connection, "consult", kind, object_, **details))
        return self.read(work)

    def _line(self, action: str, kind: str, object_: str, details: Mapping[str, Any]) -> trail.Line:
        return trail.Line(
            at_utc=self.who.at_utc,
            actor=self.who.actor,
            action=action,
            kind=kind,
            object=object_,
            why=self.who.why,
            details={name: value for name, value in details.items() if value not in (None, "")},
        )


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operation is asked; unknown fields are refused."""


_PLAIN = msgspec.json.Decoder()
Operation = Callable[[Desk, Any], Any]


class Listed(NamedTuple):
    """An operation, what it is asked, and which permission it needs: `see` and `edit` are those of the list asked."""

    request: type[Request]
    function: Operation
    needs: str


OPERATIONS: dict[str, Listed] = {}
"""Every operation by its name."""


def operation(name: str, needs: str = EVERYTHING) -> Callable[[Operation], Operation]:
    """List a function `(desk, request) -> result` under a name; its request's type is that of its annotation."""

    def listed(function: Operation) -> Operation:
        request = function.__annotations__["request"]
        OPERATIONS[name] = Listed(request, function, needs)
        return function

    return listed


def perform(desk: Desk, name: str, arguments: Mapping[str, Any]) -> Any:
    """Do one thing; the result, of types that JSON has. Refused, StoreUnavailable: nothing was changed."""
    if name not in OPERATIONS:
        raise Refused(Problem(reason=f"no operation `{name}`", remedy="use an avisioctl of the daemon's version"))
    listed = OPERATIONS[name]
    try:
        request = msgspec.convert(dict(arguments), listed.request)
    except msgspec.ValidationError as error:
        raise Refused(Problem(reason=str(error), remedy="correct the request")) from None
    return _PLAIN.decode(msgspec.json.encode(listed.function(desk, request)))
