"""avisioctl backup and restore."""

from pathlib import Path
from typing import Any

import click

from avisiod.cli.reach import where_of
from avisiod.cli.session import Session, common
from avisiod.office.plan import Problem, Refused
from avisiod.store import backup


@click.command(
    "backup", help="Copy the database into a new file, while calls run. It is checked before it gets its name."
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
def back_up(session: Session, file: Path) -> None:
    """Make a copy; the trail says that one was made."""
    session.do("backup.note", file=str(file))
    try:
        with session.progress() as progress:
            found = backup.back_up(where_of(session.config), file.absolute(), progress)
    except OSError as error:
        raise Refused(Problem(reason=f"{file}: {error.strerror or error}", remedy="take another place")) from None

    def shown(done: dict[str, Any]) -> None:
        session.say(f"{done['file']}: {done['bytes']} bytes, SHA-256 {done['sha256']}")

    session.give(dict(found), shown)


@click.command("restore", help="Put a backup in the database's place; the daemon must be down.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
def restore(session: Session, file: Path) -> None:
    """Bring a copy back; the trail that comes back says so."""
    if session.reach.daemon_runs:
        raise Refused(Problem(reason="the daemon runs", remedy="systemctl stop avisiod, restore, start it again"))
    try:
        with session.progress() as progress:
            found = backup.restore(where_of(session.config), file.absolute(), progress)
    except OSError as error:
        raise Refused(Problem(reason=f"{file}: {error.strerror or error}", remedy="correct path or mode")) from None
    session.do("restore.note", file=str(file))

    def shown(done: dict[str, Any]) -> None:
        kept = f"; what was there is kept as {done['kept']}" if done["kept"] else ""
        session.say(f"restored{kept}")

    session.give(dict(found), shown)
