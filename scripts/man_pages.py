#!/usr/bin/env python3
"""Write avisiod(8), avisiod-hooks(8) and avisiod.yaml(5) into a folder, from the texts of program and settings.

avisioctl(1) is written by `avisioctl manual`.
"""

import argparse
import inspect
import runpy
from pathlib import Path
from typing import Any

import msgspec

from avisiod import hook_runner
from avisiod.__main__ import arguments
from avisiod.config import reload_rules

SETTINGS = runpy.run_path(str(Path(__file__).resolve().parent / "configuration_docs.py"))

SUMMARY = """\
avisiod lets detained people call their families by video: SIP video phones in the cells on one side, browsers on the
other. It is started by systemd as avisiod.service and keeps SIP and media workers as its children. Phones reach it by
way of a Kamailio, avisiod\\-edge.service. Staff ask and steer it with
.BR avisioctl (1)."""

SIGNALS = (
    ("SIGHUP", "Settings and inventory are read again, checked, and taken up whole or not at all: systemctl reload."),
    (
        "SIGTERM",
        "New calls are refused, those under way go on for calls.drain_s. A second one ends them at once.",
    ),
    ("SIGQUIT", "Sent by the watchdog: the process ends without a word, workers hang up and seal their recordings."),
)
STATUS = (
    ("0", "an orderly stop; or the settings are good"),
    ("1", "it cannot start, or something is wrong with the settings that were to be checked"),
    ("2", "wrong settings or inventory: systemd does not try again"),
)
FILES = (
    ("/etc/avisiod/avisiod.yaml", "the settings, avisiod.yaml(5)"),
    ("/etc/avisiod/inventory.yaml", "phones and contacts"),
    ("/etc/avisiod/kamailio/kamailio-local.cfg", "where phones reach the edge"),
    ("/var/lib/avisiod", "database, recordings, registrations, backups"),
    ("/run/avisiod/control.sock", "where avisioctl asks"),
)
RULES = """\
YAML. Keys that are missing have their default. An unknown key, a value out of bounds or settings that contradict each
other keep the daemon from starting;
.B avisiod \\-\\-check\\-config
names all that is wrong, with line, reason and remedy. Names end in their unit: _s is seconds, _bytes bytes. A key
that ends in _file or _folder takes a whole path; files with secrets must be closed to others."""


def roff(text: str) -> str:
    """Plain text, escaped for roff, on one line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def entries(pairs: Any) -> list[str]:
    """A list of terms, each with its meaning."""
    return [line for name, text in pairs for line in (".TP", f".B {roff(name)}", roff(text))]


def options(parser: argparse.ArgumentParser) -> list[str]:
    """What a command line takes."""
    formatter = parser._get_formatter()
    pairs = []
    for action in parser._actions:
        value = "" if action.nargs == 0 else action.metavar or action.dest.upper()
        shown = f"[{value}]" if action.nargs == "?" else str(value)
        pairs.append((f"{', '.join(action.option_strings)} {shown}".strip(), formatter._expand_help(action)))
    return entries(pairs)


def hooks_page() -> str:
    """avisiod-hooks(8)."""
    lines = [
        '.TH AVISIOD\\-HOOKS 8 "" avisiod "avisiod"',
        ".SH NAME",
        "avisiod\\-hooks \\- runs the site's own scripts when something happens to avisiod",
        ".SH SYNOPSIS",
        ".B avisiod\\-hooks",
        "[OPTION]…",
        ".SH DESCRIPTION",
        *(roff(part) for part in _joined((hook_runner.__doc__ or "").partition("\n\n")[2])),
        ".SH OPTIONS",
        *options(hook_runner.arguments()),
        ".SH SEE ALSO",
        ".BR avisiod (8),",
        "/usr/share/doc/avisiod/hooks.md",
    ]
    return "\n".join(lines) + "\n"


def _joined(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n")]


def daemon_page() -> str:
    """avisiod(8)."""
    lines = [
        '.TH AVISIOD 8 "" avisiod "avisiod"',
        ".SH NAME",
        "avisiod \\- video calls between the phones of a prison and the browsers of families",
        ".SH SYNOPSIS",
        ".B avisiod",
        "[\\-\\-config FILE]",
        ".SH DESCRIPTION",
        SUMMARY,
        ".SH OPTIONS",
        *options(arguments()),
        ".SH SIGNALS",
        *entries(SIGNALS),
        ".SH EXIT STATUS",
        *entries(STATUS),
        ".SH FILES",
        *entries(FILES),
        ".SH SEE ALSO",
        ".BR avisioctl (1),",
        ".BR avisiod.yaml (5),",
        ".BR kamailio (8),",
        "/usr/share/doc/avisiod",
    ]
    return "\n".join(lines) + "\n"


def keys(kind: Any) -> list[str]:
    """What a section or an entry holds."""
    pairs = []
    for field in msgspec.structs.fields(kind):
        default = "required" if field.required else SETTINGS["default_of"](field)
        pairs.append((f"{field.name} ({default})", SETTINGS["text"](kind, field.name)))
    return entries(pairs)


def about(kind: Any) -> str:
    """What a section or an entry is, in one line."""
    return roff(" ".join(inspect.cleandoc(kind.__doc__ or "").split()))


def settings_page() -> str:
    """avisiod.yaml(5)."""
    lines = [
        '.TH AVISIOD.YAML 5 "" avisiod "avisiod"',
        ".SH NAME",
        "avisiod.yaml \\- settings of avisiod",
        ".SH SYNOPSIS",
        "/etc/avisiod/avisiod.yaml",
        ".SH DESCRIPTION",
        RULES,
        ".PP",
        "Behind each key stands its default, in parentheses.",
    ]
    for name, kind in SETTINGS["sections"]():
        lines += [f".SH {roff(name.upper())}", about(kind), *keys(kind)]
    for title, kind in SETTINGS["ENTRIES"].items():
        lines += [f'.SH "{roff(title.upper())}"', about(kind), *keys(kind)]
    lines += [
        '.SH "WHAT A RELOAD TAKES UP"',
        "From the next call on; a change of any other key takes a restart.",
        ".PP",
        roff(", ".join(sorted(reload_rules.AT_RELOAD))),
        ".SH SEE ALSO",
        ".BR avisiod (8),",
        ".BR avisioctl (1),",
        "/usr/share/doc/avisiod/configuration.md",
    ]
    return "\n".join(lines) + "\n"


PAGES = {"man8/avisiod.8": daemon_page, "man8/avisiod-hooks.8": hooks_page, "man5/avisiod.yaml.5": settings_page}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="such as /usr/share/man")
    target = parser.parse_args().folder
    for name, render in PAGES.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(render(), encoding="utf-8")
