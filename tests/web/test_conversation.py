"""A page and the portal talk over a real WebSocket; whatever comes, it is answered and never believed."""

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed

from avisiod import ports
from avisiod.calls.admission import Limit
from avisiod.calls.reasons import EndReason
from avisiod.web import messages
from tests.web.client import ACCEPTED, CHARTER, connect, joined
from tests.web.conftest import Served
from tests.web.desk import RIGHT, TOKEN
from tests.web.desk import joined as verdict_joined


async def asked(served: Served, *what: str) -> None:
    """Wait until the desk was asked just this."""
    if what in served.desk.asked:
        return
    seen: Deferred[None] = Deferred()
    served.desk.on_asked = lambda came: seen.callback(None) if came == what and not seen.called else None
    await seen.addTimeout(10, reactor)


@pytest_twisted.ensureDeferred
async def test_a_right_code_with_the_charter_that_was_shown_joins(served: Served) -> None:
    page = await connect(served.portal.port)
    welcome = await page.hears("welcome")
    assert ACCEPTED in welcome["charters"]
    page.say(type="join", code=RIGHT, link="k3x7p", charter=ACCEPTED)
    assert await page.hears("joined") == {
        "type": "joined",
        "token": TOKEN,
        "limit_s": 1200.0,
        "recorded": True,
        "ice_servers": [],
    }
    assert served.desk.asked == [("redeem", RIGHT, "k3x7p", "127.0.0.1")]
    accepted = ports.Acceptance(language="fr", version=CHARTER.version, digest=CHARTER.digest)
    assert served.desk.acceptances == [accepted]


@pytest_twisted.ensureDeferred
async def test_a_page_hears_at_once_whether_its_picture_could_be_converted(served: Served) -> None:
    for converting in (True, False):
        served.desk.converting = converting
        page = await connect(served.portal.port)
        assert (await page.hears("welcome"))["converts"] is converting


@pytest_twisted.ensureDeferred
async def test_a_charter_that_is_not_in_force_is_refused_before_the_code_is_spent(served: Served) -> None:
    page = await connect(served.portal.port)
    await page.hears("welcome")
    for lie in ({"digest": "0" * 64}, {"version": "1789-1"}, {"language": "en"}):
        page.join(**lie)
        assert (await page.hears("error"))["what"] == "charter_changed"
    assert served.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_a_wrong_code_leaves_the_page_open_for_another_try(served: Served) -> None:
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.join("000000")
    rejected = await page.hears("rejected")
    assert (rejected["why"], rejected["tries_left"]) == ("wrong", 3)
    page.join()
    await page.hears("joined")


@pytest_twisted.ensureDeferred
async def test_offers_candidates_and_the_end_reach_the_right_session(served: Served) -> None:
    served.desk.answer = lambda sdp: succeed(f"answer to {sdp}")
    page = await joined(served.portal.port)
    page.say(type="offer", sdp="v=0")
    assert (await page.hears("answer"))["sdp"] == "answer to v=0"
    page.say(type="candidate", candidate="candidate:1 1 udp 1 192.0.2.1 9 typ host")
    page.say(type="hang_up")
    await asked(served, "hang_up", "session-1")
    assert served.desk.asked[1:] == [
        ("offer", "session-1"),
        ("candidate", "session-1", "candidate:1 1 udp 1 192.0.2.1 9 typ host"),
        ("hang_up", "session-1"),
    ]


@pytest_twisted.ensureDeferred
async def test_an_offer_that_cannot_be_answered_says_why_and_another_may_follow(served: Served) -> None:
    page = await joined(served.portal.port)
    served.desk.answer = lambda sdp: fail(ValueError("no common codec"))
    page.say(type="offer", sdp="v=0")
    error = await page.hears("error")
    assert (error["what"], error["detail"]) == ("offer_refused", "no common codec")
    served.desk.answer = lambda sdp: succeed("v=0")
    page.say(type="offer", sdp="v=0")
    await page.hears("answer")


@pytest_twisted.ensureDeferred
async def test_a_restart_that_is_refused_says_so_and_the_page_may_begin_anew(served: Served) -> None:
    page = await joined(served.portal.port)
    served.desk.answer = lambda sdp: fail(ports.RestartRefused("no connection is left"))
    page.say(type="offer", sdp="v=0")
    error = await page.hears("error")
    assert (error["what"], error["detail"]) == ("restart_refused", "no connection is left")
    served.desk.answer = lambda sdp: succeed("v=0")
    page.say(type="offer", sdp="v=0")
    await page.hears("answer")


