"""avisioctl doctor: try each part of the box, say what is wrong and what to do."""

import sys
from pathlib import Path

import click
import msgspec
from rich.text import Text

from avisiod.cli.reach import CannotReach
from avisiod.cli.session import Session, common
from avisiod.clock import wall_utc
from avisiod.doctor import examination
from avisiod.doctor.verdicts import Finding, Verdict
from avisiod.office import box
from avisiod.office.plan import Refused
from avisiod.ports import StoreUnavailable

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "bold red", Verdict.NOT_TRIED: "dim"}


@click.command("doctor", help="Try each part and say what to do. Exit status 0: nothing failed, 1: something did.")
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(list(examination.PARTS)), help="Only this; may be repeated."
)
@common
def doctor(session: Session, parts: tuple[str, ...]) -> None:
    """Examine, show each finding as it comes, write all of them down."""
    now, config = wall_utc(), session.config
    patient = examination.Patient(config, Path(session.config_file), now, _status(session), session.do)
    findings: list[Finding] = []
    for finding in examination.examine(patient, parts):
        findings.append(finding)
        _show(session, finding)
    if not parts:
        try:
            examination.keep(config, now, findings)
        except OSError as error:
            session.say(f"this is not written down: {examination.record_file(config)}: {error.strerror}")
    session.give(
        {
            "ok": not any(each.verdict is Verdict.FAILED for each in findings),
            "at": now.isoformat(),
            "findings": msgspec.to_builtins(findings),
        }
    )
    session.say(examination.Record(at_utc=now.isoformat(), findings=tuple(findings)).summary(now).rpartition(",")[0])
    if any(each.verdict is Verdict.FAILED for each in findings):
        sys.exit(1)


def _status(session: Session) -> box.Status | None:
    try:
        if not session.reach.daemon_runs:
            return None
        return msgspec.convert(session.do("box.status"), box.Status)
    except (CannotReach, Refused, StoreUnavailable) as error:
        session.say(f"the daemon does not tell how it is: {error}")
        return None


def _show(session: Session, finding: Finding) -> None:
    if session.as_json:
        return
    mark = Text(f"{finding.verdict.value.upper():<9}", style=_STYLES[finding.verdict])
    session.out.print(mark, Text(f" {finding.part}: {finding.found}"), soft_wrap=True)
    if finding.means:
        session.out.print(Text(f"          means: {finding.means}"), soft_wrap=True)
    if finding.do:
        session.out.print(Text(f"          do:    {finding.do}"), soft_wrap=True)
