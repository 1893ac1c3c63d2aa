"""Signs files as minisign does, with a key of the test's own."""

import base64
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer:
    """One key."""

    def __init__(self, key_id: bytes = b"\x01\x02\x03\x04\x05\x06\x07\x08") -> None:
        self._key = Ed25519PrivateKey.generate()
        self.id = key_id

    @property
    def public(self) -> str:
        """The second line of its .pub file."""
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return base64.b64encode(b"Ed" + self.id + raw).decode()

    def sign(self, data: bytes, comment: str = "timestamp:1\tfile:x\thashed") -> str:
        """The text of a .minisig file."""
        signature = self._key.sign(hashlib.blake2b(data).digest())
        sealed = self._key.sign(signature + comment.encode())
        lines = [
            "untrusted comment: signature of a test",
            base64.b64encode(b"ED" + self.id + signature).decode(),
            f"trusted comment: {comment}",
            base64.b64encode(sealed).decode(),
        ]
        return "\n".join(lines) + "\n"

    def write(self, path: Path, data: bytes) -> Path:
        """A file, and its signature beside it."""
        path.write_bytes(data)
        path.with_name(f"{path.name}.minisig").write_text(self.sign(data))
        return path
