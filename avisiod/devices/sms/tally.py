"""The day's counts of every route on disk, so that limits and costs outlive a restart."""

import logging
import os
from pathlib import Path

import msgspec

from avisiod.devices.sms.limits import DayTally

log = logging.getLogger(__name__)

_TALLIES = msgspec.json.Decoder(dict[str, DayTally])


def read(path: Path) -> dict[str, DayTally]:
    """What was kept; empty where there is nothing, or nothing that can be read: counting begins anew."""
    try:
        return _TALLIES.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s cannot be read (%s): the day's SMS are counted from zero", path, type(error).__name__)
        return {}


def write(path: Path, tallies: dict[str, DayTally]) -> None:
    """Keep it: whole or not at all. OSError where that is not possible. Blocks."""
    aside = path.with_name(f"{path.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(tallies))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
