"""The call table keeps its promises, whatever the order of events."""

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from avisiod.calls import commands as do
from avisiod.calls import events as ev
from avisiod.calls.admission import Limit
from avisiod.calls.call import Call, State, Times
from avisiod.calls.ending import SPOKEN_REFUSALS
from avisiod.calls.ids import CallId, DetaineeId, PhoneId, SessionId
from avisiod.calls.outcome import UnexpectedEvent
from avisiod.calls.reasons import EndReason
from avisiod.calls.table import TABLE, advance, due

LIMIT = 1200.0


def dialled() -> Call:
    return Call(id=CallId("c"), phone=PhoneId("cell1"), dialled_at=0.0, times=Times())


def play(call: Call, *events: ev.Event) -> tuple[Call, list[do.Command]]:
    """Advance through events, firing what time alone brings in between."""
    commands: list[do.Command] = []
    for event in events:
        while (timed := due(call)) is not None and timed[0] <= event.at:
            call, more = advance(call, timed[1])
            commands += more
        call, more = advance(call, event)
        commands += more
    return call, commands


S1, S2 = SessionId("s1"), SessionId("s2")
TO_WAITING = (
    ev.Granted(0, LIMIT, confidential=False),
    ev.PhoneAnswered(1),
    ev.LegFlowing(1, "phone"),
    ev.SmsAccepted(3),
)
TO_CONNECTED = (*TO_WAITING, ev.CodeAccepted(10, S1), ev.RecorderOpened(11), ev.LegFlowing(12, "outside", S1))


IDENTIFY = (ev.PhoneAnswered(1), ev.PinWanted(5), ev.Identified(9, DetaineeId("d1")))


def connected() -> Call:
    return play(dialled(), *TO_CONNECTED)[0]


def test_a_call_goes_from_dialling_to_its_limit() -> None:
    call, commands = play(dialled(), *TO_CONNECTED)
    assert call.state is State.CONNECTED
    assert call.deadline == 12 + LIMIT
    assert [type(c) for c in commands] == [
        do.AnswerPhone,
        do.Present,
        do.SendInvitation,
        do.OpenRecorder,
        do.Present,
        do.TellPage,
        do.Bridge,
        do.TellPage,
    ]
    call, commands = play(call, ev.StaffEnded(5000))
    assert call.reason is EndReason.LIMIT_REACHED
    assert call.ended_at == 12 + LIMIT
    assert call.connected_s == LIMIT
    assert [c.remaining_s for c in commands if isinstance(c, do.Warn)] == [120, 30]


def test_the_code_lives_five_minutes_from_the_moment_the_sms_was_accepted() -> None:
    call, _ = play(dialled(), *TO_WAITING)
    assert due(call) == (303.0, ev.CodeExpired(303.0))
    call, _ = play(call, ev.FarewellOver(400))
    assert call.reason is EndReason.CODE_EXPIRED


def test_a_recorded_line_is_not_bridged_before_its_recorder_writes() -> None:
    call, commands = play(dialled(), *TO_WAITING, ev.CodeAccepted(10, S1), ev.LegFlowing(11, "outside", S1))
    assert call.state is State.JOINING
    assert not any(isinstance(c, do.Bridge) for c in commands)
    call, commands = play(call, ev.RecorderOpened(12))
    assert call.state is State.CONNECTED
    assert do.Bridge(12 + LIMIT) in commands


def test_a_confidential_line_is_bridged_and_no_recorder_is_ever_opened() -> None:
    call, commands = play(
        dialled(),
        ev.Granted(0, LIMIT, confidential=True),
        *TO_WAITING[1:],
        ev.CodeAccepted(10, S1),
        ev.LegFlowing(11, "outside", S1),
    )
    assert call.state is State.CONNECTED
    assert not any(isinstance(c, do.OpenRecorder) for c in commands)


