"""The command `avisioctl`."""

import sys
from collections.abc import Sequence

import click

from avisiod.cli import copies, devices, firmware, history, lists, manual, money, recordings, sms
from avisiod.cli.doctor import doctor
from avisiod.cli.reach import CannotReach
from avisiod.cli.selftest import selftest
from avisiod.cli.session import Session
from avisiod.cli.status import status
from avisiod.config.check import ConfigError
from avisiod.office.plan import Refused
from avisiod.ports import StoreUnavailable

DEFAULT_CONFIG = "/etc/avisiod/avisiod.yaml"


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
    },
    help="People, rules, money and calls of avisiod. Asks the running daemon, or the database where it is down.",
)
@click.option("--config", default=DEFAULT_CONFIG, show_default=True, metavar="FILE", help="The settings.")
@click.pass_context
def avisioctl(context: click.Context, config: str) -> None:
    """The whole command line."""
    session: Session = context.obj
    session.config_file = config


lists.add_to(avisioctl)
devices.add_to(avisioctl)
for command in (
    money.accounts,
    history.calls,
    history.audit,
    recordings.recordings,
    history.explain,
    copies.back_up,
    copies.restore,
    sms.sms,
    firmware.firmware,
):
    avisioctl.add_command(command)
avisioctl.add_command(selftest)
avisioctl.add_command(status)
avisioctl.add_command(doctor)


@avisioctl.command("completion", help="Print the completion of a shell: source it, or put it where the shell looks.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def _completion(shell: str) -> None:
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows the three
    source = kind(avisioctl, {}, "avisioctl", "_AVISIOCTL_COMPLETE").source()
    sys.stdout.write(source)


@avisioctl.command("manual", help="Print the man page: avisioctl manual | man -l -")
def _manual() -> None:
    sys.stdout.write(manual.page(avisioctl))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; exit status 0 where it was done, 1 where it was refused or failed, 2 for wrong settings or arguments."""
    session = Session(DEFAULT_CONFIG)
    try:
        avisioctl.main(args=arguments, prog_name="avisioctl", obj=session, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("stopped\n")
        return 1
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Refused as refused:
        session.failed(refused.problems)
        return 1
    except (StoreUnavailable, CannotReach) as error:
        session.failed((), str(error))
        return 1
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        session.close()
    return 0
