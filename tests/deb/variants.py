"""The package that was built, as if it were another version: repacked, with what a later version would change."""

import re
import subprocess
from pathlib import Path

LATER_SCHEMA = "9999"
"""The revision of the database that only the later version knows."""
_MIGRATION = '''\
"""Of a version that is not written yet."""

from alembic import op

revision = "{revision}"
down_revision = "{head}"
branch_labels = depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE of_a_later_version (id INTEGER PRIMARY KEY)")
'''


def later(deb: Path, folder: Path, version: str, head: str) -> Path:
    """The package as `version`, with a new default in two settings files and a migration after `head`."""
    tree = folder / f"tree-{version}"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    for name in ("kamailio/kamailio.cfg", "kamailio/kamailio-local.cfg"):
        with (tree / "etc/avisiod" / name).open("a") as file:
            file.write(f"\n# as of {version}\n")
    versions = tree / "usr/lib/avisiod/lib/python3.11/site-packages/avisiod/store/migrations/versions"
    migration = versions / f"{LATER_SCHEMA}_later.py"
    migration.write_text(_MIGRATION.format(revision=LATER_SCHEMA, head=head))
    (tree / "DEBIAN" / "md5sums").unlink()
    target = folder / f"avisiod_{version}_amd64.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, target], check=True, stdout=subprocess.DEVNULL
    )
    subprocess.run(["rm", "-rf", tree], check=True)
    return target
