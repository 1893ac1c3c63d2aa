"""Until when the certificates of the settings are good. Reads the files, whoever serves with them."""

import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography import x509

from avisiod.config.settings import Config


class Found(NamedTuple):
    """A certificate's file, as it is now."""

    of: str
    """The section of the settings that names it, such as `portal`; or `edge`, `turn`."""
    path: str
    ends_utc: datetime.datetime | None
    """The end of the first certificate of the chain that ends; None: the file cannot be read."""
    problem: str
    """Why it cannot be read; empty where it can."""


def sections() -> tuple[str, ...]:
    """Sections that can name a certificate, and beside them `edge` and `turn`, whose sections name others' too."""
    return tuple(_name(section, key) for section, key in _keys())


def _keys() -> list[tuple[str, str]]:
    fields = msgspec.structs.fields(Config)
    named = [(field.name, key) for field in fields for key in getattr(field.type, "__struct_fields__", ())]
    return [(section, key) for section, key in named if key.endswith("certificate_file")]


def _name(section: str, key: str) -> str:
    return key.removesuffix("certificate_file").rstrip("_") or section


def look(config: Config) -> list[Found]:
    """Every certificate that the settings name. Blocks, and never raises."""
    named = [(_name(section, key), getattr(getattr(config, section), key)) for section, key in _keys()]
    return [_look(of, path) for of, path in named if path]


def _look(of: str, path: str) -> Found:
    try:
        chain = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        return Found(of, path, None, error.strerror or str(error))
    except ValueError:
        return Found(of, path, None, "there is no certificate in it")
    return Found(of, path, min(each.not_valid_after_utc for each in chain), "")
