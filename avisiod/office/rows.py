"""Rows of the lists between their tables and people: read, written, shown as texts."""

import itertools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, false, or_, select

from avisiod.calls.people import Scope
from avisiod.office.edits import Key
from avisiod.office.kind import REQUIRED, Field, Kind, Row


def load(connection: Connection, kind: Kind, where: Any = None) -> dict[Key, Row]:
    """Rows of a kind, by their keys; unlisted ones too."""
    query = select(kind.table)
    if where is not None:
        query = query.where(where)
    found = {}
    for record in connection.execute(query):
        row = _row(kind, record)
        found[kind.key_of(row)] = row
    for field in kind.fields:
        if field.pairs is not None:
            _add_pairs(connection, field, found, whole=where is None)
    return found


def _add_pairs(connection: Connection, field: Field, found: dict[Key, Row], *, whole: bool) -> None:
    """Read a field that has many values; of these rows only, unless they are all there are."""
    assert field.pairs is not None  # noqa: S101 - asked by `load`
    own, other = field.pairs.c
    query = select(field.pairs).order_by(own, other)
    if not whole:
        query = query.where(own.in_([key[0] for key in found]))
    for one, many in itertools.groupby(connection.execute(query), key=lambda pair: pair[0]):
        if (one,) in found:
            found[one,][field.name] = tuple(pair[1] for pair in many)


def by_keys(kind: Kind, keys: Sequence[Key]) -> Any:
    """The rows with these keys."""
    conditions = []
    for key in keys:
        row = dict(zip(kind.keys, key, strict=True))
        kept = columns(kind, row, partly=True)
        conditions.append(and_(*(kind.table.c[name] == value for name, value in kept.items())))
    return or_(false(), *conditions)


def rendered(kind: Kind, row: Row) -> dict[str, str]:
    """A row as people write it: every field a text, empty where nothing is set."""
    return {field.name: shown(field, row.get(field.name)) for field in kind.fields} | {"version": str(row["version"])}


def _row(kind: Kind, record: Any) -> Row:
    row: Row = {}
    for field in kind.fields:
        if field.pairs is not None:
            row[field.name] = ()
        elif len(field.columns) == 2:
            row[field.name] = Scope(*(getattr(record, name) for name in field.columns))
        else:
            row[field.name] = getattr(record, *(field.columns or (field.name,)))
    row["version"] = record.version
    for name in ("listed", "origin"):
        if name in kind.table.c:
            row[name] = getattr(record, name)
    return row


def columns(kind: Kind, row: Row, *, partly: bool = False) -> dict[str, Any]:
    """What of a row is written into its table; `partly`: only the fields that it has."""
    kept: dict[str, Any] = {}
    for field in kind.fields:
        if field.name not in row or field.pairs is not None:
            continue
        if len(field.columns) == 2:
            scope = row[field.name]
            kept |= dict(zip(field.columns, (scope.kind, scope.id), strict=True))
        else:
            kept[(field.columns or (field.name,))[0]] = row[field.name]
    if kind.unlists and not partly:
        kept["listed"] = row.get("listed", True)
    return kept


def empty(field: Field) -> Any:
    """What a field holds that was emptied."""
    return None if field.default is REQUIRED or callable(field.default) else field.default


def gone(row: Row) -> bool:
    """Whether it was taken off its list."""
    return row.get("listed") is False


def shown(field: Field, value: Any) -> str:
    """A value as people write it."""
    return "" if value is None else field.value.write(value)


def changes(kind: Kind, before: Row | None, after: Row) -> dict[str, tuple[str, str]]:
    """By field: before and after, as people write them."""
    old = before if before is not None and not gone(before) else {}
    found = {}
    for field in kind.fields:
        pair = (shown(field, old.get(field.name)), shown(field, after.get(field.name)))
        if pair[0] != pair[1]:
            found[field.name] = pair
    return found
