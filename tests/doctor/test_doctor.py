"""avisioctl doctor on a whole box that is well, and on the same box with each of its parts broken."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avisiod.doctor import examination
from avisiod.doctor.examination import Patient, Record, examine
from avisiod.doctor.verdicts import Finding, Verdict, failed, ok, warning
from tests.cli.test_status import ctl
from tests.e2e.stage import Stage
from tests.peers.waiting import wait_until

NOW = examination.datetime.datetime(2026, 11, 25, tzinfo=examination.datetime.UTC)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("doctor"), settings={"sip": {"workers": 1}}) as stage:
        wait_until(lambda: stage.metrics()["avisiod_modem_usable"] == 1, 30, "the modem is ready")
        wait_until(lambda: stage.metrics()["avisiod_edge_readable"] == 1, 30, "the edge is seen")
        yield stage


def verdicts(stage: Stage, *parts: str) -> dict[str, tuple[str, str]]:
    """By part: verdict and what was found."""
    chosen = [argument for part in parts for argument in ("--part", part)]
    told = ctl(stage, "doctor", "--json", *chosen)
    report: dict[str, Any] = json.loads(told.stdout)
    assert told.returncode == (0 if report["ok"] else 1)
    return {each["part"]: (each["verdict"], each["found"]) for each in report["findings"]}


@pytest.mark.peer
@pytest.mark.timeout(180)
def test_a_box_that_is_well_and_then_each_part_broken(stage: Stage) -> None:
    well = verdicts(stage)
    for part in ("edge", "sip workers", "media", "sms modem", "disk"):
        assert well[part][0] == "ok", (part, well[part])
    assert well["certificate portal"][0] == "warning", "it is good for a week"
    assert well["phones"] == ("warning", "0 of 1 are registered")
    assert well["turn"][0] == "not tried"
    assert well["backup"][1].startswith("no backup is made")
    assert "a test call was answered and heard" in well["media"][1]
    assert stage.metrics()['avisiod_calls{state="connected"}'] == 0
    assert stage.recordings() == []
    assert " warnings, " in ctl(stage, "status").stdout.partition("Doctor ")[2].splitlines()[0]

    told = ctl(stage, "doctor", "--part", "edge")
    assert told.stdout.splitlines()[0].startswith("OK         edge: answers on 127.0.0.1")

    stage.edge.stop()
    assert verdicts(stage, "edge")["edge"][0] == "failed"

    stage.modem.unplug()
    wait_until(lambda: verdicts(stage, "sms")["sms modem"][0] == "failed", 40, "the modem is missed")

    shutil.rmtree(stage.recordings_folder)
    assert verdicts(stage, "disk")["disk"][0] == "failed"
    Path(stage.settings["portal"]["certificate_file"]).unlink()
    broken = verdicts(stage, "settings", "certificates")
    assert (broken["settings"][0], broken["certificate portal"][0]) == ("failed", "failed")

    stage.stop_daemon()
    down = verdicts(stage)
    assert down["daemon"] == ("failed", "does not answer")
    assert down["sip workers"][0] == "failed"
    assert (down["media"][0], down["sms"][0]) == ("not tried", "not tried")
    told = ctl(stage, "doctor")
    assert "do:    systemctl status avisiod" in told.stdout
    record = examination._records.decode((stage.database.parent / "doctor.json").read_bytes())
    assert any(each.verdict is Verdict.FAILED for each in record.findings)


def patient(folder: Path) -> Patient:
    config = examination.Config()
    return Patient(config, folder / "avisiod.yaml", NOW, None, lambda *_, **__: None)


def test_a_check_that_breaks_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Patient) -> list[Finding]:
        raise RuntimeError("never thought of")

    monkeypatch.setattr(examination, "PARTS", {"one": breaks, "two": lambda _: [ok("two", "good")]})
    one, two = examine(patient(tmp_path))
    assert (one.verdict, two.verdict) == ("not tried", "ok")
    assert "never thought of" in one.found
    assert [each.part for each in examine(patient(tmp_path), ["two"])] == ["two"]


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ((), "found nothing wrong, 2 h ago"),
        ((ok("a", "b"),), "found nothing wrong, 2 h ago"),
        ((warning("a", "b", "c", "d"),), "1 warning, 2 h ago"),
        (
            (failed("a", "b", "c", "d"), warning("a", "b", "c", "d"), warning("e", "b", "c", "d")),
            "1 failed, 2 warnings, 2 h ago",
        ),
    ],
)
def test_the_last_examination_in_a_few_words(findings: tuple[Finding, ...], said: str) -> None:
    record = Record(at_utc=(NOW - examination.datetime.timedelta(hours=2)).isoformat(), findings=findings)
    assert record.summary(NOW) == said
