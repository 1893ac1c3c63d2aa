"""The daemon's signals, whatever its parent did to them."""

import signal
import subprocess
import sys

import pytest

DAEMON = """
import os, signal
from twisted.internet import reactor
from avisiod.signals import Signals

async def nothing(): ...

def installed():
    Signals(reactor, nothing, lambda: None, nothing).install()
    os.kill(os.getpid(), signal.{name})

reactor.callWhenRunning(installed)
reactor.callLater(20, lambda: os._exit(99))
reactor.run()
"""


@pytest.mark.parametrize(("name", "status"), [("SIGQUIT", -signal.SIGQUIT), ("SIGTERM", 0), ("SIGINT", 0)])
def test_a_parent_that_ignores_signals_takes_none_from_the_daemon(name: str, status: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'trap "" INT QUIT; exec {sys.executable} -c "$0"', DAEMON.format(name=name)],
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
