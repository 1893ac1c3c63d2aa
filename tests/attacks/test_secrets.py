"""A whole call with every log at its most talkative: what must stay secret stands nowhere."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.connected import connected, wait_ended
from tests.e2e.stage import Stage
from tests.peers.ports import free_port
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

TURN_SECRET = "not-for-the-log-0123456789abcdef"


class Secrets(NamedTuple):
    """Name and value of what nobody may read."""

    name: str
    value: str


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("secrets")
    secret_file = folder / "turn.secret"
    secret_file.write_text(TURN_SECRET)
    secret_file.chmod(0o600)
    turn = {"urls": [f"turn:127.0.0.1:{free_port()}?transport=udp"], "secret_file": str(secret_file)}
    settings = {
        "log": {"level": "DEBUG"},
        "media": {"ice_servers": [turn]},
    }
    with Stage(folder, settings=settings) as stage:
        yield stage


@pytest.fixture(scope="module")
def places(stage: Stage) -> dict[str, str]:
    """Everything that somebody reads, after a call; the call's own secrets under `secrets`."""
    phone = stage.phone()
    wrong = stage.sms.mark()
    with connected(stage, phone) as (relative, call):
        said = stage.sms.items(wrong)[-1].text
        token = str(relative.evaluate("JSON.stringify([sessionStorage, localStorage])"))
        argv = {f"argv of {pid}": text for pid, text in processes().items()}
        relative.evaluate("document.getElementById('hang-up').click()")
        relative.evaluate("document.getElementById('really').click()")
        wait_ended(stage, call)
    wait_until(lambda: bool(stage.recordings()), 15, "a sealed recording")
    rows = stage.rows("select event, details from events")
    found = {
        "log of the daemon and its workers": (stage.folder / "avisiod.log").read_text(errors="replace"),
        "log of the edge": (stage.folder / "kamailio" / "kamailio.log").read_text(errors="replace"),
        "metrics": "\n".join(f"{name} {value}" for name, value in stage.metrics().items()),
        "health": stage.health(),
        "journal": "\n".join(f"{row['event']} {row['details']}" for row in rows),
        "manifest": "".join(file.read_text() for file in stage.recordings_folder.rglob("*.json")),
        **argv,
    }
    assert len(found["log of the daemon and its workers"]) > 5_000
    assert len(found["journal"]) > 100
    return {**found, "SMS": said, "browser": token}


def processes() -> dict[str, str]:
    """The command line of every process of this machine."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            found[folder.name] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, ValueError):
            continue
    return {pid: text for pid, text in found.items() if "avisiod" in text or "kamailio" in text}


def secrets_of(stage: Stage, said: str) -> list[Secrets]:
    port = stage.settings["portal"]["port"]
    link = said.split(f"localhost:{port}/")[1].split(maxsplit=1)[0].strip(" .,;")
    phone, number = stage.phones["cell1"], stage.contacts[0].number
    return [
        Secrets("code", said.rsplit("#", 1)[1][:6]),
        Secrets("link", f"/{link}"),
        Secrets("number", number.removeprefix("+33")),
        Secrets("HA1", phone.ha1),
        Secrets("password", phone.password),
        Secrets("TURN secret", TURN_SECRET),
        Secrets("code key", (stage.folder / "state" / "code.key").read_bytes().hex()),
    ]


def test_no_secret_stands_in_a_log_a_metric_an_argv_a_manifest_or_the_journal(
    stage: Stage, places: dict[str, str]
) -> None:
    read = {name: text for name, text in places.items() if name not in {"SMS", "browser"}}
    found = [
        (secret.name, name)
        for secret in secrets_of(stage, places["SMS"])
        for name, text in read.items()
        if secret.value in text
    ]
    assert found == []


def test_no_turn_credential_stands_anywhere(stage: Stage, places: dict[str, str]) -> None:
    read = {name: text for name, text in places.items() if name not in {"SMS", "browser"}}
    for name, text in read.items():
        for word in text.replace('"', " ").replace("'", " ").split():
            expires, colon, _ = word.partition(":")
            if colon and expires.isdecimal():
                credential = hmac.new(TURN_SECRET.encode(), word.encode(), hashlib.sha1).digest()
                assert base64.b64encode(credential).decode() not in text, name


def test_ice_passwords_stand_in_no_log(places: dict[str, str]) -> None:
    for line in places["log of the daemon and its workers"].splitlines():
        if "ice-pwd:" in line:
            assert "ice-pwd:******" in line, "whoever reads the log could join the media"


def test_the_test_would_see_what_it_looks_for(stage: Stage, places: dict[str, str]) -> None:
    code = next(secret.value for secret in secrets_of(stage, places["SMS"]) if secret.name == "code")
    assert code in places["SMS"]
    assert len(code) == 6
