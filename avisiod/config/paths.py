"""The files and folders that the settings name: whether they are there, readable, and secrets closed to others."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from avisiod import secret_files
from avisiod.config.finding import Finding
from avisiod.config.settings import Config


def _paths(config: Config) -> Iterator[tuple[str, str]]:
    """Every path in the settings that is not empty, with its key."""
    for section in msgspec.structs.fields(config):
        values = getattr(config, section.name)
        for name in values.__struct_fields__:
            value = getattr(values, name)
            if (name in ("path", "device", "folder") or name.endswith(("_file", "_folder"))) and value:
                yield f"{section.name}.{name}", value
    for place, board in enumerate(config.boards.list):
        if board.device:
            yield f"boards.list[{place}].device", board.device
    for place, route in enumerate(config.sms.routes):
        for name in ("device", "pin_file", "secret_file", "ca_file"):
            if path := getattr(route, name):
                yield f"sms.routes[{place}].{name}", path
    for place, server in enumerate(config.media.ice_servers):
        if server.secret_file:
            yield f"media.ice_servers[{place}].secret_file", server.secret_file


def absolute(config: Config) -> Iterator[Finding]:
    """Paths must not depend on the folder in which the daemon starts."""
    for key, path in _paths(config):
        if not path.startswith("/"):
            yield Finding((key,), f"`{path}` is relative", "write the whole path, from / on")


_MADE_BY_US = (
    "recordings.folder",
    "recordings.record_file",
    "store.path",
    "store.code_key_file",
    "modem.device",
    "modem.pin_mark_file",
    "admin.socket_file",
    "sms.tally_file",
    "hooks.socket_file",
    "provisioning.master_key_file",
    "firmware.folder",
    "backup.folder",
    "backup.record_file",
)
"""Made at first start, or plugged in later."""


def secrets(config: Config) -> list[tuple[str, str]]:
    """The files with keys and other secrets that the settings name: key and path of each."""
    return [(key, path) for key, path in _paths(config) if key.endswith(secret_files.KEYS)]


def found(config: Config) -> Iterator[Finding]:
    """Look at the files that the settings name: there, readable, and secrets closed to others."""
    for key, name in _paths(config):
        path = Path(name)
        made_by_us = key in _MADE_BY_US or key.endswith("].device")
        if not path.is_absolute() or (made_by_us and not path.exists()):
            continue
        yield from _folder(key, path) if key.endswith("folder") else _file(key, path)


def _folder(key: str, path: Path) -> Iterator[Finding]:
    if not path.is_dir():
        yield Finding((key,), f"{path} is no folder", "create it, or correct the path")
    elif not os.access(path, os.R_OK | os.X_OK):
        yield Finding((key,), f"{path} cannot be opened", "give the daemon's user access")


def _file(key: str, path: Path) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield Finding((key,), f"{path}: {error.strerror}", "create it, or correct the path")
        return
    if stat.S_ISDIR(mode):
        yield Finding((key,), f"{path} is a folder", "name a file")
    elif not os.access(path, os.R_OK):
        yield Finding((key,), f"{path} cannot be read", "give the daemon's user access")
    elif key.endswith(secret_files.KEYS) and mode & 0o027:
        yield Finding((key,), f"{path} holds a secret and is open to others", f"chmod 600 {path}")
