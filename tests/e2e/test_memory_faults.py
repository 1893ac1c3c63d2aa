"""Media workers that grow too large, in whole calls: nobody notices, until one grows without measure."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import ROOT, ContactEntry, PhoneEntry, Stage
from tests.e2e.talk import talking
from tests.peers.waiting import wait_until
from tests.peers.workers import workers

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

SISTER, BROTHER = ContactEntry("sister", "+33639980001"), ContactEntry("brother", "+33639980002")
LIMIT_MIB = 400
GROWS = f"""
import signal, sys
grown = []
if sys.orig_argv[2:3] == ["avisiod.gateway.media_worker"]:
    signal.signal(signal.SIGUSR2, lambda *_: grown.append(b"x" * ({LIMIT_MIB} << 20)))
"""
"""A sitecustomize beside the daemon, and not part of it: at a signal a media worker takes so much memory more."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("memory-faults")
    beside = folder / "beside"
    beside.mkdir()
    (beside / "sitecustomize.py").write_text(GROWS)
    settings = {
        "calls": {"limit_s": 120.0, "warnings_s": [60.0]},
        "media": {"workers": 2, "worker_memory_mib": LIMIT_MIB},
    }
    phones = [PhoneEntry(f"cell{n}", f"secret-{n}", f"A {n}") for n in (1, 2)]
    environment = {"PYTHONPATH": f"{beside}:{ROOT}", "AVISIOD_PREFORK": "off"}  # each worker reads it then
    contacts = [SISTER, BROTHER]
    with Stage(folder, settings=settings, phones=phones, contacts=contacts, environment=environment) as stage:
        yield stage


@pytest.fixture(autouse=True)
def quiet_afterwards(stage: Stage) -> Iterator[None]:
    yield
    wait_until(lambda: all(call["state"] == "ended" for call in stage.calls()), 60, "every call has ended")
    wait_until(lambda: len(workers(stage.daemon.pid, "media_worker")) == 2, 30, "both media workers are there")


def grow(pid: int) -> None:
    os.kill(pid, signal.SIGUSR2)
    wait_until(lambda: resident_mib(pid) > LIMIT_MIB, 30, "it has grown")


def resident_mib(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except FileNotFoundError:
        return float("inf")


def test_a_worker_that_grew_keeps_its_call_gets_no_other_and_is_replaced_after_it(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as talk:
        grown, mark = talk.phone.media_worker, stage.daemon.lines.mark()
        grow(grown)
        stage.daemon.wait_for_line(rf"media_worker \(pid {grown}\) has .* it gets no new call", 30, since=mark)
        for _ in range(2):  # it is the less busy one, or as busy
            with talking(stage, "cell2", BROTHER) as other:
                assert other.phone.media_worker != grown
                other.relative.hang_up()
                assert other.phone.wait_ended() == ("relative_hung_up", 1)
        talk.wait_flowing()
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)
        stage.daemon.wait_for_line("media_worker has ended as it should", 60, since=mark)
        stage.daemon.wait_for_line(r"media_worker runs \(pid", 30, since=mark)
    assert stage.metrics()['avisiod_worker_restarts_total{kind="media"}'] == 0
    wait_until(lambda: stage.metrics()['avisiod_workers_replaced_total{kind="media"}'] == 1, 15, "it is counted")


def test_a_worker_that_grows_without_measure_is_killed_with_its_call_and_no_other(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as hit, talking(stage, "cell2", BROTHER) as spared:
        pid, mark = hit.phone.media_worker, stage.daemon.lines.mark()
        assert pid != spared.phone.media_worker
        os.kill(pid, signal.SIGUSR2)
        wait_until(lambda: resident_mib(pid) > LIMIT_MIB, 30, "it has grown")
        os.kill(pid, signal.SIGUSR2)
        assert hit.phone.wait_ended(60) == ("media_failed", 0)
        stage.daemon.wait_for_line(rf"media_worker \(pid {pid}\) is killed: it has", 30, since=mark)
        spared.wait_flowing()
        spared.relative.hang_up()
        assert spared.phone.wait_ended() == ("relative_hung_up", 1)
