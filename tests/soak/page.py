"""The soak's part of docs/benchmarks.md."""

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
HEADING = "## Calls under faults"
NEXT = "## How to read this"
TEXT = Path(__file__).with_name("page.md")
GROWTH_MINUTES = 5.0
"""A process that lived shorter tells nothing about growth."""


def lines(report: dict[str, Any]) -> list[str]:
    """What a person wants to know of a run."""
    return [
        *_where(report),
        "",
        *_verdicts(report),
        "",
        "| end of the call | calls |",
        "|---|---:|",
        *(f"| {reason} | {count} |" for reason, count in report["reasons"].items()),
        "",
        "| fault | times | served again after, s |",
        "|---|---:|---:|",
        *(
            f"| {kind} | {facts['times']} | {', '.join(f'{back:.1f}' for back in facts['back_s'])} |"
            for kind, facts in report["faults"].items()
        ),
        "",
        *_memory(report["memory"]),
        *_wrongs(report),
    ]


def _where(report: dict[str, Any]) -> list[str]:
    low, high = report["load"]
    return [
        (
            f"Measured on {report['day']} at `{report['commit']}`: {report['machine']}; {report['system']}. It ran "
            f"for {report['minutes']:.0f} minutes, {report['lanes']} pairs at a time, a fault every "
            f"{report['every_s']:.0f} s, seed {report['seed']}; load of the machine {low} to {high}."
        )
    ]


def _verdicts(report: dict[str, Any]) -> list[str]:
    wrong, kept = len(report["calls_wrong"]), report["recordings"]
    calls = f"every call right, or ended with its right reason: {wrong} of {report['calls']} wrong"
    recordings = (
        f"no recording missing: {kept['kept']} of {kept['opened']} kept, {kept['truncated']} of them truncated, "
        f"{kept['found_at_a_restart']} taken into the store at the next start only"
    )
    return [
        _tick(not wrong, calls),
        _tick(not kept["wrong"], recordings),
        _tick(not report["wrong"], "nothing left behind: calls, rows, ports, descriptors, threads"),
    ]


def _wrongs(report: dict[str, Any]) -> list[str]:
    found = [f"{each['why']} ({each['id']}, {each['plan']}, {each['faults']})" for each in report["calls_wrong"]]
    found += report["recordings"]["wrong"] + report["wrong"]
    return ["", "Wrong:", "", *(f"- {wrong}" for wrong in found)] if found else []


def _tick(kept: bool, text: str) -> str:
    return f"- {'✓' if kept else '✗'} {text}"


def _memory(memory: list[dict[str, Any]]) -> list[str]:
    long = [each for each in memory if each["minutes"] >= GROWTH_MINUTES]
    rows = [
        f"| {each['kind']} | {each['minutes']:.0f} | {each['warm_kb'] / 1024:.0f} | {each['last_kb'] / 1024:.0f} "
        f"| {each['most_kb'] / 1024:.0f} | {each['most_descriptors']} | {each['most_threads']} |"
        for each in long
    ]
    names = ("process", "minutes after its first", "resident then, MiB", "at its last look", "at most")
    head = [f"| {' | '.join(names)} | descriptors at most | threads at most |", f"|---|{'---:|' * 6}"]
    return head + rows


def standing(text: str) -> str:
    """This part as the page has it; empty where it has none."""
    return text[text.index(HEADING) : text.index(NEXT)] if HEADING in text else ""


def write(report: dict[str, Any]) -> None:
    """Put it into the page, in the place of the last one."""
    text = PAGE.read_text()
    before = text[: text.index(HEADING)] if HEADING in text else text[: text.index(NEXT)]
    part = f"{HEADING}\n\n{TEXT.read_text()}\n" + "\n".join(lines(report)) + "\n\n"
    PAGE.write_text(before + part + text[text.index(NEXT) :])
