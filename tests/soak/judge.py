"""What a call of a soak may have come to: its plan's own end, or one that a fault on its way accounts for.

A fault that hit a call for certain leaves one right end only; where the order of things within a second or two
decides, both are right. Nothing else is.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from avisiod.calls.reasons import EndReason
from tests.soak.story import Call, Fault, Plan

Rule = Callable[[Fault, Call, float, set[str]], set[str]]

RACE_S = 2.0
"""So near to its own end, or to a step of its setting up, a call may have been spared."""
LIMIT_SLACK_S = 0.5

NOTICED_S = {Plan.RELATIVE_GOES: 15.0, Plan.PHONE_GOES: 10.0}
"""So long after somebody vanished the call ends at the latest."""
SETTING_UP = {
    "sip_failed",
    "media_failed",
    "no_capacity",
    "recorder_failed",
    "join_failed",
    "code_expired",
    "phone_lost",
    "detainee_gave_up",
    "store_failed",
    "sms_failed",
}
"""What a call that a fault met before it was connected may end with."""


@dataclasses.dataclass
class Verdict:
    """`why` is empty where the call came out right."""

    call: Call
    reason: str
    expected: set[str]
    why: str
    faults: list[str]


def judge(
    call: Call, row: dict[str, Any] | None, journal: Sequence[dict[str, Any]], faults: Sequence[Fault]
) -> Verdict:
    """`row` and `journal` are the call's in the store; None and nothing where it never got there."""
    over = call.over_at or float("inf")
    ended_at = next((float(line["at_monotonic"]) for line in journal if line["state"] == "ended"), over)
    met = [fault for fault in faults if fault.touches(call.dialled_at, max(ended_at, call.end_asked_at or 0.0))]
    names = [fault.kind for fault in met]
    if row is None:
        why = (
            ""
            if any(_keeps_from_dialling(fault) for fault in met)
            else f"it was not taken: {call.status} {call.trouble}"
        )
        return Verdict(call, "", set(), why, names)
    reason = str(row["end_reason"])
    expected = _expected(call, ended_at, met)
    connected_at = next((float(line["at_monotonic"]) for line in journal if line["state"] == "connected"), None)
    if connected_at is not None and _limit_may_come_first(call, connected_at + float(row["limit_s"])):
        expected |= {"limit_reached"}
    why = ""
    if reason not in expected:
        why = f"{reason}, where {' or '.join(sorted(expected))} was right"
    elif bool(row["charged"]) != (EndReason(reason).charged and float(row["connected_s"]) > 0):
        why = f"charged {row['charged']} for {row['connected_s']} s that ended as {reason}"
    elif float(row["connected_s"]) > float(row["limit_s"]) + LIMIT_SLACK_S:
        why = f"connected for {row['connected_s']} s of {row['limit_s']}"
    elif not met:
        why = _untouched(call, reason, any(_keeps_a_bye(fault, call, ended_at, over) for fault in faults))
    return Verdict(call, reason, expected, why, names)


def _limit_may_come_first(call: Call, deadline: float) -> bool:
    """Whether the plan's own end was to come after the limit: silence takes its time to be noticed."""
    noticed = NOTICED_S.get(call.plan, RACE_S / 2)
    return call.end_asked_at is None or call.end_asked_at + noticed > deadline


def _keeps_from_dialling(fault: Fault) -> bool:
    return fault.kind.startswith(("kamailio", "control", "sip_worker"))


def _keeps_a_bye(fault: Fault, call: Call, ended_at: float, over: float) -> bool:
    """Whether it came between a call's end and the BYE to its phone: after the farewell, and gone with the worker."""
    of_the_worker = fault.kind.startswith("sip_worker") and fault.pid == call.sip_pid and not _spared(fault)
    return of_the_worker and fault.touches(ended_at, over)


def _untouched(call: Call, reason: str, bye_lost: bool) -> str:
    """Of a call that no fault met, everything must be as it should."""
    if call.trouble:
        return call.trouble
    if call.connected_at is not None:
        if call.phone_heard == 0 or call.relative_heard == 0:
            return f"the phone got {call.phone_heard} packets, the relative {call.relative_heard}"
        if call.page_told != reason and call.plan is not Plan.RELATIVE_GOES:
            return f"the page was told {call.page_told!r}, not {reason}"
    if call.answered_at is not None and call.bye == "" and not call.hung_up and not bye_lost:
        return "the phone was never hung up"
    return ""