def test_a_recorder_that_opens_on_a_confidential_line_is_an_error_that_changes_nothing() -> None:
    call, _ = play(dialled(), ev.Granted(0, LIMIT, confidential=True), *TO_WAITING[1:], ev.CodeAccepted(10, S1))
    with pytest.raises(UnexpectedEvent, match="nobody asked for"):
        advance(call, ev.RecorderOpened(11))


def test_a_relative_who_is_lost_may_come_back_and_the_clock_has_run_on() -> None:
    call, commands = play(connected(), ev.LegSilent(100, "outside", S1))
    assert call.state is State.INTERRUPTED
    assert commands[0] == do.Unbridge()
    call, commands = play(call, ev.CameBack(120, S2), ev.LegFlowing(125, "outside", S2))
    assert call.state is State.CONNECTED
    assert do.Bridge(12 + LIMIT) in commands
    call, _ = play(call, ev.RelativeHungUp(200, S2))
    assert call.reason is EndReason.RELATIVE_HUNG_UP
    assert call.connected_s == (100 - 12) + (200 - 125)


def test_a_warning_whose_time_is_told_twice_is_given_once_and_the_next_one_is_not_lost() -> None:
    twice = ev.WarningDue(12 + LIMIT - 120, 120.0)
    _, commands = play(connected(), twice, twice, ev.WarningDue(12 + LIMIT - 30, 30.0))
    assert [c.remaining_s for c in commands if isinstance(c, do.Warn)] == [120.0, 30.0]


def test_a_service_that_is_told_to_stop_shortens_a_call_and_tells_both_how_much_is_left() -> None:
    call, commands = play(connected(), ev.ServiceDraining(100, 190.0))
    assert commands == [do.Bridge(190.0), do.TellPage("connected"), do.Warn(90.0)]
    call, commands = play(call, ev.FarewellOver(191))
    assert [command.remaining_s for command in commands if isinstance(command, do.Warn)] == [30.0]
    assert (call.reason, call.ended_at) == (EndReason.SERVICE_STOPPING, 190.0)
    assert not EndReason.SERVICE_STOPPING.charged


def test_a_call_that_is_over_before_the_service_stops_does_not_hear_of_it() -> None:
    call, commands = play(connected(), ev.ServiceDraining(100, 12 + LIMIT + 1))
    assert commands == []
    call, _ = play(call, ev.FarewellOver(2 * LIMIT))
    assert call.reason is EndReason.LIMIT_REACHED


def test_an_interrupted_call_may_come_back_until_the_service_stops() -> None:
    call, commands = play(connected(), ev.LegSilent(100, "outside", S1), ev.ServiceDraining(110, 150.0))
    assert commands[-2:] == [do.TellPage("interrupted"), do.Warn(40.0)]
    call, commands = play(call, ev.CameBack(120, S2), ev.LegFlowing(125, "outside", S2))
    assert do.Bridge(150.0) in commands


def test_a_call_that_begins_while_the_service_drains_ends_with_it_and_gets_the_warnings_that_fit() -> None:
    call, _ = play(dialled(), *TO_WAITING, ev.ServiceDraining(5, 100.0), *TO_CONNECTED[len(TO_WAITING) :])
    assert (call.state, call.deadline) == (State.CONNECTED, 100.0)
    call, commands = play(call, ev.FarewellOver(101))
    assert [command.remaining_s for command in commands if isinstance(command, do.Warn)] == [30.0]
    assert call.reason is EndReason.SERVICE_STOPPING


@pytest.mark.parametrize("before", [TO_WAITING[:1], TO_WAITING])
def test_a_call_that_has_not_begun_ends_when_the_service_stops(before: tuple[ev.Event, ...]) -> None:
    call, _ = play(dialled(), *before, ev.ServiceDraining(5, 30.0))
    assert due(call) == (30.0, ev.ServiceStopping(30.0))
    call, _ = play(call, ev.FarewellOver(31))
    assert call.reason is EndReason.SERVICE_STOPPING


