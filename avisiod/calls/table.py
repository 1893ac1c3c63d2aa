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

from avisiod.calls import admitting, ending, meeting
from avisiod.calls import events as ev
from avisiod.calls.call import Call, State
from avisiod.calls.limits import next_warning
from avisiod.calls.outcome import Act, Outcome, UnexpectedEvent, stay
from avisiod.calls.reasons import EndReason


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: what an event does, and which states may follow."""

    act: Act
    targets: tuple[State, ...]


def advance(call: Call, event: ev.Event) -> Outcome:
    """Apply one event. UnexpectedEvent if the table does not list it; the call is never changed in place."""
    if call.deadline is not None and call.state in _RUNNING and event.at >= call.deadline:
        ended, commands = ending.end(call, call.deadline, call.deadline_reason)
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


def _table() -> dict[tuple[State, type[ev.Event]], Rule]:
    table: dict[tuple[State, type[ev.Event]], Rule] = {}

    def on(states: tuple[State, ...], event: type[ev.Event], act: Act, *targets: State) -> None:
        for state in states:
            table[state, event] = Rule(act, targets or (state,))

    dialled, identifying, refused, inviting, waiting, joining, connected, interrupted, ended = State
    before_joining = (inviting, waiting)
    open_states = (identifying, inviting, waiting, joining, connected, interrupted)

    on((dialled,), ev.Granted, admitting.granted, inviting)
    on((dialled,), ev.Refused, admitting.refused, refused, ended)

    on((dialled,), ev.IdentityWanted, admitting.identity_wanted, identifying)
    on((identifying,), ev.PhoneAnswered, admitting.answered_to_identify)
    on((identifying,), ev.PhoneUnanswerable, ending.ends_as_told, ended)
    on((identifying,), ev.PinWanted, admitting.pin_wanted)
    on((identifying,), ev.IdentifierWanted, admitting.identifier_wanted)
    on((identifying,), ev.Identified, admitting.identified)
    on((identifying,), ev.IdentifyTimedOut, ending.ends(EndReason.NOT_IDENTIFIED), ended)
    on((identifying,), ev.Granted, admitting.granted_to_the_identified, inviting)
    on((identifying,), ev.Refused, admitting.refused_when_asked, refused, ended)

    on((refused,), ev.PhoneAnswered, admitting.answered_to_refuse)
    on((refused,), ev.PhoneUnanswerable, ending.refusal_over, ended)
    on((refused,), ev.FarewellOver, ending.refusal_over, ended)
    on((refused,), ev.LegFlowing, meeting.phone_flows)
    on((refused,), ev.LegSilent, stay)
    on((refused,), ev.LegFailed, stay)
    for gone in (ev.PhoneHungUp, ev.PhoneFailed, ev.MediaLost, ev.ServiceStopping, ev.StaffEnded, ev.StoreFailed):
        on((refused,), gone, ending.refusal_over, ended)

    on((inviting,), ev.PhoneAnswered, admitting.answered_to_wait)
    on((inviting,), ev.PhoneUnanswerable, ending.ends_as_told, ended)
    on((inviting,), ev.SmsAccepted, admitting.sms_accepted, waiting)
    on((inviting,), ev.SmsUnsendable, ending.ends(EndReason.SMS_FAILED), ended)
    on(before_joining, ev.CodeVoided, ending.ends(EndReason.CODE_EXPIRED), ended)
    on((waiting,), ev.CodeExpired, ending.code_over, ended)
    on(before_joining, ev.CodeAccepted, meeting.join, joining)
    for said_late in (ev.SmsAccepted, ev.SmsUnsendable):
        on((waiting, joining, *_RUNNING), said_late, stay)
    on((waiting,), ev.CameBack, meeting.back_in_waiting_room, joining)
    on(_BEFORE, ev.HoursOver, ending.hours_over, ended)
    on((identifying, *before_joining), ev.LegFlowing, meeting.phone_flows)
    for state in (identifying, *before_joining):
        on((state,), ev.LegSilent, meeting.lost_before_joining, state, ended)
        on((state,), ev.LegFailed, meeting.lost_before_joining, state, ended)
    on((waiting,), ev.RecorderOpened, meeting.recorder_opened_late)

    on((joining,), ev.RecorderOpened, meeting.recorder_opened, joining, connected, ended)
    on((joining,), ev.LegFlowing, meeting.flowing_while_joining, joining, connected, ended)
    on((joining,), ev.LegSilent, meeting.lost_while_joining, joining, ended)
    on((joining,), ev.LegFailed, meeting.join_failed, waiting, ended)
    on((joining,), ev.JoinTimedOut, meeting.join_failed, waiting, ended)
    on((joining,), ev.CameBack, meeting.rejoin)

    on((connected,), ev.LegFlowing, stay)
    on((connected,), ev.LegSilent, meeting.leg_lost, interrupted, ended)
    on((connected,), ev.LegFailed, meeting.leg_lost, interrupted, ended)
    on((connected,), ev.CameBack, meeting.new_page_while_connected, interrupted)

    on((interrupted,), ev.LegFlowing, meeting.flowing_while_joining, interrupted, connected, ended)
    on((interrupted,), ev.LegSilent, meeting.lost_while_joining, interrupted, ended)
    on((interrupted,), ev.LegFailed, meeting.lost_while_joining, interrupted, ended)
    on((interrupted,), ev.CameBack, meeting.new_page_while_interrupted)
    on((interrupted,), ev.GraceOver, ending.ends(EndReason.RELATIVE_LOST), ended)

    on(_RUNNING, ev.WarningDue, meeting.warn)
    on(_RUNNING, ev.DeadlineReached, ending.deadline_reached, ended)
    on((waiting, joining, *_RUNNING), ev.RecorderBroke, ending.ends_as_told, ended)
    on((waiting, joining, *_RUNNING), ev.RelativeHungUp, ending.ends(EndReason.RELATIVE_HUNG_UP), ended)

    on(
        (dialled, identifying, inviting, waiting, joining),
        ev.PhoneHungUp,
        ending.ends(EndReason.DETAINEE_GAVE_UP),
        ended,
    )
    on(_RUNNING, ev.PhoneHungUp, ending.ends(EndReason.DETAINEE_HUNG_UP), ended)
    on((dialled, *open_states), ev.PhoneFailed, ending.ends(EndReason.SIP_FAILED), ended)
    on((dialled, *open_states), ev.StaffEnded, ending.ends(EndReason.STAFF_ENDED), ended)
    on((dialled, *open_states), ev.MediaLost, ending.ends(EndReason.MEDIA_FAILED), ended)
    on((dialled, identifying, *before_joining, joining), ev.ServiceDraining, meeting.drain)
    for state in _RUNNING:
        on((state,), ev.ServiceDraining, meeting.drain_running, state, ended)
    on((refused,), ev.ServiceDraining, stay)
    on((dialled, *open_states), ev.ServiceStopping, ending.ends(EndReason.SERVICE_STOPPING), ended)
    on((dialled, *open_states), ev.StoreFailed, ending.ends(EndReason.STORE_FAILED), ended)

    on((ended,), ev.FarewellOver, ending.farewell_over)
    on((ended,), ev.PhoneAnswered, ending.answered_after_end)
    on((ended,), ev.RecorderOpened, ending.recorder_opened_too_late)
    on((ended,), ev.MediaLost, ending.farewell_over)
    for gone in (ev.PhoneHungUp, ev.PhoneFailed):
        on((ended,), gone, ending.phone_gone_in_farewell)
    for late in _LATE:
        on((ended,), late, stay)
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
