"""Pages and workers get STUN and TURN servers with credentials that end by themselves, as coturn checks them."""

import asyncio
import base64
import hashlib
import hmac
from pathlib import Path

import pytest
import pytest_twisted
from aioice import turn
from twisted.internet.defer import Deferred

from avisiod.config.settings import IceServer
from avisiod.switchboard.desk import ice_server
from tests.peers.ports import free_port, free_range
from tests.peers.processes import Process

SECRET = b"shared-with-coturn"


def test_a_stun_server_needs_no_credential() -> None:
    assert ice_server(IceServer(urls=("stun:stun.example.org",)), b"", "s", 5) == {"urls": ["stun:stun.example.org"]}


def test_a_turn_credential_is_bound_to_its_end_and_its_page() -> None:
    made = ice_server(IceServer(urls=("turn:turn.example.org",)), SECRET, "page1", 1_700_000_000)
    assert made["username"] == "1700000000:page1"
    digest = hmac.new(SECRET, b"1700000000:page1", hashlib.sha1).digest()
    assert made["credential"] == base64.b64encode(digest).decode()


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_coturn_takes_our_credential_and_refuses_one_that_has_ended(tmp_path: Path) -> None:
    port, (first, last) = free_port(), free_range(20)
    argv = ["turnserver", "-n", "--no-cli", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--realm=avisio"]
    argv += [f"--listening-port={port}", f"--min-port={first}", f"--max-port={last}", "--use-auth-secret"]
    argv += [f"--static-auth-secret={SECRET.decode()}", "--no-tls", "--no-dtls", "--allow-loopback-peers"]
    argv += ["--log-file=stdout", "--simple-log", f"--pidfile={tmp_path}/pid", f"--db={tmp_path}/db"]

    async def allocate(expires: int) -> None:
        made = ice_server(IceServer(urls=(f"turn:127.0.0.1:{port}",)), SECRET, "page1", expires)
        transport, _ = await turn.create_turn_endpoint(
            asyncio.DatagramProtocol,
            server_addr=("127.0.0.1", port),
            username=str(made["username"]),
            password=str(made["credential"]),
            lifetime=60,
        )
        assert first <= transport.get_extra_info("sockname")[1] <= last
        transport.close()

    with Process(argv, name="coturn", log=tmp_path / "coturn.log") as coturn:
        coturn.wait_for_line("UDP listener opened on|Listener .*opened|IPv4. UDP|listener", 15)
        await Deferred.fromFuture(asyncio.ensure_future(allocate(2_000_000_000)))
        with pytest.raises(Exception, match="401"):
            await Deferred.fromFuture(asyncio.ensure_future(allocate(1_000_000_000)))