@pytest.mark.parametrize("reason", EndReason)
@pytest_twisted.ensureDeferred
async def test_each_end_is_told_with_its_cause_and_closes_the_page(served: Served, reason: EndReason) -> None:
    page = await joined(served.portal.port)
    served.desk.page.state("connected", 1200.0)
    served.desk.page.warning(120.0)
    served.desk.page.ended(reason, 12.5, charged=reason.charged)
    assert await page.hears("state") == {"type": "state", "state": "connected", "remaining_s": 1200.0}
    assert await page.hears("warning") == {"type": "warning", "remaining_s": 120.0}
    ended = await page.hears("ended")
    assert (ended["reason"], ended["cause"], ended["charged"]) == (reason.value, reason.cause.value, reason.charged)
    assert ended["connected_s"] == 12.5
    assert (await page.closed)[0] == messages.CLOSE_ENDED
    assert ("gone", "session-1") not in served.desk.asked


@pytest.mark.parametrize("by", Limit)
@pytest_twisted.ensureDeferred
async def test_a_shorter_call_is_told_and_of_the_other_person_s_affairs_nothing(served: Served, by: Limit) -> None:
    page = await joined(served.portal.port)
    served.desk.page.shortened(by, 420.0)
    told = await page.hears("shortened")
    assert (told["by"], told["remaining_s"]) == ("hours" if by is Limit.HOURS else "rules", 420.0)
    assert "plus court" in told["text"]
    assert not {"compte", "solde", "quota", "autorisation"} & set(told["text"].split())


@pytest_twisted.ensureDeferred
async def test_a_page_that_vanishes_is_reported_gone(served: Served) -> None:
    page = await joined(served.portal.port)
    page.dropConnection(abort=True)
    await asked(served, "gone", "session-1")


@pytest_twisted.ensureDeferred
async def test_a_page_that_vanishes_while_its_code_is_looked_at_is_reported_gone(served: Served) -> None:
    served.desk.held = Deferred()
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.join()
    await asked(served, "redeem", RIGHT, "", "127.0.0.1")
    page.dropConnection(abort=True)
    await page.closed
    while served.portal.open_pages:
        await _turn()
    served.desk.held.callback(None)
    await asked(served, "gone", "session-1")


async def _turn() -> None:
    turned: Deferred[None] = Deferred()
    reactor.callFromThread(turned.callback, None)
    await turned


@pytest_twisted.ensureDeferred
async def test_a_token_comes_back_and_the_former_page_is_closed(served: Served) -> None:
    former = await joined(served.portal.port)
    served.desk.page.replaced()
    await former.hears("replaced")
    assert (await former.closed)[0] == messages.CLOSE_REPLACED
    served.desk.resumed = verdict_joined("session-2")
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.say(type="resume", token=TOKEN)
    await page.hears("joined")
    page.say(type="hang_up")
    await asked(served, "hang_up", "session-2")
    assert ("gone", "session-1") not in served.desk.asked


@pytest_twisted.ensureDeferred
async def test_media_that_could_not_be_had_may_be_tried_again_on_the_same_page(served: Served) -> None:
    page = await joined(served.portal.port)
    served.desk.page.state("waiting", None)
    assert (await page.hears("state"))["state"] == "waiting"
    page.say(type="offer", sdp="v=0")
    assert (await page.hears("error"))["what"] == "out_of_order"
    served.desk.resumed = verdict_joined("session-2")
    page.say(type="resume", token=TOKEN)
    await page.hears("joined")


OUTSIDE = [{"type": "offer", "sdp": "v=0"}, {"type": "candidate", "candidate": ""}, {"type": "hang_up"}]


@pytest.mark.parametrize("message", OUTSIDE, ids=lambda each: each["type"])
@pytest_twisted.ensureDeferred
async def test_before_joining_nothing_of_a_call_is_accepted(served: Served, message: dict[str, str]) -> None:
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.say(**message)
    assert (await page.hears("error"))["what"] == "out_of_order"
    page.join()
    await page.hears("joined")
    assert [what[0] for what in served.desk.asked] == ["redeem"]


@pytest_twisted.ensureDeferred
async def test_a_second_code_in_a_call_and_a_second_offer_before_the_answer_are_out_of_order(served: Served) -> None:
    page = await joined(served.portal.port)
    page.join()
    assert (await page.hears("error"))["what"] == "out_of_order"
    answer: Deferred[str] = Deferred()
    served.desk.answer = lambda sdp: answer
    page.say(type="offer", sdp="v=0")
    page.say(type="offer", sdp="v=0")
    assert (await page.hears("error"))["what"] == "out_of_order"
    answer.callback("v=0")
    await page.hears("answer")


