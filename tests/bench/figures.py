"""What a run's lines say against what must be reached. Pure."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Line = dict[str, Any]

JOIN_P95_S = 2.0
DEADLINE_MS = 200.0
APART_MS = 40.0
ADMISSION_P99_MS = 20.0
IMPORT_S = 30.0
SMS_P95_S = 1.0
SMS_DEAD_S = 10.0
KEY_MS = 300.0
IMPORT_ROWS = 20_000


class Verdict(NamedTuple):
    """One promise, what was measured, and whether it is kept."""

    promise: str
    measured: str
    kept: bool

    def line(self) -> str:
        return f"{'✓' if self.kept else '✗'} {self.promise}: {self.measured}"


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank: a value that was measured. ValueError of nothing."""
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def measured(lines: Sequence[Line], **like: Any) -> list[Line]:
    """Calls that were measured, of this kind."""
    return [line for line in lines if line["kind"] == "call" and all(line[name] == it for name, it in like.items())]


def failed(lines: Sequence[Line]) -> list[Line]:
    """Calls that could not be."""
    return [line for line in lines if line["kind"] == "failed"]


def _all_measured(lines: Sequence[Line]) -> Verdict:
    calls, lost = len(measured(lines)), failed(lines)
    why = f"; {lost[0]['why']}" if lost else ""
    return Verdict("every call could be measured", f"{calls} of {calls + len(lost)}{why}", bool(calls) and not lost)


def join(lines: Sequence[Line]) -> list[Verdict]:
    """From the code to the first picture."""
    both = [line["both_s"] for line in measured(lines)]
    p95 = percentile(both, 0.95) if both else math.inf
    return [
        _all_measured(lines),
        Verdict(
            f"from code to first picture on both sides under {JOIN_P95_S:g} s at p95",
            f"{p95:.2f} s of {len(both)} calls",
            p95 < JOIN_P95_S,
        ),
    ]


def farthest(lines: Sequence[Line]) -> float:
    """The last packet that is farthest from the limit, in ms; after it where positive."""
    ends = [line[f"{leg}_ms"] for line in lines for leg in ("phone", "outside")]
    return max(ends, key=abs, default=math.inf)


def is_real(line: Line) -> bool:
    """Whether the trouble was seen to be there, and the call ended by its limit."""
    proof = {
        "quiet": lambda: True,
        "clock": lambda: line["under_libfaketime"] and line["wall_clock_step_s"] < -3500,
        "stopped": lambda: line["state_at_limit"] == "T",
        "blocked": lambda: line["unanswered_s"] > 1.9,
    }
    return proof[line["trouble"]]() and line["reason"] == "limit_reached"


def deadline(lines: Sequence[Line]) -> list[Verdict]:
    """The last packets, for each trouble."""
    found = [_all_measured(lines)]
    for trouble in dict.fromkeys(line["trouble"] for line in measured(lines)):
        calls = measured(lines, trouble=trouble)
        far, real = farthest(calls), sum(map(is_real, calls))
        found.append(
            Verdict(
                f"last packet within {DEADLINE_MS:g} ms of the limit ({trouble})",
                f"{far:+.1f} ms at most, {len(calls)} calls, {real} of them as intended",
                abs(far) <= DEADLINE_MS and real == len(calls),
            )
        )
    return found


def recording(lines: Sequence[Line]) -> list[Verdict]:
    """What is in the file, and where."""
    exact, browser = measured(lines, relative="exact"), measured(lines, relative="Chromium")
    tracks = [track for line in exact for track in line["tracks"].values()]
    sent, missing = (sum(track[name] for track in tracks) for name in ("sent", "missing"))
    apart = {
        "exact parties": max((abs(line["worst_frames_apart_ms"]) for line in exact), default=math.inf),
        "a phone and Chromium": max((abs(line["parties_apart_ms"]) for line in browser), default=math.inf),
    }
    return [
        _all_measured(lines),
        Verdict("every frame that was received is in the file", f"{missing} of {sent} missing", sent > 0 == missing),
        *(
            Verdict(f"parties within {APART_MS:g} ms of each other ({who})", f"{ms:.1f} ms at most", ms <= APART_MS)
            for who, ms in apart.items()
        ),
    ]


def admission(lines: Sequence[Line]) -> list[Verdict]:
    """What a decision rests on, read in a large prison."""
    taken = [line["ms"] for line in measured(lines)]
    whole = sum(line["whole"] for line in measured(lines))
    p99 = percentile(taken, 0.99) if taken else math.inf
    return [
        _all_measured(lines),
        Verdict("all of it is found", f"{whole} of {len(taken)}", 0 < len(taken) == whole),
        Verdict(
            f"read within {ADMISSION_P99_MS:g} ms at p99", f"{p99:.2f} ms of {len(taken)}", p99 < ADMISSION_P99_MS
        ),
    ]


def imports(lines: Sequence[Line]) -> list[Verdict]:
    """A file of all contacts."""
    runs = measured(lines)
    slowest = max((line["s"] for line in runs), default=math.inf)
    rows = min((line["rows"] for line in runs), default=0)
    return [
        _all_measured(lines),
        Verdict(
            f"{IMPORT_ROWS} contacts imported in under {IMPORT_S:g} s",
            f"{slowest:.1f} s at most, {len(runs)} files of {rows} lines",
            rows >= IMPORT_ROWS and slowest < IMPORT_S,
        ),
    ]


def sms(lines: Sequence[Line]) -> list[Verdict]:
    """How soon a provider has the code."""
    right = sum(line["right"] for line in measured(lines))
    found = [
        _all_measured(lines),
        Verdict("each brings its own code", f"{right} of {len(measured(lines))}", right > 0),
    ]
    promises = {"healthy": (0.95, SMS_P95_S), "refused": (1.0, SMS_DEAD_S), "silent": (1.0, SMS_DEAD_S)}
    for state, (share, limit) in promises.items():
        taken = [line["s"] for line in measured(lines, state=state)]
        s = percentile(taken, share) if taken else math.inf
        at = f"at p{share * 100:g}" if share < 1 else "at most"
        promise = f"an SMS leaves within {limit:g} s of dialling, first route {state}"
        found.append(Verdict(promise, f"{s:.2f} s {at} of {len(taken)}", s <= limit))
    return found


def key(lines: Sequence[Line]) -> list[Verdict]:
    """The last packets after a press, for each protocol."""
    found = [_all_measured(lines)]
    for protocol in dict.fromkeys(line["protocol"] for line in measured(lines)):
        presses = measured(lines, protocol=protocol)
        last = max(max(line["last_ms"]) for line in presses)
        real = sum(
            line["flowing_before"] == line["parties"] and set(line["reasons"]) == {"staff_ended"} for line in presses
        )
        found.append(
            Verdict(
                f"last packet within {KEY_MS:g} ms of the press ({protocol})",
                f"{last:.0f} ms at most, {len(presses)} presses, {real} of them as intended",
                last <= KEY_MS and real == len(presses),
            )
        )
    return found


VERDICTS: dict[str, Callable[[Sequence[Line]], list[Verdict]]] = {
    "join": join,
    "deadline": deadline,
    "recording": recording,
    "admission": admission,
    "imports": imports,
    "sms": sms,
    "key": key,
}