def _expected(call: Call, ended_at: float, met: Sequence[Fault]) -> set[str]:
    right = {call.plan.value}
    if call.connected_at is None and call.trouble.startswith(("joining", "dialling")):
        right |= SETTING_UP if met else set()
    for fault in met:
        right = _after(fault, call, ended_at, right)
    return right


def _after(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
    """What is right once this fault is known of, where `right` was before."""
    if "not_over" in fault.facts:
        return right | SETTING_UP
    for kind, rule in _RULES.items():
        if fault.kind.startswith(kind):
            return rule(fault, call, ended_at, right)
    return right


def _setting_up(fault: Fault, call: Call, ended_at: float) -> set[str]:
    return SETTING_UP if fault.touches(call.dialled_at, call.connected_at or ended_at) else set()


def _near_its_end(fault: Fault, call: Call, ended_at: float) -> bool:
    asked = call.end_asked_at
    by_itself = abs(ended_at - fault.began_at) < RACE_S / 2
    return by_itself or (asked is not None and abs(asked - fault.began_at) < RACE_S)


def _spared(fault: Fault) -> bool:
    """A worker that was stopped and goes on."""
    return fault.kind.endswith("SIGSTOP") and not fault.facts.get("replaced")


def _media_worker(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
    if _spared(fault):
        return right
    if call.media_pid is None:
        return right | {"media_failed", "no_capacity"}
    if call.media_pid != fault.pid:
        return right
    was_there = call.answered_at is not None and call.answered_at < fault.began_at
    went_on = call.end_asked_at is None or fault.began_at < call.end_asked_at
    certain = was_there and went_on and not _near_its_end(fault, call, ended_at)
    return {"media_failed"} if certain else right | {"media_failed"}


def _sip_worker(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
    if _spared(fault) or call.sip_pid not in (fault.pid, None):
        return right
    asked = call.end_asked_at
    # pjsip answers a BYE before anybody hears of it: a worker that dies in that moment takes the news along.
    taken_along = call.bye == "ok" and asked is not None and abs(asked - fault.began_at) < RACE_S
    unheard = {"phone_lost"} if taken_along or call.bye in ("unknown", "unanswered") else set()
    return right | unheard | ({"sip_failed"} if _setting_up(fault, call, ended_at) else set())


def _control_gone(reason: str) -> Rule:
    def rule(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
        was_there = call.dialled_at < fault.began_at - RACE_S and ended_at > fault.began_at
        return {reason} if was_there and not _near_its_end(fault, call, ended_at) else right | {reason}

    return rule


def _disk_full(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
    return right if call.confidential else right | {"disk_full"}


def _disk_hangs(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
    return (
        right if call.confidential else right | {"recorder_failed", "disk_full"} | _setting_up(fault, call, ended_at)
    )


def _database(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
    return right | {"store_failed"} | _setting_up(fault, call, ended_at)


def _descriptors(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
    if call.media_pid not in (fault.pid, None):
        return right
    return right | _setting_up(fault, call, ended_at) | ({"relative_lost"} if call.comes_back else set())


def _edge(fault: Fault, call: Call, ended_at: float, right: set[str]) -> set[str]:
    unheard = {"phone_lost"} if call.bye == "unanswered" else set()
    return right | unheard | ({"sip_failed"} if _setting_up(fault, call, ended_at) else set())


_RULES: dict[str, Rule] = {
    "media_worker": _media_worker,
    "sip_worker": _sip_worker,
    "control SIGKILL": _control_gone("service_restarted"),
    "control restarted": _control_gone("service_stopping"),
    "disk full": _disk_full,
    "disk hangs": _disk_hangs,
    "database locked long": _database,
    "no descriptors": _descriptors,
    "kamailio": _edge,
}
"""By how a fault's kind begins. What is not here (a clock that jumps, a disk that is slow, a modem that is away for
some seconds) must not be noticed by any call."""
