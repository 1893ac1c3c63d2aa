"""A press of the key in the guard's post ends the calls of its building on a whole daemon, and no others."""

import contextlib
import sys
from pathlib import Path

import pytest

from tests.bench.scene import dialled
from tests.e2e.stage import ROOT, ContactEntry, PhoneEntry, Stage
from tests.peers.processes import Process
from tests.peers.relay_board import RelayBoard
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

PHONES = [PhoneEntry(), PhoneEntry("cell2", "another", "B 201")]
CONTACTS = [ContactEntry(), ContactEntry("brother", "+33639980002")]
STATE = 'avisiod_emergency_key{{board="guard",key="post",state="{}"}}'


def test_one_press_ends_what_it_is_for(tmp_path: Path) -> None:
    board = {
        "name": "guard",
        "device": str(tmp_path / "board"),
        "keys": [{"name": "post", "closed_input": 0, "open_input": 1, "phones": ["cell1"]}],
        "lamps": [{"name": "cell1", "output": 0, "phones": ["cell1"]}],
    }
    for event in ("emergency-key", "board-lost", "call-ended"):
        hook = tmp_path / "hooks" / f"{event}.d" / "10-note"
        hook.parent.mkdir(parents=True)
        hook.write_text(f"#!/bin/sh\nenv | grep AVISIOD_ | sort | tr '\\n' ' ' >>{tmp_path}/told\n")
        hook.chmod(0o755)
    runner = [sys.executable, "-m", "avisiod.hook_runner", "--folder", tmp_path / "hooks"]
    hooks = Process([*runner, "--socket", tmp_path / "hooks.sock"], name="hooks", env={"PYTHONPATH": str(ROOT)})
    settings = {"boards": {"list": [board]}, "hooks": {"socket_file": str(tmp_path / "hooks.sock")}}
    with (
        contextlib.closing(contextlib.ExitStack()) as closing,
        RelayBoard(tmp_path / "board") as wired,
        Stage(tmp_path, settings=settings, phones=PHONES, contacts=CONTACTS) as stage,
    ):
        closing.callback(hooks.stop, 5)
        wired.set(1, False)
        wait_until(lambda: stage.metrics()[STATE.format("rest")] == 1, 20, "the key at rest")
        with dialled(stage, "cell1", CONTACTS[0]) as first, dialled(stage, "cell2", CONTACTS[1]) as second:
            wait_until(lambda: wired.outputs[0], 20, "the lamp")
            wired.set(1, True)
            wired.set(0, False)
            assert first.wait_ended() == "staff_ended"
            wait_until(lambda: stage.metrics()[STATE.format("pressed")] == 1, 20, "the metric")
            wait_until(lambda: not wired.outputs[0], 20, "the lamp out")
            wait_until(lambda: "is pressed" in stage.health(), 20, "the page of health")
            assert not any(row["state"] == "ended" for row in second.journal())
        wired.unplug()
        wait_until(lambda: "its emergency keys do nothing" in stage.health(), 20, "the loss")
        wait_until(lambda: stage.metrics()['avisiod_hooks_total{result="done"}'] >= 4, 20, "the scripts")
        told = (tmp_path / "told").read_text()
    assert "AVISIOD_BOARD=guard AVISIOD_EVENT=emergency-key AVISIOD_KEY=post" in told
    assert "AVISIOD_BOARD=guard AVISIOD_EVENT=board-lost" in told
    assert "AVISIOD_CAUSE=staff" in told
    assert "639980001" not in told
    assert first.code not in told
