"""What an ended call leaves in a media worker: nothing, once a few have ended."""

import gc
import weakref

import pytest
import pytest_twisted

from avisiod.gateway import media_worker
from avisiod.gateway.media_worker import COLLECT_ENDED, MediaWorker
from tests.gateway.webrtc_peer import run


class Call:
    """As the real one, a heap of objects that name each other."""

    def __init__(self, *_: object, **__: object) -> None:
        self.leg = [self]

    async def open(self, offer: str, *, secure: bool) -> str:
        return offer

    async def close(self, _reason: str) -> bytes:
        return b""


@pytest.fixture
def without_the_collectors_own_rounds():
    gc.disable()
    yield
    gc.enable()


@pytest_twisted.ensureDeferred
async def test_ended_calls_are_let_go_after_a_few(monkeypatch, without_the_collectors_own_rounds):
    async def scenario():
        monkeypatch.setattr(media_worker, "MediaCall", Call)
        monkeypatch.setattr(media_worker, "Workshop", lambda settings: settings)
        monkeypatch.setattr(media_worker.gc, "freeze", lambda: None)
        worker = MediaWorker(lambda *_: None, lambda: None)
        worker.configure("settings")
        ended = []
        for number in range(COLLECT_ENDED):
            call = str(number)
            await worker.open(call, "offer", confidential=False, language="fr", secure=False)
            ended.append(weakref.ref(worker.call(call)))
            await worker.close(call, "hung_up_inside")
        assert sum(each() is not None for each in ended) <= 1, "the last one may be in hand still"

    await run(scenario())
