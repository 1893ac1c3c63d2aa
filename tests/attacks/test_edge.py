"""What the edge turns away, reason by reason as Prometheus reads it, and what must never get through it."""

import re
import socket
from collections.abc import Iterator

import pytest

from avisiod.gateway import wire
from tests.attacks.test_sip import edge_refused, served, throw
from tests.attacks.torture import damaged
from tests.gateway.sip_scene import NUMBER, OFFER, Answering, connect
from tests.peers.kamailio import CONFIGURATION, Kamailio
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request
from tests.peers.sip_worker import Worker
from tests.peers.waiting import wait_until

pytestmark = pytest.mark.peer


@pytest.fixture
def phone(edge: Kamailio) -> Iterator[SipClient]:
    with SipClient(edge.edge) as client:
        assert client.register().status == 200
        client.new_dialogue()
        yield client
        client.leave()


def test_every_branch_of_the_configuration_that_turns_away_counts_it() -> None:
    """A final refusal, or an end without one, stands beside a counter."""
    text = (CONFIGURATION / "kamailio.cfg").read_text()
    lines = text.splitlines()
    silent = []
    for number, line in enumerate(lines):
        found = re.search(r"(?:sl_send_reply|t_reply|send_reply|xhttp_reply)\(\"([3-6]\d\d)\"", line)
        if found and found[1] not in {"401", "407"}:
            before = "\n".join(lines[max(0, number - 8) : number])
            if "prom_counter_inc" not in before:
                silent.append((number + 1, line.strip()))
    counted = set(re.findall(r'"edge_refused_total", "1", "(\w+)"', text))
    page = (CONFIGURATION.parents[1] / "docs" / "metrics.md").read_text().split("by `why`:")[1].split("\n\n")[1]
    assert counted == set(re.findall(r"`(\w+)`", page)), "docs/metrics.md explains each"
    # A worker of ours that misbehaves is no attack.
    start = next(n for n, line in enumerate(lines, 1) if line.startswith("route[FROM_WORKER]"))
    end = next(n for n, line in enumerate(lines, 1) if n > start and line == "}")
    assert [each for each in silent if not start < each[0] < end] == []


@pytest.mark.parametrize(
    ("why", "method", "status", "headers"),
    [
        ("identity", "OPTIONS", 403, {"From": "<sip:ce%00ll1@avisio>;tag=1"}),
        ("login", "INVITE", 407, {"From": "<sip:cell2@avisio>;tag=mine"}),
        ("hops", "OPTIONS", 483, {"Max_Forwards": "0"}),
        ("method", "MESSAGE", 405, {}),
        ("method", "SUBSCRIBE", 405, {}),
        ("dialogue", "BYE", 481, {"To": "<sip:callee@avisio>;tag=x"}),
        ("malformed", "INVITE", 400, {"Contact": ""}),
    ],
)
def test_a_refusal_is_counted(
    edge: Kamailio, phone: SipClient, why: str, method: str, status: int, headers: dict[str, str]
) -> None:
    before = edge_refused(edge).get(why, 0)
    assert phone.authenticated(method, NUMBER, OFFER if method == "INVITE" else "", **headers).status == status
    assert edge_refused(edge).get(why, 0) == before + 1


def test_calls_without_registration_or_from_elsewhere_are_counted(edge: Kamailio, phone: SipClient) -> None:
    before = edge_refused(edge)
    with SipClient(edge.edge, "cell6", host="127.0.0.9") as nobody:
        assert nobody.authenticated("INVITE", NUMBER, OFFER).status == 403
    with SipClient(edge.edge, host="127.0.0.3") as thief:
        assert thief.authenticated("INVITE", NUMBER, OFFER).status == 403
    after = edge_refused(edge)
    for why in ("unregistered", "elsewhere"):
        assert after[why] == before.get(why, 0) + 1


def test_other_bodies_of_an_info_and_a_stray_cancel_are_counted(
    edge: Kamailio, worker: Worker, phone: SipClient
) -> None:
    before = edge_refused(edge)
    connect(phone, worker)
    assert phone.ask(phone.within("INFO", "hello", "text/plain")).status == 415
    phone.send(phone.request("CANCEL", NUMBER, Via="SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKnone").encode())
    assert phone.ask(phone.within("BYE")).status == 200
    after = edge_refused(edge)
    for why in ("body", "dialogue"):
        assert after[why] == before.get(why, 0) + 1


