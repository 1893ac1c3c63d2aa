#!/usr/bin/env python3
"""Write docs/configuration.md and etc/avisiod.yaml from the settings' own classes in avisiod/config/settings.py."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from avisiod.config import board, reload_rules, settings, sms
from avisiod.config.section import Section

ROOT = Path(__file__).resolve().parent.parent


def key_texts() -> dict[str, dict[str, str]]:
    """The docstring below each key, by class."""
    kinds = {kind.__name__: kind for kind in (*(kind for _, kind in sections()), *ENTRIES.values())}
    texts: dict[str, dict[str, str]] = {}
    for kind in (ast.parse(inspect.getsource(each)).body[0] for each in kinds.values()):
        assert isinstance(kind, ast.ClassDef)
        name = ""
        for node in kind.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name = node.target.id
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
                texts.setdefault(kind.name, {})[name] = inspect.cleandoc(str(node.value.value))
                name = ""
    return texts


def written(value: Any) -> str:
    """A default, as it stands in the file."""
    plain = msgspec.to_builtins(value)
    if isinstance(plain, str):
        return plain if re.fullmatch(r"[A-Za-zÀ-ÿ/][\w/.:-]*", plain) else f'"{plain}"'
    return yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("...").rstrip()


ENTRIES: dict[str, type[Section]] = {
    "An entry of media.ice_servers": settings.IceServer,
    "An entry of sms.routes": sms.SmsRoute,
    "`request` of such a route": sms.SmsRequest,
    "`reports` of such a route": sms.SmsReports,
    "An entry of boards.list": board.Board,
    "An entry of `keys` of a board": board.BoardKey,
    "An entry of `lamps` of a board": board.BoardLamp,
}
"""What stands in lists, or within what does."""


def default_of(field: Any) -> str:
    """The default of a key, as it stands in the file."""
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return "see below" if isinstance(value, Section) else f"`{written(value)}`"


def sections() -> list[tuple[str, type[Section]]]:
    """Name and class of each section, in the file's order."""
    return [(field.name, field.type) for field in msgspec.structs.fields(settings.Config)]


TEXTS = key_texts()


def text(kind: type[Section], key: str) -> str:
    """What the key means, in one line."""
    texts = TEXTS.get(kind.__name__, {})
    if key not in texts:
        raise ValueError(f"{kind.__name__}.{key} in avisiod/config has no docstring: say there what it means")
    return " ".join(texts[key].split())


def example() -> str:
    """etc/avisiod.yaml: every key with its default, commented out."""
    lines = [
        "# Settings of avisiod. Every key stands here with its default: remove the # before what you change.",
        "# `avisiod --check-config /etc/avisiod/avisiod.yaml` names everything that is wrong, line by line.",
    ]
    for name, kind in sections():
        lines += ["", f"# {inspect.cleandoc(kind.__doc__ or '')}", f"{name}:"]
        for field in msgspec.structs.fields(kind):
            lines += [f"  # {text(kind, field.name)}", f"  #{field.name}: {written(field.default)}"]
            if field.name == "routes":
                lines += [
                    "  #  - {name: ovh, kind: ovh, account: sms-ab12345-1, secret_file: /etc/avisiod/ovh.secret}",
                    "  #  - {name: modem, kind: modem, device: /dev/avisiod/modem-*}",
                ]
            if field.name == "ice_servers":
                lines += ["  #  - urls: [turn:turn.example.org:3478]", "  #    secret_file: /etc/avisiod/turn.secret"]
    return "\n".join(lines) + "\n"


def table(kind: type[Section]) -> list[str]:
    """One section's keys."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        default = "required" if field.required else default_of(field)
        lines.append(f"| `{field.name}` | {default} | {text(kind, field.name)} |")
    return lines


def reference() -> str:
    """docs/configuration.md."""
    lines = [
        "# Settings",
        "",
        "`/etc/avisiod/avisiod.yaml`, read at start and upon SIGHUP. Keys that are missing have their default; an",
        "unknown key, a value out of bounds or settings that contradict each other keep the daemon from starting.",
        "`avisiod --check-config FILE` names all that is wrong, with line, reason and remedy.",
        "",
        "Names end in their unit: `_s` is seconds, `_bytes` bytes. A key that ends in `_file` or `_folder` takes a",
        "whole path; files with secrets (keys, PIN, TURN secret) must be closed to others (`chmod 600`).",
    ]
    for name, kind in sections():
        lines += ["", f"## {name}", "", inspect.cleandoc(kind.__doc__ or ""), "", *table(kind)]
    lines += [
        "",
        "## What a reload takes up",
        "",
        "`systemctl reload avisiod` (SIGHUP) reads this file and the inventory again, checks both, and takes them up",
        "whole or not at all: what is wrong is told in the journal, and the settings in use stay. From the next call",
        "on these keys have their new value; a change of any other is named in the journal and takes a restart:",
        "",
        *(f"- `{key}`" for key in sorted(reload_rules.AT_RELOAD)),
    ]
    for title, kind in ENTRIES.items():
        lines += ["", f"### {title}", "", inspect.cleandoc(kind.__doc__ or ""), "", *table(kind)]
    return "\n".join(lines) + "\n"


FILES = {"etc/avisiod.yaml": example, "docs/configuration.md": reference}

if __name__ == "__main__":
    for name, render in FILES.items():
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_text(render(), encoding="utf-8")
