"""A phone that knows nothing but its MAC sets itself up, calls, and reports; a stranger gets nothing."""

import datetime
import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avisiod.cli.main import main
from tests.e2e.stage import PhoneEntry, Stage
from tests.peers.authority import Authority
from tests.peers.booted_phone import BootedPhone, boot, get, notes, trusting
from tests.peers.ports import free_port
from tests.peers.signer import Signer
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

MAC = "001565a1b2c3"
UPDATED = ("old1", "old2", "old3")
SIGNER = Signer()
ROM = bytes(range(256)) * 500


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
        "firmware": {
            "folder": str(folder / "firmware"),
            "public_keys": [SIGNER.public],
            "back_within_s": 15.0,
        },
    }
    phones = [PhoneEntry("cell1"), PhoneEntry("cell2"), *(PhoneEntry(name) for name in UPDATED)]
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
        with pytest.raises(ValueError, match="dial plan"):
            phone.dial("*21*0639980001#")
        phone.dial(stage.contacts[0].dialled)
        phone.wait_established(20)
        assert len(stage.wait_code()) == 6
        phone.hang_up()
        phone.wait_closed()

        # baresip reads the NOTIFY and takes none without a subscription (481); a call that opens nothing it takes.
        assert ctl(stage, capsys, "devices", "reload", "cell1")["why"] == "it answered 481"
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

    stage.stop_daemon()
    stage.start_daemon()

    def replayed() -> bool:
        assert get(report, context)[0] in (404, 503), "it counts no second time, and later means later"
        return stage.metrics()['avisiod_provisioning_requests_total{result="replayed"}'] == 1

    wait_until(replayed, 30, "a report of before the restart is refused", 0.5)


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


class OldPhone:
    """A phone that registers, and when it is told to, fetches its settings and what firmware stands in them."""

    def __init__(self, stage: Stage, name: str, number: int, context: ssl.SSLContext) -> None:
        self.mac = f"0015650000{number:02x}"
        self.sip = SipClient(stage.edge.edge, name, stage.phones[name].password)
        self._context = context
        self._url = url_of(stage)

    def register(self, version: str) -> None:
        self.sip.new_dialogue()
        assert self.sip.register(User_Agent=f"Yealink SIP-VP59 {version}").status == 200

    def wait_told(self) -> None:
        def told(message: object) -> bool:
            return isinstance(message, Request) and message.method == "NOTIFY"

        notify = self.sip.received.wait(told, 40, "NOTIFY")
        assert isinstance(notify, Request)
        assert notify.get("event") == "check-sync;reboot=true"

    def update(self) -> bytes:
        """The firmware, in two halves as if the line had broken; then it starts with a new password and version."""
        status, body = get(f"{self._url}/{self.mac}.cfg", self._context)
        assert status == 200
        lines = dict(re.findall(r"(?m)^(\S+) = (.*)$", body.decode()))
        url = lines["static.firmware.url"]
        half = len(ROM) // 2
        first = get(url, self._context, {"Range": f"bytes=0-{half - 1}"})
        second = get(url, self._context, {"Range": f"bytes={half}-"})
        assert (first[0], second[0]) == (206, 206)
        self.sip.password = lines["account.1.password"]
        self.register("91.2")
        return first[1] + second[1]


def test_firmware_goes_out_in_stages_and_stops_at_a_phone_that_does_not_come_back(
    stage: Stage, vendor: Authority, site: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phones = []
    for number, name in enumerate(UPDATED, 1):
        phone = OldPhone(stage, name, number, trusting(site.file, vendor.issue(f"0015650000{number:02x}")))
        ctl(stage, capsys, "devices", "add", name, "--mac", phone.mac, "--vendor", "yealink")
        phone.register("91.1")
        phones.append(phone)

    def up(version: str, *names: str) -> bool:
        rows = {row["phone"]: row for row in ctl(stage, capsys, "phones")}
        return all(rows[name]["state"] == "up" and rows[name]["firmware"] == version for name in names)

    wait_until(lambda: up("91.1", *UPDATED), 60, "all run the old version", 0.5)
    rom = SIGNER.write(tmp_path / "vp59.rom", ROM)
    ctl(stage, capsys, "firmware", "add", "vp59", str(rom), "--vendor", "yealink", "--release", "91.2")
    day = ("--begins", "00:00", "--ends", "24:00")
    name = ctl(stage, capsys, "firmware", "start", "vp59", "--stages", "1,all", *day)["id"]

    def rollout() -> dict[str, Any]:
        return dict(ctl(stage, capsys, "firmware", "show", name))

    phones[0].wait_told()
    assert rollout()["waiting"] == 2, "the others wait for the first"
    assert phones[0].update() == ROM
    phones[1].wait_told()
    phones[2].wait_told()
    assert phones[1].update() == ROM
    wait_until(lambda: rollout()["state"] == "stopped", 60, "it stops by itself", 0.5)
    shown = rollout()
    assert {each["phone"]: each["state"] for each in shown["each"]} == {
        "old1": "done",
        "old2": "done",
        "old3": "failed",
    }
    assert "1 of stage 2 did not come back with 91.2" in shown["why"]
    assert stage.metrics()['avisiod_firmware_phones_total{step="failed"}'] == 1
    for phone in phones:
        phone.sip.close()
