"""Worker processes whose control speaks nonsense: they end by themselves, with nothing left behind."""

import socket
import sys
from pathlib import Path

import pytest

from tests.peers.processes import Process

pytestmark = pytest.mark.peer

CONFIGURE = b"\x00\x04_ask\x00\x011\x00\x08_command\x00\x09Configure\x00\x08settings\x00\x04null\x00\x00"
"""Well-formed AMP with settings that are none: refused in words, and not the end."""


@pytest.mark.parametrize("kind", ["sip_worker", "media_worker"])
@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff" * 5000,
        b"GET / HTTP/1.1\r\n\r\n" * 50,
        b"\x00\x08_command\x00\x04Ping\x00\x04_ask\xff\xff" + b"x" * 65535 + b"\x00\x00" * 3 + b"\xff\xff",
        CONFIGURE + b"\xff\xff",
        b"\x00\x00",  # an empty box
        b"\x00\x04_ask\x00\x011\x00\x08_command\x00\x02P\xe9\x00\x00",  # a command that is no ASCII
    ],
)
def test_a_worker_ends_when_its_control_speaks_nonsense(tmp_path: Path, kind: str, nonsense: bytes) -> None:
    ours, theirs = socket.socketpair()
    descriptor = theirs.fileno()
    run = f'exec 3<&{descriptor} {descriptor}<&-; exec "$0" -m avisiod.gateway.{kind}'
    with ours, Process(["bash", "-c", run, sys.executable], log=tmp_path / "log", pass_fds=[descriptor]) as process:
        theirs.close()
        ours.sendall(nonsense)
        assert process.wait(20) == 0
