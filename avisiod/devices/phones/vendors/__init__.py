"""What is known of each vendor's phones, as data: names of files, words of check-sync, how a version is told."""

import functools
import importlib.resources
import re
from collections.abc import Mapping

import msgspec

from avisiod.yamlfile import parse


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that a phone asks for; `{mac}` in its name is its MAC."""

    name: str
    template: str
    type: str


class Vendor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One vendor."""

    user_agent: str
    """Pattern of its User-Agent (RFC 3261 section 20.41) with the groups `model` and `firmware`."""
    reload: str
    """Event of the NOTIFY that has it fetch its settings again; empty: it knows none."""
    reboot: str
    """The same, with a restart."""
    auto_answer: bool
    """A call can be answered by itself (Call-Info: answer-after)."""
    files: tuple[File, ...]

    def firmware_of(self, user_agent: str) -> str:
        """The version that a registration tells; empty where it tells none."""
        found = re.search(self.user_agent, user_agent[:200], re.IGNORECASE)
        return found["firmware"][:64] if found else ""


NAMES = ("grandstream", "yealink", "fanvil", "2n", "generic")


@functools.cache
def vendors() -> Mapping[str, Vendor]:
    """All of them, by name."""
    folder = importlib.resources.files(__package__)
    return {name: msgspec.convert(parse((folder / f"{name}.yaml").read_text("utf-8")).data, Vendor) for name in NAMES}