def test_an_order_to_stop_now_ends_a_running_call_now() -> None:
    call, _ = play(connected(), ev.ServiceDraining(100, 100.0))
    assert (call.reason, call.ended_at) == (EndReason.SERVICE_STOPPING, 100)


@pytest.mark.parametrize("by", [Limit.HOURS, Limit.AUTHORISATION])
@pytest.mark.parametrize("last", [ev.RecorderOpened, ev.LegFlowing])
def test_hours_that_are_over_when_all_is_ready_end_the_call_by_a_listed_way(by: Limit, last: type[ev.Event]) -> None:
    """Both at one instant, in either order: the clock, and what the bridge waited for."""
    granted = ev.Granted(0, LIMIT, confidential=False, not_after=12.0, not_after_by=by)
    ready = [event for event in TO_CONNECTED[1:] if not (isinstance(event, last) and event.at >= 11)]
    call, _ = play(dialled(), granted, *[event for event in ready if event.at < 12])
    assert call.state is State.JOINING
    late = ev.RecorderOpened(12.0) if last is ev.RecorderOpened else ev.LegFlowing(12.0, "outside", S1)
    other = ev.LegFlowing(11.5, "outside", S1) if last is ev.RecorderOpened else ev.RecorderOpened(11.5)
    call, _ = advance(advance(call, other)[0], late)
    assert call.reason is (EndReason.HOURS_OVER if by is Limit.HOURS else EndReason.AUTHORISATION_ENDED)
    assert State.ENDED in TABLE[State.JOINING, last].targets


def test_no_rounding_makes_a_call_longer_than_its_limit() -> None:
    granted = ev.Granted(0, 902.0, confidential=False, shortened_by=Limit.QUOTA)
    events = [dataclasses.replace(event, at=event.at + 110.9) for event in (granted, *TO_CONNECTED[1:])]
    call, commands = play(dataclasses.replace(dialled(), dialled_at=110.0), *events)
    assert call.deadline is not None
    assert call.deadline - 122.9 > 902.0, "these numbers are chosen for it"
    (told,) = [command for command in commands if isinstance(command, do.SayShortened)]
    assert told.remaining_s == 902.0
    call, _ = play(call, ev.DeadlineReached(call.deadline))
    assert call.connected_s == 902.0


def test_a_phone_is_hung_up_when_nothing_is_left_to_say_farewell_with() -> None:
    call, _ = play(connected(), ev.StaffEnded(20))
    call, commands = advance(call, ev.MediaLost(21))
    assert commands == (do.HangUpPhone(EndReason.STAFF_ENDED), do.CloseMedia(EndReason.STAFF_ENDED))
    assert due(call) is None


def test_a_relative_who_stays_away_ends_the_call() -> None:
    call, _ = play(connected(), ev.LegSilent(100, "outside", S1), ev.FarewellOver(170))
    assert call.reason is EndReason.RELATIVE_LOST
    assert call.ended_at == 160
    assert call.connected_s == 88


def test_a_relative_who_is_back_at_the_last_moment_has_the_time_to_connect() -> None:
    back, _ = play(connected(), ev.LegSilent(100, "outside", S1), ev.CameBack(159, S2))
    call, commands = play(back, ev.LegFlowing(180, "outside", S2))
    assert call.state is State.CONNECTED
    assert do.Bridge(12 + LIMIT) in commands
    call, _ = play(call, ev.LegSilent(200, "outside", S2), ev.FarewellOver(270))
    assert (call.reason, call.ended_at) == (EndReason.RELATIVE_LOST, 260)


def test_pages_that_come_again_and_again_do_not_hold_the_call() -> None:
    call, _ = play(connected(), ev.LegSilent(100, "outside", S1), ev.CameBack(159, S2), ev.CameBack(180, S1))
    call, _ = play(call, ev.CameBack(188, S2), ev.FarewellOver(200))
    assert (call.reason, call.ended_at) == (EndReason.RELATIVE_LOST, 159 + 30)


