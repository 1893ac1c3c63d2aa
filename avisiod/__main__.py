"""The command `avisiod`: run the daemon, or only check its settings."""

import argparse
import sys

from avisiod.clock import install_reactor

DEFAULT_CONFIG = "/etc/avisiod/avisiod.yaml"


def main() -> int:
    """Run; exit status 0 after an orderly stop, 1 where it cannot start, 2 for a wrong configuration."""
    parser = argparse.ArgumentParser(prog="avisiod", description="Video calls between cells and families.")
    parser.add_argument("--config", default=DEFAULT_CONFIG, metavar="FILE", help=f"default: {DEFAULT_CONFIG}")
    parser.add_argument(
        "--check-config",
        nargs="?",
        const="",
        metavar="FILE",
        help="say what is wrong with the settings, with the remedy, and exit",
    )
    arguments = parser.parse_args()
    from avisiod import config_check

    if arguments.check_config is not None:
        return config_check.check(arguments.check_config or arguments.config)
    try:
        config = config_check.load(arguments.config)
    except config_check.ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    install_reactor()
    from avisiod import daemon  # imports the reactor, which is chosen by now

    return daemon.run(config)


if __name__ == "__main__":
    sys.exit(main())
