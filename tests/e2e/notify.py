"""systemd's end of sd_notify: what a service says of itself, READY=1 above all."""

import itertools
import os
import socket
import threading

from tests.peers.waiting import Feed

_numbers = itertools.count()


class NotifySocket:
    """A socket for NOTIFY_SOCKET; each assignment that arrives is an item of `said` (`READY=1`, `STATUS=…`)."""

    def __init__(self, name: str) -> None:
        self.said: Feed[str] = Feed(name)
        self._name = f"avisiod-notify-{os.getpid()}-{next(_numbers)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self._name}")
        threading.Thread(target=self._read, name=f"notify-{name}", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": f"@{self._name}"}

    def _read(self) -> None:
        with self._socket:
            while data := self._socket.recv(4096):
                for line in data.decode(errors="replace").splitlines():
                    self.said.add(line)

    def close(self, why: str = "it was stopped") -> None:
        """Whoever waits for a word hears that none will come."""
        self.said.close(why)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", f"\0{self._name}")
