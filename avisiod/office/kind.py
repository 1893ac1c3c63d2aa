"""What a list of the staff's is: its table, its fields, and which rows a change must agree with."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, false

from avisiod.office import checks
from avisiod.office.values import Value

Row = dict[str, Any]
"""A row by the names of its fields, with values as they are kept."""
REQUIRED = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind."""

    name: str
    value: Value
    help: str
    default: Any = REQUIRED
    """A value, or a function of the row; None: the field may stay empty."""
    columns: tuple[str, ...] = ()
    """Where it is kept, if not in the column of its name."""
    refers: str = ""
    """The kind whose id it is."""
    personal: bool = False
    """Named in the trail, but never with its value."""
    pairs: Table | None = None
    """The table that keeps its ids, where it has many: the row's own key first, then one of them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of list."""

    name: str
    """In the singular, as the trail has it."""
    plural: str
    """As avisioctl and the names of CSV files have it."""
    help: str
    table: Table
    fields: tuple[Field, ...]
    keys: tuple[str, ...] = ("id",)
    make_key: Callable[[Row], str] | None = None
    """Makes the id of what was entered without one, always the same of the same."""
    unlists: bool = False
    """A row that is removed stays, unlisted: calls and ledger refer to it."""
    check: Callable[[checks.Sight], None] = checks.nothing
    siblings: Callable[[Sequence[Row]], ColumnElement[bool]] = lambda _rows: false()
    """The other rows that these must agree with."""
    from_file: tuple[str, ...] = ()
    """Fields that the inventory file decides, where the row is of that file."""
    deletable: bool = True
    group: str = "rules"
    """Whose permissions it takes to see and to edit it."""
    reads: tuple[str, ...] = ()
    """Other kinds whose rows the check looks at."""

    def field(self, name: str) -> Field | None:
        """By name."""
        return next((field for field in self.fields if field.name == name), None)

    def key_of(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """What tells it from the others."""
        return tuple(row[name] for name in self.keys)

    def shown_key(self, row: Mapping[str, Any]) -> str:
        """The key as people write it."""
        fields = [self.field(name) for name in self.keys]
        return "/".join(field.value.write(row[field.name]) for field in fields if field is not None)
