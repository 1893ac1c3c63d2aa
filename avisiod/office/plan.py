"""Edits of rows: first all of them are understood and checked, then all of them are written, or none."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, false, insert, or_, select, update

from avisiod.calls.people import Scope
from avisiod.office.checks import Sight
from avisiod.office.kinds import REQUIRED, Field, Kind, Row
from avisiod.office.values import Wrong
from avisiod.store import trail

Action = Literal["add", "change", "remove", "set"]
FEW = 40
"""Up to so many edits only the rows that they touch are read; beyond, all of the kind."""
Key = tuple[Any, ...]


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of one row; texts as people write them."""

    action: Action
    """`set` adds what is not there and changes what is, as an import does."""
    fields: Mapping[str, str]
    """With the key's; an empty text empties a field."""
    version: int | None = None
    """The version that was seen; None: whatever stands there."""
    line: int = 0


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong; `line` from 1, 0 where it was not a file."""

    line: int = 0
    column: str = ""
    reason: str
    remedy: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        column = f"{self.column}: " if self.column else ""
        return f"{place}{column}{self.reason}: {self.remedy}"


class Refused(Exception):
    """Nothing of what was asked was done; `problems` has all that is in the way."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became, or would become, of one row."""

    action: Literal["add", "change", "remove", "same"]
    key: str
    changes: dict[str, tuple[str, str]] = {}
    """By field: before and after, as people write them."""
    version: int = 0
    line: int = 0


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who does something, when, and why."""

    actor: str
    why: str
    at_utc: datetime.datetime


Progress = Callable[[str, int, int], None]
"""(what is being done, how much of it, of how much)."""


def quietly(what: str, done: int, of: int) -> None:
    """Tell nobody."""


@dataclasses.dataclass(slots=True, kw_only=True)
class _Step:
    edit: Edit
    key: Key
    before: Row | None
    after: Row | None

    def done(self, kind: Kind) -> Done:
        row = self.after or self.before or {}
        if self.after is None:
            return Done(action="remove", key=kind.shown_key(row), line=self.edit.line)
        changes = _changes(kind, self.before, self.after)
        action: Any = "add" if self.before is None or _gone(self.before) else "change" if changes else "same"
        version = (self.before or {"version": 0})["version"] + (0 if action == "same" else 1)
        return Done(action=action, key=kind.shown_key(row), changes=changes, version=version, line=self.edit.line)


class Plan:
    """Edits of one kind, understood. `problems` is empty where all of it can be written."""

    def __init__(
        self,
        connection: Connection,
        kinds: Mapping[str, Kind],
        kind: Kind,
        edits: Sequence[Edit],
        today: datetime.date,
        progress: Progress = quietly,
    ) -> None:
        """Read what is there and work out what would be. Writes nothing."""
        self.kind = kind
        self._kinds = kinds
        self._connection = connection
        self.problems: list[Problem] = []
        self._steps: list[_Step] = []
        self._references: dict[str, set[str]] = {}
        read = self._understand(edits, progress)
        self._rows = self._load(read)
        self._merge(read)
        self._agree(today)
        self.problems.sort(key=lambda problem: problem.line)

    @property
    def done(self) -> list[Done]:
        """What becomes of each row, in the order of the edits."""
        return [step.done(self.kind) for step in self._steps]

    @property
    def standing(self) -> list[Row]:
        """The rows as they are, in the order of the edits that could be understood."""
        return [step.before for step in self._steps if step.before is not None]

    def _problem(self, edit: Edit, column: str, reason: str, remedy: str) -> None:
        problem = Problem(line=edit.line, column=column, reason=reason, remedy=remedy)
        if problem not in self.problems[-20:]:
            self.problems.append(problem)

    def _understand(self, edits: Sequence[Edit], progress: Progress) -> list[tuple[Edit, Row]]:
        found, seen = [], dict[Key, int]()
        for place, edit in enumerate(edits):
            if place % 1000 == 0:
                progress("reading", place, len(edits))
            row = self._values(edit)
            if row is None:
                continue
            key = self.kind.key_of(row)
            if (before := seen.setdefault(key, edit.line)) != edit.line:
                reason = f"`{self.kind.shown_key(row)}` stands on line {before} already"
                self._problem(edit, self.kind.keys[0], reason, "give each its own line")
                continue
            found.append((edit, row))
        return found

    def _values(self, edit: Edit) -> Row | None:
        """The fields that were given, and the key; None where one cannot be read."""
        row: Row = {}
        good = True
        for name, text in edit.fields.items():
            field = self.kind.field(name)
            if field is None:
                known = ", ".join(each.name for each in self.kind.fields)
                self._problem(edit, name, f"unknown for {self.kind.plural}", f"known: {known}")
                good = False
                continue
            try:
                row[name] = field.value.read(text.strip()) if text.strip() else _empty(field)
            except Wrong as wrong:
                self._problem(edit, name, wrong.reason, wrong.remedy)
                good = False
        if good and self.kind.make_key is not None and row.get("id") is None:
            good = self._complete(edit, row, self.kind.fields)
            if good:
                row["id"] = self.kind.make_key(row)
        for name in self.kind.keys:
            if good and row.get(name) is None:
                self._problem(edit, name, "missing", "add it")
                good = False
        return row if good else None

    def _complete(self, edit: Edit, row: Row, fields: Sequence[Field]) -> bool:
        """Fill in what was not given. False, and reported, where something must be given."""
        good = True
        for field in fields:
            if field.name in row and row[field.name] is not None:
                continue
            if field.default is REQUIRED:
                self._problem(edit, field.name, "missing", "add it")
                good = False
            elif not callable(field.default):
                row.setdefault(field.name, field.default)
        if good:
            for field in fields:
                if callable(field.default) and row.get(field.name) is None:
                    row[field.name] = field.default(row)
        return good

    def _load(self, read: Sequence[tuple[Edit, Row]]) -> dict[Key, Row]:
        rows = [row for _, row in read]
        if len(rows) > FEW:
            return load(self._connection, self.kind)
        there = load(self._connection, self.kind, by_keys(self.kind, [self.kind.key_of(row) for row in rows]))
        whole = [{**there.get(self.kind.key_of(row), {}), **row} for row in rows]
        names = {name for row in whole for name in row}
        if all(field.name in names for field in self.kind.fields if field.default is REQUIRED) and whole:
            for row in whole:
                for field in self.kind.fields:
                    if callable(field.default) and row.get(field.name) is None:
                        row[field.name] = field.default(row)
            return there | load(self._connection, self.kind, self.kind.siblings(whole))
        return there

    def _merge(self, read: Sequence[tuple[Edit, Row]]) -> None:
        for edit, given in read:
            key = self.kind.key_of(given)
            before = self._rows.get(key)
            there = before is not None and not _gone(before)
            if not self._fits(edit, given, before, there=there):
                continue
            if edit.action == "remove":
                self._steps.append(_Step(edit=edit, key=key, before=before, after=None))
                continue
            after = {**(before if before is not None and there else {}), **given}
            if not self._complete(edit, after, self.kind.fields):
                continue
            if self.kind.unlists:
                after["listed"] = True
            if self._refers(edit, after):
                self._steps.append(_Step(edit=edit, key=key, before=before, after=after))

    def _fits(self, edit: Edit, given: Row, before: Row | None, *, there: bool) -> bool:
        """Whether what is wanted fits what is there."""
        name, shown = self.kind.keys[0], self.kind.shown_key(given)
        if edit.action == "add" and there:
            self._problem(edit, name, f"`{shown}` is there already", "change it, or take another id")
        elif edit.action in ("change", "remove") and not there:
            self._problem(edit, name, f"no {self.kind.name} `{shown}`", "look at the list")
        elif edit.action == "remove" and not self.kind.deletable:
            self._problem(edit, name, f"a {self.kind.name} is not removed", "change it")
        elif edit.action == "remove" and before is not None and before.get("origin") == "inventory":
            self._problem(edit, name, "stands in the inventory file", "remove it there")
        elif before is not None and there and edit.version not in (None, before["version"]):
            self._conflict(edit, given, before)
        elif before is not None and before.get("origin") == "inventory" and (held := self._of_file(given, before)):
            self._problem(edit, held, "is as the inventory file says", "change it there")
        else:
            return True
        return False

    def _of_file(self, given: Row, before: Row) -> str:
        differing = (name for name in self.kind.from_file if name in given and given[name] != before.get(name))
        return next(differing, "")

    def _conflict(self, edit: Edit, given: Row, before: Row) -> None:
        shown = self.kind.shown_key(before)
        lines = [
            line
            for line in trail.listed(self._connection, kind=self.kind.name, object_=shown, limit=20)
            if line.details.get("version", 0) > (edit.version or 0)
        ]
        changed = {name for line in lines for name in line.details.get("fields", [])}
        now = []
        for name in sorted(changed or set(given)):
            field = self.kind.field(name)
            if field is not None and name not in self.kind.keys:
                now.append(f"{name} is now {_shown(field, before.get(name)) or 'empty'}")
        by = f" by {lines[0].actor}" if lines else ""
        reason = f"`{shown}` was changed meanwhile{by}: version {before['version']}, you saw {edit.version}"
        self._problem(edit, "version", "; ".join([reason, *now]), "look at it again, then repeat your change")

    def _refers(self, edit: Edit, row: Row) -> bool:
        good = True
        for field in self.kind.fields:
            value = row.get(field.name)
            if field.refers and value is not None:
                good &= self._exists(edit, field.name, field.refers, value)
        scope = row.get("scope")
        if isinstance(scope, Scope) and scope.kind in ("regime", "detainee"):
            plural = "regimes" if scope.kind == "regime" else "people"
            good &= self._exists(edit, "scope", plural, scope.id)
        return good

    def _exists(self, edit: Edit, column: str, plural: str, name: str) -> bool:
        kind = self._kinds[plural]
        if plural not in self._references:
            query = select(kind.table.c.id)
            if kind.unlists:
                query = query.where(kind.table.c.listed)
            self._references[plural] = set(self._connection.scalars(query))
        if name not in self._references[plural]:
            self._problem(edit, column, f"no {kind.name} `{name}`", "add it first, or correct the id")
            return False
        return True

    def _agree(self, today: datetime.date) -> None:
        rows = {key: row for key, row in self._rows.items() if not _gone(row)}
        lines: dict[Key, Edit] = {}
        for step in self._steps:
            lines[step.key] = step.edit
            if step.after is None:
                rows.pop(step.key, None)
            else:
                rows[step.key] = step.after

        def object_to(key: Key, column: str, reason: str, remedy: str) -> None:
            self._problem(lines.get(key, Edit(action="set", fields={})), column, reason, remedy)

        sight = Sight(rows=rows, touched=set(lines), today=today, facts=self._facts(), object=object_to)
        self.kind.check(sight)

    def _facts(self) -> dict[str, dict[str, Row]]:
        """Rows of other kinds; of people only those that are named, unless they are many."""
        found = {}
        for plural in self.kind.reads:
            kind = self._kinds[plural]
            named = {step.key[0] for step in self._steps}
            few = plural == "people" and len(named) <= FEW
            rows = load(self._connection, kind, by_keys(kind, [(name,) for name in named]) if few else None)
            found[plural] = {kind.shown_key(row): row for row in rows.values()}
        return found

    def write(self, connection: Connection, who: Who, progress: Progress = quietly) -> list[Done]:
        """Write all of it, with a line of the trail each. Refused, and nothing written, where anything is wrong."""
        if self.problems:
            raise Refused(*self.problems)
        steps = [(step, done) for step, done in zip(self._steps, self.done, strict=True) if done.action != "same"]
        progress("writing", 0, len(steps))
        extra = {"changed_utc": who.at_utc, "author": who.actor} if self.kind.plural == "authorisations" else {}
        new = [step for step, _ in steps if step.before is None and step.after is not None]
        if new:
            defaults = self._new_columns()
            connection.execute(
                insert(self.kind.table), [_columns(self.kind, step.after or {}) | defaults | extra for step in new]
            )
        old = [(step, done) for step, done in steps if step.before is not None]
        self._rewrite(connection, [pair for pair in old if pair[0].after is not None], extra)
        self._take_off(connection, [pair for pair in old if pair[0].after is None])
        trail.append(connection, *(self._line(done, who) for _, done in steps))
        progress("writing", len(steps), len(steps))
        return self.done

    def _new_columns(self) -> dict[str, Any]:
        fixed: dict[str, dict[str, Any]] = {
            "people": {"pin_hash": "", "listed": True},
            "phones": {"realm": "", "ha1": "", "origin": "office", "listed": True},
            "contacts": {"origin": "office", "listed": True},
        }
        return fixed.get(self.kind.plural, {})

    def _rewrite(self, connection: Connection, steps: Sequence[tuple[_Step, Done]], extra: dict[str, Any]) -> None:
        """All in one statement: a long file holds the write lock, for which calls wait, as shortly as can be."""
        if not steps:
            return
        table = self.kind.table
        rows = [_columns(self.kind, step.after or {}) | extra for step, _ in steps]
        values: dict[Any, Any] = {table.c[name]: bindparam(f"new_{name}") for name in rows[0]}
        values[table.c.version] = table.c.version + 1
        bound = [
            {f"new_{name}": value for name, value in row.items()} | self._seen(step)
            for row, (step, _) in zip(rows, steps, strict=True)
        ]
        self._whole(connection.execute(update(table).where(self._unchanged()).values(values), bound).rowcount, steps)

    def _take_off(self, connection: Connection, steps: Sequence[tuple[_Step, Done]]) -> None:
        if not steps:
            return
        table = self.kind.table
        statement: Any = delete(table).where(self._unchanged())
        if self.kind.unlists:
            gone = {table.c.listed: False, table.c.version: table.c.version + 1}
            statement = update(table).where(self._unchanged()).values(gone)
        self._whole(connection.execute(statement, [self._seen(step) for step, _ in steps]).rowcount, steps)

    def _unchanged(self) -> Any:
        table = self.kind.table
        columns = [name for field in self._keys() for name in field.columns or (field.name,)]
        same = [table.c[name] == bindparam(f"old_{name}") for name in (*columns, "version")]
        return and_(*same)

    def _keys(self) -> list[Field]:
        return [field for field in self.kind.fields if field.name in self.kind.keys]

    def _seen(self, step: _Step) -> dict[str, Any]:
        row = dict(zip(self.kind.keys, step.key, strict=True))
        columns = _columns(self.kind, row, partly=True) | {"version": (step.before or {})["version"]}
        return {f"old_{name}": value for name, value in columns.items()}

    def _whole(self, changed: int, steps: Sequence[tuple[_Step, Done]]) -> None:
        if changed == len(steps):
            return
        which = f"`{steps[0][1].key}`" if len(steps) == 1 else "one of these rows"
        reason = f"{which} was changed meanwhile by somebody else"
        line = steps[0][0].edit.line if len(steps) == 1 else 0
        raise Refused(Problem(line=line, column="version", reason=reason, remedy="look at it again, then repeat"))

    def _line(self, done: Done, who: Who) -> trail.Line:
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


def load(connection: Connection, kind: Kind, where: Any = None) -> dict[Key, Row]:
    """Rows of a kind, by their keys; unlisted ones too."""
    query = select(kind.table)
    if where is not None:
        query = query.where(where)
    found = {}
    for record in connection.execute(query):
        row = _row(kind, record)
        found[kind.key_of(row)] = row
    return found


def by_keys(kind: Kind, keys: Sequence[Key]) -> Any:
    """The rows with these keys."""
    conditions = []
    for key in keys:
        row = dict(zip(kind.keys, key, strict=True))
        columns = _columns(kind, row, partly=True)
        conditions.append(and_(*(kind.table.c[name] == value for name, value in columns.items())))
    return or_(false(), *conditions)


def rendered(kind: Kind, row: Row) -> dict[str, str]:
    """A row as people write it: every field a text, empty where nothing is set."""
    return {field.name: _shown(field, row.get(field.name)) for field in kind.fields} | {
        "version": str(row["version"])
    }


def _row(kind: Kind, record: Any) -> Row:
    row: Row = {}
    for field in kind.fields:
        if len(field.columns) == 2:
            row[field.name] = Scope(*(getattr(record, name) for name in field.columns))
        else:
            row[field.name] = getattr(record, *(field.columns or (field.name,)))
    row["version"] = record.version
    for name in ("listed", "origin"):
        if name in kind.table.c:
            row[name] = getattr(record, name)
    return row


def _columns(kind: Kind, row: Row, *, partly: bool = False) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for field in kind.fields:
        if field.name not in row:
            continue
        if len(field.columns) == 2:
            scope = row[field.name]
            columns |= dict(zip(field.columns, (scope.kind, scope.id), strict=True))
        else:
            columns[(field.columns or (field.name,))[0]] = row[field.name]
    if kind.unlists and not partly:
        columns["listed"] = row.get("listed", True)
    return columns


def _empty(field: Field) -> Any:
    return None if field.default is REQUIRED or callable(field.default) else field.default


def _gone(row: Row) -> bool:
    return row.get("listed") is False


def _shown(field: Field, value: Any) -> str:
    return "" if value is None else field.value.write(value)


def _changes(kind: Kind, before: Row | None, after: Row) -> dict[str, tuple[str, str]]:
    old = before if before is not None and not _gone(before) else {}
    found = {}
    for field in kind.fields:
        pair = (_shown(field, old.get(field.name)), _shown(field, after.get(field.name)))
        if pair[0] != pair[1]:
            found[field.name] = pair
    return found
