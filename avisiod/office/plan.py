"""Edits of rows: first all of them are understood and checked, then all of them are written, or none."""

import datetime
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from avisiod.calls.people import Scope
from avisiod.office.checks import Sight
from avisiod.office.edits import Action, Done, Edit, Key, Problem, Progress, Refused, Who, quietly
from avisiod.office.kind import REQUIRED, Field, Kind, Row
from avisiod.office.rows import by_keys, empty, gone, load, rendered, shown
from avisiod.office.values import Wrong
from avisiod.office.writing import Step, Writing
from avisiod.store import trail

__all__ = [
    "FEW",
    "Action",
    "Done",
    "Edit",
    "Plan",
    "Problem",
    "Progress",
    "Refused",
    "Who",
    "load",
    "quietly",
    "rendered",
]

FEW = 40
"""Up to so many edits only the rows that they touch are read; beyond, all of the kind."""


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
        self._steps: list[Step] = []
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
                row[name] = field.value.read(text.strip()) if text.strip() else empty(field)
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
            there = before is not None and not gone(before)
            if not self._fits(edit, given, before, there=there):
                continue
            if edit.action == "remove":
                self._steps.append(Step(edit=edit, key=key, before=before, after=None))
                continue
            after = {**(before if before is not None and there else {}), **given}
            if not self._complete(edit, after, self.kind.fields):
                continue
            if self.kind.unlists:
                after["listed"] = True
            if self._refers(edit, after):
                self._steps.append(Step(edit=edit, key=key, before=before, after=after))

    def _fits(self, edit: Edit, given: Row, before: Row | None, *, there: bool) -> bool:
        """Whether what is wanted fits what is there."""
        name, named = self.kind.keys[0], self.kind.shown_key(given)
        if edit.action == "add" and there:
            self._problem(edit, name, f"`{named}` is there already", "change it, or take another id")
        elif edit.action in ("change", "remove") and not there:
            self._problem(edit, name, f"no {self.kind.name} `{named}`", "look at the list")
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
        named = self.kind.shown_key(before)
        lines = [
            line
            for line in trail.listed(self._connection, kind=self.kind.name, object_=named, limit=20)
            if line.details.get("version", 0) > (edit.version or 0)
        ]
        changed = {name for line in lines for name in line.details.get("fields", [])}
        now = []
        for name in sorted(changed or set(given)):
            field = self.kind.field(name)
            if field is not None and name not in self.kind.keys:
                now.append(f"{name} is now {shown(field, before.get(name)) or 'empty'}")
        by = f" by {lines[0].actor}" if lines else ""
        reason = f"`{named}` was changed meanwhile{by}: version {before['version']}, you saw {edit.version}"
        self._problem(edit, "version", "; ".join([reason, *now]), "look at it again, then repeat your change")

    def _refers(self, edit: Edit, row: Row) -> bool:
        good = True
        for field in self.kind.fields:
            value = row.get(field.name)
            if field.refers and value is not None:
                for name in value if field.pairs is not None else (value,):
                    good &= self._exists(edit, field.name, field.refers, name)
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
        rows = {key: row for key, row in self._rows.items() if not gone(row)}
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
        Writing(connection, self.kind, who).write(steps, progress)
        return self.done
