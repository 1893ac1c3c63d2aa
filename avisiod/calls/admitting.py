"""From dialling to the code: who calls, whether they may, and the wait for the relative."""

import dataclasses
from typing import Literal

from avisiod.calls import commands as do
from avisiod.calls import ending
from avisiod.calls import events as ev
from avisiod.calls.call import Call, State
from avisiod.calls.ending import SPOKEN_REFUSALS
from avisiod.calls.outcome import Commands, Outcome, UnexpectedEvent


def granted(call: Call, event: ev.Granted) -> Outcome:
    """The phone is answered; it waits for the relative from then on."""
    inviting = dataclasses.replace(
        call,
        state=State.INVITING,
        limit_s=event.limit_s,
        confidential=event.confidential,
        shortened_by=event.shortened_by,
        not_after=event.not_after,
        not_after_by=event.not_after_by,
        sms_due=event.at + call.times.sms_within_s,
    )
    return inviting, (do.AnswerPhone(),)


def identity_wanted(call: Call, event: ev.IdentityWanted) -> Outcome:
    """The phone is answered and asked who calls."""
    due = event.at + call.times.identify_s
    return dataclasses.replace(call, state=State.IDENTIFYING, identify_due=due), (do.AnswerPhone(),)


def _ask(call: Call, what: Literal["identifier", "pin", "wrong"]) -> Commands:
    return (do.Present(what, repeat_s=call.times.waiting_prompt_s),)


def answered_to_identify(call: Call, _event: ev.PhoneAnswered) -> Outcome:
    """The phone can hear the question."""
    return dataclasses.replace(call, answered=True), _ask(call, "identifier")


def _while_asked(call: Call) -> None:
    if not call.answered or call.identify_due is None:
        raise UnexpectedEvent("nobody is being asked who they are")


def pin_wanted(call: Call, _event: ev.PinWanted) -> Outcome:
    """The identifier is typed."""
    _while_asked(call)
    return call, _ask(call, "pin")


def identifier_wanted(call: Call, event: ev.IdentifierWanted) -> Outcome:
    """The question is asked from its beginning."""
    _while_asked(call)
    return call, _ask(call, "wrong" if event.wrong else "identifier")


def identified(call: Call, event: ev.Identified) -> Outcome:
    """Who calls is known; admission looks once more."""
    _while_asked(call)
    decide_due = event.at + call.times.admission_s
    return dataclasses.replace(call, detainee=event.detainee, identify_due=None, decide_due=decide_due), (
        do.SpeakTheirs(),
    )


def granted_to_the_identified(call: Call, event: ev.Granted) -> Outcome:
    """The phone is answered already: what it was answered with is now known to be confidential or not."""
    if call.detainee is None:
        raise UnexpectedEvent("nobody has said who calls")
    inviting, _ = granted(dataclasses.replace(call, decide_due=None), event)
    waiting, commands = answered_to_wait(inviting, ev.PhoneAnswered(event.at))
    return waiting, ((do.Protect(), *commands) if event.confidential else commands)


def refused_when_asked(call: Call, event: ev.Refused) -> Outcome:
    """The phone is answered already, so it hears why."""
    if not call.answered or event.reason not in SPOKEN_REFUSALS:
        return ending.end(call, event.at, event.reason)
    told, _ = refused(dataclasses.replace(call, identify_due=None, decide_due=None), event)
    return told, (do.SayFarewell(event.reason),)


def refused(call: Call, event: ev.Refused) -> Outcome:
    """What can be told in words is told; else the INVITE is refused."""
    if event.reason not in SPOKEN_REFUSALS:
        return ending.end(call, event.at, event.reason)
    told = dataclasses.replace(
        call, state=State.REFUSED, reason=event.reason, farewell_until=event.at + call.times.farewell_s
    )
    return told, (do.AnswerPhone(),)


def answered_to_refuse(call: Call, _event: ev.PhoneAnswered) -> Outcome:
    """The phone can hear why."""
    assert call.reason is not None  # noqa: S101 - `refused` is entered with a reason only
    return dataclasses.replace(call, answered=True), (do.SayFarewell(call.reason),)


def answered_to_wait(call: Call, _event: ev.PhoneAnswered) -> Outcome:
    """The phone can hear that it waits; the code goes out."""
    present = do.Present("waiting", repeat_s=call.times.waiting_prompt_s)
    return dataclasses.replace(call, answered=True, invited=True), (present, do.SendInvitation())


def sms_accepted(call: Call, event: ev.SmsAccepted) -> Outcome:
    """The code's time runs."""
    waiting = dataclasses.replace(
        call, state=State.WAITING, sms_due=None, code_expires=event.at + call.times.code_valid_s
    )
    return waiting, ()