def test_a_page_that_is_opened_anew_has_the_time_to_connect_however_short_the_grace() -> None:
    hasty = dataclasses.replace(connected(), times=Times(grace_s=8.0, join_timeout_s=30.0))
    call, _ = play(hasty, ev.CameBack(100, S2), ev.LegFlowing(125, "outside", S2))
    assert call.state is State.CONNECTED


def test_a_page_that_was_replaced_can_no_longer_do_anything() -> None:
    call, _ = play(connected(), ev.CameBack(50, S2), ev.LegFlowing(51, "outside", S2))
    for event in (ev.RelativeHungUp(60, S1), ev.LegFailed(60, "outside", S1), ev.LegSilent(60, "outside", S1)):
        assert advance(call, event) == (call, ())


def test_a_failed_join_waits_again_while_the_code_would_have_lived() -> None:
    call, commands = play(dialled(), *TO_WAITING, ev.CodeAccepted(10, S1), ev.LegFailed(20, "outside", S1))
    assert call.state is State.WAITING
    assert do.CloseOutsideLeg() in commands
    again, commands = play(call, ev.RecorderOpened(21), ev.CameBack(30, S2))
    assert again.state is State.JOINING
    assert not any(isinstance(c, do.OpenRecorder) for c in commands), "the recorder is asked for once"
    ended, _ = play(call, ev.FarewellOver(304))
    assert ended.reason is EndReason.JOIN_FAILED


def test_a_join_that_times_out_after_the_code_would_have_expired_ends_as_failed() -> None:
    call, _ = play(dialled(), *TO_WAITING, ev.CodeAccepted(300, S1), ev.FarewellOver(331))
    assert call.reason is EndReason.JOIN_FAILED


def test_a_call_that_nobody_decides_on_ends() -> None:
    assert due(dialled()) == (10.0, ev.StoreFailed(10.0))
    call, commands = play(dialled(), ev.Granted(11, LIMIT, confidential=False))
    assert call.reason is EndReason.STORE_FAILED
    assert do.RejectPhone(EndReason.STORE_FAILED) in commands


def test_a_code_may_arrive_before_the_network_said_that_it_took_the_sms() -> None:
    call, _ = play(dialled(), *TO_WAITING[:-1], ev.CodeAccepted(5, S1), ev.SmsAccepted(6))
    assert call.state is State.JOINING
    assert call.code_expires == 305


def test_nobody_comes_back_to_a_call_that_nobody_joined() -> None:
    call, _ = play(dialled(), *TO_WAITING)
    with pytest.raises(UnexpectedEvent):
        advance(call, ev.CameBack(20, S1))


def test_a_shared_phone_is_asked_who_calls_before_admission_decides() -> None:
    call, commands = play(dialled(), ev.IdentityWanted(0), *IDENTIFY)
    assert (call.state, call.detainee) == (State.IDENTIFYING, "d1")
    asked = [c.what for c in commands if isinstance(c, do.Present)]
    assert asked == ["identifier", "pin"]
    assert commands[-1] == do.SpeakTheirs()
    call, commands = play(call, ev.Granted(10, LIMIT, confidential=True), ev.SmsAccepted(12))
    assert call.state is State.WAITING
    assert [type(c) for c in commands] == [do.Protect, do.Present, do.SendInvitation]


def test_nobody_is_granted_a_call_on_a_shared_phone_before_they_are_identified() -> None:
    call, _ = play(dialled(), ev.IdentityWanted(0), *IDENTIFY[:2])
    with pytest.raises(UnexpectedEvent, match="nobody has said who calls"):
        advance(call, ev.Granted(10, LIMIT, confidential=False))
    for early in (ev.PinWanted(1), ev.Identified(1, DetaineeId("d1"))):
        with pytest.raises(UnexpectedEvent):
            advance(play(dialled(), ev.IdentityWanted(0))[0], early)


