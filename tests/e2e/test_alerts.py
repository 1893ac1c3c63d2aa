"""A real Prometheus scrapes a real box: no alert fires while all is well, and each fault fires its own.

The rules are the site's, with every time in them sixty times as short: a minute of waiting is a second here.
"""

import datetime
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from avisiod.backups import outcome
from avisiod.office import retention_record
from avisiod.office.retention_record import Outcome
from tests.e2e.stage import Stage
from tests.e2e.talk import line
from tests.e2e.test_watchdog import seize
from tests.peers.ports import free_port
from tests.peers.processes import Process
from tests.peers.waiting import wait_until
from tests.peers.workers import workers
from tests.test_alerts import RULES

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(400)]

UNITS = {"s": 1 / 60, "m": 1, "h": 60, "d": 120}
"""Seconds of a unit, here; a day is short enough to be seen at all."""
OF_A_WORKING_COPY = {"AvisiodHotPathPlain"}
WITHIN_S = 90.0


def shortened(rules: str) -> str:
    """The same rules in a hurry."""

    def seconds(found: re.Match[str]) -> str:
        return f"{max(1, round(int(found[2]) * UNITS[found[3]]))}s{found[4]}"

    rules = re.sub(r"(for: )(\d+)([smhd])()", lambda found: found[1] + seconds(found), rules)
    return re.sub(r"(\[)(\d+)([smhd])(\])", lambda found: found[1] + seconds(found), rules)


class Watch:
    """Prometheus."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self.port = free_port()
        (folder / "rules.yml").write_text(shortened(RULES.read_text()))
        jobs = {"avisiod": stage.settings["metrics"]["port"], "avisiod-edge": stage.edge.metrics_port}
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for job, port in jobs.items()
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.process = Process(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            name="prometheus",
            log=folder / "prometheus.log",
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{query}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def scrapes(self) -> int:
        """Good ones of the daemon, in the last minutes; 0 while Prometheus starts."""
        try:
            found = self.query('sum_over_time(up{job="avisiod"}[5m])')
        except OSError:
            return 0
        return int(found[0]["value"][1]) if found else 0

    def fired(self) -> set[str]:
        """Every alert that fired in the last minutes."""
        found = self.query('count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[5m]))')
        return {each["metric"]["alertname"] for each in found}

    def wait_firing(self, *alerts: str) -> None:
        for alert in alerts:
            wait_until(lambda: alert in self.fired(), WITHIN_S, f"{alert} fires ({sorted(self.fired())})")  # noqa: B023


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    backup = {"record_file": str(tmp_path / "state" / "backup.json")}
    retention = {"record_file": str(tmp_path / "state" / "retention.json")}
    stage = Stage(tmp_path, settings={"sip": {"workers": 1}, "backup": backup, "recordings": retention})
    certified(stage, days=60)
    (tmp_path / "state").mkdir()
    outcome.note(Path(backup["record_file"]), now(), octets=1000)
    retention_record.note(Path(retention["record_file"]), Outcome(run_utc=now().isoformat()))
    with stage:
        yield stage


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)  # noqa: TID251 - as a backup notes it


def certified(stage: Stage, days: int) -> None:
    """A certificate that ends in so many days."""
    openssl = shutil.which("openssl") or "openssl"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", stage.folder / "portal.key", "-out", stage.folder / "portal.crt"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-days", str(days), *names, *files], check=True, capture_output=True)
    (stage.folder / "portal.key").chmod(0o600)


def test_each_fault_fires_its_alert_and_nothing_fires_before(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    wait_until(lambda: stage.metrics()["avisiod_modem_usable"] == 1, 30, "the modem is ready")
    with line(stage, "cell1", stage.contacts[0]) as phone:
        phone.register()
        wait_until(lambda: stage.metrics()['avisiod_phones{registered="yes"}'] == 1, 30, "the phone is registered")
        watch = Watch(folder, stage)
        try:
            wait_until(lambda: watch.scrapes() >= 30, WITHIN_S, "half a quiet hour, in a hurry")
            assert watch.fired() - OF_A_WORKING_COPY == set()
            break_one_part_after_another(stage, watch)
        finally:
            watch.process.stop()


def break_one_part_after_another(stage: Stage, watch: Watch) -> None:
    good = stage.config_file.read_text()
    stage.config_file.write_text(good.replace("workers:", "wrokers:"))
    stage.daemon.signal(signal.SIGHUP)
    watch.wait_firing("AvisiodReloadRefused")

    certified(stage, days=1)
    stage.config_file.write_text(good)
    stage.daemon.signal(signal.SIGHUP)
    watch.wait_firing("AvisiodCertificateEnds", "AvisiodCertificateEnded")

    outcome.note(Path(stage.settings["backup"]["record_file"]), now(), problem="no room")
    left = Outcome(run_utc=now().isoformat(), problem="1 recordings could not be destroyed", overdue=1)
    retention_record.note(Path(stage.settings["recordings"]["record_file"]), left)
    stage.modem.unplug()
    shutil.rmtree(stage.recordings_folder)
    watch.wait_firing(
        "AvisiodModemUnusable", "AvisiodRecordingsUnwritable", "AvisiodBackupFailed", "AvisiodRetentionFailed"
    )

    (pid,) = workers(stage.daemon.pid, "sip_worker")

    os.kill(pid, signal.SIGKILL)
    taken: socket.socket = seize(stage.settings["sip"]["port"])
    with taken:
        watch.wait_firing("AvisiodNoWorkers", "AvisiodWorkersMissing", "AvisiodWorkersDie")

    stage.edge.stop()
    watch.wait_firing("AvisiodEdgeDown")
    stage.stop_daemon()
    watch.wait_firing("AvisiodDown")
