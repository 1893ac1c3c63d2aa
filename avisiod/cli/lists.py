"""The commands of the lists: for each kind the same, made of its fields."""

from collections.abc import Callable
from typing import Any

import click

from avisiod.cli.session import Session, common, secret, text_of, write_out
from avisiod.office.kind import Field, Kind
from avisiod.office.kinds import kinds
from avisiod.office.plan import Problem, Refused

PIN_DIGITS = (4, 12)


def add_to(group: click.Group) -> None:
    """Make the commands of every list; names and help do not depend on the settings."""
    for kind in kinds("FR").values():
        listed = click.Group(kind.plural, help=f"{kind.help[0].upper()}{kind.help[1:]}.")
        for make in (_list, _show, _add, _change, _remove, _import, _export):
            command = make(kind)
            if command is not None:
                listed.add_command(command)
        group.add_command(listed)
    for plural, command in (
        ("people", _pin),
        ("people", _unlock),
        ("phones", _password),
        ("phones", _unlock_phone),
        ("staff", _end),
    ):
        parent = group.commands[plural]
        assert isinstance(parent, click.Group)  # noqa: S101 - made above
        parent.add_command(command)


def _key(kind: Kind) -> Callable[[Any], Any]:
    def wrap(function: Any) -> Any:
        for name in reversed(kind.keys):
            function = click.argument(name, metavar=name.upper())(function)
        return function

    return wrap


def _options(kind: Kind, *, keys: bool) -> Callable[[Any], Any]:
    def wrap(function: Any) -> Any:
        for field in reversed(kind.fields):
            if field.name != "why" and (keys or field.name not in kind.keys):
                function = _option(field)(function)
        return function

    return wrap


def _option(field: Field) -> Callable[[Any], Any]:
    flag = f"--{field.name.replace('_', '-')}"
    return click.option(flag, field.name, metavar=field.value.hint, default=None, help=f"{field.help.capitalize()}.")


def _given(fields: dict[str, Any]) -> dict[str, str]:
    return {name: str(text) for name, text in fields.items() if text is not None}


def _with_reason(session: Session, kind: Kind, fields: dict[str, Any]) -> dict[str, str]:
    """A row that bears a reason of its own bears the one that the trail is given: there is one option for both."""
    bears = any(field.name == "why" for field in kind.fields)
    return _given(fields | ({"why": session.why or None} if bears else {}))


def _list(kind: Kind) -> click.Command:
    @click.command("list", help=f"List {kind.help}.")
    @click.option("-f", "--filter", "filters", multiple=True, metavar="FIELD=TEXT", help="Only rows with this text.")
    @click.option("--unlisted", is_flag=True, help="Those that have left, too.")
    @common
    def command(session: Session, filters: tuple[str, ...], unlisted: bool) -> None:
        fields = dict(part.partition("=")[::2] for part in filters)
        session.give(session.do("list", kind=kind.plural, fields=fields, unlisted=unlisted), session.table)

    return command


def _show(kind: Kind) -> click.Command:
    @click.command("show", help=f"Show one {kind.name}.")
    @_key(kind)
    @common
    def command(session: Session, **key: str) -> None:
        def shown(row: dict[str, Any]) -> None:
            session.pairs(row)
            if "history" in row:
                session.say("")
                session.table(row["history"])

        session.give(session.do("show", kind=kind.plural, key="/".join(key[name] for name in kind.keys)), shown)

    return command


def _add(kind: Kind) -> click.Command:
    positional = kind.make_key is None
    unkeyed = _key(kind) if positional else (lambda function: function)

    @click.command("add", help=f"Add one {kind.name}.")
    @unkeyed
    @_options(kind, keys=not positional)
    @click.option("--dry-run", is_flag=True, help="Only say what would be done.")
    @common
    def command(session: Session, dry_run: bool, **fields: Any) -> None:
        _edit(session, kind, {"action": "add", "fields": _with_reason(session, kind, fields)}, dry_run=dry_run)

    return command


def _change(kind: Kind) -> click.Command:
    @click.command("change", help=f"Change one {kind.name}; an empty text empties a field.")
    @_key(kind)
    @_options(kind, keys=False)
    @click.option("--version", type=int, metavar="NUMBER", help="The version that you saw: refused if it is another.")
    @click.option("--dry-run", is_flag=True, help="Only say what would be done.")
    @common
    def command(session: Session, version: int | None, dry_run: bool, **fields: Any) -> None:
        edit = {"action": "change", "fields": _with_reason(session, kind, fields), "version": version}
        _edit(session, kind, edit, dry_run=dry_run)

    return command


