"""A call as the rules know it."""

import dataclasses
import enum

from avisiod.calls.admission import Limit
from avisiod.calls.ids import CallId, ContactId, DetaineeId, PhoneId, SessionId
from avisiod.calls.limits import warnings_within
from avisiod.calls.reasons import EndReason


class State(enum.StrEnum):
    """Where a call stands."""

    DIALLED = "dialled"
    IDENTIFYING = "identifying"
    REFUSED = "refused"
    INVITING = "inviting"
    WAITING = "waiting"
    JOINING = "joining"
    CONNECTED = "connected"
    INTERRUPTED = "interrupted"
    ENDED = "ended"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The site's settings for one call, in seconds."""

    warnings_s: tuple[float, ...] = (120.0, 30.0)
    code_valid_s: float = 300.0
    sms_within_s: float = 60.0
    """The SMS must be accepted by the network within this time of dialling."""
    admission_s: float = 10.0
    """A call that is not decided on by then, because the store does not answer, ends."""
    identify_s: float = 120.0
    """A shared phone waits so long in all for identifier and PIN."""
    grace_s: float = 60.0
    join_timeout_s: float = 30.0
    farewell_s: float = 15.0
    """The phone is hung up at the latest so long after the end, its last prompt heard or not."""
    waiting_prompt_s: float = 20.0
    """Pause between two waiting prompts, and between two that ask for an identifier or a PIN."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """All that the rules know of one call. Instants are monotonic seconds."""

    id: CallId
    phone: PhoneId
    dialled_at: float
    times: Times = Times()
    contact: ContactId | None = None
    detainee: DetaineeId | None = None
    """Who calls, once that is known."""
    state: State = State.DIALLED
    limit_s: float = 0.0
    confidential: bool = False
    shortened_by: Limit | None = None
    """What made `limit_s` shorter than the allowance."""
    not_after: float | None = None
    """It ends then at the latest, connected or not: hours or the authorisation are over."""
    not_after_by: Limit | None = None
    answered: bool = False
    """The INVITE has got its 200."""
    invited: bool = False
    """A code is out and neither spent nor void."""
    recorder_asked: bool = False
    recording: bool = False
    session: SessionId | None = None
    """The page that has joined last."""
    phone_flows: bool = False
    outside_flows: bool = False
    bridged: bool = False
    identify_due: float | None = None
    decide_due: float | None = None
    """Who was identified waits so long for the second look of admission."""
    sms_due: float | None = None
    code_expires: float | None = None
    join_due: float | None = None
    """Who is joining, or is back after an interruption, has until then for it."""
    grace_until: float | None = None
    """Nobody waits longer for a relative who was lost."""
    farewell_until: float | None = None
    connected_at: float | None = None
    """First time that media flowed both ways."""
    deadline: float | None = None
    closing_at: float | None = None
    """The service stops then, and whatever is under way ends; None while nobody has ordered it to stop."""
    warnings_given: int = 0
    flowing_since: float | None = None
    connected_s: float = 0.0
    """Time in which both could see and hear each other, up to `flowing_since`."""
    reason: EndReason | None = None
    ended_at: float | None = None

    @property
    def deadline_reason(self) -> EndReason:
        """Why the call ends at its deadline: its time is over, or the service stops."""
        closes = None not in (self.closing_at, self.deadline) and self.deadline == self.closing_at
        return EndReason.SERVICE_STOPPING if closes else EndReason.LIMIT_REACHED

    @property
    def warnings_s(self) -> tuple[float, ...]:
        """The warnings of this call, longest first."""
        return warnings_within(self.times.warnings_s, self.limit_s)
