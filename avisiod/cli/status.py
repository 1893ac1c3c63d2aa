"""avisioctl status: the box on one screen."""

import shutil
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from avisiod import certificates
from avisiod.backups import outcome
from avisiod.cli.session import Session, common
from avisiod.clock import wall_utc
from avisiod.config.settings import Config
from avisiod.doctor import examination
from avisiod.office import box, status_page

DOWN = 3
"""Exit status, as of `systemctl status`."""


@click.command("status", help="The box on one screen. Exit status 0: well, 1: not, 3: the daemon is down.")
@common
def status(session: Session) -> None:
    """Ask the daemon, or say that it is down."""
    if not session.reach.daemon_runs:
        findings = seen_without(session.config)
        if session.as_json:
            session.give({"state": "down", "findings": findings})
        _show(session, status_page.down(session.config_file, findings))
        sys.exit(DOWN)
    found = msgspec.convert(session.do("box.status"), box.Status)
    session.give(msgspec.to_builtins(found))
    last, now = examination.last(session.config), wall_utc()
    _show(session, status_page.page(found, now, last.summary(now) if last else ""))
    if found.problems:
        sys.exit(1)


def _show(session: Session, lines: list[str]) -> None:
    if session.as_json:
        return
    for line in lines:
        loud = line.startswith(("!", "NOT WELL", "avisiod IS DOWN", "IS STOPPING"))
        session.out.print(Text(line, style="bold red" if loud else ""), soft_wrap=True)


def seen_without(config: Config) -> list[str]:
    """What files tell of a box whose daemon is down."""
    found: list[Any] = []
    now = wall_utc()
    try:
        free = shutil.disk_usage(config.recordings.folder).free
        found.append(f"recordings' disk: {free / 1e9:.1f} GB free")
    except OSError as error:
        found.append(f"recordings' folder {config.recordings.folder}: {error.strerror}")
    for each in certificates.look(config):
        ends = each.ends_utc.isoformat() if each.ends_utc else ""
        told = status_page.certificate_said(box.Certificate(of=each.of, ends_utc=ends, problem=each.problem), now)
        found.append(f"certificate of {told}")
    last = outcome.read(Path(config.backup.record_file))
    age = last.age_s(now) if last.good_utc else None
    found.append(f"last backup: {status_page.backup_said(age, last.problem)}")
    return found
