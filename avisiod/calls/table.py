"""A call's life: one table, (state, event) → (state, commands).

Rules of the table:
- An event that is not listed for a state raises UnexpectedEvent and changes nothing.
- An event of a page that has been replaced (`session` is not the call's) changes nothing.
- Whatever comes at or after the deadline finds the call ended by its limit.
- Nothing is bridged unless it is being recorded or the line is confidential; a confidential line is never recorded.
- Whoever calls from a shared phone is identified before anything is granted; no digit is in any event.
- A call whose hours end is over then, whether it has begun or not.
- Every call ends exactly once, with one EndReason; `ended` is never left.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from avisiod.calls import commands as do
from avisiod.calls import events as ev
from avisiod.calls.admission import Limit
from avisiod.calls.call import Call, State
from avisiod.calls.ids import SessionId
from avisiod.calls.limits import connected_time, next_warning
from avisiod.calls.reasons import EndReason


class UnexpectedEvent(Exception):
    """The event does not belong to the call's state; the call is as it was."""


Commands = tuple[do.Command, ...]
Outcome = tuple[Call, Commands]
Act = Callable[[Call, Any], Outcome]


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: what an event does, and which states may follow."""

    act: Act
    targets: tuple[State, ...]


def advance(call: Call, event: ev.Event) -> Outcome:
    """Apply one event. UnexpectedEvent if the table does not list it; the call is never changed in place."""
    if call.deadline is not None and call.state in _RUNNING and event.at >= call.deadline:
        ended, commands = _end(call, call.deadline, call.deadline_reason)
        if isinstance(event, ev.DeadlineReached | ev.WarningDue | ev.GraceOver):
            return ended, commands
        later, more = advance(ended, event)
        return later, commands + more
    rule = TABLE.get((call.state, type(event)))
    if rule is None:
        raise UnexpectedEvent(f"{type(event).__name__} does not belong to a call that is {call.state}")
    session = getattr(event, "session", None)
    if session is not None and not isinstance(event, ev.CodeAccepted | ev.CameBack) and session != call.session:
        return call, ()
    return rule.act(call, event)


def due(call: Call) -> tuple[float, ev.Event] | None:
    """The next event that time alone brings, and when; None when nothing is due."""
    moments: list[tuple[float, ev.Event]] = []

    def add(at: float | None, event: Callable[[float], ev.Event]) -> None:
        if at is not None:
            moments.append((at, event(at)))

    if call.state is State.DIALLED:
        add(call.dialled_at + call.times.admission_s, ev.StoreFailed)
    elif call.state is State.IDENTIFYING:
        add(call.identify_due, ev.IdentifyTimedOut)
        add(call.decide_due, ev.StoreFailed)
    elif call.state in _BEFORE:
        add(call.not_after, ev.HoursOver)
        add(call.closing_at, ev.ServiceStopping)
        add(call.sms_due if call.state is State.INVITING else None, ev.SmsUnsendable)
        add(call.code_expires if call.state is State.WAITING else None, ev.CodeExpired)
        add(call.join_due if call.state is State.JOINING else None, ev.JoinTimedOut)
    elif call.state in _RUNNING:
        add(call.deadline, ev.DeadlineReached)
        if call.deadline is not None:
            warning = next_warning(call.warnings_s, call.warnings_given, call.deadline)
            if warning is not None:
                moments.append((warning[0], ev.WarningDue(warning[0], warning[1])))
        if call.state is State.INTERRUPTED:
            add(call.grace_until, ev.GraceOver)
    else:
        add(call.farewell_until, ev.FarewellOver)
    return min(moments, key=lambda moment: moment[0], default=None)


_BEFORE = (State.INVITING, State.WAITING, State.JOINING)
_RUNNING = (State.CONNECTED, State.INTERRUPTED)

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


def _end(call: Call, at: float, reason: EndReason) -> Outcome:
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
        connected_s=connected_time(call.connected_s, call.flowing_since, at, call.deadline),
        flowing_since=None,
        farewell_until=at + call.times.farewell_s if farewell else None,
    )
    return ended, tuple(commands)


def _ends(reason: EndReason) -> Act:
    return lambda call, event: _end(call, event.at, reason)


def _ends_as_told(call: Call, event: ev.PhoneUnanswerable | ev.RecorderBroke) -> Outcome:
    return _end(call, event.at, event.reason)


def _stay(call: Call, _event: ev.Event) -> Outcome:
    return call, ()


def _granted(call: Call, event: ev.Granted) -> Outcome:
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


def _identity_wanted(call: Call, event: ev.IdentityWanted) -> Outcome:
    due = event.at + call.times.identify_s
    return dataclasses.replace(call, state=State.IDENTIFYING, identify_due=due), (do.AnswerPhone(),)


def _ask(call: Call, what: Literal["identifier", "pin", "wrong"]) -> Commands:
    return (do.Present(what, repeat_s=call.times.waiting_prompt_s),)


def _answered_to_identify(call: Call, _event: ev.PhoneAnswered) -> Outcome:
    return dataclasses.replace(call, answered=True), _ask(call, "identifier")


def _while_asked(call: Call) -> None:
    if not call.answered or call.identify_due is None:
        raise UnexpectedEvent("nobody is being asked who they are")


def _pin_wanted(call: Call, _event: ev.PinWanted) -> Outcome:
    _while_asked(call)
    return call, _ask(call, "pin")


def _identifier_wanted(call: Call, event: ev.IdentifierWanted) -> Outcome:
    _while_asked(call)
    return call, _ask(call, "wrong" if event.wrong else "identifier")


def _identified(call: Call, event: ev.Identified) -> Outcome:
    _while_asked(call)
    decide_due = event.at + call.times.admission_s
    return dataclasses.replace(call, detainee=event.detainee, identify_due=None, decide_due=decide_due), (
        do.SpeakTheirs(),
    )


def _granted_to_the_identified(call: Call, event: ev.Granted) -> Outcome:
    """The phone is answered already: what it was answered with is now known to be confidential or not."""
    if call.detainee is None:
        raise UnexpectedEvent("nobody has said who calls")
    inviting, _ = _granted(dataclasses.replace(call, decide_due=None), event)
    waiting, commands = _answered_to_wait(inviting, ev.PhoneAnswered(event.at))
    return waiting, ((do.Protect(), *commands) if event.confidential else commands)


def _refused_when_asked(call: Call, event: ev.Refused) -> Outcome:
    if not call.answered or event.reason not in SPOKEN_REFUSALS:
        return _end(call, event.at, event.reason)
    refused, _ = _refused(dataclasses.replace(call, identify_due=None, decide_due=None), event)
    return refused, (do.SayFarewell(event.reason),)


def _hours_over(call: Call, event: ev.HoursOver) -> Outcome:
    return _end(call, event.at, _OVER[call.not_after_by or Limit.HOURS])


_OVER = {Limit.HOURS: EndReason.HOURS_OVER, Limit.AUTHORISATION: EndReason.AUTHORISATION_ENDED}
"""Why a call ends that did not begin in time, by what ended the time."""


def _refused(call: Call, event: ev.Refused) -> Outcome:
    if event.reason not in SPOKEN_REFUSALS:
        return _end(call, event.at, event.reason)
    refused = dataclasses.replace(
        call, state=State.REFUSED, reason=event.reason, farewell_until=event.at + call.times.farewell_s
    )
    return refused, (do.AnswerPhone(),)


def _answered_to_refuse(call: Call, _event: ev.PhoneAnswered) -> Outcome:
    assert call.reason is not None  # noqa: S101 - `refused` is entered with a reason only
    return dataclasses.replace(call, answered=True), (do.SayFarewell(call.reason),)


def _refusal_over(call: Call, event: ev.Event) -> Outcome:
    assert call.reason is not None  # noqa: S101 - as above
    last = do.HangUpPhone(call.reason) if call.answered else do.RejectPhone(call.reason)
    ended = dataclasses.replace(call, state=State.ENDED, ended_at=event.at, farewell_until=None)
    return ended, (last, do.CloseMedia(call.reason))


def _answered_to_wait(call: Call, _event: ev.PhoneAnswered) -> Outcome:
    present = do.Present("waiting", repeat_s=call.times.waiting_prompt_s)
    return dataclasses.replace(call, answered=True, invited=True), (present, do.SendInvitation())


def _sms_accepted(call: Call, event: ev.SmsAccepted) -> Outcome:
    waiting = dataclasses.replace(
        call, state=State.WAITING, sms_due=None, code_expires=event.at + call.times.code_valid_s
    )
    return waiting, ()


def _code_over(call: Call, event: ev.Event) -> Outcome:
    """The time for joining is over; who did join and failed has not «not come»."""
    return _end(call, event.at, EndReason.CODE_EXPIRED if call.session is None else EndReason.JOIN_FAILED)


def _join(call: Call, event: ev.CodeAccepted | ev.CameBack) -> Outcome:
    joining = dataclasses.replace(
        call,
        state=State.JOINING,
        invited=False,
        session=event.session,
        outside_flows=False,
        sms_due=None,
        code_expires=call.code_expires if call.code_expires is not None else event.at + call.times.code_valid_s,
        join_due=event.at + call.times.join_timeout_s,
        recorder_asked=not call.confidential,
    )
    commands: list[do.Command] = [do.Present("joining"), do.TellPage("joining")]
    if not call.confidential and not call.recorder_asked:
        commands.insert(0, do.OpenRecorder())
    return joining, tuple(commands)


def _back_in_waiting_room(call: Call, event: ev.CameBack) -> Outcome:
    if call.session is None:
        raise UnexpectedEvent("nobody has joined this call yet, so nobody can come back to it")
    return _join(call, event)


def _rejoin(call: Call, event: ev.CameBack) -> Outcome:
    """A new page takes the place of the one that is joining; the time to join is not made longer."""
    return dataclasses.replace(call, session=event.session, outside_flows=False), (do.TellPage("joining"),)


def _join_failed(call: Call, event: ev.Event) -> Outcome:
    if isinstance(event, ev.LegFailed) and event.leg == "phone":
        return _end(call, event.at, EndReason.PHONE_LOST)
    if call.code_expires is None or event.at >= call.code_expires:
        return _end(call, event.at, EndReason.JOIN_FAILED)
    waiting = dataclasses.replace(call, state=State.WAITING, join_due=None, outside_flows=False)
    present = do.Present("waiting", repeat_s=call.times.waiting_prompt_s)
    return waiting, (do.CloseOutsideLeg(), present, do.TellPage("waiting"))


def _flows(call: Call, event: ev.LegFlowing) -> Call:
    if event.leg == "phone":
        return dataclasses.replace(call, phone_flows=True)
    return dataclasses.replace(call, outside_flows=True)


def _phone_flows(call: Call, event: ev.LegFlowing) -> Outcome:
    return _flows(call, event), ()


def _flowing_while_joining(call: Call, event: ev.LegFlowing) -> Outcome:
    return _connect_if_ready(_flows(call, event), event.at)


def _recorder_opened(call: Call, event: ev.RecorderOpened) -> Outcome:
    if not call.recorder_asked:
        raise UnexpectedEvent("a recorder that nobody asked for")
    return _connect_if_ready(dataclasses.replace(call, recording=True), event.at)


def _recorder_opened_late(call: Call, _event: ev.RecorderOpened) -> Outcome:
    if not call.recorder_asked:
        raise UnexpectedEvent("a recorder that nobody asked for")
    return dataclasses.replace(call, recording=True), ()


def _recorder_opened_too_late(call: Call, _event: ev.RecorderOpened) -> Outcome:
    """The call ended while its recorder was being opened: the empty file is sealed like any other."""
    assert call.reason is not None  # noqa: S101 - `ended` has a reason
    return call, (do.SealRecording(call.reason),)


def _connect_if_ready(call: Call, at: float) -> Outcome:
    may_bridge = call.recording or call.confidential
    if not (call.phone_flows and call.outside_flows and may_bridge):
        return call, ()
    if call.deadline is None and call.not_after is not None and at >= call.not_after:
        return _hours_over(call, ev.HoursOver(at))
    if call.closing_at is not None and at >= call.closing_at:
        return _end(call, at, EndReason.SERVICE_STOPPING)
    begun = _closing(_with_deadline(call, at), at) if call.deadline is None else call
    assert begun.deadline is not None  # noqa: S101 - set by the line above
    deadline = begun.deadline
    connected = dataclasses.replace(
        begun,
        state=State.CONNECTED,
        bridged=True,
        join_due=None,
        grace_until=None,
        connected_at=call.connected_at if call.connected_at is not None else at,
        deadline=deadline,
        flowing_since=at,
    )
    commands: Commands = (do.Bridge(deadline), do.TellPage("connected"))
    if call.deadline is None and begun.shortened_by is not None:
        commands = (*commands, do.SayShortened(begun.shortened_by, deadline - at))
    return connected, commands


def _with_deadline(call: Call, at: float) -> Call:
    """The call's time begins to run; hours that end within it make it shorter."""
    if call.not_after is None or call.not_after >= at + call.limit_s:
        return dataclasses.replace(call, deadline=at + call.limit_s)
    return dataclasses.replace(
        call, deadline=call.not_after, limit_s=call.not_after - at, shortened_by=call.not_after_by
    )


