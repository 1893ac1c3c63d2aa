"""What is kept about a phone, a detainee and a number: all that admission needs of the store, read at one instant."""

import dataclasses
from collections.abc import Mapping

from avisiod.calls.ids import ClassId
from avisiod.calls.people import (
    CONFIDENTIAL,
    DEFAULT_AUTHORITIES,
    ORDINARY,
    Authorisation,
    Authority,
    Callee,
    ContactClass,
    Detainee,
    Line,
    Status,
)
from avisiod.calls.quotas import Allowance, PastCall
from avisiod.calls.schedule import ScheduleException, Window
from avisiod.calls.tariff import Tariff


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """The kept facts. What is not found is None; rules of scopes that are not the detainee's may be left out."""

    line: Line | None = None
    callee: Callee | None = None
    """The contact with the dialled number."""
    detainee: Detainee | None = None
    """The one who was identified, or the line's occupant."""
    authorisation: Authorisation | None = None
    """Of this detainee for this contact, whatever its state."""
    authorities: Mapping[Status, Authority] = dataclasses.field(default_factory=lambda: DEFAULT_AUTHORITIES)
    classes: Mapping[ClassId, ContactClass] = dataclasses.field(
        default_factory=lambda: {ORDINARY.id: ORDINARY, CONFIDENTIAL.id: CONFIDENTIAL}
    )
    windows: tuple[Window, ...] = ()
    exceptions: tuple[ScheduleException, ...] = ()
    """Those that may matter within a week, without the extra calls that are used up."""
    allowances: tuple[Allowance, ...] = ()
    history: tuple[PastCall, ...] = ()
    """The detainee's calls that count, since `quotas.history_since`."""
    tariffs: tuple[Tariff, ...] = ()
    balance_cents: int = 0
    """Of the detainee's account, without what is held."""
    contact_elsewhere: bool = False
    """The contact is in a call of another box that shares the database; the same of the detainee."""
    detainee_elsewhere: bool = False
