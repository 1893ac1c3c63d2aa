"""docs/benchmarks.md, made from the lines of the latest runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.bench.figures import VERDICTS, Line, farthest, is_real, measured, percentile
from tests.bench.scene import OUT
from tests.deb import page as deb_page
from tests.soak import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
TEXTS = Path(__file__).with_name("texts")
TROUBLES = {
    "quiet": "nothing special",
    "clock": "wall clock set back an hour in mid-call",
    "stopped": "control process stopped from 5 s before to 5 s after the limit",
    "blocked": "control's loop blocked for 2 s around the limit",
}
TRACKS = ("phone-audio", "phone-video", "outside-audio", "outside-video")
STAGES = {
    "journal: code accepted": "code verified and spent",
    "offer sent": "page has made its offer",
    "journal: recorder open": "recording open and on disk",
    "answer came": "page has the answer",
    "ICE done": "ICE done",
    "DTLS done": "DTLS done",
    "journal: connected": "media from both sides, bridge open",
    "first frame shown": "first picture shown on the page",
}


SMS_STATES = {
    "healthy": "works",
    "refused": "refuses connections, the second works",
    "silent": "takes the message and never answers, the second works",
}


def read(path: Path) -> list[Line]:
    """The lines of a run; none where it was not run."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _admission(lines: Sequence[Line]) -> list[str]:
    calls = measured(lines)
    if not calls:
        return []
    head = ("ms", "p50", "p95", "p99", "max")
    kinds = (("until all was read", "ms"), ("of that, work of the processor", "cpu_ms"))
    rows = [
        [name, *(f"{percentile([line[key] for line in calls], share):.2f}" for share in (0.5, 0.95, 0.99, 1.0))]
        for name, key in kinds
    ]
    return table(head, rows)


def _imports(lines: Sequence[Line]) -> list[str]:
    rows = [[line["what"], f"{line['rows']}", f"{line['s']:.1f}", f"{line['cpu_s']:.1f}"] for line in measured(lines)]
    return table(("contacts", "lines", "s", "s of work of the processor"), rows) if rows else []


def _sms(lines: Sequence[Line]) -> list[str]:
    rows = []
    for state, name in SMS_STATES.items():
        taken = [line["s"] for line in measured(lines, state=state)]
        if taken:
            routes = ", ".join(sorted({line["route"] for line in measured(lines, state=state)}))
            rows.append([name, *(f"{percentile(taken, share):.2f}" for share in (0.5, 0.95, 1.0)), routes])
    return table(("seconds from dialling, first route", "p50", "p95", "max", "brought by"), rows) if rows else []


def _key(lines: Sequence[Line]) -> list[str]:
    rows = []
    for protocol in dict.fromkeys(line["protocol"] for line in measured(lines)):
        last = [ms for line in measured(lines, protocol=protocol) for ms in line["last_ms"]]
        again = sum(line["board_asked_again"] for line in measured(lines, protocol=protocol))
        figures = (f"{percentile(last, share):.0f}" for share in (0.5, 0.95, 1.0))
        rows.append([protocol, *figures, str(len(last)), str(again)])
    head = ("ms from the press to the last packet at a party", "p50", "p95", "max", "parties", "board asked again")
    return table(head, rows) if rows else []


def write() -> list[Line]:
    """Make the page of all runs in build/bench; returns all lines."""
    parts, everything = [(TEXTS / "begin.md").read_text()], []
    for name, tables in FIGURES.items():
        lines = read(OUT / f"{name}.jsonl")
        everything += lines
        parts.append((TEXTS / f"{name}.md").read_text())
        parts.append("\n".join([*_where(lines), "", *_verdicts(name, lines), "", *tables(lines)]) + "\n")
    # What is measured by itself: the package's trial, hours of calls.
    standing = [each.standing(PAGE.read_text()) for each in (deb_page, page)]
    parts += [part.rstrip("\n") + "\n" for part in standing if part]
    parts.append((TEXTS / "end.md").read_text())
    PAGE.write_text("\n".join(parts))
    return everything


