"""What a phone asks for, read strictly out of the path of its request. Pure.

/t/MAC/TOKEN/NAME   settings, with a one-time token
/c/MAC/SECRET/NAME  settings, with the secret that the first ones brought
/e/MAC/SECRET/NAME  an event
/f/MAC/SECRET/NAME  firmware
/NAME               settings, with a certificate of the phone's own
"""

import dataclasses
import re
from typing import Literal

from avisiod.calls.mac import mac_of

Kind = Literal["t", "c", "e", "f", "certificate"]
LONGEST = 300
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._$-]{0,99}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,39})?")
_SECRET = re.compile(r"[a-z0-9]{16,64}")
_HEX = re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{12}(?![0-9a-z])")
_SUSPECT = re.compile(r"(?i)\.\.|%2e|%2f|%5c|%00|\\|\x00|//")


class PathRefused(ValueError):
    """Nothing that a phone asks for. `why` is `traversal` where it looks like an attempt at other files."""

    def __init__(self, why: Literal["path", "traversal"]) -> None:
        super().__init__(why)
        self.why = why


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    kind: Kind
    mac: str
    """Of the path; empty where a certificate must tell it."""
    secret: str = dataclasses.field(repr=False)
    name: str


def asked(path: bytes) -> Asked:
    """Read a path, undecoded as it came, without its query. PathRefused."""
    try:
        text = path.decode("ascii")
    except UnicodeDecodeError:
        raise PathRefused("path") from None
    if _SUSPECT.search(text):
        raise PathRefused("traversal")
    if len(text) > LONGEST or not text.startswith("/"):
        raise PathRefused("path")
    kind, _, rest = text[1:].partition("/")
    if kind in ("t", "c", "e", "f") and rest:
        mac, _, rest = rest.partition("/")
        secret, _, name = rest.partition("/")
        read = mac_of(mac)
        if read is None or not _SECRET.fullmatch(secret) or not _NAME.fullmatch(name):
            raise PathRefused("path")
        return Asked(kind, read, secret, name)  # type: ignore[arg-type]
    name = text[1:]
    if not _NAME.fullmatch(name):
        raise PathRefused("path")
    return Asked("certificate", mac_in(name) or "", "", name)


def mac_in(name: str) -> str | None:
    """The one MAC that stands in a file's name, such as `cfg001565a1b2c3.xml`; None where there is none."""
    plain = name.removeprefix("cfg")
    found = _HEX.findall(plain)
    return mac_of(found[0]) if len(found) == 1 else None
