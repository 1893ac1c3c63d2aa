"""When calls may be made: weekly windows and exceptions, in the site's own time."""

import dataclasses
import datetime
from typing import Literal

from avisiod.calls.people import Scope

DAY_MINUTES = 1440
ExceptionKind = Literal["closed", "open", "extra"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours of one weekday, every week. What goes past midnight is two windows."""

    id: str
    scope: Scope
    weekday: int
    """0 is Monday."""
    begins: int
    ends: int
    """Minutes of the local day, 0 <= begins < ends <= 1440; `ends` itself is outside."""
    valid_from: datetime.date | None = None
    valid_to: datetime.date | None = None
    """First and last day on which it holds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleException:
    """One stretch of time in which something else holds than the windows say."""

    id: str
    scope: Scope
    kind: ExceptionKind
    """`extra`: one call of a detainee is granted in this time, whatever hours, quota and pause say. Once such a call
    counts, the exception is used up and no longer among the facts."""
    from_local: datetime.datetime
    to_local: datetime.datetime
    """The site's own time, without zone; `to_local` itself is outside."""
    why: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Whether it is open at an instant, until when, and when it opens next."""

    open: bool
    until_utc: datetime.datetime | None
    """End of what is open; None where none is in sight, or it is closed."""
    next_utc: datetime.datetime | None
    """Next opening; None where none is in sight, or it is open."""
    because: str