def _closing(call: Call, at: float) -> Call:
    """A call whose time runs, with the stop of the service as its deadline where that comes first.

    Warnings that would come too late are left out.
    """
    if call.closing_at is None or call.deadline is None or call.deadline <= call.closing_at:
        return call
    left = call.closing_at - at
    given = max(call.warnings_given, sum(warning >= left for warning in call.warnings_s))
    return dataclasses.replace(call, deadline=call.closing_at, warnings_given=given)


def _drain(call: Call, event: ev.ServiceDraining) -> Outcome:
    until = event.until if call.closing_at is None else min(event.until, call.closing_at)
    return dataclasses.replace(call, closing_at=until), ()


def _drain_running(call: Call, event: ev.ServiceDraining) -> Outcome:
    """Both hear how much is left, where that is less than it was."""
    told, _ = _drain(call, event)
    if told.closing_at is not None and told.closing_at <= event.at:
        return _end(told, event.at, EndReason.SERVICE_STOPPING)
    closing = _closing(told, event.at)
    if closing.deadline is None or closing.deadline == call.deadline:
        return closing, ()
    bridge = (do.Bridge(closing.deadline),) if call.bridged else ()
    page = do.TellPage("connected" if call.bridged else "interrupted")
    return closing, (*bridge, page, do.Warn(closing.deadline - event.at))


