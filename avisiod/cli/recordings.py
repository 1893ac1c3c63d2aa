"""avisioctl recordings."""

from typing import Any

import click

from avisiod.cli.session import Session, common


@click.group("recordings", help="Recordings: list, holds, and the destruction of what is too old.")
def recordings() -> None:
    """The group."""


@recordings.command("list", help="The latest recordings of this box, and from which day each is due.")
@click.option("--held", is_flag=True, help="Only those under hold, all of them.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@common
def _list(session: Session, **how: Any) -> None:
    session.give(session.do("recordings.list", **how), lambda rows: session.table(rows, "no recording fits"))


@recordings.command("due", help="What is older than recordings.keep_days: due, held, missing, or with a wrong time.")
@common
def _due(session: Session) -> None:
    _show_due(session)


def _show_due(session: Session) -> None:
    session.give(session.do("recordings.due"), lambda rows: session.table(rows, "no recording is that old"))


@recordings.command("hold", help="Keep a call's recording beyond its day, until it is released. Needs --why.")
@click.argument("call")
@common
def _hold(session: Session, call: str) -> None:
    session.give(session.do("recordings.hold", call=call))
    session.say("under hold")


@recordings.command("release", help="End the hold on a call's recording: it is destroyed in its time. Needs --why.")
@click.argument("call")
@common
def _release(session: Session, call: str) -> None:
    session.give(session.do("recordings.release", call=call))
    session.say("released")


@recordings.command("forget", help="Take a recording off the list whose file was lost. Needs --why.")
@click.argument("call")
@common
def _forget(session: Session, call: str) -> None:
    session.give(session.do("recordings.forget", call=call))
    session.say("off the list")


@recordings.command("purge")
@click.option("--dry-run", is_flag=True, help="Show what is due, and destroy nothing.")
@click.option("--clock-is-right", is_flag=True, help="You have looked: do it though the trail does not bear it out.")
@common
def _purge(session: Session, *, dry_run: bool, clock_is_right: bool) -> None:
    """Destroy the recordings that are older than recordings.keep_days.

    One under hold stays. Each destruction leaves its record in the trail. Refused where the clock may be wrong. Exit
    status 1 where something that is due is still there.
    """
    if dry_run:
        _show_due(session)
        return
    done = session.do("recordings.purge", clock_is_right=clock_is_right)
    while done["more"]:
        told = {"destroyed": done["destroyed"], "trouble": done["trouble"]}
        done = session.do("recordings.purge", clock_is_right=clock_is_right, **told)

    def shown(found: dict[str, Any]) -> None:
        session.say(f"{found['destroyed']} recordings destroyed" if found["destroyed"] else "nothing was destroyed")
        if found["problem"]:
            session.say(found["problem"])

    session.give({name: done[name] for name in ("destroyed", "problem")}, shown)
    if done["problem"]:
        raise SystemExit(1)
