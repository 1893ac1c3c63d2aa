"""Operations on the lists: look, change one, import and export many."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from avisiod.calls.ids import DetaineeId
from avisiod.office import csvfile
from avisiod.office.desk import Desk, Request, operation
from avisiod.office.kind import REQUIRED, Kind
from avisiod.office.kinds import kinds
from avisiod.office.plan import FEW, Done, Edit, Plan, Problem, Refused, load, rendered
from avisiod.store import pins
from avisiod.store.schema import phones
from avisiod.store.schema_books import audit
from avisiod.store.schema_rules import authorisation_history, detainees


class ListRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows of which list; `fields`: texts that a row must have in them."""

    kind: str
    fields: Mapping[str, str] = {}
    unlisted: bool = False


class ShowRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row."""

    kind: str
    key: str


class EditRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of one row, or of a few."""

    kind: str
    edits: list[Edit]
    dry_run: bool = False


class ImportRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A CSV file's text: what is new is added, what differs is changed, what is not in it stays."""

    kind: str
    text: str
    dry_run: bool = False


class ExportRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole list, as a CSV file that `import` takes."""

    kind: str


class SecretRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hash of a secret: the secret itself never leaves avisioctl."""

    id: str
    hash: str

    def __repr__(self) -> str:
        return f"SecretRequest({self.id})"


class UnlockRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose wrong PINs are forgotten."""

    detainee: str = ""
    phone: str = ""


class Edited(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, or would be."""

    done: list[Done]
    dry_run: bool


@operation("list", needs="see")
def list_(desk: Desk, request: ListRequest) -> list[dict[str, str]]:
    """The rows that fit, by their keys."""
    kind = desk.kind(request.kind)
    for name in request.fields:
        if kind.field(name) is None:
            raise Refused(Problem(column=name, reason=f"unknown for {kind.plural}", remedy="look at --help"))

    def rows(connection: Connection) -> list[dict[str, str]]:
        found = load(connection, kind)
        shown = [rendered(kind, row) for row in found.values() if request.unlisted or row.get("listed") is not False]
        fitting = [row for row in shown if all(row[name] == text for name, text in request.fields.items())]
        return sorted(fitting, key=lambda row: [row[name] for name in kind.keys])

    # a filter by a name or a number is itself personal: the trail names the fields only
    return desk.consult(kind.name, "*", rows, by=sorted(request.fields))


@operation("show", needs="see")
def show(desk: Desk, request: ShowRequest) -> dict[str, Any]:
    """One row; an authorisation with its history, a detainee without the PIN's hash."""
    kind = desk.kind(request.kind)
    fields = dict(zip(kind.keys, request.key.split("/"), strict=False))

    def row(connection: Connection) -> dict[str, Any]:
        plan = Plan(connection, desk.kinds, kind, [Edit(action="change", fields=fields)], desk.today)
        missing = [problem for problem in plan.problems if problem.column in kind.keys]
        if missing:
            raise Refused(*missing)
        found: dict[str, Any] = rendered(kind, plan.standing[0])
        if kind.plural == "authorisations":
            found["history"] = _history(connection, fields["detainee"], fields["contact"])
        return found

    return desk.consult(kind.name, request.key, row)


def _history(connection: Connection, detainee: str, contact: str) -> list[dict[str, Any]]:
    table = authorisation_history
    query = select(table).where((table.c.detainee == detainee) & (table.c.contact == contact)).order_by(table.c.id)
    return [
        {
            "version": row.version,
            "state": row.state,
            "authority": row.authority,
            "author": row.author,
            "decided_on": row.decided_on.isoformat(),
            "ends_on": row.ends_on.isoformat() if row.ends_on else "",
            "changed_utc": row.changed_utc.isoformat(),
        }
        for row in connection.execute(query)
    ]


@operation("edit", needs="edit")
def edit(desk: Desk, request: EditRequest) -> Edited:
    """Add, change or remove; all of it or nothing."""
    return change(desk, desk.kind(request.kind), request.edits, dry_run=request.dry_run)


@operation("import", needs="edit")
def import_(desk: Desk, request: ImportRequest) -> Edited:
    """What the file says, all of it or nothing."""
    kind = desk.kind(request.kind)
    names = [field.name for field in kind.fields]
    required = [field.name for field in kind.fields if field.default is REQUIRED]
    edits = []
    for line, fields in csvfile.rows(request.text, [*names, "version"], required):
        version = fields.get("version", "").strip()
        if version and not version.isdecimal():
            raise Refused(Problem(line=line, column="version", reason="not a number", remedy="leave it as exported"))
        given = {name: text for name, text in fields.items() if name != "version"}
        edits.append(Edit(action="set", fields=given, version=int(version) if version else None, line=line))
    return change(desk, kind, edits, dry_run=request.dry_run)


