"""Steps of a plan written into the database: all of them with a line of the trail each, or none."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, insert, update

from avisiod.office.edits import Done, Edit, Key, Problem, Progress, Refused, Who
from avisiod.office.kind import Field, Kind, Row
from avisiod.office.rows import changes, columns, gone
from avisiod.store import trail


@dataclasses.dataclass(slots=True, kw_only=True)
class Step:
    """One row, as it is and as it would be; None where there is none."""

    edit: Edit
    key: Key
    before: Row | None
    after: Row | None

    def done(self, kind: Kind) -> Done:
        """What becomes of it."""
        row = self.after or self.before or {}
        if self.after is None:
            return Done(action="remove", key=kind.shown_key(row), line=self.edit.line)
        changed = changes(kind, self.before, self.after)
        action: Any = "add" if self.before is None or gone(self.before) else "change" if changed else "same"
        version = (self.before or {"version": 0})["version"] + (0 if action == "same" else 1)
        return Done(action=action, key=kind.shown_key(row), changes=changed, version=version, line=self.edit.line)


class Writing:
    """Steps of one kind, on their way into the database."""

    def __init__(self, connection: Connection, kind: Kind, who: Who) -> None:
        self.kind = kind
        self._connection = connection
        self._who = who

    def write(self, steps: Sequence[tuple[Step, Done]], progress: Progress) -> None:
        """Write them, each with what becomes of it. Refused where somebody changed one of the rows meanwhile."""
        connection, who = self._connection, self._who
        progress("writing", 0, len(steps))
        extra = {"changed_utc": who.at_utc, "author": who.actor} if self.kind.plural == "authorisations" else {}
        new = [step for step, _ in steps if step.before is None and step.after is not None]
        if new:
            defaults = self._new_columns()
            connection.execute(
                insert(self.kind.table), [columns(self.kind, step.after or {}) | defaults | extra for step in new]
            )
        old = [(step, done) for step, done in steps if step.before is not None]
        self._rewrite([pair for pair in old if pair[0].after is not None], extra)
        self._take_off([pair for pair in old if pair[0].after is None])
        for field in self.kind.fields:
            if field.pairs is not None:
                self._pair(field, field.pairs, [step for step, _ in steps])
        trail.append(connection, *(self._line(done) for _, done in steps))
        progress("writing", len(steps), len(steps))

    def _pair(self, field: Field, table: Table, steps: Sequence[Step]) -> None:
        """A field that has many values is written anew where they are others than before."""
        own, other = table.c
        new = {
            step.key[0]: step.after[field.name]
            for step in steps
            if step.after is not None and (step.before or {}).get(field.name, ()) != step.after[field.name]
        }
        if new:
            self._connection.execute(delete(table).where(own == bindparam("one")), [{"one": one} for one in new])
        if pairs := [{own.name: one, other.name: each} for one, many in new.items() for each in many]:
            self._connection.execute(insert(table), pairs)

    def _new_columns(self) -> dict[str, Any]:
        fixed: dict[str, dict[str, Any]] = {
            "people": {"pin_hash": "", "listed": True},
            "phones": {"realm": "", "ha1": "", "origin": "office", "listed": True},
            "contacts": {"origin": "office", "listed": True},
        }
        return fixed.get(self.kind.plural, {})

    def _rewrite(self, steps: Sequence[tuple[Step, Done]], extra: dict[str, Any]) -> None:
        """All in one statement: a long file holds the write lock, for which calls wait, as shortly as can be."""
        if not steps:
            return
        table = self.kind.table
        rows = [columns(self.kind, step.after or {}) | extra for step, _ in steps]
        values: dict[Any, Any] = {table.c[name]: bindparam(f"new_{name}") for name in rows[0]}
        values[table.c.version] = table.c.version + 1
        bound = [
            {f"new_{name}": value for name, value in row.items()} | self._seen(step)
            for row, (step, _) in zip(rows, steps, strict=True)
        ]
        self._whole(
            self._connection.execute(update(table).where(self._unchanged()).values(values), bound).rowcount, steps
        )

    def _take_off(self, steps: Sequence[tuple[Step, Done]]) -> None:
        if not steps:
            return
        table = self.kind.table
        statement: Any = delete(table).where(self._unchanged())
        if self.kind.unlists:
            gone = {table.c.listed: False, table.c.version: table.c.version + 1}
            statement = update(table).where(self._unchanged()).values(gone)
        self._whole(self._connection.execute(statement, [self._seen(step) for step, _ in steps]).rowcount, steps)

    def _unchanged(self) -> Any:
        table = self.kind.table
        columns = [name for field in self._keys() for name in field.columns or (field.name,)]
        same = [table.c[name] == bindparam(f"old_{name}") for name in (*columns, "version")]
        return and_(*same)

    def _keys(self) -> list[Field]:
        return [field for field in self.kind.fields if field.name in self.kind.keys]

    def _seen(self, step: Step) -> dict[str, Any]:
        row = dict(zip(self.kind.keys, step.key, strict=True))
        seen = columns(self.kind, row, partly=True) | {"version": (step.before or {})["version"]}
        return {f"old_{name}": value for name, value in seen.items()}

    def _whole(self, changed: int, steps: Sequence[tuple[Step, Done]]) -> None:
        if changed == len(steps):
            return
        which = f"`{steps[0][1].key}`" if len(steps) == 1 else "one of these rows"
        reason = f"{which} was changed meanwhile by somebody else"
        line = steps[0][0].edit.line if len(steps) == 1 else 0
        raise Refused(Problem(line=line, column="version", reason=reason, remedy="look at it again, then repeat"))

    def _line(self, done: Done) -> trail.Line:
        who = self._who
        details: dict[str, trail.Detail] = {"version": done.version}
        if done.changes:
            details["fields"] = sorted(done.changes)
        for name, (_, after) in done.changes.items():
            field = self.kind.field(name)
            if field is not None and not field.personal:
                details[name] = after
        return trail.Line(
            at_utc=who.at_utc,
            actor=who.actor,
            action=done.action,
            kind=self.kind.name,
            object=done.key,
            why=who.why,
            details=details,
        )
