"""Signatures of minisign (Ed25519 over BLAKE2b-512), verified with `cryptography`; made with the ordinary tool."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_HASHED = b"ED"
_CHUNK = 1 << 20
_TRUSTED = "trusted comment: "


class SignatureRefused(ValueError):
    """The file is not as it was signed by somebody who may; the text says what is wrong."""


class PublicKey(NamedTuple):
    """Who may sign."""

    id: bytes
    key: Ed25519PublicKey

    @property
    def shown(self) -> str:
        """As minisign shows it."""
        return self.id[::-1].hex().upper()


class Checked(NamedTuple):
    """What a file was found to be."""

    key: str
    size: int
    sha256: str
    comment: str
    """As it was signed along."""


def public_key(text: str) -> PublicKey:
    """Read the second line of a .pub file. SignatureRefused."""
    raw = _decoded(text.strip().splitlines()[-1] if text.strip() else "", 42, "public key")
    if raw[:2] != b"Ed":
        raise SignatureRefused("no public key of minisign")
    return PublicKey(raw[2:10], Ed25519PublicKey.from_public_bytes(raw[10:]))


def verify(file: BinaryIO, signature: str, keys: Sequence[PublicKey]) -> Checked:
    """Read the whole file and check it. SignatureRefused where it, or its trusted comment, is not as signed."""
    lines = signature.splitlines()
    if len(lines) < 4 or not lines[2].startswith(_TRUSTED):
        raise SignatureRefused("no signature of minisign: give the .minisig file")
    raw, sealed = _decoded(lines[1], 74, "signature"), _decoded(lines[3], 64, "signature of the comment")
    if raw[:2] != _HASHED:
        raise SignatureRefused("an old kind of signature: sign again with minisign 0.10 or later")
    key = next((key for key in keys if key.id == raw[2:10]), None)
    if key is None:
        raise SignatureRefused(f"signed by {raw[2:10][::-1].hex().upper()}, who may not (firmware.public_keys)")
    digest, sha256, size = hashlib.blake2b(), hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        sha256.update(chunk)
        size += len(chunk)
    comment = lines[2].removeprefix(_TRUSTED)
    try:
        key.key.verify(raw[10:], digest.digest())
        key.key.verify(sealed, raw[10:] + comment.encode())
    except InvalidSignature:
        raise SignatureRefused("the file is not as it was signed: it was changed, or cut short") from None
    return Checked(key.shown, size, sha256.hexdigest(), comment[:200])


def _decoded(line: str, length: int, what: str) -> bytes:
    try:
        raw = base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != length:
        raise SignatureRefused(f"no {what} of minisign")
    return raw
