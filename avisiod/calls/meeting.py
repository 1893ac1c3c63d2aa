"""The relative joins, both see each other, one of them is lost and comes back, time runs out."""

import dataclasses

from avisiod.calls import commands as do
from avisiod.calls import ending
from avisiod.calls import events as ev
from avisiod.calls.call import Call, State
from avisiod.calls.ids import SessionId
from avisiod.calls.limits import connected_time
from avisiod.calls.outcome import Commands, Outcome, UnexpectedEvent
from avisiod.calls.reasons import EndReason


def join(call: Call, event: ev.CodeAccepted | ev.CameBack) -> Outcome:
    """The code is spent; recorder and page are opened."""
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


def back_in_waiting_room(call: Call, event: ev.CameBack) -> Outcome:
    """Who had joined and failed tries again."""
    if call.session is None:
        raise UnexpectedEvent("nobody has joined this call yet, so nobody can come back to it")
    return join(call, event)


def rejoin(call: Call, event: ev.CameBack) -> Outcome:
    """A new page takes the place of the one that is joining; the time to join is not made longer."""
    return dataclasses.replace(call, session=event.session, outside_flows=False), (do.TellPage("joining"),)


def join_failed(call: Call, event: ev.Event) -> Outcome:
    """Back to waiting, as long as there is time."""
    if isinstance(event, ev.LegFailed) and event.leg == "phone":
        return ending.end(call, event.at, EndReason.PHONE_LOST)
    if call.code_expires is None or event.at >= call.code_expires:
        return ending.end(call, event.at, EndReason.JOIN_FAILED)
    waiting = dataclasses.replace(call, state=State.WAITING, join_due=None, outside_flows=False)
    present = do.Present("waiting", repeat_s=call.times.waiting_prompt_s)
    return waiting, (do.CloseOutsideLeg(), present, do.TellPage("waiting"))


def _flows(call: Call, event: ev.LegFlowing) -> Call:
    if event.leg == "phone":
        return dataclasses.replace(call, phone_flows=True)
    return dataclasses.replace(call, outside_flows=True)


def phone_flows(call: Call, event: ev.LegFlowing) -> Outcome:
    """The phone is heard."""
    return _flows(call, event), ()


def flowing_while_joining(call: Call, event: ev.LegFlowing) -> Outcome:
    """One leg more flows."""
    return _connect_if_ready(_flows(call, event), event.at)


def recorder_opened(call: Call, event: ev.RecorderOpened) -> Outcome:
    """The recording is written."""
    if not call.recorder_asked:
        raise UnexpectedEvent("a recorder that nobody asked for")
    return _connect_if_ready(dataclasses.replace(call, recording=True), event.at)


def recorder_opened_late(call: Call, _event: ev.RecorderOpened) -> Outcome:
    """The recording is written before anybody has joined again."""
    if not call.recorder_asked:
        raise UnexpectedEvent("a recorder that nobody asked for")
    return dataclasses.replace(call, recording=True), ()


def _connect_if_ready(call: Call, at: float) -> Outcome:
    may_bridge = call.recording or call.confidential
    if not (call.phone_flows and call.outside_flows and may_bridge):
        return call, ()
    if call.deadline is None and call.not_after is not None and at >= call.not_after:
        return ending.hours_over(call, ev.HoursOver(at))
    if call.closing_at is not None and at >= call.closing_at:
        return ending.end(call, at, EndReason.SERVICE_STOPPING)
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
        commands = (*commands, do.SayShortened(begun.shortened_by, min(deadline - at, begun.limit_s)))
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


def drain(call: Call, event: ev.ServiceDraining) -> Outcome:
    """The service stops then: no call goes on for longer."""
    until = event.until if call.closing_at is None else min(event.until, call.closing_at)
    return dataclasses.replace(call, closing_at=until), ()


def drain_running(call: Call, event: ev.ServiceDraining) -> Outcome:
    """Both hear how much is left, where that is less than it was."""
    told, _ = drain(call, event)
    if told.closing_at is not None and told.closing_at <= event.at:
        return ending.end(told, event.at, EndReason.SERVICE_STOPPING)
    closing = _closing(told, event.at)
    if closing.deadline is None or closing.deadline == call.deadline:
        return closing, ()
    bridge = (do.Bridge(closing.deadline),) if call.bridged else ()
    page = do.TellPage("connected" if call.bridged else "interrupted")
    return closing, (*bridge, page, do.Warn(closing.deadline - event.at))


def _interrupt(call: Call, at: float, session: SessionId | None) -> Outcome:
    interrupted = dataclasses.replace(
        call,
        state=State.INTERRUPTED,
        bridged=False,
        session=session,
        outside_flows=False,
        join_due=None,
        grace_until=at + call.times.grace_s,
        connected_s=connected_time(call.connected_s, call.flowing_since, at, call.deadline, call.limit_s),
        flowing_since=None,
    )
    return interrupted, (do.Unbridge(), do.Present("interrupted"), do.TellPage("interrupted"))


def leg_lost(call: Call, event: ev.LegSilent | ev.LegFailed) -> Outcome:
    """Without the phone it is over; without the page it waits for a while."""
    if event.leg == "phone":
        return ending.end(call, event.at, EndReason.PHONE_LOST)
    return _interrupt(call, event.at, call.session)


def new_page_while_connected(call: Call, event: ev.CameBack) -> Outcome:
    """The page was opened anew: the old one is left."""
    interrupted, commands = _interrupt(call, event.at, event.session)
    return _with_time_to_join(interrupted, event.at), commands


def new_page_while_interrupted(call: Call, event: ev.CameBack) -> Outcome:
    """The relative is back; media has to flow again."""
    back = dataclasses.replace(call, session=event.session, outside_flows=False)
    return _with_time_to_join(back, event.at), (do.TellPage("interrupted"),)


def _with_time_to_join(call: Call, at: float) -> Call:
    """Who is back within the grace has as long to connect as whoever joins; further pages do not make it longer."""
    if call.join_due is not None or call.grace_until is None:
        return call
    join_due = at + call.times.join_timeout_s
    return dataclasses.replace(call, join_due=join_due, grace_until=max(call.grace_until, join_due))


def lost_before_joining(call: Call, event: ev.LegSilent | ev.LegFailed) -> Outcome:
    """Without the phone it is over."""
    return ending.end(call, event.at, EndReason.PHONE_LOST) if event.leg == "phone" else (call, ())


def lost_while_joining(call: Call, event: ev.LegSilent) -> Outcome:
    """Without the phone it is over; the page may still come."""
    if event.leg == "phone":
        return ending.end(call, event.at, EndReason.PHONE_LOST)
    return dataclasses.replace(call, outside_flows=False), ()


def warn(call: Call, event: ev.WarningDue) -> Outcome:
    """Both are told how much is left."""
    if event.remaining_s not in call.warnings_s[call.warnings_given : call.warnings_given + 1]:
        return call, ()  # told already: the clock rang again while the first was being stored
    return dataclasses.replace(call, warnings_given=call.warnings_given + 1), (do.Warn(event.remaining_s),)
