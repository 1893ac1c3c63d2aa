"""A phone that knows nothing but its MAC and where to ask: it fetches its files, and then is a baresip.

As a program: `python -m tests.peers.booted_phone URL MAC FOLDER --ca FILE [--certificate FILE]` writes what baresip
needs into FOLDER.
"""

import argparse
import re
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.peers.baresip import BaresipPhone

FILES = ("config", "accounts")


def trusting(ca: Path, certificate: Path | None = None) -> ssl.SSLContext:
    """TLS as a phone does it: it trusts one authority, and shows a certificate with key where it has one."""
    context = ssl.create_default_context(cafile=str(ca))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def get(url: str, context: ssl.SSLContext, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body."""
    request = urllib.request.Request(url, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=20) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def boot(url: str, mac: str, context: ssl.SSLContext) -> dict[str, str]:
    """The phone's files, by name. RuntimeError where it is given none."""
    files = {}
    for name in FILES:
        status, body = get(f"{url.rstrip('/')}/{mac}/{name}", context)
        if status != 200:
            raise RuntimeError(f"{name}: {status}")
        files[name] = body.decode()
    return files


def notes(files: dict[str, str]) -> dict[str, str]:
    """What stands in the comments of `config`: `settings`, `events`, `zone`, …"""
    return dict(re.findall(r"(?m)^# (\w+) (.+)$", files["config"]))


class BootedPhone(BaresipPhone):
    """A baresip whose account and limits are those it was given; only machine and codecs are its own."""

    def __init__(self, folder: Path, files: dict[str, str], **options: Any) -> None:
        super().__init__(folder, register=False, **options)
        self.files = files
        self._dial_plan = notes(files)["dial"]
        (folder / "accounts").write_text(files["accounts"])
        given = [line for line in files["config"].splitlines() if line and not line.startswith("#")]
        names = {line.split()[0] for line in given}
        own = [line for line in (folder / "config").read_text().splitlines() if line and line.split()[0] not in names]
        (folder / "config").write_text("\n".join([*own, *given]) + "\n")

    def dial(self, number: str) -> None:
        """As the phone's dial plan lets it; ValueError for anything else."""
        if not re.fullmatch(self._dial_plan, number):
            raise ValueError("the dial plan has no such number")
        super().dial(number)


def main() -> None:
    """The boot script."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "mac", "folder"):
        parser.add_argument(name)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path)
    arguments = parser.parse_args()
    for name, text in boot(arguments.url, arguments.mac, trusting(arguments.ca, arguments.certificate)).items():
        Path(arguments.folder, name).write_text(text)


if __name__ == "__main__":
    main()
