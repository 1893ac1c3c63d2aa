"""Whether the trail, the journal and the ledger are as they were written."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from avisiod.store import trail
from avisiod.store.columns import utc_text
from avisiod.store.schema import events
from avisiod.store.schema_books import audit_anchors, ledger_postings, ledger_transactions

EVENT, LEDGER = "event", "ledger"
"""What a line vouches for beside itself; its details carry the digest of it."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a check has found. `problem` is empty where all is well; `seq` is the line that it was found at."""

    first: int
    last: int
    lines: int
    digest: str
    """Of the last line: noted elsewhere, it proves later that nothing was rewritten up to it."""
    problem: str = ""
    seq: int = 0

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return not self.problem


class _Broken(Exception):
    def __init__(self, seq: int, problem: str) -> None:
        super().__init__(problem)
        self.seq = seq
        self.problem = problem


def event_digest(row: Any) -> str:
    """Of a line of a call's journal, as the trail carries it."""
    fields = [row.id, row.call, utc_text(row.at_utc), row.at_monotonic, row.event, row.state, row.details]
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def transaction_digest(row: Any, postings: Sequence[tuple[str, int]]) -> str:
    """Of a transaction of the ledger with its postings, as the trail carries it."""
    fields = [row.key, row.kind, utc_text(row.at_utc), row.actor, row.detainee, row.call, row.why]
    legs = [[account, cents] for account, cents in sorted(postings)]
    return hashlib.sha256(json.dumps([*fields, legs], separators=(",", ":")).encode()).hexdigest()


def verify(connection: Connection, noted: tuple[int, str] | None = None, through: int | None = None) -> Verdict:
    """Walk the whole trail and say what the first altered or missing line is.

    `noted`: number and digest of a line, as an earlier check told them and somebody wrote down. `through`: look no
    farther than this line and that the next one follows it.
    """
    seq, digest = trail.anchor(connection)
    first, lines = seq + 1, 0
    try:
        for piece in trail.rows_from(connection, seq):
            wanted = piece if through is None else [row for row in piece if row.seq <= through]
            for row in wanted:
                _link(row, seq, digest, noted)
                seq, digest = row.seq, row.digest
            lines += len(wanted)
            _vouched(connection, wanted)
            if len(wanted) < len(piece):
                _link(piece[len(wanted)], seq, digest, noted)
                break
        else:
            _end(connection, seq, digest, noted)
    except _Broken as broken:
        return Verdict(first=first, last=seq, lines=lines, digest=digest, problem=broken.problem, seq=broken.seq)
    return Verdict(first=first, last=seq, lines=lines, digest=digest)


def _link(row: Row[Any], seq: int, digest: str, noted: tuple[int, str] | None) -> None:
    if row.seq != seq + 1:
        missing = f"line {seq + 1} is" if row.seq == seq + 2 else f"lines {seq + 1} to {row.seq - 1} are"
        raise _Broken(seq + 1, f"{missing} missing")
    columns = dict(row._mapping)
    if trail.digest_of(columns) != row.digest:
        raise _Broken(row.seq, f"line {row.seq} was altered")
    if row.previous != digest:
        raise _Broken(row.seq, f"line {row.seq} does not follow line {seq}: one of the two was written anew")
    if noted is not None and noted[0] == row.seq and noted[1] != row.digest:
        raise _Broken(row.seq, f"line {row.seq} is not the one that was noted: the trail was written anew")


def _end(connection: Connection, seq: int, digest: str, noted: tuple[int, str] | None) -> None:
    last, last_digest = trail.head(connection)
    if last > seq:
        raise _Broken(seq + 1, f"lines from {seq + 1} on are missing: the trail went on to line {last}")
    if (last, last_digest) != (seq, digest):
        raise _Broken(seq, f"line {seq} is not the one that was written last")
    if noted is not None and noted[0] > seq:
        raise _Broken(seq + 1, f"lines from {seq + 1} on are missing: line {noted[0]} was noted")
    orphan = select(audit_anchors.c.seq).where(audit_anchors.c.line > seq).limit(1)
    if connection.scalar(orphan) is not None:
        raise _Broken(seq, "a purge is recorded that no line tells of")


def _vouched(connection: Connection, piece: Sequence[Row[Any]]) -> None:
    """Compare what the lines vouch for with what stands in journal and ledger."""
    promised = {kind: list(_promises(piece, kind)) for kind in (EVENT, LEDGER)}
    ids = [int(name) for _, name, _ in promised[EVENT]]
    rows = {row.id: row for row in connection.execute(select(events).where(events.c.id.in_(ids)))} if ids else {}
    for seq, name, digest in promised[EVENT]:
        row = rows.get(int(name))
        if row is None:
            raise _Broken(seq, f"line {seq}: the journal's entry {name} is missing")
        if event_digest(row) != digest:
            raise _Broken(seq, f"line {seq}: the journal's entry {name} was altered")
    keys = [name for _, name, _ in promised[LEDGER]]
    if not keys:
        return
    booked = {
        row.key: row
        for row in connection.execute(select(ledger_transactions).where(ledger_transactions.c.key.in_(keys)))
    }
    legs: dict[str, list[tuple[str, int]]] = {key: [] for key in keys}
    for row in connection.execute(select(ledger_postings).where(ledger_postings.c.transaction_key.in_(keys))):
        legs[row.transaction_key].append((row.account, row.cents))
    for seq, name, digest in promised[LEDGER]:
        if name not in booked:
            raise _Broken(seq, f"line {seq}: the ledger's transaction {name} is missing")
        if transaction_digest(booked[name], legs[name]) != digest:
            raise _Broken(seq, f"line {seq}: the ledger's transaction {name} was altered")


def _promises(piece: Sequence[Row[Any]], kind: str) -> Iterator[tuple[int, str, str]]:
    """(line, what, digest) of each line of the piece that vouches for such a thing."""
    for row in piece:
        if row.kind in ("call", "account") and kind in (details := json.loads(row.details)):
            yield row.seq, str(details[kind]), details["digest"]
