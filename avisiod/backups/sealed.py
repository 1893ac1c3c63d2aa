"""The sealed file: age (age-encryption.org/v1) around a gzipped tar, written and read in one pass, never as a whole.

age makes every 64 KiB of it tamper-proof and knows its end: what was altered or cut off does not open. It does not
tell who wrote a backup: whoever knows the recipient can make one.
"""

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyrage

HEADER = b"age-encryption.org/v1"
BLOCK = 256 * 1024
Recipient = pyrage.x25519.Recipient | pyrage.ssh.Recipient
Identity = pyrage.x25519.Identity | pyrage.ssh.Identity


class Unreadable(Exception):
    """The file cannot be opened as a backup; the text says why and what to do."""


def recipient(text: str) -> Recipient:
    """The public key `age1…`, or an SSH key `ssh-ed25519 …`. ValueError where it is none."""
    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except (pyrage.RecipientError, ValueError):
        raise ValueError("no public key of age, nor of SSH") from None


def identities(data: bytes) -> list[Identity]:
    """The secret keys of a file of `age-keygen`, or of one of SSH. Unreadable where there is none."""
    if b"OPENSSH PRIVATE KEY" in data or b"RSA PRIVATE KEY" in data:
        try:
            return [pyrage.ssh.Identity.from_buffer(data)]
        except (pyrage.IdentityError, ValueError):
            raise Unreadable("the SSH key cannot be used, or is locked by a passphrase: unlock it first") from None
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    try:
        found: list[Identity] = [
            pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")
        ]
    except (pyrage.IdentityError, ValueError):
        found = []
    if not found:
        raise Unreadable("there is no secret key of age in it: give the file that age-keygen wrote")
    return found


def is_sealed(path: Path) -> bool:
    """Whether the file begins as one of age. OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER


def seal(target: BinaryIO, recipients: Sequence[Recipient], fill: Callable[[tarfile.TarFile], None]) -> None:
    """Write what `fill` puts into a tar, encrypted; what `fill` raises is raised."""
    reading, writing = os.pipe()
    failure: list[BaseException] = []

    def pack() -> None:
        try:
            with (
                os.fdopen(writing, "wb") as pipe,
                tarfile.open(mode="w|gz", fileobj=pipe, bufsize=BLOCK, format=tarfile.PAX_FORMAT) as tar,
            ):
                fill(tar)
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            failure.append(error)

    packer = threading.Thread(target=pack, name="backup-packer")
    packer.start()
    try:
        with os.fdopen(reading, "rb") as pipe:
            pyrage.encrypt_io(pipe, target, recipients)
    finally:
        packer.join()
    if failure:
        raise failure[0]


@contextlib.contextmanager
def opened(path: Path, secrets: Sequence[Identity]) -> Iterator[Iterator[tuple[str, BinaryIO]]]:
    """The members of a backup, in their order. What is read is not to be believed before the block is left.

    Unreadable, at the latest when the block is left, where the file was altered or cut off, or is for other keys.
    """
    reading, writing = os.pipe()
    failure: list[BaseException] = []

    def unseal() -> None:
        with os.fdopen(writing, "wb") as pipe, path.open("rb") as file:
            try:
                pyrage.decrypt_io(file, pipe, secrets)
            except BaseException as error:  # noqa: BLE001 - told by who waits
                failure.append(error)

    opener = threading.Thread(target=unseal, name="backup-opener")
    opener.start()
    wrong: BaseException | None = None
    try:
        with os.fdopen(reading, "rb") as pipe:
            try:
                with tarfile.open(mode="r|gz", fileobj=pipe, bufsize=BLOCK) as tar:
                    yield _members(tar)
                while pipe.read(BLOCK):  # the end of the tar is not the end of the file
                    pass
            except (tarfile.TarError, EOFError, OSError) as error:
                wrong = error
    finally:
        opener.join()
    # The cause first: a tar that ends too early is what becomes of a file that does not open.
    if failure and not isinstance(failure[0], BrokenPipeError):
        raise _explained(failure[0], path) from None
    if wrong is not None:
        raise (
            wrong
            if isinstance(wrong, OSError) and wrong.errno
            else Unreadable(f"{path} is sealed well, but what is in it is no backup of avisiod")
        ) from None


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, BinaryIO]]:
    for member in tar:
        content = tar.extractfile(member) if member.isreg() else None
        if content is None:
            raise tarfile.TarError(f"{member.name} is no file")
        yield member.name, content  # type: ignore[misc]


def add(tar: tarfile.TarFile, name: str, content: BinaryIO, size: int) -> None:
    """Add a member of that many bytes."""
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o600
    tar.addfile(about, content)


def add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member."""
    add(tar, name, io.BytesIO(data), len(data))


def _explained(error: BaseException, path: Path) -> Unreadable:
    if isinstance(error, pyrage.DecryptError) and "No matching keys" in str(error):
        return Unreadable(f"{path} was sealed for other keys than this one: give the right --identity")
    if isinstance(error, OSError) and error.errno:
        return Unreadable(f"{path}: {error.strerror}")
    return Unreadable(f"{path} was altered or cut off, so nothing of it is used: take another backup")
