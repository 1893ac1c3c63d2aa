"""The pool as control holds it: real workers under their supervisor, spread by a real Kamailio, some killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from avisiod.clock import SystemClock
from avisiod.config.settings import Calls, Config, Sip
from avisiod.gateway import wire
from avisiod.gateway.sip_gateway import SipGateway
from tests.peers.kamailio import Kamailio
from tests.peers.offreactor import aside
from tests.peers.ports import free_range
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request
from tests.peers.sip_worker import ANSWER
from tests.peers.waiting import Feed

pytestmark = pytest.mark.peer

WORKERS = 2
PHONES = {f"cell{number}": "secret" for number in range(1, 4 * WORKERS + 2)}
NUMBER = "sip:0612345678@avisio"
OFFER = ANSWER.format(port=40_000)


class Told(NamedTuple):
    what: str
    sip_call: str
    status: int = 0


class Board:
    """Control that answers each call at once, or refuses it with `refuse`."""

    def __init__(self, gateway: SipGateway) -> None:
        self.told: Feed[Told] = Feed("the listener")
        self.refuse = 0
        self._gateway = gateway
        gateway.listener = self

    def invited(self, sip_call: str, phone: str, number: str, offer: str, *, secure: bool) -> None:
        self.told.add(Told("invited", sip_call))
        done = (
            self._gateway.reject(sip_call, self.refuse, "busy")
            if self.refuse
            else self._gateway.answer(sip_call, OFFER)
        )
        Deferred.fromCoroutine(done).addErrback(lambda why: self.told.add(Told("unanswered", sip_call)))

    def acknowledged(self, sip_call: str) -> None:
        self.told.add(Told("acknowledged", sip_call))

    def phone_answered(self, sip_call: str, answer: str) -> None:
        self.told.add(Told("phone_answered", sip_call))

    def reoffered(self, sip_call: str, offer: str) -> None:
        self.told.add(Told("reoffered", sip_call))

    def sip_ended(self, sip_call: str, by: str, status: int) -> None:
        self.told.add(Told(by, sip_call, status))

    def digit(self, sip_call: str, digit: str) -> None:
        self.told.add(Told("digit", sip_call))

    def picture_asked(self, sip_call: str) -> None:
        self.told.add(Told("picture", sip_call))

    def sip_worker_lost(self, sip_calls: list[str]) -> None:
        for sip_call in sip_calls:
            self.told.add(Told("lost", sip_call))
        self.told.add(Told("worker lost", ""))


class Pool:
    """Everything between the phones and control."""

    def __init__(self, folder: Path) -> None:
        first, _ = free_range(WORKERS)
        self.edge = Kamailio(folder, [("127.0.0.1", first + n) for n in range(WORKERS)], phones=PHONES)
        config = Config(sip=Sip(port=first, workers=WORKERS, edge=(f"127.0.0.1:{self.edge.inner_port}",)))
        self.gateway = SipGateway(reactor, SystemClock(asyncio.get_event_loop()), config)
        self.board = Board(self.gateway)
        self.closing = ExitStack()

    def phone(self, user: str) -> SipClient:
        client = self.closing.enter_context(SipClient(self.edge.edge, user))
        assert client.register().status == 200
        client.new_dialogue()
        return client

    def call(self, client: SipClient) -> str:
        """Dial; the id of the call that stands."""
        client.new_dialogue()
        mark = self.board.told.mark()
        response = client.authenticated("INVITE", NUMBER, OFFER)
        assert response.status == 200, response.status
        client.established(response)
        client.send(client.within("ACK").encode())
        return self.board.told.wait(lambda told: told.what == "acknowledged", 5, "ACK", mark).sip_call

    def calls(self, users: list[str]) -> dict[str, SipClient]:
        clients = [self.phone(user) for user in users]
        return {self.call(client): client for client in clients}


@pytest_twisted.async_yield_fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    pool = Pool(tmp_path / "edge")
    await aside(pool.edge.start)
    await pool.gateway.start()
    yield pool
    pool.closing.close()
    stopped = gatherResults([worker.stop() for worker in pool.gateway.workers])
    for worker in pool.gateway.workers:
        worker.kill("the test is over, whatever calls it left")
    await stopped
    await aside(pool.edge.stop)


def on(worker: int, calls: dict[str, SipClient]) -> list[str]:
    return [call for call in calls if call.startswith(f"{worker}-")]


@pytest_twisted.ensureDeferred
async def test_every_dialogue_of_the_pool_is_used_before_a_phone_hears_503(pool: Pool) -> None:
    users = list(PHONES)
    calls = await aside(pool.calls, users[:-1])
    assert [len(on(n, calls)) for n in range(WORKERS)] == [4] * WORKERS
    last = await aside(pool.phone, users[-1])
    refused = await aside(last.authenticated, "INVITE", NUMBER, OFFER)
    assert (refused.status, refused.get("retry-after")) == (503, "5")
    for worker in range(WORKERS):
        freed = on(worker, calls)[0]
        assert (await aside(calls[freed].ask, calls[freed].within("BYE"))).status == 200
        again = await aside(pool.call, last)
        assert again.startswith(f"{worker}-")
        del calls[freed]
        calls[again] = last
        last = await aside(pool.phone, users[-1])


@pytest_twisted.ensureDeferred
async def test_what_control_refuses_is_final_and_no_other_worker_is_asked(pool: Pool) -> None:
    for status in (486, 500, 503):
        pool.board.refuse = status
        mark = pool.board.told.mark()
        phone = await aside(pool.phone, "cell1")
        assert (await aside(phone.authenticated, "INVITE", NUMBER, OFFER)).status == status
        assert [told.what for told in pool.board.told.items(mark)].count("invited") == 1


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGABRT])
@pytest_twisted.ensureDeferred
async def test_a_worker_that_dies_takes_only_its_own_dialogues_and_comes_back(pool: Pool, death: int) -> None:
    calls = await aside(pool.calls, list(PHONES)[:4])
    mark = pool.board.told.mark()
    lost, kept = on(0, calls), on(1, calls)
    assert len(lost) == len(kept) == 2
    pid = pool.gateway.workers[0].pid
    assert pid is not None
    os.kill(pid, death)
    await aside(pool.board.told.wait, lambda told: told.what == "worker lost", 5, "the loss", mark)
    assert [told.sip_call for told in pool.board.told.items(mark) if told.what == "lost"] == lost
    with pytest.raises(wire.NoSuchCall):
        await pool.gateway.hang_up(lost[0], 200, "gone")
    # A call that comes meanwhile goes to the other worker.
    new = await aside(pool.phone, "cell5")
    assert (await aside(pool.call, new)) != ""
    for call in kept:
        await pool.gateway.hang_up(call, 200, "limit")
        client = calls[call]
        await aside(client.received.wait, lambda m: isinstance(m, Request) and m.method == "BYE", 5, f"BYE of {call}")
    await aside(_serves_again, pool)


def _serves_again(pool: Pool) -> None:
    """Kamailio finds out by itself that the worker is back."""
    phone = pool.phone("cell6")
    for _ in range(50):
        call = pool.call(phone)
        if call.startswith("0-"):
            return
        assert phone.ask(phone.within("BYE")).status == 200
    pytest.fail("no call reached the worker that came back")


@pytest_twisted.ensureDeferred
async def test_a_drained_pool_tells_phones_when_to_try_again(pool: Pool) -> None:
    await pool.gateway.drain()
    phone = await aside(pool.phone, "cell1")
    refused = await aside(phone.authenticated, "INVITE", NUMBER, OFFER)
    assert (refused.status, refused.get("retry-after")) == (503, "30")


@pytest.mark.parametrize(
    ("capacity", "dialogues", "workers", "count"), [(20, 4, 0, 6), (1, 4, 0, 2), (20, 32, 0, 2), (20, 4, 3, 3)]
)
def test_there_are_workers_for_the_capacity_and_one_to_spare(
    capacity: int, dialogues: int, workers: int, count: int
) -> None:
    sip = Sip(workers=workers, dialogues_per_worker=dialogues)
    assert Config(calls=Calls(capacity=capacity), sip=sip).sip_workers == count
