"""What the table wants done. The switchboard lets these out only after state and event are stored."""

import dataclasses
from typing import Literal

from avisiod.calls.admission import Limit
from avisiod.calls.reasons import EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """Something to do; its outcome comes back as an event."""


@dataclasses.dataclass(frozen=True, slots=True)
class AnswerPhone(Command):
    """Open the phone's leg and answer the INVITE with 200."""


@dataclasses.dataclass(frozen=True, slots=True)
class RejectPhone(Command):
    """Answer the INVITE with the reason's SIP status."""

    reason: EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class HangUpPhone(Command):
    """End the dialogue with the phone; harmless when it is over."""

    reason: EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class Present(Command):
    """Show and say something to the phone; `what` names prompt and picture, `repeat_s` > 0 says it again."""

    what: Literal["waiting", "joining", "interrupted", "identifier", "pin", "wrong"]
    repeat_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class SpeakTheirs(Command):
    """Who calls from a shared phone is known now: prompts and pictures are in their language from here on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Protect(Command):
    """The line is confidential after all: from now on media refuses to record it."""


@dataclasses.dataclass(frozen=True, slots=True)
class SayFarewell(Command):
    """Tell the phone why it ends; FarewellOver follows."""

    reason: EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class SendInvitation(Command):
    """Draw a code, keep its hash, send the SMS."""


@dataclasses.dataclass(frozen=True, slots=True)
class CancelInvitation(Command):
    """Void the code, stop trying to send."""


@dataclasses.dataclass(frozen=True, slots=True)
class OpenRecorder(Command):
    """Open the recording."""


@dataclasses.dataclass(frozen=True, slots=True)
class SealRecording(Command):
    """Close and seal the recording now; nothing of the call is recorded after this."""

    reason: EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class Bridge(Command):
    """Forward between the legs until `deadline`, monotonic seconds."""

    deadline: float


@dataclasses.dataclass(frozen=True, slots=True)
class Unbridge(Command):
    """Stop forwarding."""


@dataclasses.dataclass(frozen=True, slots=True)
class CloseOutsideLeg(Command):
    """Forget the page's media."""


@dataclasses.dataclass(frozen=True, slots=True)
class CloseMedia(Command):
    """Close whatever media of the call is still open."""

    reason: EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class Warn(Command):
    """Tell both parties how much is left."""

    remaining_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class SayShortened(Command):
    """Tell both parties, at its start, that the call is shorter than usual, why, and how long it may last."""

    by: Limit
    remaining_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class TellPage(Command):
    """Tell the page the call's state."""

    state: Literal["waiting", "joining", "connected", "interrupted"]


@dataclasses.dataclass(frozen=True, slots=True)
class TellPageEnd(Command):
    """Tell the page that it is over, and why."""

    reason: EndReason
