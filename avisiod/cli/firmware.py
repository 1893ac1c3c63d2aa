"""avisioctl firmware: files that were checked, and their way to the phones."""

import shutil
from pathlib import Path
from typing import Any

import click

from avisiod.cli.session import Session, common, text_of
from avisiod.office.plan import Problem, Refused

PART = ".part"


@click.group("firmware", help="Firmware of phones: add, list, roll out in stages, pause, resume, roll back.")
def firmware() -> None:
    """The group."""


@firmware.command("add", help="Check a file by its signature (FILE.minisig), and keep it.")
@click.argument("name", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--vendor", required=True, metavar="VENDOR")
@click.option("--model", default="", metavar="TEXT", help="As devices name it; empty: all of the vendor's.")
@click.option("--release", required=True, metavar="TEXT", help="The version that a phone with it tells.")
@click.option("--signature", default="", metavar="FILE", help="By default FILE.minisig.")
@common
def _add(session: Session, name: str, file: Path, signature: str, **how: str) -> None:
    folder = Path(session.config.firmware.folder)
    text = text_of(signature or f"{file}.minisig")
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        # For the daemon to check: it believes nobody's word, and what it does not find good is gone again.
        shutil.copyfile(file, folder / f"{file.name}{PART}")
    except OSError as error:
        remedy = "correct the path, or be root or the daemon's user"
        reason = f"{error.filename or folder}: {error.strerror}"
        raise Refused(Problem(column="file", reason=reason, remedy=remedy)) from None
    result = session.do("firmware.add", id=name, file=file.name, signature=text, **how)
    session.give(result, session.pairs)


@firmware.command("list", help="The files that were checked.")
@common
def _list(session: Session) -> None:
    session.give(session.do("firmware.list"), session.table)


@firmware.command("start", help="Roll a firmware out: one phone, ten, then all, at night; it stops by itself.")
@click.argument("name", metavar="ID")
@click.option("--building", default="", metavar="NAME", help="Only there.")
@click.option("--floor", default="", metavar="NAME", help="Only there.")
@click.option("--stages", default="1,10,all", show_default=True, metavar="NUMBERS")
@click.option("--begins", default="01:00", show_default=True, metavar="HH:MM")
@click.option("--ends", default="05:00", show_default=True, metavar="HH:MM")
@common
def _start(session: Session, name: str, **how: str) -> None:
    session.give(session.do("rollouts.start", firmware=name, **how), session.pairs)


@firmware.command("rollouts", help="The roll-outs, the newest first.")
@common
def _rollouts(session: Session) -> None:
    session.give(session.do("rollouts.list"), lambda rows: session.table(rows, "nothing was rolled out"))


@firmware.command("show", help="One roll-out with each of its phones.")
@click.argument("rollout")
@common
def _show(session: Session, rollout: str) -> None:
    def shown(found: dict[str, Any]) -> None:
        session.pairs(found)
        session.say("")
        session.table(found["each"])

    session.give(session.do("rollouts.show", rollout=rollout), shown)


@firmware.command("pause", help="Tell no further phone.")
@click.argument("rollout")
@common
def _pause(session: Session, rollout: str) -> None:
    session.give(session.do("rollouts.pause", rollout=rollout))
    session.say("paused; phones that were told go on")


@firmware.command("resume", help="Go on, also where it stopped by itself: phones that failed are told again.")
@click.argument("rollout")
@common
def _resume(session: Session, rollout: str) -> None:
    session.give(session.do("rollouts.resume", rollout=rollout))
    session.say("it goes on")


@firmware.command("rollback", help="Bring the phones that it has reached back to what they ran.")
@click.argument("rollout")
@common
def _rollback(session: Session, rollout: str) -> None:
    session.give(session.do("rollouts.rollback", rollout=rollout), session.table)