def _remove(kind: Kind) -> click.Command | None:
    if not kind.deletable:
        return None
    what = "Take one {} off the list; what was stays." if kind.unlists else "Remove one {}."

    @click.command("remove", help=what.format(kind.name))
    @_key(kind)
    @click.option("--version", type=int, metavar="NUMBER", help="The version that you saw: refused if it is another.")
    @click.option("--dry-run", is_flag=True, help="Only say what would be done.")
    @common
    def command(session: Session, version: int | None, dry_run: bool, **fields: Any) -> None:
        edit = {"action": "remove", "fields": _given(fields), "version": version}
        _edit(session, kind, edit, dry_run=dry_run)

    return command


def _import(kind: Kind) -> click.Command:
    @click.command("import", help=f"Add and change {kind.plural} from a CSV file, all of it or nothing. `-`: stdin.")
    @click.argument("file")
    @click.option("--dry-run", is_flag=True, help="Only say what would be done.")
    @common
    def command(session: Session, file: str, dry_run: bool) -> None:
        session.give(
            session.do("import", kind=kind.plural, text=text_of(file), dry_run=dry_run),
            lambda result: _shown(session, result),
        )

    return command


def _export(kind: Kind) -> click.Command:
    @click.command("export", help=f"Write all {kind.plural} as a CSV file that `import` takes. `-`: stdout.")
    @click.argument("file", default="-")
    @common
    def command(session: Session, file: str) -> None:
        text = session.do("export", kind=kind.plural)
        if session.as_json:
            session.give(text)
        else:
            write_out(session, text, file)

    return command


def _edit(session: Session, kind: Kind, edit: dict[str, Any], *, dry_run: bool) -> None:
    result = session.do("edit", kind=kind.plural, edits=[edit], dry_run=dry_run)
    session.give(result, lambda shown: _shown(session, shown))


def _shown(session: Session, result: dict[str, Any]) -> None:
    counts: dict[str, int] = {}
    for done in result["done"]:
        counts[done["action"]] = counts.get(done["action"], 0) + 1
        if done["action"] == "same":
            continue
        line = f"line {done['line']}: " if done.get("line") else ""
        changes = ", ".join(f"{name} {old or '∅'} → {new or '∅'}" for name, (old, new) in done["changes"].items())
        session.say(f"{line}{done['action']} {done['key']}{': ' + changes if changes else ''}")
    told = ", ".join(f"{number} {_PAST[action]}" for action, number in counts.items()) or "nothing is in it"
    session.say(f"{told}{'; nothing was written: this was a dry run' if result['dry_run'] else ''}")


_PAST = {"add": "added", "change": "changed", "remove": "removed", "same": "as they were"}


@click.command("pin", help="Set a detainee's PIN: typed unseen, or one line of standard input.")
@click.argument("detainee", metavar="ID")
@common
def _pin(session: Session, detainee: str) -> None:
    from argon2 import PasswordHasher

    typed = secret("PIN", least=PIN_DIGITS[0])
    if not (typed.isascii() and typed.isdecimal()) or len(typed) > PIN_DIGITS[1]:
        remedy = f"take {PIN_DIGITS[0]} to {PIN_DIGITS[1]} digits"
        raise Refused(Problem(column="pin", reason="a PIN is typed on a phone", remedy=remedy))
    session.give(session.do("people.pin", id=detainee, hash=PasswordHasher().hash(typed)))
    session.say("the PIN is set")


@click.command("unlock", help="Forget a detainee's wrong PINs.")
@click.argument("detainee", metavar="ID")
@common
def _unlock(session: Session, detainee: str) -> None:
    session.give(session.do("unlock", detainee=detainee))
    session.say("unlocked")


@click.command("unlock", help="Forget the wrong PINs typed on a phone.")
@click.argument("phone", metavar="ID")
@common
def _unlock_phone(session: Session, phone: str) -> None:
    session.give(session.do("unlock", phone=phone))
    session.say("unlocked")


@click.command("end", help="End a designation at once; it stays on the list.")
@click.argument("user", metavar="USER")
@click.argument("role", metavar="ROLE")
@common
def _end(session: Session, user: str, role: str) -> None:
    result = session.do("staff.end", user=user, role=role)
    session.give(result, lambda shown: _shown(session, shown))


@click.command("password", help="Set a phone's SIP password: typed unseen, or one line of standard input.")
@click.argument("phone", metavar="ID")
@common
def _password(session: Session, phone: str) -> None:
    from avisiod.store.inventory import ha1

    hashed = ha1(phone, session.config.sip.realm, secret("password", least=8))
    session.give(session.do("phones.password", id=phone, hash=hashed))
    session.say("the password is set")
