"""Who calls and who is called, as the rules know them: ids and facts, no name, no number, no PIN."""

import dataclasses
import datetime
from typing import Literal

from avisiod.calls.ids import ClassId, ContactId, DetaineeId, PhoneId

Status = Literal["remand", "convicted"]
Authority = Literal["magistrate", "head"]
AuthorisationState = Literal["requested", "granted", "refused", "suspended", "withdrawn"]
Exemption = Literal["schedule", "quota", "pause", "price", "authorisation"]
ScopeKind = Literal["site", "building", "regime", "detainee"]

DEFAULT_AUTHORITIES: dict[Status, Authority] = {"remand": "magistrate", "convicted": "head"}
"""Who must have authorised a contact, by the detainee's status, where the site has not set it otherwise."""


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Whom a rule of the site is for; `id` is empty for the whole site."""

    kind: ScopeKind
    id: str = ""

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{self.kind} {self.id}" if self.id else self.kind


SITE = Scope("site")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Detainee:
    """A person in detention, by a pseudonymous id."""

    id: DetaineeId
    language: str = "fr"
    regime: str = "ordinary"
    building: str = ""
    status: Status = "convicted"
    suspended: bool = False
    """May not call anybody but the classes that need no authorisation."""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes whose rules are for this person, the most specific first."""
        own = (Scope("detainee", self.id), Scope("regime", self.regime), Scope("building", self.building))
        return (*(scope for scope in own if scope.id), SITE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A phone: it stands for its occupant, or it is shared and asks who is calling."""

    id: PhoneId
    language: str = "fr"
    building: str = ""
    shared: bool = False
    occupant: DetaineeId | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContactClass:
    """What the law says of a kind of contact; all of it is the site's data."""

    id: ClassId
    confidential: bool = False
    """Never recorded, never watched."""
    exempt: frozenset[Exemption] = frozenset()
    """What does not hold for calls to such a contact."""


ORDINARY = ContactClass(id=ClassId("ordinary"))
CONFIDENTIAL = ContactClass(
    id=ClassId("confidential"),
    confidential=True,
    exempt=frozenset({"schedule", "quota", "pause", "price", "authorisation"}),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """An outside person, as far as the rules look at them."""

    id: ContactId
    cls: ClassId = ORDINARY.id
    confidential: bool = False
    """Marked so by itself, whatever its class says: protection always wins."""
    language: str = ""
    """Of the SMS; empty: that of who calls."""
    phones: frozenset[PhoneId] = frozenset()
    """Phones that may call; empty: every phone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """That a detainee may call a contact: asked for, decided by somebody, perhaps for a time."""

    detainee: DetaineeId
    contact: ContactId
    state: AuthorisationState
    authority: Authority
    author: str = ""
    """Who entered it, by the id of their account."""
    decided_on: datetime.date | None = None
    ends_on: datetime.date | None = None
    """Its last day, of the site's calendar."""
    cls: ClassId | None = None
    """Replaces the contact's class for this detainee only."""
