"""Registration, and what must not pass: phones, Kamailio and a SIP worker are real, only control is played."""

import contextlib
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from avisiod.gateway import wire
from tests.gateway.sip_scene import (
    NUMBER,
    OFFER,
    PHONES,
    Answering,
    connect,
    registered,
    registrations,
)
from tests.peers.baresip import BaresipPhone
from tests.peers.kamailio import Kamailio
from tests.peers.ports import free_port
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request
from tests.peers.sip_worker import Refused, Worker
from tests.peers.waiting import NotSeen, wait_until

pytestmark = pytest.mark.peer

ASKED_IN_VAIN_S = 5.0
"""The edge asks every second and waits two for an answer."""
_HEAD = b"INVITE sip:1@avisio SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
"""How messages of RFC 4475 begin here."""


# Registration.


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
            assert invited["secure"] == (transport == "tls")
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


def test_a_site_s_own_realm_is_the_one_that_phones_are_asked_for(folder: Path, worker: Worker) -> None:
    realm = "cells.example"
    with (
        Kamailio(folder / "realm", [worker.address], phones=PHONES, realm=realm) as edge,
        SipClient(edge.edge, "cell1") as client,
    ):
        challenge = client.ask(client.request("REGISTER", f"sip:{realm}")).get("www-authenticate")
        assert f'realm="{realm}"' in challenge
        assert client.register().status == 200
        connect(client, worker)
        mark = worker.told.mark()
        client.leave()
        worker.wait(wire.SipEnded, mark)


def test_registrations_live_ten_minutes_at_most(client: SipClient) -> None:
    contact = client.register(expires=86_400).get("contact")
    assert 0 < int(contact.rpartition("expires=")[2].split(";")[0]) <= 600


# What must not pass.


def test_spoofed_headers_of_the_edge_are_replaced_by_the_true_ones(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    with Answering(worker):
        spoofed = {"X_Avisio_Phone": "cell4", "X_Avisio_Transport": "tls"}
        response = client.authenticated("INVITE", NUMBER, OFFER, **spoofed)
    assert response.status == 200
    invited = worker.wait(wire.Invited, mark)
    assert (invited["phone"], invited["secure"]) == ("cell1", False)
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
        for for_control in wire.SIGNALS_FOR_CONTROL:
            worker.process.signal(for_control)
        worker.process.signal(wire.STOP_SIGNAL)
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


def test_an_invite_that_comes_while_a_worker_ends_does_not_bring_it_down(folder: Path) -> None:
    with (
        Worker(folder) as worker,
        Kamailio(folder / "late", [worker.address], phones=PHONES) as edge,
        SipClient(edge.edge) as client,
    ):
        client.register()
        client.new_dialogue()
        connect(client, worker)
        worker.close_control()
        client.received.wait(lambda m: isinstance(m, Request) and m.method == "BYE", 5, "BYE")
        # From here on it ends within half a second, and takes in what comes meanwhile.
        client.new_dialogue()
        client.credentials = ""
        late = client.request("INVITE", NUMBER, OFFER, X_Avisio_Phone="cell2").encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as past_the_edge:
            past_the_edge.sendto(late, worker.address)
        assert worker.process.wait() == 0
        assert "Assertion" not in "".join(worker.process.lines.items())


def test_a_worker_that_was_away_for_long_gets_calls_again(folder: Path) -> None:
    """Longer than the edge's question whether it is back waits for an answer."""
    port = free_port()
    with (
        Kamailio(folder / "away", [("127.0.0.1", port)], phones=PHONES) as edge,
        SipClient(edge.edge) as client,
    ):
        client.register()
        client.new_dialogue()
        assert client.authenticated("INVITE", NUMBER, OFFER).status == 503
        until = time.monotonic() + ASKED_IN_VAIN_S
        wait_until(lambda: time.monotonic() > until, 2 * ASKED_IN_VAIN_S, "the edge asked in vain")
        with Worker(folder, port=port) as worker, Answering(worker):

            def served() -> bool:
                client.new_dialogue()
                return client.authenticated("INVITE", NUMBER, OFFER).status == 200

            wait_until(served, 15, "calls reach the worker", 0.5)


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
