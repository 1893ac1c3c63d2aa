"""The edge with a worker behind it: one of each for a file's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.kamailio import Kamailio
from tests.peers.sip_worker import Worker

PHONES = {f"cell{number}": "secret" for number in range(1, 7)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attacks")


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Worker]:
    with Worker(folder) as worker:
        yield worker


@pytest.fixture(scope="module")
def edge(folder: Path, worker: Worker) -> Iterator[Kamailio]:
    with Kamailio(folder / "kamailio", [worker.address], phones=PHONES) as edge:
        yield edge
