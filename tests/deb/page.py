"""The package's part of docs/benchmarks.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
HEADING = "## The package"
NEXT = ("## Calls under faults", "## How to read this")
"""What comes after it: the first of them that is there."""
LARGEST_MB, GREEN_S, READY_S, IDLE_MIB = 150, 300, 3, 250
TEXT = (
    "`make deb-test` measures these on the Debian that it boots, with the very file that `make deb` built. From `apt "
    "install` to a green selftest counts everything: Debian's packages, which come from a cache of the test where it "
    "has them, and the first start. From start to READY is systemd's own account, the middle of three. Idle is what "
    "all processes of both services hold, with pages that several share counted once (PSS)."
)


def lines(facts: Mapping[str, str], figures: Mapping[str, float], memory: Mapping[str, Sequence[float]]) -> list[str]:
    """What a person wants to know."""
    rows = (
        ("the file", figures["deb_mb"], LARGEST_MB, "MB"),
        ("`apt install` to a green `avisioctl selftest`", figures["green_s"], GREEN_S, "s"),
        ("from start to READY", figures["ready_s"], READY_S, "s"),
        ("idle, over all processes", figures["idle_mib"], IDLE_MIB, "MiB"),
    )
    where = (
        f"Measured on {facts['day']} at `{facts['commit']}`: {facts['machine']}; {facts['system']}. Load of the "
        f"machine meanwhile, everything on it included: {facts['load']}."
    )
    verdicts = [
        f"- {'✓' if value < most else '✗'} {what}: {value:.{0 if most > 10 else 1}f} {unit}, to be under {most}"
        for what, value, most, unit in rows
    ]
    cpu = f"The start took {figures['ready_cpu_s']:.1f} s of work of the processor, over all processes."
    each = [f"| {kind} | {len(has)} | {sum(has) / len(has):.0f} |" for kind, has in memory.items()]
    return [where, "", *verdicts, "", cpu, "", "| idle process | how many | MiB each |", "|---|---:|---:|", *each]


def standing(text: str) -> str:
    """This part as the page has it; empty where it has none."""
    return text[text.index(HEADING) : _end(text)] if HEADING in text else ""


def write(facts: Mapping[str, str], figures: Mapping[str, float], memory: Mapping[str, Sequence[float]]) -> None:
    """Put it into the page, in the place of the last one."""
    text = PAGE.read_text()
    before = text[: text.index(HEADING)] if HEADING in text else text[: _end(text)]
    part = "\n".join([HEADING, "", TEXT, "", *lines(facts, figures, memory), "", ""])
    PAGE.write_text(before + part + text[_end(text) :])


def _end(text: str) -> int:
    return min(text.index(heading) for heading in NEXT if heading in text)
