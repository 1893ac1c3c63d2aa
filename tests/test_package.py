"""The package's files agree with the program's."""

import re
import tomllib
from pathlib import Path

from tests.deb import page

ROOT = Path(__file__).resolve().parent.parent
DEBIAN = ROOT / "debian"


def test_the_package_has_the_programs_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.match(r"avisiod \(([^)]+)\)", (DEBIAN / "changelog").read_text())
    assert newest is not None
    assert newest[1] == project


def test_every_override_of_lintian_is_explained() -> None:
    explained = False
    for line in (DEBIAN / "avisiod.lintian-overrides").read_text().splitlines():
        assert line.startswith("#") or explained, line
        explained = True


def test_what_only_the_site_edits_is_installed_where_dpkg_keeps_it() -> None:
    rules = (DEBIAN / "rules").read_text()
    for name in ("avisiod.yaml", "inventory.yaml", "kamailio/kamailio-local.cfg", "kamailio/kamailio.cfg"):
        assert f"$(TREE)/etc/avisiod/{name}" in rules


def test_the_page_says_what_is_not_reached() -> None:
    facts = {"day": "2026-11-25", "commit": "0", "machine": "a machine", "system": "Debian", "load": "1"}
    figures = {"deb_mb": 96.1, "green_s": 40.0, "ready_s": 5.1, "ready_cpu_s": 3.0, "idle_mib": 495.0}
    told = "\n".join(page.lines(facts, figures, {"sip_worker": [30.0, 34.0]}))
    assert "✓ the file: 96 MB" in told
    assert "✗ from start to READY: 5.1 s, to be under 3" in told
    assert "✗ idle, over all processes: 495 MiB, to be under 250" in told
    assert "| sip_worker | 2 | 32 |" in told
