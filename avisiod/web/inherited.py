"""The portal's port as systemd opened it before us (sd_listen_fds(3)), so that it stays open while we start anew."""

import logging
import socket

from systemd.daemon import listen_fds

_log = logging.getLogger(__name__)


def take(port: int) -> list[socket.socket]:
    """The listening TCP sockets on `port` among those that systemd handed over: one for each address.

    The others are closed, each with a word in the log: avisiod.socket and portal.port do not agree.
    """
    found: list[socket.socket] = []
    for descriptor in listen_fds(unset_environment=True):
        handed = socket.socket(fileno=descriptor)
        if handed.type == socket.SOCK_STREAM and _port(handed) == port:
            handed.setblocking(False)
            found.append(handed)
            continue
        _log.warning("avisiod.socket opened %s, and portal.port is %d: it is not used", handed.getsockname(), port)
        handed.close()
    return found


def _port(handed: socket.socket) -> int:
    name = handed.getsockname()
    return int(name[1]) if handed.family in (socket.AF_INET, socket.AF_INET6) else 0
