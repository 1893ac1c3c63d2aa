"""avisioctl sms: the routes by which codes leave."""

import sys
from typing import Any

import click

from avisiod.cli.session import Session, common


@click.group("sms", help="The routes by which codes leave: how they are, what they cost, a test.")
def sms() -> None:
    """The group."""


@sms.command("routes", help="Every route in its order: health, messages and cost of today.")
@common
def _routes(session: Session) -> None:
    session.give(session.do("sms.routes"), session.table)


@sms.command("test", help="Send a message without a code by one route. The number is asked for, or read from stdin.")
@click.argument("route")
@common
def _test(session: Session, route: str) -> None:
    number = str(click.prompt("to which number")) if sys.stdin.isatty() else sys.stdin.readline().strip()

    def shown(outcome: dict[str, Any]) -> None:
        what = f"{route} accepted it" if outcome["sent"] else f"not sent: {outcome['why']}"
        session.say(f"{what}, after {outcome['seconds']} s")

    outcome = session.do("sms.test", route=route, number=number)
    session.give(outcome, shown)
    if not outcome["sent"]:
        click.get_current_context().exit(1)
