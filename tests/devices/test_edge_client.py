"""Phones asked by way of a real Kamailio: whether they are there, to fetch their settings, to take a test call."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from avisiod.calls.ids import PhoneId
from avisiod.clock import SystemClock
from avisiod.devices.phones.edge_client import Answer, EdgeClient, EdgeSilent
from tests.peers.baresip import BaresipPhone
from tests.peers.kamailio import Kamailio
from tests.peers.ports import free_port
from tests.peers.processes import Process
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request

pytestmark = pytest.mark.peer
CELL = PhoneId("cell1")
SCENARIOS = Path(__file__).parent / "sipp"
ATTACKS = Path(__file__).parents[1] / "attacks" / "sipp"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    phones = {"cell1": "secret", "cell2": "secret", "cell3": "secret", "cell4": "secret"}
    with Kamailio(tmp_path_factory.mktemp("edge"), [("127.0.0.1", 9)], phones=phones) as edge:
        yield edge


def asking(edge: Kamailio, patience_s: float = 20.0) -> EdgeClient:
    any_reactor: Any = reactor
    clock = SystemClock(any_reactor._asyncioEventloop)
    return EdgeClient(any_reactor, clock, f"127.0.0.1:{edge.inner_port}", edge.folder / "edge-rpc.sock", patience_s)


@pytest.fixture
def client(edge: Kamailio) -> Iterator[EdgeClient]:
    client = asking(edge)
    client.start()
    yield client
    client.stop()


async def known(client: EdgeClient, phone: PhoneId = CELL) -> Answer:
    """Ask until the edge has the key: it comes by another socket."""
    while True:
        answer = await client.options(phone)
        if answer.status != 403:
            return answer


@pytest_twisted.ensureDeferred
async def test_a_phone_answers_for_itself_whether_it_is_there(edge: Kamailio, client: EdgeClient) -> None:
    with SipClient(edge.edge, "cell1") as phone:
        assert phone.register().status == 200
        assert await known(client) == Answer(200, "mine")
        asked = phone.received.items()[-1]
        assert isinstance(asked, Request)
        assert asked.method == "OPTIONS"
        assert not asked.get("x-avisio-ask"), "the key stays on this machine"
        phone.answers_with = 0
        silent = await client.options(CELL)
        assert (silent.status, silent.by_phone) == (408, False)


@pytest_twisted.ensureDeferred
async def test_a_phone_that_is_not_registered_is_not_found(client: EdgeClient) -> None:
    answer = await known(client, PhoneId("cell3"))
    assert (answer.status, answer.by_phone) == (404, False)


@pytest_twisted.ensureDeferred
async def test_check_sync_reaches_the_phone_with_the_words_of_its_vendor(edge: Kamailio, client: EdgeClient) -> None:
    with SipClient(edge.edge, "cell1") as phone:
        assert phone.register().status == 200
        await known(client)
        assert (await client.check_sync(CELL, "check-sync;reboot=false")).status == 200
        (notify,) = [m for m in phone.received.items() if isinstance(m, Request) and m.method == "NOTIFY"]
        assert notify.get("event") == "check-sync;reboot=false"


def scenario(folder: Path, file: Path, phone: str, event: str) -> Path:
    """SIPp's scenario for this phone and this event."""
    made = folder / file.name
    made.write_text(file.read_text().replace("PHONE", phone).replace("EVENT", re.escape(event)))
    return made


def sipp(edge: Kamailio, file: Path, port: int, *options: str) -> Process:
    where = ["-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin", "-timeout", "30", "-trace_err"]
    where += ["-error_file", str(file.with_suffix(".err"))]
    return Process(["sipp", edge.edge, "-sf", str(file), *where, *options], name=file.stem, cwd=file.parent)