def test_who_types_nothing_is_told_so_and_let_go() -> None:
    call, commands = play(dialled(), ev.IdentityWanted(0), ev.PhoneAnswered(1), ev.FarewellOver(130))
    assert (call.reason, call.ended_at) == (EndReason.NOT_IDENTIFIED, 120.0)
    assert do.SayFarewell(EndReason.NOT_IDENTIFIED) in commands


def test_who_is_refused_on_a_shared_phone_hears_why_at_once() -> None:
    call, commands = play(dialled(), ev.IdentityWanted(0), *IDENTIFY, ev.Refused(10, EndReason.OUTSIDE_HOURS))
    assert call.state is State.REFUSED
    assert commands[-1] == do.SayFarewell(EndReason.OUTSIDE_HOURS)
    call, commands = play(call, ev.FarewellOver(14))
    assert commands == [do.HangUpPhone(EndReason.OUTSIDE_HOURS), do.CloseMedia(EndReason.OUTSIDE_HOURS)]


def test_an_identified_caller_whom_nobody_decides_on_is_let_go() -> None:
    call, _ = play(dialled(), ev.IdentityWanted(0), *IDENTIFY, ev.FarewellOver(20))
    assert (call.reason, call.ended_at) == (EndReason.STORE_FAILED, 19.0)


def until(instant: float, by: Limit = Limit.HOURS) -> ev.Granted:
    return ev.Granted(0, LIMIT, confidential=False, not_after=instant, not_after_by=by)


def test_hours_that_end_shorten_a_call_however_late_the_relative_joins() -> None:
    call, commands = play(dialled(), until(500), *TO_CONNECTED[1:])
    assert call.deadline == 500
    assert (call.shortened_by, call.limit_s) == (Limit.HOURS, 488)
    assert commands[-1] == do.SayShortened(Limit.HOURS, 488)
    call, commands = play(call, ev.FarewellOver(510))
    assert (call.reason, call.ended_at) == (EndReason.LIMIT_REACHED, 500)
    assert [c.remaining_s for c in commands if isinstance(c, do.Warn)] == [120, 30]


def test_hours_that_end_after_the_limit_change_nothing() -> None:
    call, commands = play(dialled(), until(12 + LIMIT), *TO_CONNECTED[1:])
    assert (call.deadline, call.shortened_by) == (12 + LIMIT, None)
    assert not any(isinstance(c, do.SayShortened) for c in commands)


@pytest.mark.parametrize(
    ("by", "reason"),
    [(Limit.HOURS, EndReason.HOURS_OVER), (Limit.AUTHORISATION, EndReason.AUTHORISATION_ENDED)],
)
@pytest.mark.parametrize("length", [2, 4, 6])
def test_a_call_that_has_not_begun_when_its_hours_end_is_over(by: Limit, reason: EndReason, length: int) -> None:
    call, _ = play(dialled(), until(11.5, by), *TO_CONNECTED[1 : length - 1], ev.FarewellOver(20))
    assert (call.reason, call.ended_at) == (reason, 11.5)


def test_media_that_flows_only_when_the_hours_are_over_is_not_bridged() -> None:
    call, _ = play(dialled(), until(11.5), *TO_CONNECTED[1:-1])
    call, commands = advance(dataclasses.replace(call, state=State.JOINING), ev.LegFlowing(12, "outside", S1))
    assert call.reason is EndReason.HOURS_OVER
    assert not any(isinstance(c, do.Bridge) for c in commands)


def test_a_shorter_call_says_so_once_at_its_start() -> None:
    granted = ev.Granted(0, 420, confidential=False, shortened_by=Limit.BALANCE)
    call, commands = play(dialled(), granted, *TO_CONNECTED[1:])
    assert [c for c in commands if isinstance(c, do.SayShortened)] == [do.SayShortened(Limit.BALANCE, 420)]
    _, commands = play(call, ev.CameBack(50, S2), ev.LegFlowing(51, "outside", S2))
    assert not any(isinstance(c, do.SayShortened) for c in commands)


