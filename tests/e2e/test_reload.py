"""SIGHUP to a real daemon with a call under way: the call goes on, the next one finds the new settings, if good."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.e2e.talk import line, talking

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

SISTER, BROTHER = ContactEntry("sister", "+33639980001"), ContactEntry("brother", "+33639980002")
STRANGER = ContactEntry("stranger", "+33639980003")
PHONES = [PhoneEntry("cell1", "one", "A 1"), PhoneEntry("cell2", "two", "A 2")]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path, phones=PHONES, contacts=[SISTER, BROTHER]) as stage:
        yield stage


def reload(stage: Stage, expected: str, **changes: dict[str, Any]) -> int:
    """Write these sections over the file's, ask for a reload, wait for the line; where the lines of it begin."""
    settings = {name: dict(keys) for name, keys in stage.settings.items()}
    for section, keys in changes.items():
        settings.setdefault(section, {}).update(keys)
    stage.config_file.write_text(yaml.safe_dump(settings))
    mark = stage.daemon.lines.mark()
    stage.daemon.signal(signal.SIGHUP)
    stage.daemon.wait_for_line(expected, 30, since=mark)
    stage.notified.wait(
        lambda word: word == "READY=1", 20, "systemd hears that it is done", stage.notified.mark() - 1
    )
    return mark


def limit_of(stage: Stage, phone: str) -> float:
    return float(next(row["limit_s"] for row in reversed(stage.calls()) if row["phone"] == phone))


def test_a_reload_in_mid_call_reaches_the_next_call_and_a_bad_one_reaches_nothing(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as talk:
        mark = reload(
            stage,
            r"sip\.port was changed, which takes a restart",
            calls={"limit_s": 300.0, "capacity": 7},
            phones={"encryption": "required", "keys_need_tls": False},
            sip={"port": 5999},
            log={"level": "DEBUG"},
        )
        stage.daemon.wait_for_line("settings reloaded .*calls.limit_s.*phones.encryption.*log.level", 20, since=mark)
        assert stage.metrics()["avisiod_calls_capacity"] == 7
        with line(stage, "cell2", BROTHER) as second:
            assert second.dial() == 488, "the media workers heard that phones must encrypt"
        reload(stage, "those in use stay.*calls.limits_s: unknown key", calls={"limits_s": 60.0})
        reload(stage, "those in use stay.*broken.yaml", **broken_inventory(stage))
        assert stage.metrics()["avisiod_calls_capacity"] == 7
        reload(stage, "settings reloaded", calls={"limit_s": 240.0})
        talk.wait_flowing()
        assert limit_of(stage, "cell1") == 1200, "what it was granted stays"
        with talking(stage, "cell2", BROTHER) as second_talk:
            assert limit_of(stage, "cell2") == 240
            second_talk.relative.hang_up()
            second_talk.phone.wait_ended()
        found = stage.metrics()
        taken, refused = (found[f'avisiod_config_reloads_total{{result="{each}"}}'] for each in ("taken", "refused"))
        assert (taken, refused) == (2, 2)
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)


def broken_inventory(stage: Stage) -> dict[str, dict[str, Any]]:
    """A section that names an inventory with a bad line."""
    file = stage.folder / "broken.yaml"
    text = Path(stage.settings["store"]["inventory_file"]).read_text()
    file.write_text(text.replace(SISTER.number, "no number"))
    return {"store": {"inventory_file": str(file)}}


def test_a_contact_that_was_added_to_the_inventory_can_be_called(stage: Stage) -> None:
    with line(stage, "cell1", STRANGER) as before:
        assert before.dial() == 200, "it hears that the number is unknown"
        assert before.wait_ended(60)[0] == "unknown_number"
    stage.contacts.append(STRANGER)
    Path(stage.settings["store"]["inventory_file"]).write_text(yaml.safe_dump(stage._inventory()))
    reload(stage, "settings reloaded .*: nothing")
    with talking(stage, "cell1", STRANGER) as talk:
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)
