"""avisioctl accounts: balances, payments, statements."""

from typing import Any

import click

from avisiod.cli.session import Session, common, text_of, write_out
from avisiod.office import csvfile


@click.group("accounts", help="Prepaid accounts: balances, payments, statements, the accountant's export.")
def accounts() -> None:
    """The group."""


@accounts.command("balance", help="Balances, and what is set aside for calls under way; of one detainee or of all.")
@click.argument("detainee", default="", metavar="[DETAINEE]")
@common
def _balance(session: Session, detainee: str) -> None:
    session.give(session.do("accounts.balance", detainee=detainee), session.table)


def _pay(session: Session, kind: str, detainee: str, amount: str, key: str) -> None:
    def shown(paid: dict[str, Any]) -> None:
        was = "" if paid["booked"] else ": had been booked before, nothing was changed"
        session.say(f"{paid['amount']} for {paid['detainee']}{was}")

    session.give(session.do("accounts.pay", kind=kind, detainee=detainee, amount=amount, key=key), shown)


@accounts.command("top-up", help="Book a payment. Its key, such as a receipt's number, makes it count once.")
@click.argument("detainee")
@click.argument("amount")
@click.option("--key", required=True, help="Names the payment: the same key again is the same payment.")
@common
def _top_up(session: Session, detainee: str, amount: str, key: str) -> None:
    _pay(session, "top_up", detainee, amount, key)


@accounts.command("credit", help="Give money, with a reason.")
@click.argument("detainee")
@click.argument("amount")
@click.option("--key", required=True, help="Names the credit: the same key again is the same credit.")
@common
def _credit(session: Session, detainee: str, amount: str, key: str) -> None:
    _pay(session, "credit", detainee, amount, key)


@accounts.command("refund", help="Give back what a call has cost.")
@click.argument("call")
@common
def _refund(session: Session, call: str) -> None:
    def shown(paid: dict[str, Any]) -> None:
        session.say(f"{paid['amount']} given back" if paid["booked"] else "had been given back before")

    session.give(session.do("accounts.refund", call=call), shown)


@accounts.command("import", help="Book a CSV file of payments, all of it or nothing. `-`: stdin.")
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@common
def _import(session: Session, file: str, dry_run: bool) -> None:
    def shown(paid: list[dict[str, Any]]) -> None:
        for one in paid:
            was = "" if one["booked"] else ", booked before"
            session.say(f"line {one['line']}: {one['amount']} for {one['detainee']}{was}")
        booked = sum(one["booked"] for one in paid)
        session.say(f"{booked} of {len(paid)} booked{'; nothing was written: this was a dry run' * dry_run}")

    session.give(session.do("accounts.import", text=text_of(file), dry_run=dry_run), shown)


@accounts.command("statement", help="A detainee's movements, with reasons and balances.")
@click.argument("detainee")
@click.option("--since", default="", metavar="DAY", help="First day.")
@click.option("--until", default="", metavar="DAY", help="Last day.")
@common
def _statement(session: Session, detainee: str, since: str, until: str) -> None:
    session.give(session.do("accounts.statement", detainee=detainee, since=since, until=until), session.table)


@accounts.command("export", help="Every posting of the ledger as CSV, for the accountant. `-`: stdout.")
@click.argument("file", default="-")
@click.option("--since", default="", metavar="DAY", help="First day.")
@click.option("--until", default="", metavar="DAY", help="Last day.")
@common
def _export(session: Session, file: str, since: str, until: str) -> None:
    lines = session.do("accounts.statement", since=since, until=until)
    if session.as_json:
        session.give(lines)
        return
    columns = ("at", "key", "kind", "account", "amount", "call", "actor", "why")
    write_out(session, csvfile.written(columns, lines), file)