@pytest.mark.parametrize("reason", sorted(SPOKEN_REFUSALS, key=lambda r: r.value))
def test_the_detainee_hears_why_a_call_is_refused(reason: EndReason) -> None:
    call, commands = play(dialled(), ev.Refused(0, reason), ev.PhoneAnswered(1))
    assert commands == [do.AnswerPhone(), do.SayFarewell(reason)]
    call, commands = play(call, ev.FarewellOver(5))
    assert (call.state, call.reason) == (State.ENDED, reason)
    assert commands == [do.HangUpPhone(reason), do.CloseMedia(reason)]


def test_an_unknown_phone_is_refused_without_being_answered() -> None:
    call, commands = play(dialled(), ev.Refused(0, EndReason.UNKNOWN_PHONE))
    assert call.state is State.ENDED
    assert commands == [do.RejectPhone(EndReason.UNKNOWN_PHONE), do.CloseMedia(EndReason.UNKNOWN_PHONE)]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ev.PhoneHungUp(20), EndReason.DETAINEE_HUNG_UP),
        (ev.StaffEnded(20), EndReason.STAFF_ENDED),
        (ev.MediaLost(20), EndReason.MEDIA_FAILED),
        (ev.PhoneFailed(20), EndReason.SIP_FAILED),
        (ev.LegSilent(20, "phone"), EndReason.PHONE_LOST),
        (ev.RecorderBroke(20, EndReason.DISK_FULL), EndReason.DISK_FULL),
        (ev.ServiceStopping(20), EndReason.SERVICE_STOPPING),
        (ev.RelativeHungUp(20, S1), EndReason.RELATIVE_HUNG_UP),
    ],
)
def test_each_end_of_a_connected_call_has_its_reason_seals_the_recording_and_stops_the_bridge(
    event: ev.Event, reason: EndReason
) -> None:
    call, commands = play(connected(), event)
    assert (call.state, call.reason, call.ended_at) == (State.ENDED, reason, 20)
    assert call.connected_s == 8
    assert commands[0] == do.Unbridge()
    assert do.SealRecording(reason) in commands
    assert do.TellPageEnd(reason) in commands


def test_an_event_that_is_not_listed_raises_and_changes_nothing() -> None:
    call = dialled()
    with pytest.raises(UnexpectedEvent, match="SmsAccepted does not belong to a call that is dialled"):
        advance(call, ev.SmsAccepted(1))
    assert call == dialled()


def test_a_page_is_told_nothing_when_nobody_joined() -> None:
    _, commands = play(dialled(), *TO_WAITING, ev.PhoneHungUp(20))
    assert do.CancelInvitation() in commands
    assert not any(isinstance(c, do.TellPageEnd) for c in commands)


def test_every_rule_of_the_table_leaves_ended_alone() -> None:
    for (state, _), entry in TABLE.items():
        if state is State.ENDED:
            assert entry.targets == (State.ENDED,)


def test_everything_that_may_be_under_way_is_listed_for_an_ended_call() -> None:
    kinds = {event for _, event in TABLE}
    first = {ev.CodeAccepted}
    assert kinds - {event for state, event in TABLE if state is State.ENDED} == first


ME = DetaineeId("d1")

