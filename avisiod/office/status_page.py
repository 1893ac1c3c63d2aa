"""The box on a text console of 80 columns and 24 lines. Pure: facts and a clock in, lines out."""

import datetime
import textwrap
from collections.abc import Iterator, Sequence

from avisiod.office.box import Certificate, Route, Status

WIDTH = 79
HEIGHT = 23
"""One line is left for the prompt."""
PROBLEMS_AT_MOST = 5
INDENT = 13


def page(status: Status, now: datetime.datetime, checked: str = "") -> list[str]:
    """At most HEIGHT lines of at most WIDTH columns. `checked` is what the last `avisioctl doctor` found."""
    problems = _problems(status)
    lines = [_head(status), _verdict(status), "", *_facts(status, now, checked)]
    if problems:
        lines += ["", "What is wrong", *problems]
    if status.lines and len(lines) + 2 < HEIGHT:
        room = HEIGHT - len(lines) - 2
        lines += ["", "Last warnings and errors (journalctl -u avisiod -p warning)"]
        lines += [_fit(f"  {_clock(each.at_utc, now)} {each.level:<8} {each.text}") for each in status.lines[-room:]]
    return [_fit(line) for line in lines[:HEIGHT]]


def down(config_file: str, findings: Sequence[str]) -> list[str]:
    """The page where no daemon answers: what it means, what to do, and what could be seen without it."""
    lines = [
        "avisiod IS DOWN: no call can be made, nobody is being recorded.",
        "",
        "  systemctl status avisiod          says whether it was stopped or fails",
        "  journalctl -u avisiod -b -n 30    says why it fails",
        f"  avisiod --check-config {config_file}",
        "                                    names what is wrong with the settings",
        "  systemctl start avisiod           starts it",
    ]
    if findings:
        lines += ["", "What can be seen without it", *(f"  {finding}" for finding in findings)]
    return [_fit(line) for line in lines[:HEIGHT]]


def _head(status: Status) -> str:
    left = f"avisiod {status.version} on {status.host}"
    right = f"{status.at_utc[:16].replace('T', ' ')} UTC, up {span(status.up_s)}"
    return f"{left[: WIDTH - len(right) - 2]:<{WIDTH - len(right)}}{right}"


def _verdict(status: Status) -> str:
    if status.state == "stopping":
        return "IS STOPPING: new calls are refused"
    if not status.problems:
        return "ALL IS WELL"
    return "NOT WELL: 1 problem" if len(status.problems) == 1 else f"NOT WELL: {len(status.problems)} problems"


def _facts(status: Status, now: datetime.datetime, checked: str) -> Iterator[str]:
    total = sum(status.calls.values())
    by_state = ", ".join(f"{count} {state}" for state, count in status.calls.items() if count)
    yield _fact("Calls", f"{total} of {status.capacity}" + (f": {by_state}" if by_state else ""))
    names = {"sip": "SIP", "transcode": "transcoders"}
    pools = [
        f"{pool.up} of {pool.wanted} {names.get(pool.kind, pool.kind)}" for pool in status.workers if pool.wanted
    ]
    yield _fact("Workers", ", ".join(pools))
    registered = "unknown how many" if status.phones_registered is None else str(status.phones_registered)
    yield _fact("Edge", f"{registered} of {status.phones_listed} phones registered")
    for route in status.sms[:2]:
        yield _fact("SMS", route_said(route))
    if not status.sms:
        yield _fact("SMS", "NO ROUTE is named in the settings: every call is refused")
    free = "unknown" if status.disk_free_bytes is None else f"{status.disk_free_bytes / 1e9:.1f} GB free"
    keep = f"recorded calls are refused at {status.disk_keep_free_bytes / 1e9:.1f}"
    yield _fact("Recordings", f"{free}, {keep}")
    yield _fact("Database", "takes writes" if status.store_up else "TAKES NO WRITES")
    for certificate in status.certificates[:3]:
        yield _fact("Certificate", certificate_said(certificate, now))
    if not status.certificates:
        yield _fact("Certificate", "none is named in the settings")
    yield _fact("Backup", backup_said(status.backup_age_s, status.backup_problem))
    yield _fact("Doctor", checked or "never asked: avisioctl doctor tries every part")


def _fact(name: str, text: str) -> str:
    return f"{name:<{INDENT}}{text}"


def _problems(status: Status) -> list[str]:
    lines: list[str] = []
    for problem in status.problems[:PROBLEMS_AT_MOST]:
        lines += textwrap.wrap(problem, WIDTH, initial_indent="! ", subsequent_indent="  ")[:2]
    if (more := len(status.problems) - PROBLEMS_AT_MOST) > 0:
        lines.append(f"! and {more} more: avisioctl status --json")
    return lines


def route_said(route: Route) -> str:
    """A route in a few words."""
    parts = (
        f"{route.route}: {route.state}",
        route.trouble.upper(),
        route.detail,
        route.today and f"today {route.today}",
    )
    return "; ".join(part for part in parts if part)


def certificate_said(certificate: Certificate, now: datetime.datetime) -> str:
    """A certificate in a few words."""
    if certificate.problem or not certificate.ends_utc:
        return f"{certificate.of}: CANNOT BE READ: {certificate.problem}"
    ends = datetime.datetime.fromisoformat(certificate.ends_utc)
    left = (ends - now).total_seconds()
    when = f"ends in {span(left)}" if left > 0 else f"HAS ENDED {span(-left)} ago"
    return f"{certificate.of}: {when}, on {ends:%Y-%m-%d}"


def backup_said(age_s: float | None, problem: str) -> str:
    """The last backup in a few words."""
    last = "NONE WAS EVER MADE" if age_s is None else f"{span(age_s)} ago"
    return f"{last}; THE LAST TRY FAILED: {problem}" if problem else last


def span(seconds: float) -> str:
    """A time in its two largest units: `3 d 4 h`, `5 min`, `12 s`."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left} s"
    days, left = divmod(left, 86400)
    hours, left = divmod(left, 3600)
    parts = [(days, "d"), (hours, "h"), (left // 60, "min")]
    shown = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(shown[:2])


def _clock(at_utc: str, now: datetime.datetime) -> str:
    at = datetime.datetime.fromisoformat(at_utc)
    return f"{at:%H:%M}" if (now - at).total_seconds() < 86400 else f"{at:%d/%m}"


def _fit(line: str) -> str:
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."