def _deadline_reached(call: Call, event: ev.DeadlineReached) -> Outcome:
    return _end(call, event.at, call.deadline_reason)


def _interrupt(call: Call, at: float, session: SessionId | None) -> Outcome:
    interrupted = dataclasses.replace(
        call,
        state=State.INTERRUPTED,
        bridged=False,
        session=session,
        outside_flows=False,
        grace_until=at + call.times.grace_s,
        connected_s=connected_time(call.connected_s, call.flowing_since, at, call.deadline),
        flowing_since=None,
    )
    return interrupted, (do.Unbridge(), do.Present("interrupted"), do.TellPage("interrupted"))


def _leg_lost(call: Call, event: ev.LegSilent | ev.LegFailed) -> Outcome:
    if event.leg == "phone":
        return _end(call, event.at, EndReason.PHONE_LOST)
    return _interrupt(call, event.at, call.session)


def _new_page_while_connected(call: Call, event: ev.CameBack) -> Outcome:
    return _interrupt(call, event.at, event.session)


def _new_page_while_interrupted(call: Call, event: ev.CameBack) -> Outcome:
    return dataclasses.replace(call, session=event.session, outside_flows=False), (do.TellPage("interrupted"),)


def _lost_before_joining(call: Call, event: ev.LegSilent | ev.LegFailed) -> Outcome:
    return _end(call, event.at, EndReason.PHONE_LOST) if event.leg == "phone" else (call, ())