EVENTS = st.one_of(
    st.builds(
        ev.Granted,
        at=st.just(0.0),
        limit_s=st.floats(20, 2000),
        confidential=st.booleans(),
        shortened_by=st.sampled_from([None, *Limit]),
        not_after=st.none() | st.floats(1, 3000),
        not_after_by=st.sampled_from([Limit.HOURS, Limit.AUTHORISATION]),
    ),
    st.builds(ev.Refused, at=st.just(0.0), reason=st.sampled_from(EndReason)),
    st.builds(ev.PhoneUnanswerable, at=st.just(0.0), reason=st.sampled_from(EndReason)),
    st.builds(ev.RecorderBroke, at=st.just(0.0), reason=st.sampled_from(EndReason)),
    *[
        st.builds(kind, at=st.just(0.0))
        for kind in (
            ev.PhoneAnswered,
            ev.SmsAccepted,
            ev.SmsUnsendable,
            ev.CodeExpired,
            ev.CodeVoided,
            ev.JoinTimedOut,
            ev.RecorderOpened,
            ev.DeadlineReached,
            ev.GraceOver,
            ev.PhoneHungUp,
            ev.PhoneFailed,
            ev.StaffEnded,
            ev.MediaLost,
            ev.ServiceStopping,
            ev.StoreFailed,
            ev.FarewellOver,
            ev.IdentityWanted,
            ev.PinWanted,
            ev.IdentifyTimedOut,
            ev.HoursOver,
        )
    ],
    st.builds(ev.ServiceDraining, at=st.just(0.0), until=st.floats(0, 600)),
    st.builds(ev.IdentifierWanted, at=st.just(0.0), wrong=st.booleans()),
    st.builds(ev.Identified, at=st.just(0.0), detainee=st.just(ME)),
    *[
        st.builds(kind, at=st.just(0.0), session=st.sampled_from([S1, S2]))
        for kind in (ev.CodeAccepted, ev.CameBack, ev.RelativeHungUp)
    ],
    *[
        st.builds(
            kind, at=st.just(0.0), leg=st.sampled_from(["phone", "outside"]), session=st.sampled_from([None, S1, S2])
        )
        for kind in (ev.LegFlowing, ev.LegSilent, ev.LegFailed)
    ],
)


