"""On what a figure was measured."""

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from pathlib import Path

LIBRARIES = ("aioice", "aiortc", "av", "pjsua2-python", "twisted", "uvloop")
PRODUCT = ("avisiod", "etc")
PROGRAMS = {
    "Chromium": ["chromium", "--version"],
    "Kamailio": ["kamailio", "-v"],
}


def facts() -> dict[str, str]:
    """Machine, versions and the day, for people."""
    cpu = _found(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    kibibytes = int(_found(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()) or 0)
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    programs = {name: _version(argv) for name, argv in PROGRAMS.items()}
    libraries = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores ({cpu}), {kibibytes / 2**20:.0f} GiB",
        "system": f"{system}, Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version}" for name, version in {**programs, **libraries}.items()),
    }


def _commit() -> str:
    """The latest that changed what runs; the bench itself may be younger."""
    commit = _printed(["git", "log", "-1", "--abbrev=10", "--format=%h", "--", *PRODUCT])
    return f"{commit}-dirty" if _printed(["git", "status", "--porcelain", "--", *PRODUCT]) else commit


def _version(argv: list[str]) -> str:
    return _found(r"(\d+(?:\.\d+)+)", _printed(argv)) or "?"


def _printed(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1].strip() if match else ""
