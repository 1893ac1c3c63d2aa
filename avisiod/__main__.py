"""The command `avisiod`: run the daemon, or only check its settings."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from avisiod.clock import install_reactor
from avisiod.privacy import hide_memory

if TYPE_CHECKING:
    from avisiod.config.settings import Config

DEFAULT_CONFIG = "/etc/avisiod/avisiod.yaml"


def main() -> int:
    """Run; exit status 0 after an orderly stop, 1 where it cannot start, 2 for wrong settings or inventory."""
    given = arguments().parse_args()
    if given.hash_password:
        return hash_password()
    from avisiod.config import check

    if given.check_config is not None:
        return check_files(given.check_config or given.config)
    if not given.list_sip_workers:
        from avisiod.gateway import prefork

        prefork.prepare(lambda: check.load(given.config))
    try:
        # The edge, which asks for the list, does not see the files that the settings name.
        config = check.load(given.config, files=not given.list_sip_workers)
    except check.ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if given.list_sip_workers:
        return list_sip_workers(config, Path(given.list_sip_workers))
    hide_memory()
    install_reactor()
    from avisiod import daemon  # imports the reactor, which is chosen by now

    return daemon.run(config, Path(given.config))


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="avisiod", description="Video calls between cells and families.")
    parser.add_argument("--config", default=DEFAULT_CONFIG, metavar="FILE", help=f"default: {DEFAULT_CONFIG}")
    parser.add_argument(
        "--check-config",
        nargs="?",
        const="",
        metavar="FILE",
        help="say what is wrong with the settings and the inventory, with the remedy, and exit",
    )
    parser.add_argument(
        "--list-sip-workers",
        metavar="LIST",
        help="write where the SIP workers listen, as Kamailio's dispatcher reads it, and exit",
    )
    parser.add_argument(
        "--hash-password",
        action="store_true",
        help="ask for a password and print its hash, for metrics.password_hash_file, and exit",
    )
    return parser


def hash_password() -> int:
    """Ask for a password, on a terminal twice, and print its hash; the exit status, 0 or 1."""
    import getpass

    from avisiod.metrics_login import hashed

    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        same = getpass.getpass("Once more: ") == password
    else:
        password, same = sys.stdin.readline().rstrip("\n"), True
    if not password or not same:
        sys.stderr.write("no hash was made: the password is empty, or not twice the same\n")
        return 1
    sys.stdout.write(f"{hashed(password)}\n")
    return 0


def check_files(path: str) -> int:
    """Check the settings, then the inventory that they name, and say what was found; the exit status, 0 or 1."""
    from avisiod.config import check
    from avisiod.store import inventory, readiness

    if check.report(path):
        return 1
    config = check.load(path)
    file, site = config.store.inventory_file, config.site
    try:
        listed = inventory.load(file, site.region, config.sip.realm, site.language)
    except inventory.InventoryError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{file}: good: {len(listed.phones)} phones, {len(listed.contacts)} contacts\n")
    where = config.store.url or config.store.path
    lacking = readiness.lacking_in(where) if site.admission == "full" else []
    sys.stdout.writelines(f"  {sentence}\n" for sentence in lacking)
    return 0


def list_sip_workers(config: "Config", path: Path) -> int:
    """Write the edge's list of SIP workers, whole or not at all; the exit status, 0 or 1."""
    from avisiod.gateway.sip_gateway import dispatcher_list

    partial = path.with_name(f"{path.name}.new")
    try:
        partial.write_text(dispatcher_list(config), encoding="ascii")
        partial.replace(path)
    except OSError as error:
        sys.stderr.write(f"{path} cannot be written and was left as it is: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
