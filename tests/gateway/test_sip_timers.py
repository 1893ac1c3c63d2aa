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
