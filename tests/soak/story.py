"""What is noted of a soak: its calls, its faults, each with its moments on the monotonic clock."""

import dataclasses
import enum
from typing import Any


class Plan(enum.StrEnum):
    """How a call is meant to end; the value is the reason that the journal must name where nothing goes wrong."""

    DETAINEE = "detainee_hung_up"
    RELATIVE = "relative_hung_up"
    LIMIT = "limit_reached"
    RELATIVE_GOES = "relative_lost"
    PHONE_GOES = "phone_lost"
    GIVES_UP = "detainee_gave_up"
    NOBODY_COMES = "code_expired"


@dataclasses.dataclass
class Call:
    """One call as its parties saw it. Moments are None where it did not get so far."""

    lane: int
    plan: Plan
    comes_back: bool
    confidential: bool
    dialled_at: float
    id: str = ""
    status: int | None = None
    """Of the INVITE; None where no answer came."""
    answered_at: float | None = None
    connected_at: float | None = None
    end_asked_at: float | None = None
    over_at: float | None = None
    """When both parties had done what they do at the end."""
    media_pid: int | None = None
    sip_pid: int | None = None
    bye: str = ""
    """What became of the phone's BYE: `ok`, `unknown` (481), `unanswered`; empty where it sent none."""
    hung_up: bool = False
    """The phone got a BYE."""
    page_told: str = ""
    """The reason that the page was told."""
    phone_heard: int = 0
    """Packets of the relative that the phone got while connected."""
    relative_heard: int = 0
    trouble: str = ""
    """The step that failed at a party, in its words."""

    @property
    def reached(self) -> str:
        moments = (("connected", self.connected_at), ("answered", self.answered_at))
        return next((name for name, at in moments if at is not None), "dialled")


@dataclasses.dataclass
class Fault:
    """What was done, when, to whom."""

    kind: str
    began_at: float
    ended_at: float | None = None
    """When the harm was undone and seen to be so."""
    pid: int | None = None
    """The worker that it hit."""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def touches(self, begin: float, end: float, margin_s: float = 2.0) -> bool:
        """Whether it was going on, or had only just ended, at any time between."""
        mine = self.ended_at if self.ended_at is not None else float("inf")
        return self.began_at - margin_s <= end and begin <= mine + margin_s