def _where(lines: Sequence[Line]) -> list[str]:
    machine = next((line for line in lines if line["kind"] == "machine"), None)
    if machine is None:
        return ["Not measured yet."]
    loads = [line["load"] for line in lines]
    return [
        (
            f"Measured on {machine['day']} at `{machine['commit']}`: {machine['machine']}; {machine['system']}; "
            f"{machine['versions']}. Load of the machine meanwhile, everything on it included: "
            f"{min(loads):.1f} to {max(loads):.1f}."
        )
    ]


def _verdicts(name: str, lines: Sequence[Line]) -> list[str]:
    return [f"- {verdict.line()}" for verdict in VERDICTS[name](lines)] if lines else []


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """In Markdown; the first column is text, the others are figures."""
    return [
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * (len(head) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _join(lines: Sequence[Line]) -> list[str]:
    calls = measured(lines)
    if not calls:
        return []

    def row(name: str, values: Sequence[float]) -> list[str]:
        return [name, *(f"{percentile(values, share):.2f}" for share in (0.5, 0.95, 1.0))]

    head = ("seconds after the page sent the code", "p50", "p95", "max")
    sides = (
        ("**first picture on both sides**", "both_s"),
        ("first picture decoded on the page", "page_s"),
        ("first picture decoded at the phone", "phone_s"),
    )
    rows = [row(name, [line[key] for line in calls]) for name, key in sides]
    for key, name in STAGES.items():
        values = [line["stages_s"][key] for line in calls if key in line["stages_s"]]
        if values:
            rows.append(row(name, values))
    return table(head, rows)


def _deadline(lines: Sequence[Line]) -> list[str]:
    rows = []
    for trouble, name in TROUBLES.items():
        calls = measured(lines, trouble=trouble)
        if not calls:
            continue
        sides = [[line[f"{leg}_ms"] for line in calls] for leg in ("phone", "outside")]
        rows.append(
            [
                name,
                f"{sum(map(is_real, calls))} of {len(calls)}",
                *(f"{min(ends):+.1f} to {max(ends):+.1f}" for ends in sides),
                f"{farthest(calls):+.1f}",
                f"{sum(line['cut_early'] for line in calls)}",
                f"{max(line['page_told_ms'] for line in calls):+.0f}",
            ]
        )
    head = (
        "trouble",
        "calls as intended",
        "last packet at the phone, ms",
        "last packet outside, ms",
        "farthest, ms",
        "frames cut early",
        "page told of the end, latest, ms",
    )
    return table(head, rows)


def _recording(lines: Sequence[Line]) -> list[str]:
    exact, browser = measured(lines, relative="exact"), measured(lines, relative="Chromium")
    rows = []
    for name in TRACKS if exact else ():
        tracks = [line["tracks"][name] for line in exact]
        rows.append(
            [
                name,
                *(str(sum(track[key] for track in tracks)) for key in ("sent", "missing", "twice", "out_of_order")),
                f"{max(track['first_after_opening_ms'] for track in tracks):.0f}",
                f"{min(track['late_ms']['min'] for track in tracks):+.1f}",
                f"{median(track['late_ms']['median'] for track in tracks):+.1f}",
                f"{max(track['late_ms']['max'] for track in tracks):+.1f}",
            ]
        )
    head = (
        f"track, {len(exact)} calls of exact parties",
        "frames sent",
        "missing",
        "twice",
        "out of order",
        "first frame after the bridge opened, ms",
        "place in time: min, ms",
        "median, ms",
        "max, ms",
    )
    found = table(head, rows) if rows else []
    if browser:
        runs = [
            [
                f"{line['number'] + 1}",
                f"{line['parties_apart_ms']:+.1f}",
                *(f"{line['sound_after_picture_ms'][party]:+.1f}" for party in ("phone", "outside")),
                f"{line['lost_packets']}",
                f"{line['incomplete_frames']}",
            ]
            for line in browser
        ]
        head = (
            "call with Chromium",
            "outside picture after phone picture, ms",
            "phone: sound after picture, ms",
            "outside: sound after picture, ms",
            "packets lost",
            "pictures left out",
        )
        found += ["", *table(head, runs)]
    return found


FIGURES = {
    "join": _join,
    "deadline": _deadline,
    "recording": _recording,
    "admission": _admission,
    "imports": _imports,
    "sms": _sms,
    "key": _key,
}
"""What makes the tables of each figure, in the page's order."""