def _lost_while_joining(call: Call, event: ev.LegSilent) -> Outcome:
    if event.leg == "phone":
        return _end(call, event.at, EndReason.PHONE_LOST)
    return dataclasses.replace(call, outside_flows=False), ()


def _warn(call: Call, event: ev.WarningDue) -> Outcome:
    if event.remaining_s not in call.warnings_s[call.warnings_given : call.warnings_given + 1]:
        return call, ()  # told already: the clock rang again while the first was being stored
    return dataclasses.replace(call, warnings_given=call.warnings_given + 1), (do.Warn(event.remaining_s),)


def _farewell_over(call: Call, _event: ev.FarewellOver | ev.MediaLost) -> Outcome:
    """The last word is spoken, or nothing is left to speak it with: the phone is let go."""
    if call.farewell_until is None:
        return call, ()
    assert call.reason is not None  # noqa: S101 - `ended` has a reason
    done = dataclasses.replace(call, farewell_until=None)
    return done, (do.HangUpPhone(call.reason), do.CloseMedia(call.reason))


def _phone_gone_in_farewell(call: Call, _event: ev.Event) -> Outcome:
    if call.farewell_until is None:
        return call, ()
    assert call.reason is not None  # noqa: S101 - `ended` has a reason
    return dataclasses.replace(call, farewell_until=None), (do.CloseMedia(call.reason),)


