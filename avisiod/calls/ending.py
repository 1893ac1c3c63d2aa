"""How a call ends: what is closed, who is told, and what may still come after it."""

import dataclasses

from avisiod.calls import commands as do
from avisiod.calls import events as ev
from avisiod.calls.admission import Limit
from avisiod.calls.call import Call, State
from avisiod.calls.limits import connected_time
from avisiod.calls.outcome import Act, Outcome
from avisiod.calls.reasons import EndReason

SPOKEN_REFUSALS = frozenset(
    {
        EndReason.UNKNOWN_NUMBER,
        EndReason.NOT_A_NUMBER,
        EndReason.CONTACT_BUSY,
        EndReason.NO_CAPACITY,
        EndReason.DISK_FULL,
        EndReason.DETAINEE_UNKNOWN,
        EndReason.DETAINEE_SUSPENDED,
        EndReason.DETAINEE_BUSY,
        EndReason.NOT_IDENTIFIED,
        EndReason.PIN_REFUSED,
        EndReason.PIN_LOCKED,
        EndReason.NOT_AUTHORISED,
        EndReason.AUTHORISATION_ENDED,
        EndReason.OUTSIDE_HOURS,
        EndReason.CLOSED,
        EndReason.QUOTA_REACHED,
        EndReason.PAUSE_WANTED,
        EndReason.BALANCE_TOO_LOW,
        EndReason.SERVICE_STOPPING,
    }
)
"""Refusals that the detainee hears as a sentence; the others get a SIP status and nothing of ours is opened."""


_NO_FAREWELL = frozenset(
    {
        EndReason.DETAINEE_HUNG_UP,
        EndReason.DETAINEE_GAVE_UP,
        EndReason.PHONE_LOST,
        EndReason.SIP_FAILED,
        EndReason.MEDIA_FAILED,
    }
)
"""Ends after which nobody is left to listen, or nothing to speak with."""


_OVER = {Limit.HOURS: EndReason.HOURS_OVER, Limit.AUTHORISATION: EndReason.AUTHORISATION_ENDED}
"""Why a call ends that did not begin in time, by what ended the time."""


def end(call: Call, at: float, reason: EndReason) -> Outcome:
    """The call is over: whatever is open is closed, and whoever is left is told why."""
    farewell = call.answered and reason not in _NO_FAREWELL
    commands: list[do.Command] = []
    if call.bridged:
        commands.append(do.Unbridge())
    if call.session is not None:
        commands += [do.TellPageEnd(reason), do.CloseOutsideLeg()]
    if call.recording:
        commands.append(do.SealRecording(reason))
    if call.invited:
        commands.append(do.CancelInvitation())
    if farewell:
        commands.append(do.SayFarewell(reason))
    else:
        commands.append(do.HangUpPhone(reason) if call.answered else do.RejectPhone(reason))
        commands.append(do.CloseMedia(reason))
    ended = dataclasses.replace(
        call,
        state=State.ENDED,
        reason=reason,
        ended_at=at,
        bridged=False,
        recording=False,
        invited=False,
        outside_flows=False,
        connected_s=connected_time(call.connected_s, call.flowing_since, at, call.deadline, call.limit_s),
        flowing_since=None,
        farewell_until=at + call.times.farewell_s if farewell else None,
    )
    return ended, tuple(commands)


def ends(reason: EndReason) -> Act:
    """What ends a call for this reason."""
    return lambda call, event: end(call, event.at, reason)


def ends_as_told(call: Call, event: ev.PhoneUnanswerable | ev.RecorderBroke) -> Outcome:
    """The event itself says why."""
    return end(call, event.at, event.reason)


def hours_over(call: Call, event: ev.HoursOver) -> Outcome:
    """The time in which it might have begun is over."""
    return end(call, event.at, _OVER[call.not_after_by or Limit.HOURS])


def code_over(call: Call, event: ev.Event) -> Outcome:
    """The time for joining is over; who did join and failed has not «not come»."""
    return end(call, event.at, EndReason.CODE_EXPIRED if call.session is None else EndReason.JOIN_FAILED)


def deadline_reached(call: Call, event: ev.DeadlineReached) -> Outcome:
    """The time is used up, or the service stops."""
    return end(call, event.at, call.deadline_reason)


def refusal_over(call: Call, event: ev.Event) -> Outcome:
    """The refusal was heard, or nobody is there to hear it."""
    assert call.reason is not None  # noqa: S101 - as above
    last = do.HangUpPhone(call.reason) if call.answered else do.RejectPhone(call.reason)
    ended = dataclasses.replace(call, state=State.ENDED, ended_at=event.at, farewell_until=None)
    return ended, (last, do.CloseMedia(call.reason))


def farewell_over(call: Call, _event: ev.FarewellOver | ev.MediaLost) -> Outcome:
    """The last word is spoken, or nothing is left to speak it with: the phone is let go."""
    if call.farewell_until is None:
        return call, ()
    assert call.reason is not None  # noqa: S101 - `ended` has a reason
    done = dataclasses.replace(call, farewell_until=None)
    return done, (do.HangUpPhone(call.reason), do.CloseMedia(call.reason))


def phone_gone_in_farewell(call: Call, _event: ev.Event) -> Outcome:
    """Nobody is left to be let go."""
    if call.farewell_until is None:
        return call, ()
    assert call.reason is not None  # noqa: S101 - `ended` has a reason
    return dataclasses.replace(call, farewell_until=None), (do.CloseMedia(call.reason),)


def answered_after_end(call: Call, _event: ev.PhoneAnswered) -> Outcome:
    """The end overtook our 200: the phone is in a dialogue that nobody wants any more."""
    assert call.reason is not None  # noqa: S101 - `ended` has a reason
    return dataclasses.replace(call, answered=True), (do.HangUpPhone(call.reason), do.CloseMedia(call.reason))


def recorder_opened_too_late(call: Call, _event: ev.RecorderOpened) -> Outcome:
    """The call ended while its recorder was being opened: the empty file is sealed like any other."""
    assert call.reason is not None  # noqa: S101 - `ended` has a reason
    return call, (do.SealRecording(call.reason),)
