"""Workers that speak no TLS load none of it; everybody else does."""

import sys
from pathlib import Path

import OpenSSL  # noqa: F401 - what must stay
import pytest

from avisiod.gateway import lean
from tests.peers.sip_worker import Worker


@pytest.mark.peer
def test_a_sip_worker_serves_without_a_library_of_tls(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:  # it has taken its settings
        loaded = Path(f"/proc/{worker.process.pid}/maps").read_text()
    assert "pjsua2" in loaded
    assert "/cryptography/" not in loaded


def test_control_and_media_workers_keep_theirs() -> None:
    for command in (["python3", "-m", "avisiod"], ["python3", "-m", "avisiod.gateway.media_worker"], ["pytest"]):
        lean.shed(command)
    assert sys.modules["OpenSSL"] is not None
