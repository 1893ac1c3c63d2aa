"""The audit trail: who did what to what, and why. It only grows, and each line vouches for the one before it.

A line's digest is the SHA-256 of the JSON array [seq, at_utc, actor, action, kind, object, why, details, previous]:
no blanks, all but ASCII escaped, `details` being the text of a JSON object and `previous` the digest of the line
before it (64 zeros before the first). Lines name ids only; free text passes the same redaction as the log.
"""

import datetime
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from avisiod.log import redact
from avisiod.store.columns import utc_text
from avisiod.store.schema_books import audit, audit_anchors, audit_head

GENESIS = "0" * 64
SERVICE = "service"
"""The actor of what the service does by itself."""
Detail = str | int | float | bool | None | Sequence[str]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done, before it has its place in the trail."""

    at_utc: datetime.datetime
    actor: str
    action: str
    kind: str
    object: str
    why: str = ""
    details: Mapping[str, Detail] = {}


class KeptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it stands."""

    seq: int
    at_utc: datetime.datetime
    actor: str
    action: str
    kind: str
    object: str
    why: str
    details: dict[str, Any]
    digest: str


def append(connection: Connection, *lines: Line) -> int:
    """Add lines, in order, in the caller's transaction; the number of the last one."""
    head = connection.execute(select(audit_head.c.seq, audit_head.c.digest)).one()
    seq, digest = head.seq, head.digest
    rows = []
    for line in lines:
        seq += 1
        row = {
            "seq": seq,
            "at_utc": line.at_utc,
            "actor": line.actor,
            "action": line.action,
            "kind": line.kind,
            "object": line.object,
            "why": redact(line.why),
            "details": _canonical(line.details),
            "previous": digest,
        }
        digest = digest_of(row)
        rows.append(row | {"digest": digest})
    if rows:
        connection.execute(insert(audit), rows)
        connection.execute(update(audit_head).values(seq=seq, digest=digest))
    return int(seq)


def digest_of(row: Mapping[str, Any]) -> str:
    """The digest that a line with these columns must carry."""
    names = ("actor", "action", "kind", "object", "why", "details", "previous")
    fields = [row["seq"], utc_text(row["at_utc"]), *(row[name] for name in names)]
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def _canonical(details: Mapping[str, Detail]) -> str:
    clean = {
        # a digest is no text: digits in it may look like a telephone number's
        name: redact(value) if isinstance(value, str) and name != "digest" else value
        for name, value in details.items()
    }
    return json.dumps(clean, separators=(",", ":"), sort_keys=True)


def head(connection: Connection) -> tuple[int, str]:
    """Number and digest of the last line."""
    row = connection.execute(select(audit_head.c.seq, audit_head.c.digest)).one()
    return row.seq, row.digest


def anchor(connection: Connection) -> tuple[int, str]:
    """Number and digest of the last line that was purged; 0 and GENESIS where none was."""
    row = connection.execute(select(audit_anchors).order_by(audit_anchors.c.seq.desc()).limit(1)).one_or_none()
    return (0, GENESIS) if row is None else (row.seq, row.digest)


def rows_from(connection: Connection, after: int, chunk: int = 2000) -> Iterator[Sequence[Row[Any]]]:
    """The trail in its order, after the line `after`, in pieces that fit the memory."""
    while True:
        query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(chunk)
        rows = connection.execute(query).all()
        if not rows:
            return
        yield rows
        after = rows[-1].seq


def listed(
    connection: Connection,
    *,
    actor: str = "",
    kind: str = "",
    object_: str = "",
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    limit: int = 100,
) -> list[KeptLine]:
    """The latest lines that fit, newest first."""
    query = select(audit).order_by(audit.c.seq.desc()).limit(limit)
    for column, value in ((audit.c.actor, actor), (audit.c.kind, kind), (audit.c.object, object_)):
        if value:
            query = query.where(column == value)
    if since is not None:
        query = query.where(audit.c.at_utc >= since)
    if until is not None:
        query = query.where(audit.c.at_utc < until)
    return [_kept(row) for row in connection.execute(query)]


def _kept(row: Row[Any]) -> KeptLine:
    values = {name: getattr(row, name) for name in KeptLine.__struct_fields__ if name != "details"}
    return KeptLine(**values, details=json.loads(row.details))


def old_lines(connection: Connection, before: datetime.datetime) -> int:
    """The number of the last line that is older than `before`, as are all before it; 0 where none is."""
    first_kept = connection.scalar(select(func.min(audit.c.seq)).where(audit.c.at_utc >= before))
    query = select(func.max(audit.c.seq))
    if first_kept is not None:
        query = query.where(audit.c.seq < first_kept)
    return connection.scalar(query) or 0


def purge(connection: Connection, through: int, before: datetime.datetime, record: Line) -> int:
    """Delete the lines up to `through`, which are older than `before`, and record it; how many.

    The record, given without its details, becomes a line of the trail, and an anchor from which the rest is verified.
    """
    last = connection.execute(select(audit.c.seq, audit.c.digest).where(audit.c.seq == through)).one()
    number = connection.scalar(select(func.count()).select_from(audit).where(audit.c.seq <= last.seq)) or 0
    details: dict[str, Detail] = {
        "through": last.seq,
        "digest": last.digest,
        "lines": number,
        "before": utc_text(before),
    }
    told = msgspec.structs.replace(record, action="purge", kind="audit", object=str(last.seq), details=details)
    line = append(connection, told)
    connection.execute(
        insert(audit_anchors).values(seq=last.seq, digest=last.digest, purged_utc=record.at_utc, line=line)
    )
    connection.execute(delete(audit).where(audit.c.seq <= last.seq))
    return number


def days_with_lines(connection: Connection, until: datetime.datetime, days: int) -> int:
    """On how many of the last `days` spans of 24 hours before `until` something was written down."""
    spans = [until - datetime.timedelta(days=number) for number in range(days + 1)]
    return sum(
        connection.scalar(select(audit.c.seq).where(audit.c.at_utc >= first, audit.c.at_utc < last).limit(1))
        is not None
        for last, first in itertools.pairwise(spans)
    )
