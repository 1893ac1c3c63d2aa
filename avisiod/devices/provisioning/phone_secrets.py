"""The secrets of each phone, made of one key: nothing of them is kept anywhere else.

A new generation gives a phone new ones. Whoever has one of them cannot tell another, of this phone or any other.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Literal

from avisiod.calls.ids import PhoneId

Purpose = Literal["sip", "fetch", "event", "admin"]
KEY_BYTES = 32
LENGTH = 26
"""Characters of base32: 130 bits."""


class KeyUnusable(OSError):
    """The master key cannot be used; the text says what to do."""


class PhoneSecrets:
    """Makes them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "PhoneSecrets()"

    def of(self, purpose: Purpose, phone: PhoneId, generation: int) -> str:
        """The phone's secret for this: lower-case letters and digits."""
        name = f"{purpose}\0{phone}\0{generation}".encode()
        return base64.b32encode(hmac.digest(self._key, name, "sha256")).decode("ascii").lower()[:LENGTH]

    def fits(self, given: str, purpose: Purpose, phone: PhoneId, generation: int) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(given.encode(), self.of(purpose, phone, generation).encode())


def ha1_of(user: str, realm: str, password: str) -> str:
    """MD5 of user:realm:password, hex (RFC 7616 section 3.4.2)."""
    return hashlib.md5(f"{user}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()


def master_key(path: Path) -> bytes:
    """Read the key, or make it at first, mode 0600. KeyUnusable where it cannot be used."""
    try:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(descriptor)
        open_to_others = bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
        key = path.read_bytes()
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be used ({error.strerror}): correct provisioning.master_key_file") from None
    if open_to_others:
        raise KeyUnusable(f"{path} is readable by others: chmod 600 {path}")
    if len(key) < KEY_BYTES:
        raise KeyUnusable(f"{path} is too short to be a key: delete it, and all phones fetch their settings anew")
    return key
