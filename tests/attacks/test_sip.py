"""SIP that was made to hurt, at the edge and straight at a worker: nothing ends, others are served, it is counted."""

import contextlib
import itertools
import random
import re
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from avisiod.gateway import wire
from tests.attacks.conftest import PHONES
from tests.attacks.torture import NO_SIP, RFC_4475, damaged, truncated
from tests.gateway.sip_scene import NUMBER, OFFER, OFFER_OF_EDGE, Answering, connect
from tests.peers.kamailio import Kamailio
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request, Response
from tests.peers.sip_worker import Refused, Worker
from tests.peers.waiting import NotSeen, wait_until

pytestmark = pytest.mark.peer

EDGE_HOST = "127.0.0.1"
"""Whoever may speak to a worker; 127.0.0.2 may not."""
_numbers = itertools.count(1)


@pytest.fixture
def phone(edge: Kamailio) -> Iterator[SipClient]:
    with SipClient(edge.edge) as client:
        assert client.register().status == 200
        client.new_dialogue()
        yield client


def served(phone: SipClient, worker: Worker) -> None:
    """A whole call of an honest phone: set up, hung up."""
    phone.new_dialogue()
    mark = worker.told.mark()
    connect(phone, worker)
    assert phone.ask(phone.within("BYE")).status == 200
    worker.wait(wire.SipEnded, mark)


def alive(edge: Kamailio, worker: Worker) -> None:
    assert (edge.process.returncode, worker.process.returncode) == (None, None)


def throw(messages: Iterable[bytes], there: tuple[str, int], host: str) -> int:
    """Send them all from one address; how many."""
    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        attacker.bind((host, 0))
        for message in messages:
            attacker.sendto(message, there)
            count += 1
            if count % 16 == 0:  # not faster than a socket's buffer is read, or nothing is tested but the kernel
                _seen(attacker, there)
        _seen(attacker, there)
    return count


