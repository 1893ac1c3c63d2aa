"""What every worker inherits, and the commands that all of them understand."""

import signal

from twisted.protocols import amp

from avisiod.gateway.wire.errors import ERRORS

WORKER_FD = 3
"""Number of the inherited socket in a worker."""
STOP_SIGNAL = signal.SIGUSR1
"""Control's order to end."""
SIGNALS_FOR_CONTROL = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""systemd, its watchdog and terminals send these to every process of the service. Workers take no notice: they go on
until control orders them to end or its socket closes, and then end their calls properly."""


class Configure(amp.Command):
    """First command to every worker: its settings, JSON of a struct of gateway/settings.py."""

    arguments = [(b"settings", amp.String())]
    response = []
    errors = ERRORS


class Reconfigure(amp.Command):
    """New settings, of the same shape as in Configure, for calls that begin from now on.

    Addresses, ports and numbers are those of Configure: a worker does not look at them again. A SIP worker and a
    transcoder take up `log_level` only.
    """

    arguments = [(b"settings", amp.String())]
    response = []
    errors = ERRORS


class Ping(amp.Command):
    """Answered at once from the worker's main loop; silence means that it hangs.

    A SIP worker says what it turned away since the last answer: INVITEs that came past the edge (`not_edge`), without
    a free dialogue (`no_dialogue`), for their body (`body`); messages that cannot be read (`unreadable`).
    """

    arguments = []
    response = [
        (b"not_edge", amp.Integer(optional=True)),
        (b"no_dialogue", amp.Integer(optional=True)),
        (b"body", amp.Integer(optional=True)),
        (b"unreadable", amp.Integer(optional=True)),
    ]
