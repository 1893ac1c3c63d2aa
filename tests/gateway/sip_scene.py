"""What the tests of SIP share: phones, descriptions, and control that answers each call at once."""

import datetime
import re
import threading
from collections.abc import Callable

from avisiod.gateway import wire
from avisiod.gateway.registrations import Registration, read_registrations
from avisiod.gateway.sip_message import STAND_IN
from tests.peers.kamailio import Kamailio
from tests.peers.sip_client import SipClient
from tests.peers.sip_worker import ANSWER, Worker
from tests.peers.waiting import wait_until

PHONES = {f"cell{number}": "secret" for number in range(1, 7)}
OFFER = ANSWER.format(port=40_000)
OFFER_OF_EDGE = OFFER.replace("m=", f"{STAND_IN}m=", 1)
"""As the edge hands it to a worker."""
NUMBER = "sip:0612345678@avisio"
VIDEO = (
    "m=video 40002 RTP/AVP 99\r\nb=AS:1500\r\na=rtpmap:99 H264/90000\r\n"
    "a=fmtp:99 profile-level-id=42e01f;packetization-mode=1\r\na=rtcp-fb:99 nack pli\r\na=sendrecv\r\n"
)


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
    assert response.status == 200, response.status
    client.established(response)
    client.send(client.within("ACK").encode())
    worker.wait(wire.Acknowledged, mark)
    return str(worker.wait(wire.Invited, mark)["sip_call"])


def registrations(edge: Kamailio) -> dict[str, Registration]:
    now = datetime.datetime.now(datetime.UTC)  # noqa: TID251 - the clock of the edge, another process
    return {str(phone): registration for phone, registration in read_registrations(edge.edge_db, now).items()}


def registered(edge: Kamailio, phone: str) -> Registration:
    wait_until(lambda: phone in registrations(edge), 10, f"{phone} is registered")
    return registrations(edge)[phone]