MALFORMED = [
    b"",
    b"{",
    b"\xff",
    b"null",
    b"[]",
    b'{"type":"join"}',
    b'{"type":"nonsense"}',
    b'{"type":"join","code":"12345","charter":{}}',
    b'{"type":"join","code":123456,"charter":{}}',
    b'{"type":"offer","sdp":""}',
    b'{"type":"joined","token":"x"}',
    b"[" * 5000,
]


@pytest.mark.parametrize("frame", MALFORMED, ids=repr)
@pytest_twisted.ensureDeferred
async def test_what_is_no_message_is_answered_and_harms_nothing(served: Served, frame: bytes) -> None:
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.sendMessage(frame, isBinary=frame == b"\xff")
    assert (await page.hears("error"))["what"] == "malformed"
    page.join()
    await page.hears("joined")


@pytest_twisted.ensureDeferred
async def test_advice_comes_in_the_language_of_the_page(served: Served) -> None:
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.say(type="hello", language="fr")
    page.say(type="hang_up")
    assert (await page.hears("error"))["advice"] == "Veuillez recharger cette page."


@pytest_twisted.ensureDeferred
async def test_a_desk_that_fails_costs_the_page_one_try_only(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.desk.verdicts[RIGHT] = RuntimeError("store is gone")
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.join()
    assert (await page.hears("error"))["what"] == "internal"
    assert "store is gone" in caplog.text
    assert RIGHT not in caplog.text
    served.desk.verdicts[RIGHT] = verdict_joined()
    page.join()
    await page.hears("joined")


@pytest_twisted.ensureDeferred
async def test_a_flood_is_cut_off_and_the_call_told_that_the_page_is_gone(served: Served) -> None:
    page = await joined(served.portal.port)
    for _ in range(100):
        page.say(type="candidate", candidate="")
    assert (await page.hears("error"))["what"] == "too_fast"
    assert (await page.closed)[0] == messages.CLOSE_TOO_FAST
    assert served.desk.asked.count(("gone", "session-1")) == 1


@pytest_twisted.ensureDeferred
async def test_a_message_that_is_too_large_closes_the_page(served: Served) -> None:
    page = await connect(served.portal.port)
    await page.hears("welcome")
    page.sendMessage(b" " * (messages.MAX_MESSAGE_BYTES + 1))
    assert (await page.closed)[0] == 1009


@pytest_twisted.ensureDeferred
async def test_a_page_of_another_site_is_refused(served: Served) -> None:
    for origin in ("http://evil.example", "null", f"https://localhost:{served.portal.port}"):
        with pytest.raises(ConnectionError):
            await connect(served.portal.port, origin=origin)


@pytest_twisted.ensureDeferred
async def test_a_client_of_another_protocol_is_refused(served: Served) -> None:
    with pytest.raises(ConnectionError):
        await connect(served.portal.port, protocols=("avisio.v0",))


@pytest_twisted.ensureDeferred
async def test_a_forwarded_address_of_a_stranger_is_not_believed(served: Served) -> None:
    page = await connect(served.portal.port, headers={"X-Forwarded-For": "198.51.100.7"})
    await page.hears("welcome")
    page.join()
    await page.hears("joined")
    assert served.desk.asked[0][-1] == "127.0.0.1"


@pytest_twisted.ensureDeferred
async def test_a_portal_that_stops_says_so_and_frees_its_port(served: Served) -> None:
    page = await joined(served.portal.port)
    await served.portal.stop()
    assert (await page.closed)[0] == messages.CLOSE_STOPPING
    served.portal.start()
    await joined(served.portal.port)


@pytest_twisted.ensureDeferred
async def test_an_answer_to_a_session_that_is_over_is_not_mistaken_for_the_next_ones(served: Served) -> None:
    late: Deferred[str] = Deferred()
    served.desk.answer = lambda sdp: late
    page = await joined(served.portal.port)
    page.say(type="offer", sdp="v=0")
    await asked(served, "offer", "session-1")
    served.desk.page.state("waiting", None)
    await page.hears("state")
    served.desk.resumed = verdict_joined("session-2")
    page.say(type="resume", token=TOKEN)
    await page.hears("joined")
    late.callback("late")
    served.desk.answer = lambda sdp: succeed("right")
    page.say(type="offer", sdp="v=0")
    assert (await page.hears("answer"))["sdp"] == "right"
