"""avisioctl phones health and events, and what is done with devices beside their list."""

from typing import Any

import click
from rich.table import Table
from rich.text import Text

from avisiod.cli.session import Session, common

_GOOD = ("up", "never_seen")
_SHOWN = ("cell", "phone", "state", "since", "registered", "last_call", "event", "vendor", "model", "firmware", "mac")


def add_to(group: click.Group) -> None:
    """Put the commands into the groups of their lists."""
    for plural, commands in (("phones", (_health, _events)), ("devices", (_looked, _token, _renew, _reload, _test))):
        parent = group.commands[plural]
        assert isinstance(parent, click.Group)  # noqa: S101 - made by lists.add_to
        for command in commands:
            parent.add_command(command)
    bare = group.commands["phones"]
    assert isinstance(bare, click.Group)  # noqa: S101 - as above
    bare.invoke_without_command, bare.no_args_is_help = True, False
    bare.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Answer in JSON."))
    bare.callback = _bare


@click.pass_context
def _bare(context: click.Context, as_json: bool) -> None:
    """`avisioctl phones` alone: how they are."""
    if context.invoked_subcommand is None:
        session: Session = context.obj
        session.as_json = as_json
        session.give(session.do("devices.health"), lambda rows: _shown(session, rows))


@click.command("health", help="How the phones are, by building and floor, the worst first.")
@click.option("--building", default="", metavar="NAME", help="Only there.")
@click.option("--floor", default="", metavar="NAME", help="Only there.")
@click.option("--state", default="", metavar="STATE", help="Only those, such as unregistered.")
@common
def _health(session: Session, **how: str) -> None:
    session.give(session.do("devices.health", **how), lambda rows: _shown(session, rows))


def _shown(session: Session, rows: list[dict[str, str]]) -> None:
    """A table for each floor: what is not well in bold, and how many are."""
    if not rows:
        session.say("no phone fits")
        return
    places = dict.fromkeys((row["building"], row["floor"]) for row in rows)
    for building, floor in places:
        there = [row for row in rows if (row["building"], row["floor"]) == (building, floor)]
        well = sum(row["state"] == "up" for row in there)
        name = ", ".join(part for part in (building and f"building {building}", floor and f"floor {floor}") if part)
        session.say(f"{name or 'no building'}: {well} of {len(there)} up")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in _SHOWN:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in there:
            style = "" if row["state"] in _GOOD else "bold"
            table.add_row(*(Text(row[column], style=style) for column in _SHOWN))
        session.out.print(table)
        session.say("")


@click.command(
    "events", help="What a phone told and how its state changed, newest first; of all where none is named."
)
@click.argument("phone", required=False, default="", metavar="[PHONE]")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@common
def _events(session: Session, phone: str, limit: int) -> None:
    def shown(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["details"] = ", ".join(f"{name} {value}" for name, value in row["details"].items())
        session.table(rows, "no event is kept")

    session.give(session.do("devices.events", phone=phone, limit=limit), shown)


@click.command("looked", help="Somebody has looked at a phone that was tampered with. Needs --why.")
@click.argument("phone")
@common
def _looked(session: Session, phone: str) -> None:
    session.give(session.do("devices.looked", phone=phone))
    session.say("it counts as tampered no longer")


@click.command("token", help="Make the address at which a phone fetches its settings the first time; it opens once.")
@click.argument("phone")
@common
def _token(session: Session, phone: str) -> None:
    def shown(token: dict[str, str]) -> None:
        session.pairs(token)
        session.say("type the address into the phone; it opens once, and holds a secret")

    session.give(session.do("devices.token", phone=phone), shown)


@click.command("renew", help="Give a phone new secrets, as after a theft; it fetches them with a new token.")
@click.argument("phone")
@common
def _renew(session: Session, phone: str) -> None:
    session.give(session.do("devices.renew", phone=phone))
    session.say("they come into force when the phone fetches them: avisioctl devices token")


@click.command("reload", help="Have a phone fetch its settings again; never during a call.")
@click.argument("phone")
@click.option("--reboot", is_flag=True, help="It starts anew, too.")
@common
def _reload(session: Session, phone: str, reboot: bool) -> None:
    session.give(session.do("devices.reload", phone=phone, reboot=reboot), session.pairs)


@click.command("test", help="Call an idle phone, to see whether it answers by itself; no microphone is opened.")
@click.argument("phone")
@common
def _test(session: Session, phone: str) -> None:
    session.give(session.do("devices.test", phone=phone), session.pairs)
