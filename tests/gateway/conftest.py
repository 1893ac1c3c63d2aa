"""A SIP worker, an edge before it and a phone: real processes, one set for each file of tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.sip_scene import PHONES
from tests.peers.kamailio import Kamailio
from tests.peers.sip_client import SipClient
from tests.peers.sip_worker import Worker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Worker]:
    with Worker(folder) as worker:
        yield worker


@pytest.fixture(scope="module")
def edge(folder: Path, worker: Worker) -> Iterator[Kamailio]:
    with Kamailio(folder / "kamailio", [worker.address], phones=PHONES, tls=True) as edge:
        yield edge


@pytest.fixture
def client(edge: Kamailio, worker: Worker) -> Iterator[SipClient]:
    worker.settled()
    with SipClient(edge.edge) as client:
        assert client.register().status == 200
        client.new_dialogue()
        yield client
        client.leave()
