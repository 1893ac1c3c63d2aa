"""What takes half a minute and more in SIP, with a worker for which time runs faster."""

from collections.abc import Iterator

import pytest

from avisiod.gateway import wire
from tests.gateway.sip_scene import NUMBER, OFFER, PHONES, VIDEO, Answering, without_origin
from tests.peers.kamailio import Kamailio
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Message, Request
from tests.peers.sip_worker import ANSWER, Worker

pytestmark = pytest.mark.peer

FASTER = {"LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "FAKETIME": "+0 x20"}
SESSION_S = 90
"""RFC 4028 section 4 allows no less; half of it is 2.3 s of ours."""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker(tmp_path_factory.mktemp("timers"), session_expires_s=SESSION_S, env=FASTER) as worker:
        yield worker


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, worker: Worker) -> Iterator[Kamailio]:
    with Kamailio(tmp_path_factory.mktemp("edge"), [worker.address], phones=PHONES) as edge:
        yield edge


@pytest.fixture
def client(edge: Kamailio) -> Iterator[SipClient]:
    with SipClient(edge.edge) as client:
        assert client.register().status == 200
        client.new_dialogue()
        yield client
        client.leave()


def test_a_phone_that_never_acknowledges_has_failed(client: SipClient, worker: Worker) -> None:
    mark = worker.told.mark()
    with Answering(worker):
        response = client.authenticated("INVITE", NUMBER, OFFER)
    assert response.status == 200
    assert worker.wait(wire.SipEnded, mark, 20)["by"] == "failure"


@pytest.mark.parametrize("allow", ["INVITE, ACK, CANCEL, BYE", "INVITE, ACK, CANCEL, BYE, UPDATE"])
def test_we_refresh_the_session_with_our_own_description(client: SipClient, worker: Worker, allow: str) -> None:
    ours = ANSWER.format(port=worker.media_port) + VIDEO
    mark = worker.told.mark()
    with Answering(worker, lambda call: worker.answer(call, ours)):
        response = client.authenticated("INVITE", NUMBER, OFFER + VIDEO, Allow=allow, Supported="timer")
    client.established(response)
    client.send(client.within("ACK").encode())
    worker.wait(wire.Acknowledged, mark)
    assert response.get("session-expires") == f"{SESSION_S};refresher=uas"
    since = client.received.mark()

    def refresh(message: Message) -> bool:
        return isinstance(message, Request) and message.method in {"INVITE", "UPDATE"}

    for _ in range(2):
        request = client.received.wait(refresh, 20, "a refresh", since)
        since = client.received.mark()
        assert isinstance(request, Request)
        assert request.method == ("UPDATE" if "UPDATE" in allow else "INVITE")
        assert (request.method == "INVITE") == bool(request.body)
        if request.body:
            assert without_origin(request.body.decode()) == without_origin(ours)
    assert client.ask(client.within("BYE")).status == 200


def stands(client: SipClient, worker: Worker, session_expires: str) -> str:
    """The id of a call that stands, with the session timer that the phone asked for."""
    mark = worker.told.mark()
    asked = {"Supported": "timer", "Session_Expires": session_expires, "Allow": "INVITE, ACK, CANCEL, BYE, UPDATE"}
    with Answering(worker):
        response = client.authenticated("INVITE", NUMBER, OFFER, **asked)
    client.established(response)
    assert response.get("session-expires") == session_expires
    client.send(client.within("ACK").encode())
    worker.wait(wire.Acknowledged, mark)
    return str(worker.wait(wire.Invited, mark)["sip_call"])


def test_a_phone_that_does_not_refresh_as_it_promised_is_hung_up_as_lost(client: SipClient, worker: Worker) -> None:
    sip_call = stands(client, worker, f"{SESSION_S};refresher=uac")
    client.received.wait(lambda m: isinstance(m, Request) and m.method == "BYE", 20, "BYE")
    assert worker.ended(sip_call) == "lost"


def test_a_session_that_the_phone_refreshes_lives_on(client: SipClient, worker: Worker, edge: Kamailio) -> None:
    """Another phone's sessions, which are not refreshed, tell what time it is: PJSIP ends them 32 s early."""
    timer = "300;refresher=uac"
    refresh = {"Supported": "timer", "Session_Expires": timer}
    with SipClient(edge.edge, "cell2") as clock:
        clock.register()
        sip_call = stands(client, worker, timer)
        for session_s in (150, 200):
            clock.new_dialogue()
            assert worker.ended(stands(clock, worker, f"{session_s};refresher=uac")) == "lost"
            assert client.ask(client.within("UPDATE", **refresh)).status == 200
    assert client.ask(client.within("BYE")).status == 200
    assert worker.ended(sip_call) == "phone"


@pytest.mark.parametrize("status", [481, 0])
def test_a_phone_that_has_forgotten_the_call_or_is_gone_is_lost_at_the_next_refresh(
    client: SipClient, worker: Worker, status: int
) -> None:
    sip_call = stands(client, worker, f"{SESSION_S};refresher=uas")
    client.answers_with = status
    client.received.wait(lambda m: isinstance(m, Request) and m.method == "UPDATE", 20, "UPDATE")
    assert worker.ended(sip_call, 60) == "lost"
