"""What can happen to a call. Every event carries `at`, seconds of the monotonic clock."""

import dataclasses
from typing import Literal

from avisiod.calls.admission import Limit
from avisiod.calls.ids import DetaineeId, SessionId
from avisiod.calls.reasons import EndReason

LegName = Literal["phone", "outside"]


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Granted(Event):
    """Admission lets the call be made, for at most `limit_s` connected; a `confidential` line is never recorded."""

    limit_s: float
    confidential: bool
    shortened_by: Limit | None = None
    not_after: float | None = None
    not_after_by: Limit | None = None
    because: str = ""
    """The facts it rested on, for the journal."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refused(Event):
    """Admission does not."""

    reason: EndReason
    because: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class IdentityWanted(Event):
    """The phone is shared: who calls must say so before admission can decide."""


@dataclasses.dataclass(frozen=True, slots=True)
class PinWanted(Event):
    """An identifier was typed; digits are in no event."""


@dataclasses.dataclass(frozen=True, slots=True)
class IdentifierWanted(Event):
    """What was typed is cleared; the identifier is asked for again. `wrong`: it was not right with its PIN."""

    wrong: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Identified(Event):
    """Identifier and PIN are right."""

    detainee: DetaineeId


@dataclasses.dataclass(frozen=True, slots=True)
class IdentifyTimedOut(Event):
    """Nobody said in time who calls."""


@dataclasses.dataclass(frozen=True, slots=True)
class HoursOver(Event):
    """The time in which the call may take place is over before it began."""


@dataclasses.dataclass(frozen=True, slots=True)
class PhoneAnswered(Event):
    """The phone's leg is open and its INVITE answered with 200: it can see and hear us."""


@dataclasses.dataclass(frozen=True, slots=True)
class PhoneUnanswerable(Event):
    """The phone's offer could not be answered."""

    reason: EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class SmsAccepted(Event):
    """The network took the SMS; from now on the code's time runs."""


@dataclasses.dataclass(frozen=True, slots=True)
class SmsUnsendable(Event):
    """No route is left, or the time for trying is over."""


@dataclasses.dataclass(frozen=True, slots=True)
class CodeAccepted(Event):
    """The right code was typed, the charter accepted; the code is spent."""

    session: SessionId


@dataclasses.dataclass(frozen=True, slots=True)
class CodeExpired(Event):
    """The code's time is over."""


@dataclasses.dataclass(frozen=True, slots=True)
class CodeVoided(Event):
    """Too many wrong codes were typed on this very invitation: it is void."""


@dataclasses.dataclass(frozen=True, slots=True)
class CameBack(Event):
    """The relative who had joined opened the page again, without a new code."""

    session: SessionId


@dataclasses.dataclass(frozen=True, slots=True)
class JoinTimedOut(Event):
    """Media did not flow in time."""


@dataclasses.dataclass(frozen=True, slots=True)
class RecorderOpened(Event):
    """The recording's file is open and written to."""


@dataclasses.dataclass(frozen=True, slots=True)
class RecorderBroke(Event):
    """The recording could not be opened or goes on no longer."""

    reason: EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class LegFlowing(Event):
    """Media of every negotiated kind comes from this leg. `session` is empty for the phone."""

    leg: LegName
    session: SessionId | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LegSilent(Event):
    """Nothing has come from this leg for the time that the site set."""

    leg: LegName
    session: SessionId | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LegFailed(Event):
    """The leg cannot be had: ICE or DTLS gave up, or the page said goodbye to its connection."""

    leg: LegName
    session: SessionId | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class WarningDue(Event):
    """So many seconds are left; both parties are told."""

    remaining_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class DeadlineReached(Event):
    """The limit is used up."""


@dataclasses.dataclass(frozen=True, slots=True)
class GraceOver(Event):
    """The relative did not come back in time."""


@dataclasses.dataclass(frozen=True, slots=True)
class PhoneHungUp(Event):
    """BYE or CANCEL from the phone."""


@dataclasses.dataclass(frozen=True, slots=True)
class PhoneFailed(Event):
    """The dialogue with the phone broke: no ACK, a session timer ran out, a transport error."""


@dataclasses.dataclass(frozen=True, slots=True)
class RelativeHungUp(Event):
    """The relative pressed the button."""

    session: SessionId


@dataclasses.dataclass(frozen=True, slots=True)
class StaffEnded(Event):
    """Staff ended the call."""


@dataclasses.dataclass(frozen=True, slots=True)
class MediaLost(Event):
    """The media worker died, hung or refused what it had to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceDraining(Event):
    """The daemon is to stop: no call begins any more, and this one ends at `until` at the latest."""

    until: float


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceStopping(Event):
    """The daemon stops and the time to drain is over."""


@dataclasses.dataclass(frozen=True, slots=True)
class StoreFailed(Event):
    """The call's progress could not be written down: it may not go on."""


@dataclasses.dataclass(frozen=True, slots=True)
class FarewellOver(Event):
    """The last prompt has been heard, or its time is over."""
