"""A whole daemon with three routes: the first is dead, the second hangs, the third is a modem; then all recover."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.scene import dialled
from tests.e2e.stage import ROOT, Stage
from tests.peers.sms_provider import SECRETS, SmsProvider, settings
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Stage, list[SmsProvider]]]:
    providers = [SmsProvider("ovh"), SmsProvider("twilio")]
    modem = {"name": "modem", "kind": "modem", "device": str(tmp_path / "modem")}
    routes = [*(settings(each, tmp_path) for each in providers), modem]
    try:
        with Stage(tmp_path, settings={"sms": {"routes": routes, "overtake_s": 1.0}}) as stage:
            yield stage, providers
    finally:
        for each in providers:
            each.close()


def asked(stage: Stage, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "avisiod.cli", "--config", str(stage.config_file), *words, "--json"]
    command[1:3] = ["-c", "import sys; from avisiod.cli.main import main; sys.exit(main())"]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, env=environment)


def test_codes_leave_whatever_fails_and_staff_see_why(scene):
    stage, (ovh, twilio) = scene
    wait_until(lambda: stage.metrics()["avisiod_sms_routes_usable"] == 3, 60, "three routes")
    ovh.fault, twilio.fault = "401", "hold"
    with dialled(stage) as call:
        pass
    assert (ovh.asked, twilio.asked, len(ovh.taken.items())) == (1, 1, 0)
    twilio.released.set()
    rows = {row["route"]: row for row in json.loads(asked(stage, "sms", "routes").stdout)}
    assert rows["ovh"]["trouble"] == "credentials: needs a person"
    assert rows["modem"]["today"] == "1 of 1"
    wait_until(
        lambda: stage.metrics()['avisiod_sms_route_messages_total{result="accepted",route="modem"}'] == 1, 20, "it"
    )
    ovh.fault = ""
    tried = asked(stage, "sms", "test", "ovh", text="0639980009\n")
    assert (tried.returncode, json.loads(tried.stdout)["sent"]) == (0, True)
    (taken,) = ovh.taken.items()
    assert (taken.number, call.code in taken.text) == ("+33639980009", False)
    assert asked(stage, "sms", "test", "nowhere", text="0639980009\n").returncode == 1
    log = (stage.folder / "avisiod.log").read_text()
    secrets = [value for of_kind in SECRETS.values() for value in of_kind.values()]
    assert not [secret for secret in [*secrets, call.code, "639980001", "639980009"] if secret in log]
