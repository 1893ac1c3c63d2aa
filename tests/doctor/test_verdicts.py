"""What each fact means, and what to do: by tables."""

import datetime
from typing import Any

import pytest

from avisiod.certificates import Found
from avisiod.doctor import verdicts
from avisiod.doctor.verdicts import Finding, Verdict
from avisiod.office.box import Route

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
GB = 10**9


def ends(days: float) -> Found:
    return Found("portal", "/p.crt", NOW + datetime.timedelta(days=days), "")


def route(state: str = "up", trouble: str = "", detail: str = "ttyUSB2: SIM ready, Orange F, -71 dBm") -> Route:
    return Route(route="gsm", kind="modem", state=state, trouble=trouble, detail=detail)


OK = "SIP/2.0 200 OK"

CASES: list[tuple[str, tuple[Any, ...], str, str]] = [
    ("settings", ([], []), "ok", "good"),
    ("settings", ([], ["portal.public_url: localhost"]), "warning", "localhost"),
    ("settings", (["line 3: calls.limits"], []), "failed", "line 3"),
    ("daemon", (True, []), "ok", "answers"),
    ("daemon", (True, ["the disk is full"]), "warning", "disk is full"),
    ("daemon", (False, []), "failed", "does not answer"),
    ("edge", ("here", OK), "ok", "answers on here"),
    ("edge", ("here", ""), "failed", "no answer"),
    ("edge", ("here", "SIP/2.0 503 Busy"), "failed", "503"),
    ("sip_workers", ([(5062, OK), (5063, OK)],), "ok", "all 2 answer"),
    ("sip_workers", ([(5062, OK), (5063, "")],), "warning", "1 of 2 do not answer (port 5063)"),
    ("sip_workers", ([(5062, ""), (5063, "")],), "failed", "2 of 2"),
    ("media", (50, ""), "ok", "50 packets"),
    ("media", (25, ""), "ok", "25 packets"),
    ("media", (24, ""), "failed", "24 packets"),
    ("media", (0, "no ports"), "failed", "no ports"),
    ("sms", ([],), "failed", "no route"),
    ("sms", ([route()],), "ok", "-71 dBm"),
    ("sms", ([route(detail="x: SIM ready, O, -109 dBm")],), "warning", "-109"),
    ("sms", ([route(trouble="network")],), "warning", "network"),
    ("sms", ([route(state="absent")],), "failed", "absent"),
    ("sms", ([route(state="rests 30 s", trouble="sim: needs a person")],), "failed", "needs a person"),
    ("sms", ([route(state="to be tried", detail="")],), "ok", "to be tried"),
    ("turn", ("turn:a:3478", "192.0.2.1 port 9", ""), "ok", "gave 192.0.2.1"),
    ("turn", ("turn:a:3478", "", "refused with 401"), "failed", "401"),
    ("turn", ("stun:a:3478", "192.0.2.1 port 9", ""), "ok", "sees us at 192.0.2.1"),
    ("turn", ("stun:a:3478", "", "no answer"), "warning", "no answer"),
    ("certificate", (ends(15), NOW), "ok", "ends in 15 d"),
    ("certificate", (ends(13), NOW), "warning", "ends in 13 d"),
    ("certificate", (ends(-1), NOW), "failed", "ended on 2026-11-24"),
    ("certificate", (Found("portal", "/p.crt", None, "No such file"), NOW), "failed", "/p.crt: No such file"),
    ("clock", (True, 0.01), "ok", "10 ms"),
    ("clock", (True, 2.5), "warning", "2.5 s"),
    ("clock", (False, 16.0), "failed", "not synchronised"),
    ("clock", (None, 0.0), "not tried", "does not tell"),
    ("disk", (400 * GB, 2 * GB, 200e6, 0.01, ""), "ok", "400.0 GB free"),
    ("disk", (9 * GB, 2 * GB, 200e6, 0.01, ""), "warning", "9.0 GB"),
    ("disk", (400 * GB, 2 * GB, 5e6, 0.01, ""), "warning", "5 MB/s"),
    ("disk", (400 * GB, 2 * GB, 200e6, 3.0, ""), "warning", "3000 ms"),
    ("disk", (1 * GB, 2 * GB, 200e6, 0.01, ""), "failed", "1.0 GB"),
    ("disk", (0, 2 * GB, 0.0, 0.0, "/r: Read-only file system"), "failed", "Read-only"),
    ("backup", (3600.0, "", 1), "ok", "1 h old"),
    ("backup", (3600.0, "disk full", 1), "warning", "disk full"),
    ("backup", (3 * 86400.0, "", 1), "failed", "3 d old"),
    ("backup", (None, "", 1), "failed", "none was ever made"),
    ("backup", (None, "", 0), "warning", "backup.recipients is empty"),
    ("retention", (3600.0, "", 2), "ok", "1 h ago, 2 recordings are kept for a hold"),
    ("retention", (3600.0, "1 recordings could not be destroyed", 0), "warning", "could not be destroyed"),
    ("retention", (3 * 86400.0, "the clock may be wrong", 0), "failed", "the clock may be wrong"),
    ("retention", (None, "", 0), "failed", "never ran"),
    ("phones", (60, 60), "ok", "60 of 60"),
    ("phones", (40, 60), "warning", "40 of 60"),
    ("phones", (0, 0), "warning", "none is listed"),
    ("phones", (None, 60), "failed", "cannot be read"),
]


@pytest.mark.parametrize(("check", "facts", "verdict", "found"), CASES)
def test_a_fact_is_judged(check: str, facts: tuple[Any, ...], verdict: str, found: str) -> None:
    judged = getattr(verdicts, check)(*facts)
    (finding,) = judged if isinstance(judged, list) else [judged]
    assert (finding.verdict, found in finding.found) == (verdict, True), finding
    good = finding.verdict in (Verdict.OK, Verdict.NOT_TRIED)
    assert bool(finding.means) is not good, "whoever hears of a fault hears what it means"
    assert bool(finding.do) is not good, "and what to do"


def test_every_check_is_tried_on_good_and_on_bad_facts() -> None:
    seen: dict[str, set[str]] = {}
    for check, _, verdict, _ in CASES:
        seen.setdefault(check, set()).add(verdict)
    for check, judged in seen.items():
        assert "ok" in judged, check
        assert judged & {"failed", "warning"}, check


def test_a_route_that_is_down_is_no_failure_while_another_works() -> None:
    findings: list[Finding] = verdicts.sms([route(state="absent"), Route(route="api", kind="ovh", state="up")])
    assert [each.verdict for each in findings] == ["warning", "ok"]