class AnyOrder(RuleBasedStateMachine):
    """Throws any event at a call at any time and keeps the books of what the commands would have done."""

    def __init__(self) -> None:
        super().__init__()
        self.call = dialled()
        self.now = 0.0
        self.recorder_open = False
        self.bridged_until: float | None = None
        self.ends = 0
        self.sealed = 0
        self.opened = 0
        self.hung_up = 0
        self.phone_gone = False
        self.asked = False
        self.protected = False

    def take(self, event: ev.Event) -> None:
        before = self.call
        try:
            self.call, commands = advance(before, event)
        except UnexpectedEvent:
            assert self.call is before
            return
        if before.state is not State.ENDED:
            listed = TABLE.get((before.state, type(event)))
            late = before.deadline is not None and event.at >= before.deadline
            untouched = self.call is before
            assert late or untouched or (listed is not None and self.call.state in listed.targets)
            self.ends += self.call.state is State.ENDED
        if isinstance(event, ev.PhoneHungUp | ev.PhoneFailed):
            self.phone_gone = True
        if isinstance(event, ev.RecorderOpened) and self.call.recording:
            self.recorder_open = True
        self.asked = self.asked or self.call.state is State.IDENTIFYING
        for command in commands:
            self.protected = self.protected or isinstance(command, do.Protect)
            if isinstance(command, do.SayShortened):
                assert before.deadline is None
                assert 0 < command.remaining_s <= self.call.limit_s
            if isinstance(command, do.Bridge):
                assert self.recorder_open or self.call.confidential
                assert event.at < command.deadline
                self.bridged_until = command.deadline
            elif isinstance(command, do.Unbridge):
                self.bridged_until = None
            elif isinstance(command, do.OpenRecorder):
                assert not self.call.confidential
                self.opened += 1
            elif isinstance(command, do.SealRecording):
                self.recorder_open = False
            elif isinstance(command, do.HangUpPhone | do.RejectPhone):
                self.hung_up += 1

    @rule(after=st.sampled_from([0.0, 0.5, 5.0, 29.0, 61.0, 299.0, 2001.0]), event=EVENTS)
    def anything(self, after: float, event: ev.Event) -> None:
        self.now += after
        if isinstance(event, ev.ServiceDraining):
            event = dataclasses.replace(event, until=self.now + event.until)
        if isinstance(event, ev.Granted) and event.not_after is not None:
            event = dataclasses.replace(event, not_after=self.now + event.not_after)
        self.take(dataclasses.replace(event, at=self.now))

    @rule(event=st.sampled_from([*TO_CONNECTED, ev.LegSilent(0, "outside", S1), ev.CameBack(0, S1)]))
    def on_the_way(self, event: ev.Event) -> None:
        self.now += 0.1
        self.take(dataclasses.replace(event, at=self.now))

    @rule(event=st.sampled_from([ev.IdentityWanted(0), *IDENTIFY, *TO_CONNECTED[:1], *TO_CONNECTED[2:]]))
    def on_the_way_from_a_shared_phone(self, event: ev.Event) -> None:
        self.now += 0.1
        self.take(dataclasses.replace(event, at=self.now))

    @precondition(lambda self: self.call.answered and self.call.state is not State.ENDED)
    @rule(
        end=st.sampled_from([ev.StaffEnded, ev.ServiceStopping]), last=st.sampled_from([ev.MediaLost, ev.StoreFailed])
    )
    def an_end_upon_an_end(self, end: type[ev.Event], last: type[ev.Event]) -> None:
        self.take(end(self.now))
        self.take(last(self.now))

    @precondition(lambda self: due(self.call) is not None)
    @rule(late=st.floats(0, 3))
    def time_passes(self, late: float) -> None:
        timed = due(self.call)
        assert timed is not None
        self.now = max(self.now, timed[0] + late)
        self.take(dataclasses.replace(timed[1], at=self.now))

    @invariant()
    def bridged_only_while_connected_and_before_the_deadline(self) -> None:
        assert (self.bridged_until is not None) == self.call.bridged
        if self.call.bridged:
            assert self.call.state is State.CONNECTED
            assert self.call.confidential or self.call.recording
            assert self.bridged_until == self.call.deadline

    @invariant()
    def ends_once_with_a_reason(self) -> None:
        assert self.ends <= 1
        assert (self.call.state is State.ENDED) == (self.ends == 1)
        if self.call.state is State.ENDED:
            assert self.call.reason is not None
            assert self.call.ended_at is not None

    @invariant()
    def connected_time_never_exceeds_the_limit(self) -> None:
        assert 0.0 <= self.call.connected_s <= self.call.limit_s

    @invariant()
    def it_is_over_when_its_hours_are(self) -> None:
        if self.call.not_after is not None and self.call.deadline is not None:
            assert self.call.deadline <= self.call.not_after

    @invariant()
    def it_is_over_when_the_service_stops(self) -> None:
        if self.call.closing_at is not None and self.call.deadline is not None:
            assert self.call.deadline <= self.call.closing_at or self.call.state is State.ENDED

    @invariant()
    def nothing_is_granted_on_a_shared_phone_before_somebody_is_identified(self) -> None:
        if self.asked and self.call.state not in (State.IDENTIFYING, State.REFUSED, State.ENDED):
            assert self.call.detainee == ME
            assert self.call.answered
            assert self.protected or not self.call.confidential
        if not self.asked:
            assert self.call.detainee is None

    @invariant()
    def at_most_one_recorder(self) -> None:
        assert self.opened <= 1
        assert not (self.call.confidential and self.recorder_open)

    @invariant()
    def no_phone_is_left_in_its_dialogue(self) -> None:
        if self.call.state is State.ENDED and self.call.farewell_until is None and not self.phone_gone:
            assert self.hung_up

    @invariant()
    def something_is_always_due_until_the_phone_is_hung_up(self) -> None:
        if self.call.state in (State.DIALLED, State.ENDED):
            return
        assert due(self.call) is not None


AnyOrder.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
