"""Secrets that systemd hands over: a secret's file that is named without a folder.

systemd copies /etc/avisiod/secrets into memory that the service alone reads (LoadCredential= in systemd.exec(5)), so
that the files themselves may belong to root only. Outside of the service, as for avisioctl, the folder itself counts.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path("/etc/avisiod/secrets")
CREDENTIAL = "secrets"
"""As LoadCredential= names the folder; each file of it becomes `secrets_NAME`."""
KEYS = ("key_file", "pin_file", "secret_file", "password_hash_file", "url_file")
"""Ends of the keys that name a secret's file."""


def place(name: str) -> str:
    """Where the secret of this name is read from."""
    if handed_over := os.environ.get("CREDENTIALS_DIRECTORY"):
        path = Path(handed_over, f"{CREDENTIAL}_{name}")
        if path.exists():
            return str(path)
    return str(FOLDER / name)


def origin(path: Path) -> Path:
    """The technician's own file of which systemd handed this copy over; other paths as they are."""
    handed_over, prefix = os.environ.get("CREDENTIALS_DIRECTORY"), f"{CREDENTIAL}_"
    if handed_over and path.parent == Path(handed_over) and path.name.startswith(prefix):
        return FOLDER / path.name.removeprefix(prefix)
    return path


def placed(data: Any, key: str = "") -> Any:
    """The settings as they were written, with a path in the place of each secret that has a name only."""
    if isinstance(data, Mapping):
        return {name: placed(value, str(name)) for name, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return [placed(value) for value in data]
    if isinstance(data, str) and data and "/" not in data and key.endswith(KEYS):
        return place(data)
    return data
