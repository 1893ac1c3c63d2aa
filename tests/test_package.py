"""The package's files agree with the program's."""

import re
import tomllib
from pathlib import Path

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
