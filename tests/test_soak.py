"""The soak's own judgement: a call that came out wrong is called wrong, whatever fault was near."""

from pathlib import Path
from typing import Any

import pytest

from tests.soak import page
from tests.soak.judge import judge
from tests.soak.story import Call, Fault, Plan

MINE, OTHER = 11, 12


def call(**facts: Any) -> Call:
    """Dialled at 0, talking from 5 to 20, hung up by the relative, all as it should be."""
    return Call(
        **{
            "lane": 0,
            "plan": Plan.RELATIVE,
            "comes_back": False,
            "confidential": False,
            "dialled_at": 0.0,
            "status": 200,
            "answered_at": 1.0,
            "connected_at": 5.0,
            "end_asked_at": 20.0,
            "over_at": 22.0,
            "media_pid": MINE,
            "sip_pid": MINE,
            "hung_up": True,
            "page_told": "relative_hung_up",
            "phone_heard": 100,
            "relative_heard": 100,
            **facts,
        }
    )


def wrong(of: Call, reason: str = "", *faults: Fault, ended_at: float = 20.1, **row: Any) -> str:
    reason = reason or of.plan.value
    charged = reason in ("relative_hung_up", "detainee_hung_up", "limit_reached", "relative_lost")
    kept = {"end_reason": reason, "charged": charged, "connected_s": 15.0, "limit_s": 30.0, **row}
    journal = [{"state": "connected", "at_monotonic": 5.0}, {"state": "ended", "at_monotonic": ended_at}]
    return judge(of, kept, journal, faults).why


def killed(kind: str = "media_worker SIGKILL", at: float = 10.0, pid: int | None = MINE, **facts: Any) -> Fault:
    return Fault(kind, at, at + 1.0, pid, facts)


def test_a_call_that_nothing_met_must_be_right_in_every_way() -> None:
    assert wrong(call()) == ""
    assert wrong(call(), "phone_lost")
    assert wrong(call(), charged=False)
    assert wrong(call(), connected_s=31.0)
    assert wrong(call(page_told=""))
    assert wrong(call(hung_up=False))
    assert wrong(call(phone_heard=0))
    assert wrong(call(trouble="coming back: no answer"))


def test_a_call_without_a_row_is_wrong_unless_it_could_not_be_dialled() -> None:
    refused = call(status=503, answered_at=None, connected_at=None, end_asked_at=None, over_at=0.1)
    assert judge(refused, None, [], []).why
    assert judge(refused, None, [], [killed("disk full", 0.0)]).why
    assert not judge(refused, None, [], [killed("control SIGKILL", 0.0)]).why


def test_a_media_worker_that_died_ends_its_own_calls_and_no_other() -> None:
    assert wrong(call(), "media_failed", killed(), ended_at=10.1) == ""
    assert wrong(call(), "", killed(), ended_at=20.1), "it cannot have gone on"
    assert wrong(call(), "media_failed", killed(pid=OTHER), ended_at=10.1)
    assert wrong(call(), "", killed(pid=OTHER)) == ""
    assert wrong(call(), "media_failed", killed(at=40.0), ended_at=20.1)
    assert wrong(call(), "media_failed", killed("media_worker SIGSTOP"), ended_at=10.1), "it was made to go on"


@pytest.mark.parametrize(
    "kind", ["clock jumps", "disk slow", "database locked", "control SIGSTOP", "modem unplugged"]
)
def test_what_must_not_be_noticed_excuses_nothing(kind: str) -> None:
    assert wrong(call(), "", killed(kind)) == ""
    for reason in ("media_failed", "store_failed", "recorder_failed", "service_restarted", "phone_lost"):
        assert wrong(call(), reason, killed(kind), ended_at=10.5)


def test_a_sip_worker_that_died_is_noticed_by_the_phones_silence_only() -> None:
    fault = killed("sip_worker SIGABRT")
    assert wrong(call(), "", fault) == ""
    assert wrong(call(), "phone_lost", fault)
    assert wrong(call(plan=Plan.DETAINEE, bye="unknown", hung_up=False), "phone_lost", fault) == ""
    assert wrong(call(plan=Plan.DETAINEE, bye="unknown", hung_up=False), "phone_lost", killed(fault.kind, pid=OTHER))


def test_a_sip_worker_that_dies_with_a_bye_in_its_hands_is_noticed_by_silence() -> None:
    answered = {"plan": Plan.DETAINEE, "bye": "ok", "hung_up": False}
    assert wrong(call(**answered), "phone_lost", killed("sip_worker SIGKILL", at=20.3)) == ""
    assert wrong(call(**answered), "phone_lost", killed("sip_worker SIGKILL", at=10.0))
    assert wrong(call(**answered), "phone_lost", killed("sip_worker SIGKILL", at=20.3, pid=OTHER))


def test_a_full_disk_excuses_recorded_calls_only() -> None:
    assert wrong(call(), "disk_full", killed("disk full"), ended_at=10.5) == ""
    assert wrong(call(confidential=True), "disk_full", killed("disk full"), ended_at=10.5)


def test_control_that_was_restarted_ends_every_call_with_that_reason() -> None:
    assert wrong(call(), "service_stopping", killed("control restarted"), ended_at=10.1) == ""
    assert wrong(call(), "service_restarted", killed("control restarted"), ended_at=10.1)


def test_the_limit_may_come_before_a_silence_is_noticed_and_not_before_a_word() -> None:
    late = {"end_asked_at": 25.0, "over_at": 36.0}
    assert wrong(call(plan=Plan.RELATIVE_GOES, **late), "limit_reached", ended_at=35.0) == ""
    assert wrong(call(**late), "limit_reached", ended_at=35.0)
    assert wrong(call(plan=Plan.RELATIVE_GOES, end_asked_at=10.0), "limit_reached")


def test_the_page_keeps_its_other_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = {
        "day": "today", "commit": "c", "machine": "m", "system": "s", "minutes": 3.0, "lanes": 2, "every_s": 60.0,
        "seed": 1, "load": [0.5, 1.5], "calls": 2, "calls_wrong": [], "reasons": {"limit_reached": 2}, "memory": [],
        "faults": {"disk slow": {"times": 1, "back_s": []}}, "wrong": [],
        "recordings": {"opened": 2, "kept": 2, "truncated": 0, "found_at_a_restart": 0, "wrong": []},
    }  # fmt: skip
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.PAGE.write_text(f"before\n\n{page.NEXT}\n\nafter\n")
    page.write(report)
    once = page.PAGE.read_text()
    page.write(report)
    assert page.PAGE.read_text() == once
    assert once.startswith("before\n")
    assert once.endswith(f"{page.NEXT}\n\nafter\n")
    assert "✗" not in page.standing(once)
    page.write({**report, "calls_wrong": [{"why": "lost", "id": "x", "plan": "p", "faults": []}]})
    assert "✗ every call right" in page.standing(page.PAGE.read_text())
