"""The man page avisioctl(1), made of the commands themselves."""

from collections.abc import Iterator

import click

DESCRIPTION = """\
Without a running daemon the database itself is opened, by who may write to it: root, or the daemon's user. With one,
its socket is used (admin.socket_file), and who may is settled by the kernel's word: root, the daemon's user, members
of admin.group.
.PP
Everything leaves a line in the audit trail: who, when, what, and why (\\-\\-why); every command takes it, and
\\-\\-json for an answer that a program reads. PINs and passwords are typed unseen or read from standard input, never
given as arguments. The codes of invitations cannot be seen at all."""

FILES = (
    ("/etc/avisiod/avisiod.yaml", "the settings"),
    ("/run/avisiod/control.sock", "the daemon's socket"),
    ("/var/lib/avisiod/avisiod.db", "the database"),
)
STATUS = (("0", "done"), ("1", "refused or failed; nothing was changed"), ("2", "wrong arguments or settings"))


def page(root: click.Group) -> str:
    """In roff, for man(7)."""
    lines = [
        '.TH AVISIOCTL 1 "" avisiod "avisiod"',
        ".SH NAME",
        "avisioctl \\- people, rules, money and calls of avisiod",
        ".SH SYNOPSIS",
        ".B avisioctl",
        "[\\-\\-config FILE] COMMAND …",
        ".SH DESCRIPTION",
        DESCRIPTION,
        ".SH COMMANDS",
    ]
    for path, command in _commands(root, ()):
        lines += _command(path, command)
    lines.append(".SH VALUES")
    for name, text in VALUES:
        lines += [".TP", f".B {_roff(name)}", _roff(text)]
    for heading, entries in (("EXIT STATUS", STATUS), ("FILES", FILES)):
        lines.append(f".SH {heading}")
        for name, text in entries:
            lines += [".TP", f".B {_roff(name)}", _roff(text)]
    lines += [".SH SEE ALSO", ".BR avisiod (8),", ".BR avisiod.yaml (5),", "/usr/share/doc/avisiod/staff.md"]
    return "\n".join(lines) + "\n"


VALUES = (
    ("DAY", "2026-12-31, or 31/12/2026; of the site's calendar"),
    ("LOCAL-TIME", "2026-12-24T18:00, in the site's time zone"),
    ("HH:MM", "18:00; the end of the day is 24:00"),
    ("WEEKDAY", "mon to sun, or lun to dim"),
    ("WEEKDAYS", "such as mon-fri, or sat sun, or all"),
    ("SCOPE", "site, building:ID, regime:ID or detainee:ID; the more specific one decides"),
    ("AMOUNT", "12.50 or 12,50"),
    ("PRICE", "0.15, down to a hundredth of a cent: 0.0025"),
)


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in sorted(group.commands):
        command = group.commands[name]
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _command(path: tuple[str, ...], command: click.Command) -> list[str]:
    context = click.Context(command, info_name=" ".join(path))
    arguments = [_argument(each) for each in command.params if isinstance(each, click.Argument)]
    lines = [f".SS {_roff(' '.join([*path, *arguments]))}", _roff(command.help or "")]
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None and record[0] not in _EVERYWHERE:
            lines += [".TP", f".B {_roff(record[0])}", _roff(record[1])]
    return lines


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


_EVERYWHERE = ("--json", "--why TEXT")
"""Told once, in the description."""


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
