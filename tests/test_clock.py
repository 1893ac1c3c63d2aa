"""Timers do not follow the wall clock, ours nor those of the libraries."""

import subprocess
import sys
import textwrap

WALL_CLOCK_LEAPS = """
    import time
    from avisiod.clock import install_reactor

    wall = time.time
    leap = 0.0
    time.time = lambda: wall() + leap
    import twisted.python.runtime as runtime
    runtime.seconds = runtime.platform.seconds = lambda: wall() + leap
    install_reactor()
    from twisted.internet import reactor

    fired = []
    reactor.callLater(0.05, fired.append, "timer")
    reactor.callLater(0.06, reactor.stop)
    leap = -3600.0
    reactor.callFromThread(fired.append, "thread")
    reactor.run()
    print(sorted(fired))
"""


def test_a_leap_of_the_wall_clock_delays_no_timer_of_the_reactor() -> None:
    program = [sys.executable, "-c", textwrap.dedent(WALL_CLOCK_LEAPS)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=20)
    assert ended.stdout.strip() == "['thread', 'timer']", ended.stderr
