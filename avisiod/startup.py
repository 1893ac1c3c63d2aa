"""What a start reads or makes: the key of the codes, secrets, texts, recordings that an earlier run left."""

import logging
import os
import secrets
import stat
from pathlib import Path

from avisiod.calls.invitation import LINK_LENGTH
from avisiod.calls.reasons import EndReason
from avisiod.config.settings import Config, IceServer
from avisiod.devices import code_sms
from avisiod.gateway import sealing
from avisiod.gateway.manifest import decode
from avisiod.ports import Recording

logger = logging.getLogger(__name__)

RECENT_DAYS = 3
"""Folders of recordings that a start looks through for what the store does not know yet."""


class CannotStart(OSError):
    """The daemon cannot run; the text says what is in the way and what to do."""


def recordings_left(folder: Path, reason: EndReason) -> list[Recording]:
    """Seal what an earlier run left unsealed; every recording of the last days, for the store to compare. Blocks."""
    sealing.seal_truncated(folder, reason.value)
    newest = sorted(folder.glob("*/*/*"))[-RECENT_DAYS:]
    manifests = (path for day in newest for path in day.glob("*.json") if not path.name.endswith(".facts.json"))
    found = []
    for path in manifests:
        try:
            found.append(decode(path.read_bytes()).recording(path.parent))
        except (OSError, ValueError) as error:
            logger.warning("the manifest %s cannot be used and was left as it is: %s", path, error)
    return found


def code_key(path: Path) -> bytes:
    """The key of the codes' hashes; made at the first start, readable by its owner only. CannotStart if it is not."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise CannotStart(f"{path} is readable by others: chmod 600 {path}") from None
        key = path.read_bytes()
        if len(key) < 32:
            raise CannotStart(f"{path} is too short to be a key: delete it, a new one is made") from None
        return key
    except OSError as error:
        raise CannotStart(f"{path} cannot be made: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
        file.flush()
        os.fsync(descriptor)
    return key


def code_texts(config: Config) -> code_sms.CodeTexts:
    """The texts of the code SMS, tried once with the portal's address: ValueError where no text of it fits."""
    texts = code_sms.load(Path(config.modem.texts_folder) if config.modem.texts_folder else None)
    texts.render(
        config.site.language,
        code="000000",
        portal_url=f"{config.portal.public_url.rstrip('/')}/{'x' * LINK_LENGTH}",
        name=config.portal.name,
        valid_s=config.calls.code_valid_s,
    )
    return texts


def ice_secret(server: IceServer) -> bytes:
    """The secret that coturn shares with us; empty where none is configured."""
    return Path(server.secret_file).read_bytes().strip() if server.secret_file else b""
