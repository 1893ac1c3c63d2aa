"""avisioctl calls and audit: what has happened, and the end of a call."""

from typing import Any

import click

from avisiod.cli.session import Session, common


@click.group("calls", help="Calls: list, timeline, cut.")
def calls() -> None:
    """The group."""


@calls.command("list", help="The latest calls, newest first.")
@click.option("--detainee", default="", metavar="ID")
@click.option("--contact", default="", metavar="ID")
@click.option("--phone", default="", metavar="ID")
@click.option("--since", default="", metavar="DAY", help="First day.")
@click.option("--until", default="", metavar="DAY", help="Last day.")
@click.option("--open", "open_", is_flag=True, help="Only calls under way.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@common
def _list(session: Session, open_: bool, **how: Any) -> None:
    session.give(session.do("calls.list", open=open_, **how), lambda rows: session.table(rows, "no call fits"))


@calls.command("show", help="One call as a timeline, with what was accepted and what it cost.")
@click.argument("call")
@common
def _show(session: Session, call: str) -> None:
    def shown(found: dict[str, Any]) -> None:
        session.pairs(found)
        session.say("")
        session.table(
            [
                {
                    "after": f"{step['after_s']:9.3f} s",
                    "at": step["at"],
                    "event": step["event"],
                    "state": step["state"],
                    "details": ", ".join(f"{name} {value}" for name, value in step["details"].items()),
                }
                for step in found["timeline"]
            ]
        )
        for heading in ("accepted", "money"):
            if found[heading]:
                session.say(f"\n{heading}")
                session.table(found[heading])
        if "recording" in found:
            session.say("\nrecording")
            session.pairs(found["recording"])

    session.give(session.do("calls.show", call=call), shown)


@calls.command("cut", help="End a call that is under way; both parties are told. Needs --why.")
@click.argument("call")
@common
def _cut(session: Session, call: str) -> None:
    session.give(session.do("calls.cut", call=call))
    session.say("ended")


@click.command("explain", help="Show how a call would be decided on, and every fact that the decision rests on.")
@click.option("--phone", required=True, metavar="ID")
@click.option("--number", required=True, help="As it would be dialled.")
@click.option("--at", default="", metavar="LOCAL-TIME", help="When; by default now.")
@click.option("--detainee", default="", metavar="ID", help="Who is identified, on a shared phone.")
@common
def explain(session: Session, **how: str) -> None:
    """The decision and its reasons."""

    def shown(found: dict[str, Any]) -> None:
        session.pairs(found)
        session.say("")
        session.table(found["because"])

    session.give(session.do("explain", **how), shown)


@click.group("audit", help="The trail of who did what: list, verify, purge.")
def audit() -> None:
    """The group."""


@audit.command("list", help="The latest lines, newest first.")
@click.option("--actor", default="", metavar="WHO", help="Such as unix:alice.")
@click.option("--kind", default="", metavar="KIND", help="Such as detainee, call, account.")
@click.option("--object", "object_", default="", metavar="ID")
@click.option("--since", default="", metavar="DAY", help="First day.")
@click.option("--until", default="", metavar="DAY", help="Last day.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@common
def _trail(session: Session, object_: str, **how: Any) -> None:
    def shown(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            line["details"] = ", ".join(f"{name} {value}" for name, value in line["details"].items())
        session.table(lines, "no line fits")

    session.give(session.do("audit.list", object=object_, **how), shown)


@audit.command("verify", help="Check the whole trail, and the journal and ledger that it vouches for.")
@click.option("--noted", default="", metavar="NUMBER:DIGEST", help="A line that an earlier check told.")
@common
def _verify(session: Session, noted: str) -> None:
    def shown(verdict: dict[str, Any]) -> None:
        if verdict["good"]:
            session.say(f"good: lines {verdict['first']} to {verdict['last']}")
            session.say(f"note this elsewhere, to check by later: {verdict['last']}:{verdict['digest']}")
            return
        if verdict["problem"]:
            session.say(f"not good: {verdict['problem']}; up to line {verdict['line'] - 1} all is as it was written")
        for problem in verdict["books"]:
            session.say(f"not good: {problem}")

    verdict = session.do("audit.verify", noted=noted)
    session.give(verdict, shown)
    if not verdict["good"]:
        raise SystemExit(1)


@audit.command("purge", help="Delete the lines that are older than they are kept for; the purge itself is recorded.")
@click.option("--days", default=0, metavar="NUMBER", help="Older than this; by default as the settings say.")
@common
def _purge(session: Session, days: int) -> None:
    def shown(done: dict[str, Any]) -> None:
        session.say(f"{done['purged']} lines purged" if done["purged"] else "no line is that old")

    session.give(session.do("audit.purge", days=days), shown)