def _seen(attacker: socket.socket, there: tuple[str, int]) -> None:
    """Wait until the other side has read what was sent: it answers an OPTIONS, in its turn."""
    attacker.settimeout(1.0)
    host, port = attacker.getsockname()
    number = next(_numbers)
    options = (
        f"OPTIONS sip:{there[0]}:{there[1]} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bKseen{number}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:seen@x>;tag=1\r\nTo: <sip:seen@x>\r\nCall-ID: seen-{number}\r\n"
        f"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    try:
        attacker.sendto(options.encode(), there)
        while f"seen-{number}".encode() not in attacker.recv(65536):
            pass
    except TimeoutError:
        return  # banned, or busy: the test asks the honest phone in the end


def edge_refused(edge: Kamailio) -> dict[str, float]:
    """What the edge has turned away, by reason, as Prometheus reads it."""
    url = f"http://127.0.0.1:{edge.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        page = answer.read().decode()
    found = re.findall(r'^kamailio_edge_refused_total ?\{why="(\w+)"\} (\d+)', page, re.MULTILINE)
    return {why: float(count) for why, count in found}


def counted(worker: Worker) -> dict[str, int]:
    """What the worker has turned away since it was asked last."""
    answer = worker.ask(wire.Ping)
    return {name.decode(): int(count) for name, count in answer.items() if not name.startswith(b"_")}


def good_invite(phone: SipClient, **headers: str) -> bytes:
    phone.new_dialogue()
    return phone.request("INVITE", NUMBER, OFFER_OF_EDGE, **headers).encode()


MESSAGES = {**RFC_4475, **NO_SIP}


@pytest.mark.parametrize("host", ["127.0.0.5", EDGE_HOST])
def test_no_torture_message_hurts_the_edge(edge: Kamailio, worker: Worker, phone: SipClient, host: str) -> None:
    mark = worker.told.mark()
    throw(MESSAGES.values(), (edge.address, edge.port), host)
    assert worker.told.items(mark) == [], "none of them is an authenticated call"
    alive(edge, worker)
    served(phone, worker)


@pytest.mark.parametrize("host", [EDGE_HOST, "127.0.0.2"])
@pytest.mark.parametrize("header", [b"", b"X-Avisio-Phone: cell1\r\n"])
def test_no_torture_message_hurts_a_worker_even_past_the_edge(
    edge: Kamailio, worker: Worker, phone: SipClient, host: str, header: bytes
) -> None:
    def reject(call: str) -> None:
        worker.ask(wire.RejectInvite, sip_call=call, status=404, reason="no")

    mark = worker.told.mark()
    with Answering(worker, reject):
        for message in MESSAGES.values():
            start, end, rest = message.partition(b"\r\n")
            throw([start + end + header + rest], worker.address, host)
            worker.ask(wire.Ping)
    if host != EDGE_HOST or not header:
        assert worker.told.items(mark) == []
    alive(edge, worker)
    served(phone, worker)


@pytest.mark.parametrize("header", ["", "cell1"])
def test_truncated_and_damaged_messages_hurt_neither(
    edge: Kamailio, worker: Worker, phone: SipClient, header: str
) -> None:
    def reject(call: str) -> None:
        worker.ask(wire.RejectInvite, sip_call=call, status=404, reason="no")

    good = good_invite(phone, X_Avisio_Phone=header)
    with Answering(worker, reject):
        throw(truncated(good), (edge.address, edge.port), "127.0.0.5")
        throw(damaged(good, 400), (edge.address, edge.port), "127.0.0.5")
        throw(truncated(good), worker.address, EDGE_HOST)
        throw(damaged(good, 400), worker.address, EDGE_HOST)
    alive(edge, worker)
    served(phone, worker)


@pytest.mark.parametrize("octets", [1_500, 3_000, 5_000, 9_000, 14_000, 15_800])
def test_a_long_offer_of_an_honest_phone_is_answered_one_way_or_the_other_and_no_worker_is_lost_by_it(
    edge: Kamailio, worker: Worker, phone: SipClient, octets: int
) -> None:
    long = OFFER + "a=x-long:" + "y" * 100 + "\r\n"
    while len(long) < octets:
        long += "a=x-long:" + "y" * 100 + "\r\n"
    phone.new_dialogue()
    with Answering(worker):
        response = phone.authenticated("INVITE", NUMBER, long)
    if response.status == 200:
        phone.established(response)
        phone.send(phone.within("ACK").encode())
        assert phone.ask(phone.within("BYE")).status == 200
    else:
        assert response.status in {413, 513}, response.status
    served(phone, worker)


def test_cancels_that_race_the_answer_end_each_call_once_and_leave_no_dialogue(
    edge: Kamailio, worker: Worker, phone: SipClient
) -> None:
    dice, pause = random.Random(9), threading.Event()

    def answer(call: str) -> None:
        pause.wait(dice.random() * 0.02)
        with contextlib.suppress(Refused):  # the CANCEL was first
            worker.answer(call)

    mark, rounds = worker.told.mark(), 20
    outcomes = []
    with Answering(worker, answer):
        for _ in range(rounds):
            phone.new_dialogue()
            first = phone.request("INVITE", NUMBER, OFFER)
            challenge = phone.ask(first)
            phone.acknowledge(first, challenge)
            invite = phone.request("INVITE", NUMBER, OFFER)
            invite.add("Proxy-Authorization", phone.digest(challenge.get("proxy-authenticate"), "INVITE", NUMBER))
            phone.send(invite.encode())
            pause.wait(dice.random() * 0.03)
            phone.send(phone.request("CANCEL", NUMBER, Via=invite.get("via")).encode())
            response = phone.final(invite)
            outcomes.append(response.status)
            if response.status == 200:
                phone.established(response)
                phone.send(phone.within("ACK").encode())
                assert phone.ask(phone.within("BYE")).status == 200
            else:
                phone.acknowledge(invite, response)
    assert set(outcomes) <= {200, 487}, outcomes

    def over() -> bool:
        told = [(each.command, each.arguments["sip_call"]) for each in worker.told.items(mark)]
        ended = [call for command, call in told if command == "SipEnded"]
        assert len(ended) == len(set(ended)), "each call ends once"
        return set(ended) == {call for command, call in told if command == "Invited"}

    wait_until(over, 10, "every call that was told has ended")
    served(phone, worker)


def test_what_is_far_too_long_is_told_so_and_counted(edge: Kamailio, worker: Worker, phone: SipClient) -> None:
    before = edge_refused(edge).get("too_large", 0)
    with SipClient(edge.edge, host="127.0.0.9") as stranger:
        invite = stranger.request("INVITE", NUMBER, OFFER + "a=x:" + "y" * 20_000 + "\r\n")
        assert stranger.ask(invite).status == 513
    assert edge_refused(edge)["too_large"] == before + 1
    served(phone, worker)


@pytest.mark.parametrize("ends", ["BYE", "CANCEL"])
def test_a_dialogue_in_the_place_of_one_that_ended_just_now_is_not_ended_with_it(folder: Path, ends: str) -> None:
    def ring(client: SipClient, worker: Worker) -> Request:
        client.new_dialogue()
        since, mark = client.received.mark(), worker.told.mark()
        invite = client.request("INVITE", NUMBER, OFFER_OF_EDGE, X_Avisio_Phone="cell1")
        client.send(invite.encode())
        worker.wait(wire.Invited, mark)
        client.received.wait(lambda m: isinstance(m, Response) and m.status == 180, 5, "180", since)
        return invite

    with (
        Worker(folder, dialogues=1) as worker,
        SipClient(f"127.0.0.1:{worker.port}") as first,
        SipClient(f"127.0.0.1:{worker.port}") as second,
    ):
        invite = ring(first, worker)
        if ends == "BYE":
            worker.answer(str(worker.wait(wire.Invited)["sip_call"]))
            first.established(first.final(invite))
            first.send(first.within("ACK").encode())
            worker.wait(wire.Acknowledged)
            end = first.within("BYE")
        else:
            end = first.request("CANCEL", NUMBER, Via=invite.get("via"))
        mark = worker.told.mark()
        worker.process.signal(signal.SIGSTOP)  # so that it reads both in one go
        first.send(end.encode())
        again = second.request("INVITE", NUMBER, OFFER_OF_EDGE, X_Avisio_Phone="cell2")
        second.send(again.encode())
        worker.process.signal(signal.SIGCONT)
        worker.wait(wire.SipEnded, mark)
        call = str(worker.wait(wire.Invited, mark)["sip_call"])
        worker.answer(call)
        assert second.final(again).status == 200


def test_a_flood_past_the_edge_takes_no_dialogue_and_is_counted(
    edge: Kamailio, worker: Worker, phone: SipClient
) -> None:
    worker.ask(wire.Ping)
    mark, log = worker.told.mark(), worker.process.lines.mark()
    with SipClient(f"127.0.0.1:{worker.port}", host="127.0.0.2") as stranger:
        flood = [good_invite(stranger, X_Avisio_Phone="cell1") for _ in range(300)]
    throw(flood, worker.address, "127.0.0.2")
    assert worker.told.items(mark) == []
    served(phone, worker)
    found = counted(worker)
    assert found["not_edge"] >= 8
    assert found["not_edge"] + found["no_dialogue"] >= 300, "the others found no dialogue free and heard 486"
    warnings = [line for line in worker.process.lines.items(log) if line.startswith("WARNING")]
    assert len(warnings) <= 2, "a flood does not fill the journal"


def test_a_flood_from_the_edges_own_address_leaves_the_worker_alive(
    edge: Kamailio, worker: Worker, phone: SipClient
) -> None:
    with SipClient(f"127.0.0.1:{worker.port}") as local:
        flood = [good_invite(local) for _ in range(200)]
        flood += [local.request("OPTIONS", "sip:x@avisio").encode() for _ in range(200)]
        flood += [local.request("BYE", "sip:x@avisio").encode() for _ in range(200)]
    throw(flood, worker.address, EDGE_HOST)
    alive(edge, worker)
    served(phone, worker)


def test_a_flood_at_the_edge_is_counted_by_reason(folder: Path, worker: Worker) -> None:
    settings = {"EDGE_FLOOD": "20", "EDGE_BAN_S": "60"}
    with (
        Kamailio(folder / "flooded", [worker.address], phones=PHONES, settings=settings) as edge,
        SipClient(edge.edge, host="127.0.0.6") as attacker,
        SipClient(edge.edge, host="127.0.0.7") as scanner,
        SipClient(edge.edge, "cell1", "wrong", host="127.0.0.8") as guesser,
    ):
        with pytest.raises(NotSeen):
            scanner.ask(scanner.request("OPTIONS", "sip:100@avisio", User_Agent="friendly-scanner"), 0.3)
        assert guesser.register().status == 401
        for _ in range(200):
            attacker.send(attacker.request("OPTIONS", "sip:avisio").encode())
        edge.process.wait_for_line("127.0.0.6 floods")
        throw([b"OPTIONS sip:a SIP/2.0\r\n\r\n"], ("127.0.0.1", edge.inner_port), EDGE_HOST)
        wait_until(lambda: edge_refused(edge).get("banned", 0) > 50, 5, "what the banned one sends is counted")
        counted = edge_refused(edge)
        assert (counted["scanner"], counted["login"]) == (1, 1)
        assert counted["flood"] >= 1


def test_what_a_worker_cannot_read_or_use_is_counted(edge: Kamailio, worker: Worker, phone: SipClient) -> None:
    counted(worker)
    throw([good_invite(phone).replace(b"CSeq: ", b"CSeq: x", 1)] * 3, worker.address, EDGE_HOST)
    phone.new_dialogue()
    first = phone.request("INVITE", NUMBER, OFFER, Content_Encoding="gzip")
    challenge = phone.ask(first)
    phone.acknowledge(first, challenge)
    again = phone.request("INVITE", NUMBER, OFFER, Content_Encoding="gzip")
    again.add("Proxy-Authorization", phone.digest(challenge.get("proxy-authenticate"), "INVITE", NUMBER))
    response = phone.ask(again)
    phone.acknowledge(again, response)
    assert response.status == 415
    found = counted(worker)
    assert (found["unreadable"], found["body"], found["not_edge"]) == (3, 1, 0)


def test_another_program_on_the_edges_host_is_not_the_edge(folder: Path) -> None:
    """A port that Kamailio holds cannot be sent from; the header that makes a phone of oneself can be written."""
    with (
        SipClient("127.0.0.1:9") as edges,
        SipClient("127.0.0.1:9") as other,
        Worker(folder, edge=(f"127.0.0.1:{edges.port}",)) as worker,
    ):
        for client in (edges, other):
            client.edge = worker.address
        invite = other.request("INVITE", NUMBER, OFFER, X_Avisio_Phone="cell1")
        assert other.ask(invite).status == 403
        assert worker.told.items() == []
        with Answering(worker):
            response = edges.ask(edges.request("INVITE", NUMBER, OFFER_OF_EDGE, X_Avisio_Phone="cell1"))
        assert response.status == 200
        assert counted(worker)["not_edge"] == 1
