"""Calls of phones through Kamailio and a SIP worker, each a real process; only control is played."""

import re
from pathlib import Path

import pytest

from avisiod.gateway import sdp_phone, wire
from avisiod.gateway.leg import Kind
from tests.gateway.sip_scene import NUMBER, OFFER, PHONES, VIDEO, Answering, connect, registered, without_origin
from tests.peers.baresip import BaresipPhone
from tests.peers.kamailio import Kamailio
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request, Response
from tests.peers.sip_worker import ANSWER, Refused, Worker
from tests.peers.waiting import wait_until

pytestmark = pytest.mark.peer

SAMPLES = Path(__file__).parent / "sdp"
OWN = sdp_phone.OwnSide(
    address="192.0.2.1",
    ports={Kind.AUDIO: sdp_phone.Ports(30000, 30001), Kind.VIDEO: sdp_phone.Ports(30002, 30003)},
    session_id=77,
)

# Calls.


def test_a_call_from_invite_to_bye_of_the_phone(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    sip_call = connect(client, worker)
    invited = worker.wait(wire.Invited, mark)
    assert (invited["phone"], invited["number"], invited["offer"]) == ("cell1", "0612345678", OFFER)
    assert client.ask(client.within("BYE")).status == 200
    assert worker.wait(wire.SipEnded, mark) == {"sip_call": sip_call, "by": "phone", "status": 200}


def test_the_worker_hangs_up_and_the_phone_hears_why(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    sip_call = connect(client, worker)
    worker.ask(wire.HangUp, sip_call=sip_call, status=480, reason="limit")
    bye = client.received.wait(lambda m: isinstance(m, Request) and m.method == "BYE", 5, "BYE")
    assert bye.get("reason") == 'SIP;cause=480;text="limit"'
    assert worker.wait(wire.SipEnded, mark)["by"] == "us"
    with pytest.raises(Refused, match="NO_SUCH_CALL"):
        worker.ask(wire.HangUp, sip_call=sip_call, status=480, reason="again")


@pytest.mark.parametrize("status", [403, 404, 484, 486, 488, 500, 503])
def test_a_refusal_reaches_the_phone_as_it_is(client: SipClient, worker: Worker, status: int) -> None:
    def refuse(call: str) -> None:
        worker.ask(wire.RejectInvite, sip_call=call, status=status, reason="no")

    with Answering(worker, refuse):
        assert client.authenticated("INVITE", NUMBER, OFFER).status == status


def rung(client: SipClient) -> int:
    return sum(isinstance(message, Response) and message.status == 180 for message in client.received.items())


def test_control_may_take_longer_than_the_patience_of_the_edge(tmp_path: Path) -> None:
    """A second worker must not get the call: one INVITE would have made two calls, with two codes on their way."""
    with Worker(tmp_path, ring_again_s=0.25) as worker:
        edge = Kamailio(tmp_path / "kamailio", [worker.address, worker.address], phones=PHONES)
        file = edge.folder / "kamailio.cfg"
        patient = file.read_text()
        hasty = patient.replace('"fr_inv_timer", 15000', '"fr_inv_timer", 1000')
        assert hasty != patient
        file.write_text(hasty)
        with edge, SipClient(edge.edge) as client:
            assert client.register().status == 200
            client.new_dialogue()
            mark = worker.told.mark()

            def late(call: str) -> None:
                wait_until(lambda: rung(client) >= 12, 15, "the phone hears 180 again and again")
                worker.answer(call)

            with Answering(worker, late):
                response = client.authenticated("INVITE", NUMBER, OFFER, timeout=20)
            assert response.status == 200
            assert [told.command for told in worker.told.items(mark)].count(wire.Invited.commandName.decode()) == 1


def test_a_cancel_reaches_the_worker(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    challenge = client.ask(first := client.request("INVITE", NUMBER, OFFER))
    client.acknowledge(first, challenge)
    invite = client.request("INVITE", NUMBER, OFFER)
    invite.add("Proxy-Authorization", client.digest(challenge.get("proxy-authenticate"), "INVITE", NUMBER))
    client.send(invite.encode())
    sip_call = worker.wait(wire.Invited, mark)["sip_call"]
    client.received.wait(lambda m: isinstance(m, Response) and m.status == 180, 5, "180")
    cancel = client.request("CANCEL", NUMBER, Via=invite.get("via"))
    client.send(cancel.encode())
    response = client.final(invite)
    client.acknowledge(invite, response)
    assert response.status == 487
    assert worker.ended(sip_call) == "phone"


def test_an_answer_that_comes_after_the_cancel_is_refused(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    late: list[str] = []

    def answer_late(call: str) -> None:
        client.received.wait(lambda m: isinstance(m, Response) and m.status == 180, 5, "180")
        cancel = client.request("CANCEL", NUMBER, Via=client.last.get("via"))
        client.send(cancel.encode())
        worker.wait(wire.SipEnded, mark)
        with pytest.raises(Refused) as refused:
            worker.answer(call)
        late.append(str(refused.value))

    with Answering(worker, answer_late):
        assert client.authenticated("INVITE", NUMBER, OFFER).status == 487
    wait_until(lambda: bool(late), 5, "control was told")
    assert late[0].startswith("NO_SUCH_CALL")


def test_a_cancel_that_comes_after_the_answer_changes_nothing(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    with Answering(worker):
        response = client.authenticated("INVITE", NUMBER, OFFER)
    client.established(response)
    client.send(client.request("CANCEL", NUMBER, Via=client.last.get("via"), To="<sip:callee@avisio>").encode())
    client.send(client.within("ACK").encode())
    worker.wait(wire.Acknowledged, mark)
    assert client.ask(client.within("BYE")).status == 200
    assert worker.wait(wire.SipEnded, mark)["by"] == "phone"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_hold_and_resume(client: SipClient, worker: Worker, method: str) -> None:
    sip_call = connect(client, worker)
    for theirs, ours in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
        mark = worker.told.mark()
        offer = OFFER.replace("a=sendrecv", f"a={theirs}").replace("o=- 1 1", f"o=- 1 {len(theirs)}9")
        change = client.within(method, offer)
        since = client.received.mark()
        client.send(change.encode())
        assert worker.wait(wire.Reoffer, mark)["offer"] == offer
        answer = ANSWER.format(port=worker.media_port).replace("sendrecv", ours) + f"a=x-{theirs}\r\n"
        worker.answer(sip_call, answer)
        response = client.final(change, since)
        assert (response.status, without_origin(response.body.decode())) == (200, without_origin(answer))
        if method == "INVITE":
            client.send(client.within("ACK").encode())
    assert client.ask(client.within("BYE")).status == 200


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refused_change_leaves_the_call_up(client: SipClient, worker: Worker, method: str) -> None:
    mark = worker.told.mark()
    sip_call = connect(client, worker)
    change = client.within(method, OFFER.replace("o=- 1 1", "o=- 1 2"))
    client.send(change.encode())
    worker.wait(wire.Reoffer, mark)
    worker.ask(wire.RejectInvite, sip_call=sip_call, status=488, reason="no")
    response = client.final(change)
    assert response.status == 488
    if method == "INVITE":
        client.acknowledge(change, response)
    worker.ask(wire.HangUp, sip_call=sip_call, status=200, reason="over")
    client.received.wait(lambda m: isinstance(m, Request) and m.method == "BYE", 5, "BYE")


def test_an_invite_without_offer_gets_ours_and_control_hears_the_answer(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    ours = ANSWER.format(port=worker.media_port) + VIDEO
    with Answering(worker, lambda call: worker.answer(call, ours)):
        response = client.authenticated("INVITE", NUMBER)
    assert worker.wait(wire.Invited, mark)["offer"] == ""
    assert (response.status, without_origin(response.body.decode())) == (200, without_origin(ours))
    client.established(response)
    answer = OFFER + VIDEO
    client.send(client.within("ACK", answer).encode())
    assert worker.wait(wire.PhoneAnswered, mark)["answer"] == answer
    worker.wait(wire.Acknowledged, mark)
    assert client.ask(client.within("BYE")).status == 200
    assert worker.wait(wire.SipEnded, mark)["by"] == "phone"


def test_the_answer_goes_out_as_control_wrote_it_video_included(client: SipClient, worker: Worker) -> None:
    ours = ANSWER.format(port=worker.media_port).replace("a=sendrecv", "a=rtcp:4713\r\na=sendrecv") + VIDEO
    with Answering(worker, lambda call: worker.answer(call, ours)):
        response = client.authenticated("INVITE", NUMBER, OFFER + VIDEO)
    assert without_origin(response.body.decode()) == without_origin(ours)
    client.established(response)
    client.send(client.within("ACK").encode())
    assert client.ask(client.within("BYE")).status == 200


OPUS = "m=audio 40000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n"
ENCRYPTED = (
    "m=audio 40000 RTP/SAVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
)
HELD = OPUS.replace("a=", "c=IN IP4 0.0.0.0\r\na=", 1) + "a=sendonly\r\n"
CANDIDATES = "".join(f"a=candidate:{number} 1 UDP 2130706431 192.0.2.1 40000 typ host\r\n" for number in range(80))


@pytest.mark.parametrize("lines", [OPUS, ENCRYPTED, HELD])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_what_pjsip_knows_nothing_of_passes_it_word_for_word(
    client: SipClient, worker: Worker, lines: str, method: str
) -> None:
    """Opus, keys, and a hold in the old way: in the call's INVITE and in a change."""
    mark = worker.told.mark()
    head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    offer = head + lines + VIDEO
    with Answering(worker, lambda call: worker.answer(call, offer)):
        response = client.authenticated("INVITE", NUMBER, offer)
    invited = worker.wait(wire.Invited, mark)
    assert invited["offer"] == offer
    assert (response.status, without_origin(response.body.decode())) == (200, without_origin(offer))
    client.established(response)
    client.send(client.within("ACK").encode())
    worker.wait(wire.Acknowledged, mark)
    changed = offer.replace("o=- 1 1", "o=- 1 2")
    client.send((change := client.within(method, changed)).encode())
    assert worker.wait(wire.Reoffer, mark)["offer"] == changed
    worker.answer(invited["sip_call"], changed)
    assert without_origin(client.final(change).body.decode()) == without_origin(changed)
    if method == "INVITE":
        client.send(client.within("ACK").encode())
    assert client.ask(client.within("BYE")).status == 200
    assert worker.ended(invited["sip_call"]) == "phone"


def test_candidates_that_nobody_reads_do_not_make_an_invite_too_long(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    with Answering(worker):
        response = client.authenticated("INVITE", NUMBER, OFFER + CANDIDATES)
    assert response.status == 200
    assert worker.wait(wire.Invited, mark)["offer"] == OFFER
    client.established(response)
    client.send(client.within("ACK").encode())
    assert client.ask(client.within("BYE")).status == 200


def test_an_invite_that_pjsip_cannot_hold_is_refused_and_its_worker_serves_on(
    client: SipClient, worker: Worker
) -> None:
    refused = client.authenticated("INVITE", NUMBER, OFFER + CANDIDATES.replace("a=candidate", "a=x-candidate"))
    assert refused.status == 513
    client.new_dialogue()
    connect(client, worker)
    assert client.ask(client.within("BYE")).status == 200


def test_the_description_in_a_multipart_body_is_read(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    parts = [f"Content-Type: application/sdp\r\n\r\n{OFFER}", "Content-Type: text/plain\r\n\r\nhello\r\n"]
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n"
    with Answering(worker):
        response = client.authenticated("INVITE", NUMBER, body, kind="multipart/mixed;boundary=b")
    assert response.status == 200
    assert worker.wait(wire.Invited, mark)["offer"] == OFFER
    client.established(response)
    client.send(client.within("ACK").encode())
    assert client.ask(client.within("BYE")).status == 200


@pytest.mark.parametrize("name", ["baresip", "door_phone", "grandstream", "linphone", "yealink"])
def test_the_offer_of_a_known_phone_is_answered_and_the_call_stands(
    client: SipClient, worker: Worker, name: str
) -> None:
    mark = worker.told.mark()
    offer = (SAMPLES / f"{name}.sdp").read_text().replace("\r\n", "\n").replace("\n", "\r\n")
    answer = sdp_phone.answer(offer, OWN, version=1).text
    with Answering(worker, lambda call: worker.answer(call, answer)):
        response = client.authenticated("INVITE", NUMBER, offer)
    assert worker.wait(wire.Invited, mark)["offer"] == offer
    assert (response.status, without_origin(response.body.decode())) == (200, without_origin(answer))
    client.established(response)
    client.send(client.within("ACK").encode())
    sip_call = worker.wait(wire.Acknowledged, mark)["sip_call"]
    hold = client.within("INVITE", re.sub(r"(?m)^(o=\S+ \S+) \d+", r"\1 99999", offer) + "a=sendonly\r\n")
    client.send(hold.encode())
    again = worker.wait(wire.Reoffer, mark)["offer"]
    answer = sdp_phone.answer(again, OWN, version=2).text
    worker.answer(sip_call, answer)
    assert without_origin(client.final(hold).body.decode()) == without_origin(answer)
    client.send(client.within("ACK").encode())
    assert client.ask(client.within("BYE")).status == 200
    assert worker.wait(wire.SipEnded, mark)["by"] == "phone"


def test_an_answer_that_pjsip_cannot_send_ends_the_call(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    failed: list[str] = []

    def answer_without_lines(call: str) -> None:
        try:
            worker.answer(call, OFFER.partition("m=")[0])
        except Refused as why:
            failed.append(str(why))

    with Answering(worker, answer_without_lines):
        assert client.authenticated("INVITE", NUMBER, OFFER).status == 488
    assert worker.wait(wire.SipEnded, mark)["by"] == "failure"
    wait_until(lambda: bool(failed), 5, "control was told")
    assert failed[0].startswith("WORKER_ERROR")


def test_digits_and_picture_requests_by_info_both_ways(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    sip_call = connect(client, worker)
    assert client.ask(client.within("INFO", "Signal=5\r\nDuration=160\r\n", "application/dtmf-relay")).status == 200
    assert worker.wait(wire.InfoDigit, mark) == {"sip_call": sip_call, "digit": "5"}
    picture = (
        "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>"
    )
    assert client.ask(client.within("INFO", picture, "application/media_control+xml")).status == 200
    worker.wait(wire.PictureAskedByInfo, mark)
    worker.ask(wire.AskPictureByInfo, sip_call=sip_call)
    info = client.received.wait(lambda m: isinstance(m, Request) and m.method == "INFO", 5, "INFO")
    assert b"picture_fast_update" in info.body
    assert client.ask(client.within("BYE")).status == 200


@pytest.mark.parametrize(
    ("body", "kind", "status", "digit"),
    [
        ("#", "application/dtmf", 200, "#"),
        ("Signal=10\r\nDuration=100\r\n", "application/dtmf-relay", 200, "*"),
        ("", "", 200, ""),
        ("hello", "text/plain", 415, ""),
    ],
)
def test_info_of_each_kind_is_answered(
    client: SipClient, worker: Worker, body: str, kind: str, status: int, digit: str
) -> None:
    mark = worker.told.mark()
    sip_call = connect(client, worker)
    assert client.ask(client.within("INFO", body, kind)).status == status
    assert client.ask(client.within("BYE")).status == 200
    worker.wait(wire.SipEnded, mark)
    digits = [told.arguments for told in worker.told.items(mark) if told.command == "InfoDigit"]
    assert digits == ([{"sip_call": sip_call, "digit": digit}] if digit else [])


def test_options_are_answered_in_and_out_of_a_dialogue(client: SipClient, worker: Worker) -> None:
    assert client.ask(client.request("OPTIONS", "sip:avisio")).status == 200
    client.new_dialogue()
    connect(client, worker)
    assert client.ask(client.within("OPTIONS")).status == 200
    assert client.ask(client.within("BYE")).status == 200


@pytest.mark.parametrize("ends", ["phone", "us"])
def test_a_baresip_calls(edge: Kamailio, worker: Worker, tmp_path: Path, ends: str) -> None:
    mark = worker.told.mark()
    phone = BaresipPhone(tmp_path, user="cell6", password="secret", edge=edge.edge, video=False)
    with Answering(worker), phone:
        registered(edge, "cell6")
        phone.dial("0612345678")
        phone.wait_established()
        invited = worker.wait(wire.Invited, mark)
        worker.wait(wire.Acknowledged, mark)
        assert (invited["phone"], invited["number"]) == ("cell6", "0612345678")
        if ends == "phone":
            phone.hang_up()
        else:
            worker.ask(wire.HangUp, sip_call=invited["sip_call"], status=200, reason="limit")
            phone.wait_closed()
        assert worker.wait(wire.SipEnded, mark)["by"] == ends
