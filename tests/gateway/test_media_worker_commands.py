"""A spawned media worker refuses what it must, and one call's trouble is nobody else's."""

import asyncio

import pytest
import pytest_twisted
from twisted.internet import reactor

from avisiod.clock import SystemClock
from avisiod.config.settings import Config, Media
from avisiod.gateway import wire
from avisiod.gateway.media_gateway import MediaGateway
from tests.gateway.plain_phone import PlainPhone
from tests.peers.ports import free_range


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_done_is_refused_by_name_and_the_worker_serves_on():
    first, _ = free_range()
    media = Media(workers=1, phone_ports=(first, first + 7), outside_ports=(first + 50, first + 51))
    gateway = MediaGateway(reactor, SystemClock(asyncio.get_event_loop()), Config(media=media))
    await gateway.start()
    (worker,) = gateway.workers

    async def refused(error, command, **arguments):
        with pytest.raises(error) as caught:
            await worker.call(command, **arguments)
        return str(caught.value)

    phone = PlainPhone()
    opening = {"confidential": False, "language": "fr", "secure": False}
    await refused(wire.NoSuchCall, wire.Bridge, call="unknown", deadline=1.0)
    await refused(wire.NoSuchCall, wire.CloseCall, call="unknown", reason="x")
    assert "line 1" in await refused(wire.OfferUnacceptable, wire.OpenCall, call="c1", offer="nonsense", **opening)
    await worker.call(wire.OpenCall, call="c1", offer=phone.offer(), **opening)
    assert "open already" in await refused(wire.WorkerError, wire.OpenCall, call="c1", offer=phone.offer(), **opening)
    await refused(wire.WorkerError, wire.Bridge, call="c1", deadline=1.0)
    await worker.call(wire.Tailor, call="c1", confidential=False, language="en")
    await refused(wire.NoSuchCall, wire.Tailor, call="unknown", confidential=True, language="en")
    servers = {"session": "s", "ice_servers": b"no json", "offer": "x"}
    await refused(wire.WorkerError, wire.OpenBrowserLeg, call="c1", **servers)
    await refused(wire.OfferUnacceptable, wire.OpenBrowserLeg, call="c1", **servers | {"ice_servers": b"[]"})
    await refused(wire.RecorderUnavailable, wire.OpenRecorder, call="c1", path="/nowhere/a.mkv", facts=b"{}")
    await worker.call(wire.OpenCall, call="c2", offer=phone.offer(), **opening)
    await refused(wire.NoPorts, wire.OpenCall, call="c3", offer=phone.offer(), **opening)
    assert (await worker.call(wire.CloseCall, call="c2", reason="x"))["recording"] == b""
    await worker.call(wire.CloseCall, call="c1", reason="x")
    phone.close()
    await worker.stop()
    assert worker.restarts == 0