def test_a_reply_that_answers_nothing_is_not_carried_to_where_its_via_points(edge: Kamailio) -> None:
    """Else a device among the phones could write to any network that the box reaches."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim,
        SipClient(edge.edge, host="127.0.0.5") as stranger,
    ):
        victim.bind(("127.0.0.1", 0))
        victim.settimeout(0.5)
        port = victim.getsockname()[1]
        before = edge_refused(edge).get("reply", 0)
        for via in (f"{edge.edge};branch=z9hG4bK1", f"127.0.0.1:{edge.inner_port};branch=z9hG4bK1"):
            reply = (
                f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {via}\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK2\r\n"
                "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: stray\r\n"
                "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            )
            stranger.send(reply.encode())
        wait_until(lambda: edge_refused(edge).get("reply", 0) == before + 2, 5, "both are counted")
        with pytest.raises(TimeoutError):
            victim.recv(4096)


def invite_as(phone: SipClient) -> Request:
    """An INVITE with credentials that hold for a minute."""
    phone.new_dialogue()
    first = phone.request("INVITE", NUMBER, OFFER)
    challenge = phone.ask(first)
    phone.acknowledge(first, challenge)
    invite = phone.request("INVITE", NUMBER, OFFER)
    invite.add("Proxy-Authorization", phone.digest(challenge.get("proxy-authenticate"), "INVITE", NUMBER))
    return invite


FORGED = (
    b"X-Avisio-Phone: cell4\r\n",
    b"x-avisio-phone: cell4\r\n",
    b"X-AVISIO-PHONE:cell4\r\n",
    b"X-Avisio-Phone : cell4\r\n",
    b"X-Avisio-Phone\t: cell4\r\n",
    b"X-Avisio-Phone:\r\n cell4\r\n",
    b"X-Avisio-Phone: cell4\n",
    b"Subject: x\rX-Avisio-Phone: cell4\r\n",
    b"Subject: x\nX-Avisio-Phone: cell4\r\n",
    b"Subject: x\r\n X-Avisio-Phone: cell4\r\n",
    b'Subject: "x\r\nX-Avisio-Phone: cell4"\r\n',
    b"Subject: x\n\r\nX-Avisio-Phone: cell4\r\n",
    b"Subject: x\0\r\nX-Avisio-Phone: cell4\r\n",
    b'Contact: "\r\nX-Avisio-Phone: cell4\r\n" <sip:cell1@127.0.0.1>\r\n',
)


def test_no_way_of_writing_the_edges_header_makes_a_phone_another(
    edge: Kamailio, worker: Worker, phone: SipClient
) -> None:
    def reject(call: str) -> None:
        worker.ask(wire.RejectInvite, sip_call=call, status=404, reason="no")

    honest = 0

    def settled() -> None:
        """An honest INVITE is refused as it should be: the worker has read what came before, and is free again."""
        nonlocal honest
        wait_until(lambda: phone.authenticated("INVITE", NUMBER, OFFER).status == 404, 30, "the worker is free")
        honest += 1

    mark = worker.told.mark()
    with Answering(worker, reject):
        for forged in FORGED:
            for place in (b"\r\nMax-Forwards", b"\r\nContent-Type", b"\r\n\r\n"):
                good = invite_as(phone).encode()
                written = good.replace(place, b"\r\n" + forged.removesuffix(b"\r\n") + place, 1)
                throw([written], (edge.address, edge.port), "127.0.0.1")
                settled()
        good = invite_as(phone).encode().replace(b"\r\n\r\n", b"\r\n" + FORGED[0] + b"\r\n")
        throw(damaged(good, 200), (edge.address, edge.port), "127.0.0.1")
        settled()
    invited = [each.arguments["phone"] for each in worker.told.items(mark) if each.command == "Invited"]
    assert len(invited) - honest > 5, "some of the forged came through, as who they are"
    assert set(invited) == {"cell1"}


def test_messages_that_a_worker_passes_over_in_silence_keep_no_other_phone_from_dialling(
    edge: Kamailio, worker: Worker, phone: SipClient
) -> None:
    """PJSIP reads no header with a NUL; the edge waits for its answer in vain."""
    before = edge_refused(edge).get("worker_timeout", 0)
    for _ in range(3):
        written = invite_as(phone).encode().replace(b"\r\nMax-Forwards", b"\r\nX-Note: x\0y\r\nMax-Forwards", 1)
        throw([written], (edge.address, edge.port), "127.0.0.1")
    wait_until(lambda: edge_refused(edge).get("worker_timeout", 0) >= before + 3, 10, "each was given up")
    with SipClient(edge.edge, "cell2") as other:
        assert other.register().status == 200
        served(other, worker)


def test_a_dialogue_cannot_be_taken_over_by_another_phone_that_knows_its_names(
    edge: Kamailio, worker: Worker, phone: SipClient
) -> None:
    connect(phone, worker)
    names = f"{phone.call_id};to-tag={phone.to_tag};from-tag=mine"
    with SipClient(edge.edge, "cell2") as thief:
        assert thief.register().status == 200
        mark = worker.told.mark()
        thief.new_dialogue()
        with Answering(worker):
            response = thief.authenticated("INVITE", NUMBER, OFFER, Replaces=names)
        assert response.status == 200
        thief.established(response)
        thief.send(thief.within("ACK").encode())
        worker.wait(wire.Acknowledged, mark)
        told = [each.command for each in worker.told.items(mark)]
        assert "SipEnded" not in told
        assert thief.ask(thief.within("BYE")).status == 200
    assert phone.ask(phone.within("BYE")).status == 200, "it was there all the while"


def test_scanners_and_strangers_at_the_metrics_port_learn_nothing(edge: Kamailio) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), 5) as tcp:
        tcp.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert b"404" in tcp.recv(4096).split(b"\r\n")[0]
    assert edge_refused(edge)["http"] >= 1