@operation("export", needs="see")
def export(desk: Desk, request: ExportRequest) -> str:
    """The list as CSV."""
    kind = desk.kind(request.kind)

    def text(connection: Connection) -> str:
        rows = [row for row in load(connection, kind).values() if row.get("listed") is not False]
        shown = sorted((rendered(kind, row) for row in rows), key=lambda row: [row[name] for name in kind.keys])
        return csvfile.written([*(field.name for field in kind.fields), "version"], shown)

    return desk.consult(kind.name, "*", text, export=True)


def change(desk: Desk, kind: Kind, edits: Sequence[Edit], *, dry_run: bool = False) -> Edited:
    """Do these edits, all of them or none. Refused with everything that is wrong.

    Many edits are understood before the lock is taken, so that calls do not wait for the reading of a file.
    """

    def planned(connection: Connection) -> tuple[Plan, int]:
        plan = Plan(connection, desk.kinds, kind, edits, desk.today, desk.progress)
        return plan, connection.scalar(select(func.max(audit.c.seq))) or 0

    def checked(plan: Plan) -> Plan:
        if plan.problems:
            raise Refused(*plan.problems)
        return plan

    if dry_run:
        return Edited(done=checked(desk.read(planned)[0]).done, dry_run=True)
    if len(edits) <= FEW:
        return Edited(
            done=desk.write(lambda connection: checked(planned(connection)[0]).write(connection, desk.who)),
            dry_run=False,
        )
    plan, seen = desk.read(planned)
    checked(plan)

    def write(connection: Connection) -> list[Done]:
        others = select(audit.c.seq).where((audit.c.seq > seen) & (audit.c.kind.in_(_LISTS)) & _CHANGES).limit(1)
        if connection.scalar(others) is not None:
            again = "try again"
            raise Refused(
                Problem(reason="somebody else changed the lists meanwhile; nothing was changed", remedy=again)
            )
        return plan.write(connection, desk.who, desk.progress)

    return Edited(done=desk.write(write), dry_run=False)


_CHANGES = audit.c.action.in_(("add", "change", "remove"))
_LISTS = tuple(kind.name for kind in kinds("FR").values())


@operation("people.pin", needs="edit_people")
def set_pin(desk: Desk, request: SecretRequest) -> None:
    """Set a detainee's PIN by its argon2id hash; wrong tries are forgotten."""
    if not request.hash.startswith("$argon2id$"):
        raise Refused(Problem(column="pin", reason="not an argon2id hash", remedy="use avisioctl people pin"))

    def write(connection: Connection) -> None:
        who = (detainees.c.id == request.id) & detainees.c.listed
        changed = detainees.update().where(who).values(pin_hash=request.hash, version=detainees.c.version + 1)
        if connection.execute(changed).rowcount != 1:
            raise Refused(Problem(column="id", reason=f"no detainee `{request.id}`", remedy="look at the list"))
        pins.forgive(connection, f"detainee:{request.id}")
        desk.note(connection, "set_pin", "detainee", request.id)

    desk.write(write)


@operation("phones.password", needs="edit_phones")
def set_password(desk: Desk, request: SecretRequest) -> None:
    """Set a phone's SIP password by its HA1, in the edge's realm."""
    if len(request.hash) != 32 or not set(request.hash) <= set("0123456789abcdef"):
        raise Refused(Problem(column="password", reason="not an HA1", remedy="use avisioctl phones password"))

    def write(connection: Connection) -> None:
        ours = (phones.c.id == request.id) & phones.c.listed & (phones.c.origin == "office")
        values = {"ha1": request.hash, "realm": desk.site.realm, "version": phones.c.version + 1}
        if connection.execute(phones.update().where(ours).values(values)).rowcount != 1:
            remedy = "look at the list; the inventory file's phones have theirs there"
            raise Refused(Problem(column="id", reason=f"no phone `{request.id}` of ours", remedy=remedy))
        desk.note(connection, "set_password", "phone", request.id)

    desk.write(write)


@operation("unlock", needs="edit_people")
def unlock(desk: Desk, request: UnlockRequest) -> None:
    """Forget the wrong PINs of a detainee or of a phone."""
    names = {"detainee": request.detainee, "phone": request.phone}
    subjects = {kind: DetaineeId(name) for kind, name in names.items() if name}
    if not subjects:
        raise Refused(Problem(reason="nobody is named", remedy="name a detainee or a phone"))

    def write(connection: Connection) -> None:
        for kind, name in subjects.items():
            pins.forgive(connection, f"{kind}:{name}")
            desk.note(connection, "unlock", kind, name)

    desk.write(write)
