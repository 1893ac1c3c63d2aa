"""The portal's port as systemd opened it before us (sd_listen_fds(3)), so that it stays open while we start anew."""

import logging
import socket

from systemd.daemon import listen_fds

_log = logging.getLogger(__name__)


def take(port: int) -> socket.socket | None:
    """The listening TCP socket on `port` among those that systemd handed over; None where there is none.

    The others are closed, each with a word in the log: avisiod.socket and portal.port do not agree.
    """
    found = None
    for descriptor in listen_fds(unset_environment=True):
        handed = socket.socket(fileno=descriptor)
        if found is None and handed.type == socket.SOCK_STREAM and _port(handed) == port:
            handed.setblocking(False)
            found = handed
            continue
        _log.warning("avisiod.socket opened %s, and portal.port is %d: it is not used", handed.getsockname(), port)
        handed.close()
    return found


def _port(handed: socket.socket) -> int:
    name = handed.getsockname()
    return int(name[1]) if handed.family in (socket.AF_INET, socket.AF_INET6) else 0
