"""The hot path of the media workers as machine code: the same modules, translated by mypyc (decision 13).

What is imported from `avisiod.gateway` comes from the compiled form where there is one of exactly these sources, and
from the sources themselves otherwise: they do the same, only slower. The compiled form lies in a folder that is named
by a digest of the sources, taken anew in every process, so that an edited module is never hidden by an older one.
`scripts/compile` makes it; AVISIOD_COMPILED=off leaves it aside.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parent

MODULES = (
    "avisiod.gateway.browser_media",
    "avisiod.gateway.datagram_socket",
    "avisiod.gateway.depacketizer",
    "avisiod.gateway.flow",
    "avisiod.gateway.h264",
    "avisiod.gateway.leg_side",
    "avisiod.gateway.losses",
    "avisiod.gateway.matroska",
    "avisiod.gateway.peer_port",
    "avisiod.gateway.phone_stream",
    "avisiod.gateway.reception",
    "avisiod.gateway.recording_track",
    "avisiod.gateway.relay",
    "avisiod.gateway.retransmission",
    "avisiod.gateway.rtp",
    "avisiod.gateway.srtp",
    "avisiod.gateway.timeline",
    "avisiod.gateway.vp8",
)
"""What runs for every packet, and nothing else."""

SEEN = (
    "avisiod",
    "avisiod.gateway",
    "avisiod.gateway.leg",
    "avisiod.gateway.manifest",
    "avisiod.gateway.parameter_sets",
    "avisiod.gateway.phone_srtp",
    "avisiod.gateway.rtcp",
    "avisiod.gateway.sdes",
    "avisiod.gateway.sdp_phone",
    "avisiod.gateway.stats",
)
"""What these import themselves, and the translation may rely on: it is made anew for a change there as well."""

LIBRARY_SUFFIX = "__mypyc"
"""The one library with all the code, beside a shell for each module."""

_OFF = "AVISIOD_COMPILED"


def source(module: str) -> Path:
    """The file of a module of ours."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def digest() -> str:
    """What these sources, for this Python, are known by."""
    known = hashlib.sha256(f"{sys.implementation.cache_tag} {EXTENSION_SUFFIXES[0]}".encode())
    for module in (*MODULES, *SEEN):
        known.update(hashlib.sha256(source(module).read_bytes()).digest())
    return known.hexdigest()[:20]


def folder() -> Path:
    """Where compiled forms lie: in the package where it is installed, in `build` where it is a working tree."""
    root = PACKAGE.parent
    return root / "build" / "compiled" if (root / "pyproject.toml").exists() else PACKAGE / "_compiled"


class Finder(MetaPathFinder):
    """Finds the compiled modules in a folder."""

    def __init__(self, where: Path) -> None:
        suffix = EXTENSION_SUFFIXES[0]
        self._files = {
            ".".join(path.relative_to(where).parts).removesuffix(suffix): path for path in where.rglob("*" + suffix)
        }
        self.libraries = [name for name in self._files if name.endswith(LIBRARY_SUFFIX)]

    def complete(self) -> bool:
        """Whether every module is there, and what they share."""
        return len(self.libraries) == 1 and all(module in self._files for module in MODULES)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - of MetaPathFinder
        target: ModuleType | None = None,  # noqa: ARG002 - of MetaPathFinder
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        found = self._files.get(fullname)
        return importlib.util.spec_from_file_location(fullname, found) if found is not None else None


def _installed() -> str:
    if os.environ.get(_OFF) == "off":
        return f"plain: {_OFF}=off"
    where = folder() / digest()
    finder = Finder(where)
    if not finder.complete():
        return f"plain: these sources are not compiled in {folder()}, scripts/compile does that"
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module(finder.libraries[0])
    except ImportError as error:
        sys.meta_path.remove(finder)
        return f"plain: the compiled form cannot be loaded: {error}"
    return f"compiled ({where.name})"


_forms: list[str] = []


def install() -> None:
    """Have the compiled form imported from now on, where there is one of these sources. Never raises for a lack."""
    if not _forms:
        _forms.append(_installed())


def form() -> str:
    """Which form runs in this process: `compiled (DIGEST)`, or `plain: ` and why."""
    return _forms[0] if _forms else "plain: nothing of the gateway is loaded"
