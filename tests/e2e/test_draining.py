"""A daemon that is told to stop lets calls go on for their while, says so to both, and refuses new ones in words."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.e2e.talk import Talk, line, talking

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

SISTER, BROTHER = ContactEntry("sister", "+33639980001"), ContactEntry("brother", "+33639980002")
PHONES = [PhoneEntry("cell1", "one", "A 1"), PhoneEntry("cell2", "two", "A 2")]
LONG_S = 600.0


@contextlib.contextmanager
def draining(folder: Path, drain_s: float) -> Iterator[tuple[Stage, Talk]]:
    """A call in a daemon that has been told to stop."""
    settings = {"calls": {"drain_s": drain_s}}
    with (
        Stage(folder, settings=settings, phones=PHONES, contacts=[SISTER, BROTHER]) as stage,
        talking(stage, "cell1", SISTER) as talk,
    ):
        stage.daemon.signal(signal.SIGTERM)
        yield stage, talk


def ends(stage: Stage) -> dict[str, tuple[str, int]]:
    """Of each phone's call: reason, and whether it is charged."""
    return {str(row["phone"]): (str(row["end_reason"]), int(row["charged"])) for row in stage.calls()}


def test_a_call_goes_on_while_new_ones_are_refused_and_the_daemon_ends_with_it(tmp_path: Path) -> None:
    with draining(tmp_path, LONG_S) as (stage, talk):
        told = talk.relative.heard.wait(lambda each: each[1]["type"] == "warning", 20, "the page is told")
        assert LONG_S - 5 < told[1]["remaining_s"] <= LONG_S
        stage.notified.wait(lambda word: word.startswith("EXTEND_TIMEOUT_USEC=6"), 20, "systemd is told to wait")
        with line(stage, "cell2", BROTHER) as late:
            assert late.dial() == 200, "it is answered to be refused in words"
            late.wait_hung_up(60)
            assert late.wait_ended() == ("service_stopping", 0)
        talk.wait_flowing()
        talk.relative.hang_up()
        assert stage.daemon.wait(60) == 0
        assert ends(stage)["cell1"] == ("relative_hung_up", 1)


def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    with draining(tmp_path, LONG_S) as (stage, talk):
        stage.daemon.wait_for_line("stopping: no new call is taken", 20)
        stage.daemon.signal(signal.SIGTERM)
        talk.wait_told("service_stopping", 60)
        assert stage.daemon.wait(60) == 0
        assert ends(stage)["cell1"] == ("service_stopping", 0)


def test_the_while_has_an_end(tmp_path: Path) -> None:
    with draining(tmp_path, 3.0) as (stage, talk):
        talk.wait_told("service_stopping", 60)
        talk.phone.wait_hung_up(60)
        assert stage.daemon.wait(60) == 0
        assert ends(stage)["cell1"] == ("service_stopping", 0)