@pytest.mark.parametrize("event", ["check-sync;reboot=false", "resync"])
@pytest_twisted.ensureDeferred
async def test_sipp_finds_all_that_a_notify_must_have(
    edge: Kamailio, client: EdgeClient, tmp_path: Path, event: str
) -> None:
    port = free_port()
    values = tmp_path / "values.csv"
    values.write_text("SEQUENTIAL\ncell4;[authentication username=cell4 password=secret]\n")
    register = scenario(tmp_path, ATTACKS / "register.xml", "cell4", event)
    with sipp(edge, register, port, "-inf", str(values), "-auth_uri", "avisio") as registering:
        assert await deferToThread(registering.wait, 30) == 0
    with sipp(edge, scenario(tmp_path, SCENARIOS / "check_sync.xml", "cell4", event), port) as phone:
        await known(client, PhoneId("cell2"))
        # SIPp may not listen yet; it judges the first NOTIFY that it gets.
        while not (answer := await client.check_sync(PhoneId("cell4"), event)).by_phone:
            assert phone.returncode is None
        ended = await deferToThread(phone.wait, 30)
        assert ended == 0, (tmp_path / "check_sync.err").read_text()
    assert answer.status == 200


@pytest_twisted.ensureDeferred
async def test_without_the_key_no_program_of_this_machine_reaches_a_phone(edge: Kamailio) -> None:
    stranger = asking(edge)
    stranger.tell_key = lambda: None  # type: ignore[method-assign]
    stranger.start()
    try:
        with SipClient(edge.edge, "cell1") as phone:
            assert phone.register().status == 200
            mark = phone.received.mark()
            assert (await stranger.options(CELL)).status == 403
            assert (await stranger.test_call(CELL)).status == 403
            assert not [m for m in phone.received.items()[mark:] if isinstance(m, Request)]
            # nor does a phone that knows the word
            refused = phone.ask(phone.request("OPTIONS", "sip:cell2@avisio", X_Avisio_Ask="guess"))
            assert refused.status == 200, "the edge itself answers a phone's OPTIONS"
    finally:
        stranger.stop()


@pytest_twisted.ensureDeferred
async def test_a_real_phone_takes_the_test_call_by_itself_and_is_free_again(
    edge: Kamailio, client: EdgeClient, tmp_path: Path
) -> None:
    phone = BaresipPhone(tmp_path, user="cell2", password="secret", edge=edge.edge, auto_answer=True)
    with phone:
        phone.wait_registered()

        async def call() -> Answer:
            await known(client, PhoneId("cell2"))
            return await client.test_call(PhoneId("cell2"))

        assert (await call()).status == 200
        phone.wait_closed()
    assert not phone.packets() or all(stream.sent == 0 for stream in phone.packets()), "its microphone stayed shut"


@pytest_twisted.ensureDeferred
async def test_a_phone_that_rings_is_left_alone_within_seconds(
    edge: Kamailio, client: EdgeClient, tmp_path: Path
) -> None:
    phone = BaresipPhone(tmp_path, user="cell2", password="secret", edge=edge.edge)
    with phone:
        phone.wait_registered()

        async def call() -> Answer:
            await known(client, PhoneId("cell2"))
            return await client.test_call(PhoneId("cell2"))

        answer = await call()
        assert (answer.status, answer.by_phone) == (408, False)
        phone.wait_closed()


@pytest_twisted.ensureDeferred
async def test_an_edge_that_is_gone_is_told_and_asked_again_when_it_is_back(tmp_path: Path) -> None:
    edge = Kamailio(tmp_path, [("127.0.0.1", 9)], phones={"cell1": "secret"})
    client = asking(edge, patience_s=0.5)
    client.start()  # before the edge
    try:
        with pytest.raises(EdgeSilent):
            await client.options(CELL)
        with edge, SipClient(edge.edge, "cell1") as phone:
            assert phone.register().status == 200

            async def again() -> int:
                while True:
                    with contextlib.suppress(EdgeSilent):
                        if (answer := await client.options(CELL)).status == 200:
                            return answer.status

            assert await again() == 200
    finally:
        client.stop()


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"SIP/2.0 200",
        b"SIP/2.0 200 OK\r\nCall-ID: x\r\n\r\n",
        b"SIP/2.0 999 OK\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n",
        b"\xff" * 9000,
    ],
)
def test_what_is_no_answer_is_counted_and_nothing_else(datagram: bytes) -> None:
    any_reactor: Any = reactor
    client = EdgeClient(any_reactor, SystemClock(any_reactor._asyncioEventloop), "127.0.0.1:9", Path("/nowhere"))
    client._heard(datagram)
    assert client.unreadable == 1
