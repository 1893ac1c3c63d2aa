"""Phones, Kamailio and the SIP worker, each a real process; only control is played."""

import contextlib
import datetime
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from avisiod.gateway import sdp_phone, wire
from avisiod.gateway.leg import Kind
from avisiod.gateway.registrations import Registration, read_registrations
from tests.peers.baresip import BaresipPhone
from tests.peers.kamailio import Kamailio
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request, Response
from tests.peers.sip_worker import ANSWER, Refused, Worker
from tests.peers.waiting import NotSeen, wait_until

pytestmark = pytest.mark.peer

PHONES = {f"cell{number}": "secret" for number in range(1, 7)}
OFFER = ANSWER.format(port=40_000)
NUMBER = "sip:0612345678@avisio"
VIDEO = (
    "m=video 40002 RTP/AVP 99\r\nb=AS:1500\r\na=rtpmap:99 H264/90000\r\n"
    "a=fmtp:99 profile-level-id=42e01f;packetization-mode=1\r\na=rtcp-fb:99 nack pli\r\na=sendrecv\r\n"
)
SAMPLES = Path(__file__).parent / "sdp"
OWN = sdp_phone.OwnSide(
    address="192.0.2.1",
    ports={Kind.AUDIO: sdp_phone.Ports(30000, 30001), Kind.VIDEO: sdp_phone.Ports(30002, 30003)},
    session_id=77,
)
_HEAD = b"INVITE sip:1@avisio SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
"""How messages of RFC 4475 begin here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Worker]:
    with Worker(folder) as worker:
        yield worker


@pytest.fixture(scope="module")
def edge(folder: Path, worker: Worker) -> Iterator[Kamailio]:
    with Kamailio(folder / "kamailio", [worker.address], phones=PHONES, tls=True) as edge:
        yield edge


@pytest.fixture
def client(edge: Kamailio) -> Iterator[SipClient]:
    with SipClient(edge.edge) as client:
        assert client.register().status == 200
        client.new_dialogue()
        yield client
        client.leave()


class Answering:
    """Control that answers every INVITE as soon as it comes."""

    def __init__(self, worker: Worker, act: Callable[[str], None] | None = None) -> None:
        self._worker, self._act = worker, act or worker.answer

    def __enter__(self) -> None:
        self._worker.on_invite = lambda call: threading.Thread(target=self._act, args=(call,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._worker.on_invite = lambda _call: None


def without_origin(sdp: str) -> str:
    """PJSIP counts versions by itself."""
    return re.sub(r"(?m)^o=.*\r\n", "", sdp)


def connect(client: SipClient, worker: Worker) -> str:
    """The id of a call that stands."""
    mark = worker.told.mark()
    with Answering(worker):
        response = client.authenticated("INVITE", NUMBER, OFFER)
    assert response.status == 200
    client.established(response)
    client.send(client.within("ACK").encode())
    worker.wait(wire.Acknowledged, mark)
    return str(worker.wait(wire.Invited, mark)["sip_call"])


# Registration.


def registrations(edge: Kamailio) -> dict[str, Registration]:
    now = datetime.datetime.now(datetime.UTC)  # noqa: TID251 - the clock of the edge, another process
    return {str(phone): registration for phone, registration in read_registrations(edge.edge_db, now).items()}


def registered(edge: Kamailio, phone: str) -> Registration:
    wait_until(lambda: phone in registrations(edge), 10, f"{phone} is registered")
    return registrations(edge)[phone]


@pytest.mark.parametrize(("transport", "user"), [("udp", "cell2"), ("tcp", "cell3"), ("tls", "cell4")])
def test_a_baresip_registers(edge: Kamailio, tmp_path: Path, transport: str, user: str) -> None:
    address = f"127.0.0.1:{edge.tls_port}" if transport == "tls" else edge.edge
    phone = BaresipPhone(tmp_path, user=user, password="secret", edge=address, transport=transport, video=False)
    with phone:
        registration = registered(edge, user)
    assert registration.transport == transport
    assert "baresip" in registration.user_agent


@pytest.mark.parametrize(("transport", "user"), [("tcp", "cell3"), ("tls", "cell4")])
def test_a_call_over_a_connection_is_hung_up_both_ways(
    edge: Kamailio, worker: Worker, tmp_path: Path, transport: str, user: str
) -> None:
    address = f"127.0.0.1:{edge.tls_port}" if transport == "tls" else edge.edge
    for ends in ("phone", "us"):
        mark = worker.told.mark()
        phone = BaresipPhone(
            tmp_path / ends, user=user, password="secret", edge=address, transport=transport, video=False
        )
        with Answering(worker), phone:
            registered(edge, user)
            wait_until(lambda: registrations(edge)[user].transport == transport, 10, f"registered over {transport}")
            phone.dial("0612345678")
            phone.wait_established()
            invited = worker.wait(wire.Invited, mark)
            worker.wait(wire.Acknowledged, mark)
            if ends == "phone":
                phone.hang_up()
            else:
                worker.ask(wire.HangUp, sip_call=invited["sip_call"], status=200, reason="limit")
                phone.wait_closed()
            assert worker.wait(wire.SipEnded, mark)["by"] == ends


def test_a_phone_that_leaves_is_registered_no_more(edge: Kamailio) -> None:
    with SipClient(edge.edge, "cell5") as client:
        assert client.register().status == 200
        assert registered(edge, "cell5").contact == f"sip:cell5@{client.host}:{client.port}"
        assert client.register(expires=0).status == 200
    wait_until(lambda: "cell5" not in registrations(edge), 10, "cell5 is gone")


@pytest.mark.parametrize(("user", "password"), [("cell1", "wrong"), ("stranger", "secret")])
def test_wrong_password_and_unknown_phone_are_not_registered(edge: Kamailio, user: str, password: str) -> None:
    with SipClient(edge.edge, user, password) as client:
        assert client.register().status == 401


def test_a_phone_registers_only_as_itself(edge: Kamailio) -> None:
    with SipClient(edge.edge) as client:
        assert client.register(To="<sip:cell2@avisio>").status in {401, 403}
        client.new_dialogue()
        assert client.register(From="<sip:cell2@avisio>;tag=x").status in {401, 403}


def test_registrations_live_ten_minutes_at_most(client: SipClient) -> None:
    contact = client.register(expires=86_400).get("contact")
    assert 0 < int(contact.rpartition("expires=")[2].split(";")[0]) <= 600


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


def test_a_cancel_reaches_the_worker(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    challenge = client.ask(first := client.request("INVITE", NUMBER, OFFER))
    client.acknowledge(first, challenge)
    invite = client.request("INVITE", NUMBER, OFFER)
    invite.add("Proxy-Authorization", client.digest(challenge.get("proxy-authenticate"), "INVITE", NUMBER))
    client.send(invite.encode())
    worker.wait(wire.Invited, mark)
    client.received.wait(lambda m: isinstance(m, Response) and m.status == 180, 5, "180")
    cancel = client.request("CANCEL", NUMBER, Via=invite.get("via"))
    client.send(cancel.encode())
    response = client.final(invite)
    client.acknowledge(invite, response)
    assert response.status == 487
    assert worker.wait(wire.SipEnded, mark)["by"] == "phone"


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


def test_opus_first_and_pcma_second_is_answered_pcma_and_stands(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    offer = OFFER.replace("AVP 8 101", "AVP 96 8 101").replace(
        "a=rtpmap:8 ", "a=rtpmap:96 opus/48000/2\r\na=rtpmap:8 "
    )
    with Answering(worker):
        response = client.authenticated("INVITE", NUMBER, offer)
    assert response.status == 200
    client.established(response)
    client.send(client.within("ACK").encode())
    worker.wait(wire.Acknowledged, mark)
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

    def answer_opus(call: str) -> None:
        try:
            worker.answer(
                call, ANSWER.format(port=9).replace("8 101", "96").replace("8 PCMA/8000", "96 opus/48000/2")
            )
        except Refused as why:
            failed.append(str(why))

    with Answering(worker, answer_opus):
        assert client.authenticated("INVITE", NUMBER, OFFER).status == 415
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


# What must not pass.


def test_a_spoofed_phone_header_is_replaced_by_the_true_one(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    with Answering(worker):
        response = client.authenticated("INVITE", NUMBER, OFFER, X_Avisio_Phone="cell4")
    assert response.status == 200
    assert worker.wait(wire.Invited, mark)["phone"] == "cell1"
    client.established(response)
    client.send(client.within("ACK").encode())
    assert client.ask(client.within("BYE")).status == 200


def test_a_phone_calls_only_as_itself(client: SipClient) -> None:
    assert client.authenticated("INVITE", NUMBER, OFFER, From="<sip:cell2@avisio>;tag=x").status in {403, 407}


def test_a_phone_that_has_not_registered_does_not_call(edge: Kamailio) -> None:
    with SipClient(edge.edge, "cell5", host="127.0.0.9") as client:
        assert client.authenticated("INVITE", NUMBER, OFFER).status == 403


def test_a_phone_does_not_call_from_elsewhere_than_it_registered(edge: Kamailio, client: SipClient) -> None:
    with SipClient(edge.edge, host="127.0.0.3") as thief:
        assert thief.authenticated("INVITE", NUMBER, OFFER).status == 403


def test_a_route_of_the_phones_own_leads_nowhere_else(edge: Kamailio, client: SipClient, worker: Worker) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
        victim.bind(("127.0.0.1", 0))
        victim.settimeout(1)
        client.to_tag = "x"
        client.routes = [f"<sip:{edge.edge};lr>", f"<sip:127.0.0.1:{victim.getsockname()[1]};lr>"]
        assert client.ask(client.request("BYE", f"sip:x@127.0.0.1:{victim.getsockname()[1]}")).status == 481
        with pytest.raises(TimeoutError):
            victim.recv(4096)


def test_an_invite_past_the_edge_is_refused_by_the_worker(worker: Worker) -> None:
    with SipClient(f"127.0.0.1:{worker.port}", host="127.0.0.2") as stranger:
        mark = worker.told.mark()
        assert stranger.ask(stranger.request("INVITE", NUMBER, OFFER, X_Avisio_Phone="cell1")).status == 403
        assert worker.told.items(mark) == []


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH"])
def test_other_methods_are_refused(client: SipClient, method: str) -> None:
    assert client.ask(client.request(method, NUMBER)).status == 405


def test_scanners_hear_nothing(edge: Kamailio) -> None:
    with SipClient(edge.edge, host="127.0.0.4") as scanner, pytest.raises(NotSeen):
        scanner.ask(scanner.request("OPTIONS", "sip:100@avisio", User_Agent="friendly-scanner"), 0.5)


@pytest.mark.parametrize(
    "torture",
    [
        _HEAD.replace(b"2.0", b"7.0") + b"Call-ID: unkver\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        _HEAD + b"Call-ID: ncl\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: -999\r\n\r\n",
        _HEAD + b"Call-ID: scalar02\r\nCSeq: 36893488147419103232 REGISTER\r\nMax-Forwards: 300\r\n\r\n",
        b"OPTIONS sip:1@avisio SIP/2.0\r\n\r\n",
        b"\x00\xff" * 300,
        b"INVITE " + b"a" * 9000 + b" SIP/2.0\r\n\r\n",
    ],
)
def test_torture_of_rfc_4475_harms_nobody(edge: Kamailio, worker: Worker, client: SipClient, torture: bytes) -> None:
    mark = worker.told.mark()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        attacker.bind(("127.0.0.5", 0))
        for _ in range(3):
            attacker.sendto(torture, (edge.address, edge.port))
    assert client.register().status == 200
    assert worker.told.items(mark) == []


def test_a_flood_is_banned_and_nobody_else_notices(folder: Path, worker: Worker) -> None:
    settings = {"EDGE_FLOOD": "20", "EDGE_BAN_S": "60"}
    with (
        Kamailio(folder / "flooded", [worker.address], phones=PHONES, settings=settings) as edge,
        SipClient(edge.edge, host="127.0.0.6") as attacker,
        SipClient(edge.edge, host="127.0.0.7") as phone,
    ):
        for _ in range(200):
            attacker.send(attacker.request("OPTIONS", "sip:avisio").encode())
        edge.process.wait_for_line("127.0.0.6 floods")
        with pytest.raises(NotSeen):
            attacker.ask(attacker.request("OPTIONS", "sip:avisio"), 0.5)
        assert phone.register().status == 200


def test_ten_wrong_passwords_ban_a_source(edge: Kamailio, client: SipClient) -> None:
    with SipClient(edge.edge, "cell2", "guess", host="127.0.0.8") as guesser:
        for _ in range(9):
            assert guesser.register().status == 401
        with pytest.raises(NotSeen):
            guesser.register()
        with pytest.raises(NotSeen):
            guesser.ask(guesser.request("OPTIONS", "sip:avisio"), 0.5)
    assert client.register().status == 200


# When parts go.


def test_a_worker_that_is_down_is_told_of_within_seconds(folder: Path) -> None:
    nobody = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    nobody.bind(("127.0.0.1", 0))
    with (
        nobody,
        Kamailio(folder / "down", [nobody.getsockname()], phones=PHONES) as edge,
        SipClient(edge.edge) as client,
    ):
        client.register()
        client.new_dialogue()
        response = client.authenticated("INVITE", NUMBER, OFFER)
        assert (response.status, response.get("retry-after")) == (503, "5")


def test_an_invite_that_silences_workers_is_not_handed_round(folder: Path) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(4)]
        for worker in workers:
            worker.bind(("127.0.0.1", 0))
            worker.setblocking(False)
        edge = Kamailio(folder / "silenced", [worker.getsockname() for worker in workers], phones=PHONES)
        stack.enter_context(edge)
        client = stack.enter_context(SipClient(edge.edge))
        client.register()
        client.new_dialogue()
        assert client.authenticated("INVITE", NUMBER, OFFER).status == 503
        assert sum(_was_invited(worker) for worker in workers) == 2


def _was_invited(worker: socket.socket) -> bool:
    invited = False
    with contextlib.suppress(BlockingIOError):
        while True:
            invited |= worker.recv(65536).startswith(b"INVITE")
    return invited


def test_a_draining_worker_refuses_new_calls_and_ends_with_the_last(folder: Path) -> None:
    with (
        Worker(folder) as worker,
        Kamailio(folder / "drain", [worker.address], phones=PHONES) as edge,
        SipClient(edge.edge) as client,
    ):
        client.register()
        client.new_dialogue()
        connect(client, worker)
        worker.ask(wire.Drain)
        with SipClient(edge.edge, "cell2") as other:
            other.register()
            other.new_dialogue()
            response = other.authenticated("INVITE", NUMBER, OFFER)
            assert (response.status, response.get("retry-after")) == (503, "30")
        worker.process.signal(signal.SIGTERM)
        worker.ask(wire.Ping)
        assert client.ask(client.within("BYE")).status == 200
        assert worker.process.wait() == 0


def test_calls_are_hung_up_when_control_is_gone(folder: Path) -> None:
    with (
        Worker(folder) as worker,
        Kamailio(folder / "gone", [worker.address], phones=PHONES) as edge,
        SipClient(edge.edge) as client,
    ):
        client.register()
        client.new_dialogue()
        connect(client, worker)
        worker.close_control()
        client.received.wait(lambda m: isinstance(m, Request) and m.method == "BYE", 5, "BYE")
        assert worker.process.wait() == 0


def test_a_port_that_is_taken_is_said_to_control(folder: Path, worker: Worker) -> None:
    with pytest.raises(Refused, match="WORKER_ERROR"):
        worker.ask(wire.Configure, settings=b"{}")
    wait_until(lambda: worker.process.returncode is None, 1, "the worker lives on")


def test_numbers_and_digits_stand_in_no_log(folder: Path, client: SipClient, worker: Worker) -> None:
    """The worker logs at DEBUG here, and everything above went through it."""
    connect(client, worker)
    client.ask(client.within("INFO", "Signal=5\r\n", "application/dtmf-relay"))
    assert client.ask(client.within("BYE")).status == 200
    written = (folder / "worker.log").read_text()
    assert "listening for the edge" in written
    assert "0612345678" not in written
    assert "Signal" not in written
