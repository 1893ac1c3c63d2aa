"""Who may call whom, now: one pure function from facts to granted or refused."""

import dataclasses

from avisiod.calls.reasons import EndReason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the decision rests on."""

    phone_known: bool
    number_valid: bool
    contact_known: bool
    contact_may_be_called: bool
    """By this phone."""
    contact_confidential: bool
    phone_busy: bool
    contact_busy: bool
    open_calls: int
    capacity: int
    disk_free_enough: bool
    media_ready: bool
    draining: bool
    limit_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The call may be made."""

    limit_s: float
    confidential: bool


def decide(facts: Facts) -> Admitted | EndReason:
    """Admitted, or the first reason against it. A confidential line needs no room on the disk."""
    refusals = (
        (not facts.phone_known, EndReason.UNKNOWN_PHONE),
        (facts.phone_busy, EndReason.PHONE_BUSY),
        (facts.draining, EndReason.SERVICE_STOPPING),
        (not facts.media_ready or facts.open_calls >= facts.capacity, EndReason.NO_CAPACITY),
        (not facts.number_valid, EndReason.NOT_A_NUMBER),
        (not (facts.contact_known and facts.contact_may_be_called), EndReason.UNKNOWN_NUMBER),
        (facts.contact_busy, EndReason.CONTACT_BUSY),
        (not facts.disk_free_enough and not facts.contact_confidential, EndReason.DISK_FULL),
    )
    for refused, reason in refusals:
        if refused:
            return reason
    return Admitted(limit_s=facts.limit_s, confidential=facts.contact_confidential)
