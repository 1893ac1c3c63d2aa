"""A phone that knows nothing but its MAC sets itself up, calls, and reports; a stranger gets nothing."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avisiod.cli.main import main
from tests.e2e.stage import PhoneEntry, Stage
from tests.peers.authority import Authority
from tests.peers.booted_phone import BootedPhone, boot, get, notes, trusting
from tests.peers.ports import free_port
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

MAC = "001565a1b2c3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provisioning")


@pytest.fixture(scope="module")
def vendor(folder: Path) -> Authority:
    return Authority(folder, "vendor")


@pytest.fixture(scope="module")
def site(folder: Path) -> Authority:
    return Authority(folder, "site")


@pytest.fixture(scope="module")
def stage(folder: Path, vendor: Authority, site: Authority) -> Iterator[Stage]:
    edge_port = free_port()
    server = site.issue("server", "127.0.0.1")
    settings = {
        "provisioning": {
            "address": "127.0.0.1",
            "port": free_port(),
            "certificate_file": str(server),
            "key_file": str(server),
            "authentication": "either",
            "client_ca_file": str(vendor.file),
            "master_key_file": str(folder / "stage" / "state" / "phones.key"),
            "registrar": f"127.0.0.1:{edge_port}",
            "transport": "udp",
        },
        "phones": {"encryption": "never", "audio_codecs": ["PCMA"]},
    }
    phones = [PhoneEntry("cell1"), PhoneEntry("cell2")]
    with Stage(folder / "stage", phones=phones, settings=settings, edge_port=edge_port) as stage:
        yield stage


def ctl(stage: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code = main(["--config", str(stage.config_file), *arguments, "--json"])
    out = capsys.readouterr().out
    assert code == 0, out
    return json.loads(out)


def url_of(stage: Stage) -> str:
    return f"https://127.0.0.1:{stage.settings['provisioning']['port']}"


def test_a_phone_boots_from_its_mac_calls_and_is_seen(
    stage: Stage, vendor: Authority, site: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ctl(stage, capsys, "devices", "add", "cell1", "--mac", MAC, "--vendor", "generic")
    context = trusting(site.file, vendor.issue(MAC))
    files = boot(url_of(stage), MAC, context)
    assert "not-a-secret" not in files["accounts"], "the inventory file's password is from before"
    with BootedPhone(tmp_path / "phone", files, user="cell1") as phone:
        phone.wait_registered()
        phone.dial(stage.contacts[0].dialled)
        phone.wait_established(20)
        assert len(stage.wait_code()) == 6
        phone.hang_up()
        phone.wait_closed()

        # baresip knows no check-sync, and says so; a call that opens nothing it takes by itself.
        assert ctl(stage, capsys, "devices", "reload", "cell1")["why"] == "it did not take it"
        assert ctl(stage, capsys, "devices", "test", "cell1") == {"phone": "cell1", "done": True, "why": ""}

        events = notes(files)["events"]
        now = int(datetime.datetime.now(datetime.UTC).timestamp())  # noqa: TID251 - as a phone's own clock
        report = f"{events}booted?n=1&t={now}&r=one"
        assert [get(report, context)[0] for _ in range(2)] == [200, 404], "a report that is made twice is one"
        assert get(f"{events}tamper?n=2&t={now}&r=two", context)[0] == 200

        def seen() -> bool:
            (row,) = (row for row in ctl(stage, capsys, "phones") if row["phone"] == "cell1")
            return row["state"] == "tampered" and row["firmware"] != "" and row["event"] == "tamper"

        wait_until(seen, 60, "the phone's health is kept", 0.5)
    told = [row["event"] for row in ctl(stage, capsys, "phones", "events", "cell1")]
    assert {"provisioned", "booted", "tamper", "state"} <= set(told)
    counted = stage.metrics()
    assert counted['avisiod_provisioning_requests_total{result="served"}'] == 2
    assert counted['avisiod_provisioning_requests_total{result="replayed"}'] == 1
    assert counted['avisiod_phone_events_total{event="tamper"}'] == 1


def test_a_one_time_token_sets_a_phone_up_once(
    stage: Stage, site: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mac = "001565a1b2c4"
    ctl(stage, capsys, "devices", "add", "cell2", "--mac", mac, "--vendor", "generic")
    token = ctl(stage, capsys, "devices", "token", "cell2")
    context = trusting(site.file)
    files = boot(token["url"], mac, context)
    with BootedPhone(tmp_path / "phone", files, user="cell2") as phone:
        phone.wait_registered()
    again = boot(notes(files)["settings"], mac, context)
    assert again == files, "from then on with its own address"
    log = (stage.folder / "avisiod.log").read_text()
    secrets = [part for name in ("settings", "events") for part in notes(files)[name].split("/") if len(part) == 26]
    assert len(secrets) == 2
    assert not [each for each in (*secrets, token["url"].split("/")[-2]) if each in log]


def test_a_stranger_gets_nothing_and_is_told_of(
    stage: Stage, vendor: Authority, site: Authority, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = "001565ffffff"
    with_certificate = trusting(site.file, vendor.issue(stranger))
    nothing = get(f"{url_of(stage)}/{stranger}/config", with_certificate)
    assert nothing == get(f"{url_of(stage)}/no/such", with_certificate)
    assert nothing == get(f"{url_of(stage)}/{MAC}/config", with_certificate), "nor another's"
    assert nothing[0] == 404
    forger = Authority(folder / "forged", "forger")
    with pytest.raises(OSError, match=r"(?i)ssl|tls|reset|closed"):
        get(f"{url_of(stage)}/{MAC}/config", trusting(site.file, forger.issue(MAC)))
    assert stage.metrics()['avisiod_provisioning_requests_total{result="unknown_mac"}'] >= 1
    wait_until(
        lambda: "unknown_phone" in [row["event"] for row in ctl(stage, capsys, "phones", "events")],
        70,
        "the stranger is noted",
        0.5,
    )