def _answered_after_end(call: Call, _event: ev.PhoneAnswered) -> Outcome:
    """The end overtook our 200: the phone is in a dialogue that nobody wants any more."""
    assert call.reason is not None  # noqa: S101 - `ended` has a reason
    return dataclasses.replace(call, answered=True), (do.HangUpPhone(call.reason), do.CloseMedia(call.reason))


def _table() -> dict[tuple[State, type[ev.Event]], Rule]:
    table: dict[tuple[State, type[ev.Event]], Rule] = {}

    def on(states: tuple[State, ...], event: type[ev.Event], act: Act, *targets: State) -> None:
        for state in states:
            table[state, event] = Rule(act, targets or (state,))

    dialled, identifying, refused, inviting, waiting, joining, connected, interrupted, ended = State
    before_joining = (inviting, waiting)
    open_states = (identifying, inviting, waiting, joining, connected, interrupted)

    on((dialled,), ev.Granted, _granted, inviting)
    on((dialled,), ev.Refused, _refused, refused, ended)

    on((dialled,), ev.IdentityWanted, _identity_wanted, identifying)
    on((identifying,), ev.PhoneAnswered, _answered_to_identify)
    on((identifying,), ev.PhoneUnanswerable, _ends_as_told, ended)
    on((identifying,), ev.PinWanted, _pin_wanted)
    on((identifying,), ev.IdentifierWanted, _identifier_wanted)
    on((identifying,), ev.Identified, _identified)
    on((identifying,), ev.IdentifyTimedOut, _ends(EndReason.NOT_IDENTIFIED), ended)
    on((identifying,), ev.Granted, _granted_to_the_identified, inviting)
    on((identifying,), ev.Refused, _refused_when_asked, refused, ended)

    on((refused,), ev.PhoneAnswered, _answered_to_refuse)
    on((refused,), ev.PhoneUnanswerable, _refusal_over, ended)
    on((refused,), ev.FarewellOver, _refusal_over, ended)
    on((refused,), ev.LegFlowing, _phone_flows)
    on((refused,), ev.LegSilent, _stay)
    on((refused,), ev.LegFailed, _stay)
    for gone in (ev.PhoneHungUp, ev.PhoneFailed, ev.MediaLost, ev.ServiceStopping, ev.StaffEnded, ev.StoreFailed):
        on((refused,), gone, _refusal_over, ended)

    on((inviting,), ev.PhoneAnswered, _answered_to_wait)
    on((inviting,), ev.PhoneUnanswerable, _ends_as_told, ended)
    on((inviting,), ev.SmsAccepted, _sms_accepted, waiting)
    on((inviting,), ev.SmsUnsendable, _ends(EndReason.SMS_FAILED), ended)
    on(before_joining, ev.CodeVoided, _ends(EndReason.CODE_EXPIRED), ended)
    on((waiting,), ev.CodeExpired, _code_over, ended)
    on(before_joining, ev.CodeAccepted, _join, joining)
    for said_late in (ev.SmsAccepted, ev.SmsUnsendable):
        on((waiting, joining, *_RUNNING), said_late, _stay)
    on((waiting,), ev.CameBack, _back_in_waiting_room, joining)
    on(_BEFORE, ev.HoursOver, _hours_over, ended)
    on((identifying, *before_joining), ev.LegFlowing, _phone_flows)
    for state in (identifying, *before_joining):
        on((state,), ev.LegSilent, _lost_before_joining, state, ended)
        on((state,), ev.LegFailed, _lost_before_joining, state, ended)
    on((waiting,), ev.RecorderOpened, _recorder_opened_late)

    on((joining,), ev.RecorderOpened, _recorder_opened, joining, connected)
    on((joining,), ev.LegFlowing, _flowing_while_joining, joining, connected)
    on((joining,), ev.LegSilent, _lost_while_joining, joining, ended)
    on((joining,), ev.LegFailed, _join_failed, waiting, ended)
    on((joining,), ev.JoinTimedOut, _join_failed, waiting, ended)
    on((joining,), ev.CameBack, _rejoin)

    on((connected,), ev.LegFlowing, _stay)
    on((connected,), ev.LegSilent, _leg_lost, interrupted, ended)
    on((connected,), ev.LegFailed, _leg_lost, interrupted, ended)
    on((connected,), ev.CameBack, _new_page_while_connected, interrupted)

    on((interrupted,), ev.LegFlowing, _flowing_while_joining, interrupted, connected)
    on((interrupted,), ev.LegSilent, _lost_while_joining, interrupted, ended)
    on((interrupted,), ev.LegFailed, _lost_while_joining, interrupted, ended)
    on((interrupted,), ev.CameBack, _new_page_while_interrupted)
    on((interrupted,), ev.GraceOver, _ends(EndReason.RELATIVE_LOST), ended)

    on(_RUNNING, ev.WarningDue, _warn)
    on(_RUNNING, ev.DeadlineReached, _deadline_reached, ended)
    on((waiting, joining, *_RUNNING), ev.RecorderBroke, _ends_as_told, ended)
    on((waiting, joining, *_RUNNING), ev.RelativeHungUp, _ends(EndReason.RELATIVE_HUNG_UP), ended)

    on((dialled, identifying, inviting, waiting, joining), ev.PhoneHungUp, _ends(EndReason.DETAINEE_GAVE_UP), ended)
    on(_RUNNING, ev.PhoneHungUp, _ends(EndReason.DETAINEE_HUNG_UP), ended)
    on((dialled, *open_states), ev.PhoneFailed, _ends(EndReason.SIP_FAILED), ended)
    on((dialled, *open_states), ev.StaffEnded, _ends(EndReason.STAFF_ENDED), ended)
    on((dialled, *open_states), ev.MediaLost, _ends(EndReason.MEDIA_FAILED), ended)
    on((dialled, identifying, *before_joining, joining), ev.ServiceDraining, _drain)
    for state in _RUNNING:
        on((state,), ev.ServiceDraining, _drain_running, state, ended)
    on((refused,), ev.ServiceDraining, _stay)
    on((dialled, *open_states), ev.ServiceStopping, _ends(EndReason.SERVICE_STOPPING), ended)
    on((dialled, *open_states), ev.StoreFailed, _ends(EndReason.STORE_FAILED), ended)

    on((ended,), ev.FarewellOver, _farewell_over)
    on((ended,), ev.PhoneAnswered, _answered_after_end)
    on((ended,), ev.RecorderOpened, _recorder_opened_too_late)
    on((ended,), ev.MediaLost, _farewell_over)
    for gone in (ev.PhoneHungUp, ev.PhoneFailed):
        on((ended,), gone, _phone_gone_in_farewell)
    for late in _LATE:
        on((ended,), late, _stay)
    return table


_LATE: tuple[type[ev.Event], ...] = (
    ev.Granted,
    ev.Refused,
    ev.IdentityWanted,
    ev.PinWanted,
    ev.IdentifierWanted,
    ev.Identified,
    ev.IdentifyTimedOut,
    ev.HoursOver,
    ev.PhoneUnanswerable,
    ev.SmsAccepted,
    ev.SmsUnsendable,
    ev.CodeVoided,
    ev.CodeExpired,
    ev.CameBack,
    ev.JoinTimedOut,
    ev.RecorderBroke,
    ev.LegFlowing,
    ev.LegSilent,
    ev.LegFailed,
    ev.WarningDue,
    ev.DeadlineReached,
    ev.GraceOver,
    ev.RelativeHungUp,
    ev.StaffEnded,
    ev.ServiceDraining,
    ev.ServiceStopping,
    ev.StoreFailed,
)
"""What may still be under way when a call ends; it changes nothing any more."""

TABLE = _table()
