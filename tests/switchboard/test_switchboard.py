"""Events meet a call's state in order, are stored, and only then acted upon."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, fail

from avisiod.calls.call import State
from avisiod.calls.reasons import EndReason
from avisiod.gateway import wire
from avisiod.ports import (
    CallRecord,
    InvitationRecord,
    Joined,
    JournalEntry,
    Kept,
    Rejected,
    RestartRefused,
    SmsFailed,
    StoreUnavailable,
)
from tests.switchboard.scene import CHARTER, LIMIT_S, Page, Scene, eventually, make_scene

HOME = "192.0.2.7"


@pytest_twisted.async_yield_fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = await make_scene(tmp_path)
    yield scene
    await scene.settled()
    await scene.store.close()


@pytest_twisted.ensureDeferred
async def test_a_call_runs_from_dialling_to_its_limit_and_the_store_tells_the_story(scene: Scene) -> None:
    entry, page, joined = await scene.connect()
    call = entry.call
    assert scene.media.last("bridge") == ("bridge", call.id, call.deadline)
    assert joined.recorded
    for seconds in (LIMIT_S - 120, 90):
        scene.clock.advance(seconds)
        await scene.settled()
    assert [told for told in page.told if told[0] == "warning"] == [("warning", 120.0), ("warning", 30.0)]
    assert scene.media.last("present")[2] == "warning_30"
    scene.clock.advance(30)
    await scene.reach(State.ENDED)
    assert page.told[-1] == ("ended", EndReason.LIMIT_REACHED, LIMIT_S)
    assert scene.media.last("present")[2] == "limit_reached"
    assert "hang_up" not in scene.sip.names(), "the phone hears why before it is hung up"
    scene.board.prompt_over(call.id, "limit_reached")
    await eventually(lambda: not scene.board.entries, "the call is closed")
    assert scene.sip.last("hang_up") == ("hang_up", "s1", 200, "limit_reached")
    assert await scene.journal(entry) == [
        "Granted",
        "PhoneAnswered",
        "SmsAccepted",
        "LegFlowing",
        "CodeAccepted",
        "RecorderOpened",
        "LegFlowing",
        "WarningDue",
        "WarningDue",
        "DeadlineReached",
        "FarewellOver",
    ]
    kept = await scene.store.call(call.id)
    assert kept is not None
    assert (kept.end_reason, kept.connected_s, kept.charged) == (EndReason.LIMIT_REACHED, LIMIT_S, True)


@pytest_twisted.ensureDeferred
async def test_a_command_is_let_out_only_after_its_event_is_stored(scene: Scene) -> None:
    entry = await scene.wait_for_code()
    held: Deferred[None] = Deferred()
    store_call = scene.store.save_call
    scene.store.save_call = lambda *_: held  # type: ignore[method-assign,assignment]
    scene.board.sip_ended("s1", "phone", 200)
    await eventually(lambda: entry.call.state is State.ENDED, "the table has advanced")
    assert "close_call" not in scene.media.names()
    scene.store.save_call = store_call  # type: ignore[method-assign]
    held.callback(None)
    await eventually(lambda: "close_call" in scene.media.names(), "the command came after")


@pytest_twisted.ensureDeferred
async def test_a_confidential_line_is_bridged_and_never_recorded(scene: Scene) -> None:
    _, _, joined = await scene.connect(number="0639980002")
    assert not joined.recorded
    assert "bridge" in scene.media.names()
    assert "open_recorder" not in scene.media.names()


@pytest_twisted.ensureDeferred
async def test_no_bridge_without_a_recorder(scene: Scene) -> None:
    scene.media.failing["open_recorder"] = wire.RecorderUnavailable("disk_full: no space left")
    entry, page = await scene.wait_for_code(), Page()
    await scene.desk.redeem(scene.route.code, "", HOME, CHARTER, page)
    await eventually(lambda: entry.call.state is State.ENDED, "the call ended")
    assert entry.call.reason is EndReason.DISK_FULL
    assert "bridge" not in scene.media.names()


@pytest.mark.parametrize(
    ("dialled", "phone", "reason"),
    [
        ("0612345678", "cell1", EndReason.UNKNOWN_NUMBER),
        ("12ab", "cell1", EndReason.NOT_A_NUMBER),
        ("0639980003", "cell1", EndReason.UNKNOWN_NUMBER),
        ("0639980001", "nobody", EndReason.UNKNOWN_PHONE),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_call_that_may_not_be_made_is_refused(
    scene: Scene, dialled: str, phone: str, reason: EndReason
) -> None:
    entry = await scene.dial(dialled, phone)
    await eventually(lambda: entry.call.reason is not None, "a reason")
    assert entry.call.reason is reason
    assert scene.route.sent == []


@pytest_twisted.ensureDeferred
async def test_a_busy_phone_a_busy_contact_and_a_full_house_are_refused_and_the_running_call_goes_on(
    scene: Scene,
) -> None:
    first, _, _ = await scene.connect()
    same_phone = await scene.dial("0639980002", "cell1", "s2")
    await eventually(lambda: same_phone.call.reason is EndReason.PHONE_BUSY, "phone busy")
    same_contact = await scene.dial("0639980001", "cell2", "s3")
    await eventually(lambda: same_contact.call.reason is EndReason.CONTACT_BUSY, "contact busy")
    scene.board.sip_ended("s3", "phone", 200)
    second = await scene.dial("0639980002", "cell2", "s4")
    await eventually(lambda: second.call.state is State.WAITING, "the second call is served")
    third = await scene.dial("0639980003", "cell3", "s5")
    await eventually(lambda: third.call.reason is EndReason.UNKNOWN_PHONE, "an unknown phone")
    assert first.call.state is State.CONNECTED


@pytest_twisted.ensureDeferred
async def test_a_phone_that_started_anew_in_mid_call_can_call_at_once_and_pays_for_what_it_had(scene: Scene) -> None:
    """It sent no BYE and dials the same contact; nothing has been heard of it in its call for some seconds."""
    first, _, _ = await scene.connect()
    heard_at = scene.clock.now()
    scene.board.leg_changed(first.call.id, "phone", "", "quiet", heard_at)
    scene.clock.advance(9)
    again = await scene.dial("0639980001", "cell1", "s2")
    await eventually(lambda: again.call.state is State.WAITING, "the new call is served")
    assert (first.call.state, first.call.reason) == (State.ENDED, EndReason.PHONE_LOST)
    assert first.call.connected_s == heard_at - (first.call.connected_at or 0)


@pytest_twisted.ensureDeferred
async def test_a_phone_that_was_quiet_and_is_heard_again_is_busy(scene: Scene) -> None:
    first, _, _ = await scene.connect()
    for state in ("quiet", "flowing"):
        scene.board.leg_changed(first.call.id, "phone", "", state, scene.clock.now())
    again = await scene.dial("0639980002", "cell1", "s2")
    await eventually(lambda: again.call.reason is EndReason.PHONE_BUSY, "phone busy")
    assert first.call.state is State.CONNECTED


@pytest_twisted.ensureDeferred
async def test_a_phone_that_no_longer_answers_is_lost_and_everything_of_its_call_is_closed(scene: Scene) -> None:
    entry, _, _ = await scene.connect()
    scene.board.sip_ended("s1", "lost", 408)
    await scene.reach(State.ENDED)
    assert entry.call.reason is EndReason.PHONE_LOST
    await eventually(lambda: not scene.board.entries, "the call is closed")


@pytest_twisted.ensureDeferred
async def test_when_no_sms_can_be_sent_the_phone_is_told_at_once(scene: Scene) -> None:
    scene.route.failure = SmsFailed("no route is left")
    entry = await scene.dial()
    await eventually(lambda: entry.call.reason is EndReason.SMS_FAILED, "the reason")
    await scene.settled()
    assert scene.media.last("present")[2] == "sms_failed"


@pytest_twisted.ensureDeferred
async def test_hanging_up_stops_the_sms_and_voids_the_code(scene: Scene) -> None:
    scene.route.pending = []
    entry = await scene.dial()
    await eventually(lambda: bool(scene.route.pending), "the SMS is under way")
    scene.board.sip_ended("s1", "phone", 487)
    await eventually(lambda: entry.call.state is State.ENDED, "the call ended")
    await eventually(lambda: scene.route.pending[0].called, "the SMS was cancelled")
    answer = await scene.desk.redeem(scene.route.code, "", HOME, CHARTER, Page())
    assert answer == Rejected(why="expired")


@pytest_twisted.ensureDeferred
async def test_a_wrong_an_expired_and_a_used_code_open_nothing(scene: Scene) -> None:
    entry = await scene.wait_for_code()
    wrong = f"{(int(scene.route.code) + 1) % 1_000_000:06d}"
    assert await scene.desk.redeem(wrong, scene.route.link, HOME, CHARTER, Page()) == Rejected(
        why="wrong", tries_left=9
    )
    await scene.join(Page())
    assert await scene.desk.redeem(scene.route.code, "", HOME, CHARTER, Page()) == Rejected(why="used")
    scene.board.sip_ended("s1", "phone", 200)
    await eventually(lambda: entry.call.state is State.ENDED, "ended")
    second = await scene.wait_for_code(sip_call="s2")
    scene.clock.advance(300)
    await eventually(lambda: second.call.state is State.ENDED, "expired")
    assert second.call.reason is EndReason.CODE_EXPIRED
    assert await scene.desk.redeem(scene.route.code, "", HOME, CHARTER, Page()) == Rejected(why="expired")


@pytest_twisted.ensureDeferred
async def test_the_acceptance_of_the_charter_is_kept_with_the_spent_code(scene: Scene) -> None:
    entry, _, _ = await scene.connect()
    kept = await scene.store.acceptances(entry.call.id)
    assert [each.acceptance for each in kept] == [CHARTER]
    invitation = await scene.store.invitation(entry.call.id)
    assert invitation is not None
    assert invitation.spent_utc is not None
    assert scene.route.code not in invitation.hash


@pytest_twisted.ensureDeferred
async def test_a_relative_who_was_lost_comes_back_with_the_token_on_another_page(scene: Scene) -> None:
    entry, page, joined = await scene.connect()
    scene.board.leg_changed(entry.call.id, "outside", joined.session, "silent", scene.clock.now())
    await scene.reach(State.INTERRUPTED)
    assert page.told[-1][:2] == ("state", "interrupted")
    other = Page()
    back = await scene.desk.resume(joined.token, HOME, other)
    assert isinstance(back, Joined)
    assert page.told[-1] == ("replaced",)
    assert await scene.desk.offer(back.session, "sdp") == "page answer"
    with pytest.raises(ValueError, match="no longer has a call"):
        await scene.desk.offer(joined.session, "sdp")
    scene.board.leg_changed(entry.call.id, "outside", back.session, "flowing", scene.clock.now())
    await scene.reach(State.CONNECTED)
    assert other.told[-1][:2] == ("state", "connected")


@pytest_twisted.ensureDeferred
async def test_a_warning_during_an_interruption_leaves_its_picture_on_the_phone(scene: Scene) -> None:
    entry, _, joined = await scene.connect()
    scene.board.leg_changed(entry.call.id, "outside", joined.session, "silent", scene.clock.now() + LIMIT_S - 130)
    await scene.reach(State.INTERRUPTED)
    scene.clock.advance(LIMIT_S - 120)
    await scene.settled()
    assert scene.media.last("present")[2:] == ("warning_120", "interrupted")


@pytest_twisted.ensureDeferred
async def test_nobody_pays_for_the_silence_before_it_was_noticed(scene: Scene) -> None:
    entry, _, joined = await scene.connect()
    began = scene.clock.now()
    scene.clock.advance(30)
    scene.board.leg_changed(entry.call.id, "outside", joined.session, "silent", began + 24)
    await scene.reach(State.INTERRUPTED)
    assert entry.call.connected_s == 24


@pytest_twisted.ensureDeferred
async def test_what_the_store_throws_unforeseen_ends_the_call_as_well(scene: Scene) -> None:
    entry = await scene.wait_for_code()
    scene.store.save_call = lambda *_: fail(ZeroDivisionError("a fault of ours"))  # type: ignore[method-assign]
    scene.board.sip_ended("s1", "phone", 200)
    await eventually(lambda: entry.call.state is State.ENDED, "ended")
    await eventually(lambda: "close_call" in scene.media.names(), "and closed")


@pytest_twisted.ensureDeferred
async def test_an_unknown_token_opens_nothing(scene: Scene) -> None:
    await scene.connect()
    assert await scene.desk.resume("guess", HOME, Page()) == Rejected(why="over")


@pytest_twisted.ensureDeferred
async def test_a_lost_media_worker_ends_its_calls_as_our_failure_uncharged(scene: Scene) -> None:
    entry, page, _ = await scene.connect()
    scene.clock.advance(60)
    scene.board.media_lost([entry.call.id])
    await eventually(lambda: not scene.board.entries, "closed")
    kept = await scene.store.call(entry.call.id)
    assert kept is not None
    assert (kept.end_reason, kept.charged) == (EndReason.MEDIA_FAILED, False)
    assert page.told[-1][:2] == ("ended", EndReason.MEDIA_FAILED)
    assert scene.sip.last("hang_up")[1:] == ("s1", 500, "media_failed")


@pytest_twisted.ensureDeferred
async def test_a_call_that_cannot_be_stored_does_not_go_on(scene: Scene) -> None:
    entry = await scene.wait_for_code()
    scene.store.save_call = lambda *_: fail(StoreUnavailable("the disk is full"))  # type: ignore[method-assign]
    await scene.desk.redeem(scene.route.code, "", HOME, CHARTER, Page())
    await eventually(lambda: entry.call.state is State.ENDED, "ended")
    assert entry.call.reason is EndReason.STORE_FAILED
    assert "open_recorder" not in scene.media.names()
    assert "bridge" not in scene.media.names()


@pytest_twisted.ensureDeferred
async def test_an_end_that_could_not_be_stored_is_stored_as_it_was_once_that_can_be(scene: Scene) -> None:
    entry, *_ = await scene.connect()
    scene.clock.advance(60)
    save = scene.store.save_call
    scene.store.save_call = lambda *_: fail(StoreUnavailable("locked"))  # type: ignore[method-assign]
    scene.board.sip_ended("s1", "phone", 200)
    await eventually(lambda: not scene.board.entries, "closed")
    await scene.board.owed.settle(scene.store)
    scene.store.save_call = save  # type: ignore[method-assign]
    kept = await scene.store.call(entry.call.id)
    assert kept is not None
    assert kept.state == "connected", "nothing of it could be stored yet"
    await scene.board.owed.settle(scene.store)
    kept = await scene.store.call(entry.call.id)
    assert kept is not None
    assert (kept.end_reason, kept.charged, kept.connected_s) == (EndReason.DETAINEE_HUNG_UP, True, 60.0)
    assert (await scene.journal(entry))[-1] == "PhoneHungUp"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (wire.OfferUnacceptable("line 3: no codec in common"), EndReason.OFFER_UNACCEPTABLE),
        (wire.NoPorts("none left"), EndReason.NO_CAPACITY),
        (wire.WorkerError("died"), EndReason.MEDIA_FAILED),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_offer_that_cannot_be_answered_gets_a_status_and_no_sms(
    scene: Scene, error: Exception, reason: EndReason
) -> None:
    scene.media.failing["open_call"] = error
    entry = await scene.dial()
    await eventually(lambda: entry.call.state is State.ENDED, "ended")
    assert entry.call.reason is reason
    await eventually(lambda: "reject" in scene.sip.names(), "the INVITE got its status")
    assert scene.sip.last("reject") == ("reject", "s1", reason.sip_status, reason.value)
    assert scene.route.sent == []


@pytest_twisted.ensureDeferred
async def test_a_new_offer_that_cannot_be_answered_leaves_the_call_as_it_was(scene: Scene) -> None:
    entry, _, _ = await scene.connect()
    scene.media.failing["update_phone_leg"] = wire.OfferUnacceptable("nonsense")
    scene.board.reoffered("s1", "nonsense")
    await eventually(lambda: "reject" in scene.sip.names(), "it was refused")
    assert scene.sip.last("reject")[2] == 488
    assert entry.call.state is State.CONNECTED


@pytest_twisted.ensureDeferred
async def test_stopping_ends_every_call_with_a_word_to_both_and_waits_for_their_seals(scene: Scene) -> None:
    entry, page, _ = await scene.connect()
    stopped = scene.board.stop()
    await scene.settled()
    assert page.told[-1][:2] == ("ended", EndReason.SERVICE_STOPPING)
    assert scene.media.last("present")[2] == "service_stopping"
    assert not stopped.called
    scene.board.prompt_over(entry.call.id, "service_stopping")
    await stopped
    assert "seal_recording" in scene.media.names()
    late = await scene.dial(sip_call="s9")
    await eventually(lambda: late.call.reason is EndReason.SERVICE_STOPPING, "new calls are refused")


@pytest_twisted.ensureDeferred
async def test_draining_shortens_a_call_in_words_and_refuses_new_ones_in_words(scene: Scene) -> None:
    entry, page, _ = await scene.connect()
    drained = scene.board.drain(scene.clock.now() + 90)
    await eventually(lambda: ("warning", 90.0) in page.told, "the page hears how much is left")
    await eventually(lambda: scene.media.last("present")[2] == "warning_90", "so does the phone")
    assert scene.media.last("bridge")[2] == entry.call.deadline == entry.call.closing_at
    late = await scene.dial("0639980002", "cell2", "s9")
    await eventually(lambda: late.call.state is State.REFUSED, "a new call is answered to be refused")
    await eventually(lambda: scene.media.last("present")[2] == "service_stopping", "in words")
    scene.board.prompt_over(late.call.id, "service_stopping")
    await eventually(lambda: late.call.state is State.ENDED, "and hung up")
    assert entry.call.state is State.CONNECTED
    assert not drained.called
    scene.board.sip_ended("s1", "phone", 200)
    await drained
    assert entry.call.reason is EndReason.DETAINEE_HUNG_UP


@pytest_twisted.ensureDeferred
async def test_a_full_disk_refuses_recorded_lines_and_lets_confidential_ones_through(scene: Scene) -> None:
    scene.board.room_on_disk = lambda: False
    recorded = await scene.dial()
    await eventually(lambda: recorded.call.reason is EndReason.DISK_FULL, "refused")
    scene.board.sip_ended("s1", "phone", 200)
    await eventually(lambda: not scene.board.entries, "closed")
    await scene.connect(number="0639980002", sip_call="s2")


@pytest_twisted.ensureDeferred
async def test_no_log_line_and_no_journal_line_shows_a_number_or_a_code(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    entry, _, joined = await scene.connect()
    scene.board.sip_ended("s1", "phone", 200)
    await eventually(lambda: not scene.board.entries, "closed")
    lines = await scene.store.journal(entry.call.id)
    written = caplog.text + " ".join(f"{line.event} {line.details}" for line in lines)
    for secret in (scene.route.code, scene.route.link, joined.token, "639980001"):
        assert secret not in written


@pytest_twisted.ensureDeferred
async def test_a_lost_sip_worker_takes_only_its_own_dialogues(scene: Scene) -> None:
    entry, *_ = await scene.connect()
    scene.board.sip_worker_lost(["1-other"])
    assert entry.sip_call == "s1"
    scene.board.sip_worker_lost(["s1"])
    assert entry.sip_call is None
    assert entry.call.state is State.CONNECTED
    scene.board.sip_ended("s1", "phone", 200)
    await scene.settled()
    assert entry.call.state is State.CONNECTED, "what a lost worker's number says later is not heard"


@pytest_twisted.ensureDeferred
async def test_a_phone_whose_sip_worker_died_may_dial_again_at_once(scene: Scene) -> None:
    lost, *_ = await scene.connect()
    scene.board.sip_worker_lost(["s1"])
    again = await scene.dial("0639980001", "cell1", "s2")
    await eventually(lambda: again.call.state is State.WAITING, "it is served, and its contact is not busy")
    assert (lost.call.state, lost.call.reason) == (State.ENDED, EndReason.DETAINEE_HUNG_UP)


@pytest_twisted.ensureDeferred
async def test_a_phone_that_has_just_hung_up_is_not_busy(scene: Scene) -> None:
    ended, *_ = await scene.connect()
    scene.board.sip_ended("s1", "phone", 200)  # its end is not stored yet
    again = await scene.dial("0639980001", "cell1", "s2")
    await eventually(lambda: again.call.state is State.WAITING, "it is served")
    assert ended.call.reason is EndReason.DETAINEE_HUNG_UP


@pytest_twisted.ensureDeferred
async def test_a_phones_answer_to_an_offer_of_ours_reaches_its_media(scene: Scene) -> None:
    entry, *_ = await scene.connect()
    scene.board.phone_answered("s1", "v=0")
    await scene.settled()
    assert scene.media.last("update_phone_leg") == ("update_phone_leg", entry.call.id, "v=0")


@pytest_twisted.ensureDeferred
async def test_a_new_offer_of_the_same_page_interrupts_until_the_new_leg_flows(scene: Scene) -> None:
    entry, page, joined = await scene.connect()
    await scene.desk.offer(joined.session, "first")
    assert entry.call.state is State.CONNECTED
    bridges = scene.media.names().count("bridge")
    await scene.desk.offer(joined.session, "again")
    assert entry.call.state is State.INTERRUPTED, "the worker drops the leg that flowed"
    assert scene.media.names().index("unbridge") < scene.media.asked.index(scene.media.last("open_browser_leg"))
    scene.board.leg_changed(entry.call.id, "outside", joined.session, "flowing", scene.clock.now())
    await scene.reach(State.CONNECTED)
    assert scene.media.names().count("bridge") == bridges + 1
    assert page.told[-1][:2] == ("state", "connected")


@pytest_twisted.ensureDeferred
async def test_an_offer_that_comes_after_the_end_opens_nothing(scene: Scene) -> None:
    entry, _, joined = await scene.connect()
    await scene.board.end_call(entry.call.id)
    with pytest.raises(ValueError, match="no longer has a call"):
        await scene.desk.offer(joined.session, "late")
    assert "open_browser_leg" not in scene.media.names()


@pytest_twisted.ensureDeferred
async def test_of_two_pages_that_come_back_at_once_the_later_one_stays_and_the_other_is_told(scene: Scene) -> None:
    _, page, joined = await scene.connect()
    second, third = Page(), Page()
    coming = [Deferred.fromCoroutine(scene.desk.resume(joined.token, HOME, each)) for each in (second, third)]
    answers = [await each for each in coming]
    assert all(isinstance(answer, Joined) for answer in answers)
    assert page.told[-1] == ("replaced",)
    assert ("replaced",) in second.told
    assert ("replaced",) not in third.told


@pytest_twisted.ensureDeferred
async def test_a_phone_is_hung_up_when_the_media_worker_dies_over_its_farewell(scene: Scene) -> None:
    entry, *_ = await scene.connect()
    await scene.board.end_call(entry.call.id)
    assert "hang_up" not in scene.sip.names(), "it hears why first"
    scene.board.media_lost([entry.call.id])
    await eventually(lambda: not scene.board.entries, "closed")
    assert scene.sip.last("hang_up")[1:] == ("s1", 403, "staff_ended")


@pytest_twisted.ensureDeferred
async def test_no_sms_leaves_when_the_phone_hangs_up_while_the_invitation_is_stored(scene: Scene) -> None:
    save, stored = scene.store.save_invitation, Deferred()

    async def slow(kept: InvitationRecord) -> None:
        await save(kept)
        await stored

    scene.store.save_invitation = slow  # type: ignore[method-assign,assignment]
    entry = await scene.dial()
    await eventually(lambda: entry.call.invited, "the code is drawn")
    await scene.settled()
    scene.board.sip_ended("s1", "phone", 487)
    await eventually(lambda: entry.call.state is State.ENDED, "given up")
    stored.callback(None)
    await scene.settled()
    assert scene.route.sent == []


@pytest_twisted.ensureDeferred
async def test_a_media_worker_that_ends_is_looked_after_though_no_call_was_counted_as_its_own(scene: Scene) -> None:
    looked: list[None] = []
    scene.board.on_media_lost = lambda: looked.append(None)
    scene.board.media_lost([])
    assert looked, "it may have died while it sealed its last recording"
    await scene.board.stop()
    scene.board.media_lost([])
    assert len(looked) == 1, "a worker that we end ourselves leaves nothing behind"


def _sdp(connection: int, version: int = 2) -> str:
    return f"v=0\r\no=- {connection} {version} IN IP4 127.0.0.1\r\ns=-\r\n"


@pytest_twisted.ensureDeferred
async def test_a_further_offer_of_the_same_connection_restarts_ice_and_the_call_goes_on(scene: Scene) -> None:
    entry, page, joined = await scene.connect()
    await scene.desk.offer(joined.session, _sdp(7))
    page.told.clear()
    await scene.desk.offer(joined.session, _sdp(7, 3))
    assert scene.media.last("restart_browser_leg")[1:4] == (entry.call.id, joined.session, _sdp(7, 3))
    assert (entry.call.state, page.told) == (State.CONNECTED, [])
    scene.media.failing["restart_browser_leg"] = wire.OfferUnacceptable("gone")
    with pytest.raises(RestartRefused):
        await scene.desk.offer(joined.session, _sdp(7, 4))
    assert entry.call.state is State.CONNECTED
    await scene.desk.offer(joined.session, _sdp(8))
    assert entry.call.state is State.INTERRUPTED, "another connection needs a bridge of its own"
    assert scene.media.last("open_browser_leg")[3] == _sdp(8)


@pytest_twisted.ensureDeferred
async def test_a_call_whose_admission_is_stored_slowly_is_not_ended_by_the_time_that_admission_had(
    scene: Scene,
) -> None:
    save, stored = scene.store.save_call, Deferred()
    held: list[str] = []

    async def slow(record: CallRecord, line: JournalEntry, *kept: Kept) -> None:
        held.append(line.event)
        await stored
        await save(record, line, *kept)

    scene.store.save_call = slow  # type: ignore[method-assign,assignment]
    scene.board.invited("s1", "cell1", "0639980001", "offer", secure=False)
    entry = scene.entry
    await eventually(lambda: held == ["Granted"], "admission has decided, and that is being stored")
    scene.clock.advance(entry.call.times.admission_s + 1)
    stored.callback(None)
    await eventually(lambda: entry.call.state in (State.WAITING, State.ENDED), "the call goes on, or does not")
    assert entry.call.state is State.WAITING
    await scene.settled()
    assert await scene.journal(entry) == ["Granted", "PhoneAnswered", "SmsAccepted"]


@pytest_twisted.ensureDeferred
async def test_a_call_that_is_not_decided_on_in_time_ends(scene: Scene) -> None:
    facts: Deferred[None] = Deferred()
    scene.store.facts = lambda *_: facts  # type: ignore[method-assign,assignment,return-value]
    scene.board.invited("s1", "cell1", "0639980001", "offer", secure=False)
    entry = scene.entry
    scene.clock.advance(entry.call.times.admission_s)
    await eventually(lambda: entry.call.state is State.ENDED, "it has ended")
    assert entry.call.reason is EndReason.STORE_FAILED
    facts.errback(StoreUnavailable("locked"))
    await scene.settled()


@pytest_twisted.ensureDeferred
async def test_a_keyframe_is_asked_for_by_info_both_ways(scene: Scene) -> None:
    entry, _, _ = await scene.connect()
    scene.board.picture_asked("s1")
    assert scene.media.last("ask_picture")[1:] == (entry.call.id, "outside")
    scene.board.phone_picture_wanted(entry.call.id)
    assert scene.sip.last("ask_picture")[1:] == ("s1",)


@pytest_twisted.ensureDeferred
async def test_a_cut_stops_the_media_before_anything_is_stored_and_though_nothing_can_be(scene: Scene) -> None:
    entry, *_ = await scene.connect()
    stored: Deferred[None] = Deferred()

    async def hangs(*_: object) -> None:
        await stored
        raise StoreUnavailable("the disk is gone")

    scene.store.save_call = hangs  # type: ignore[method-assign,assignment]
    scene.board.cut_at_once([entry.call.id, "unknown"])
    scene.board.cut_at_once([entry.call.id])
    assert scene.media.names()[-1] == "unbridge"
    assert scene.media.names().count("unbridge") == 1
    stored.callback(None)
    await eventually(lambda: entry.call.state is State.ENDED, "ended")
    assert entry.call.reason is EndReason.STAFF_ENDED
    assert scene.board.under_way() == []
