"""A worker for the supervisor's tests: does as its settings say."""

import os
import signal
import sys
import threading

from twisted.internet import asyncioreactor

asyncioreactor.install()

from twisted.internet import reactor  # noqa: E402
from twisted.internet.protocol import Factory  # noqa: E402
from twisted.protocols import amp  # noqa: E402

from avisiod.gateway import wire  # noqa: E402


class Link(amp.AMP):
    """Answers what a worker must."""

    @wire.Configure.responder
    def configure(self, settings: bytes) -> dict[str, object]:
        if settings == b"hang":
            threading.Event().wait()
        if settings == b"refuse":
            raise wire.WorkerError("settings refused")
        return {}

    @wire.Reconfigure.responder
    def reconfigure(self, settings: bytes) -> dict[str, object]:
        del settings
        return {}

    @wire.Ping.responder
    def ping(self) -> dict[str, object]:
        return {}

    @wire.HangUp.responder
    def hang_up(self, sip_call: str, status: int, reason: str) -> dict[str, object]:
        if reason == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if reason == "hang":
            threading.Event().wait()
        if reason == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        raise wire.NoSuchCall(f"{sip_call} is unknown")

    def connectionLost(self, reason: object) -> None:  # noqa: N802
        sys.exit(0)


link = Link()
reactor.adoptStreamConnection(wire.WORKER_FD, 1, Factory.forProtocol(lambda: link))
reactor.run()
