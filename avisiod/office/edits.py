"""What is wanted of rows, what becomes of them, what is in the way, and who asks: the words of every operation."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

Action = Literal["add", "change", "remove", "set"]
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
