"""Who may see /metrics and /health: HTTP Basic (RFC 7617) against one name and a password kept as an Argon2 hash."""

import base64
import binascii
import hashlib
import hmac
import secrets
from pathlib import Path

import argon2
from twisted.internet.defer import DeferredLock
from twisted.internet.threads import deferToThread

REALM = b'Basic realm="avisiod", charset="UTF-8"'
WAITING = 8
"""So many wrong passwords are verified one after the other; more are refused unseen. Each takes a core for some
hundredths of a second."""


class HashUnusable(ValueError):
    """The file holds no hash; the text says what to do."""


def hashed(password: str) -> str:
    """What a file for `metrics.password_hash_file` holds."""
    return argon2.PasswordHasher().hash(password)


class Login:
    """Verifies once, then remembers: Prometheus shows the same password every few seconds."""

    def __init__(self, user: str, hash_file: Path) -> None:
        """OSError or HashUnusable where the file cannot be used."""
        self._hash = hash_file.read_text(encoding="ascii", errors="replace").strip()
        try:
            argon2.extract_parameters(self._hash)
        except argon2.exceptions.InvalidHashError:
            raise HashUnusable(
                f"metrics.password_hash_file {hash_file} holds no hash: make one with avisiod --hash-password"
            ) from None
        self._user = user
        self._key = secrets.token_bytes(32)
        self._right = b""
        """Digest of the header that was right; made with a key of this process."""
        self._lock = DeferredLock()
        self._waiting = 0

    async def admits(self, header: str | None) -> bool:
        """Whether this Authorization header has name and password. How long a refusal takes tells neither."""
        if not header:
            return False
        digest = hashlib.blake2b(header.encode(), key=self._key).digest()
        if hmac.compare_digest(digest, self._right):
            return True
        if self._waiting >= WAITING:
            return False
        self._waiting += 1
        try:
            right = await self._lock.run(deferToThread, self._is_right, header)
        finally:
            self._waiting -= 1
        if right:
            self._right = digest
        return bool(right)

    def _is_right(self, header: str) -> bool:
        scheme, _, credentials = header.partition(" ")
        try:
            plain = base64.b64decode(credentials.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            plain = ""
        user, _, password = plain.partition(":")
        known = hmac.compare_digest(user.encode(), self._user.encode())
        try:
            argon2.PasswordHasher().verify(self._hash, password)
        except argon2.exceptions.Argon2Error:
            return False
        return known and scheme.lower() == "basic"
