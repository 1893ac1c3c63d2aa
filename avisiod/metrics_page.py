"""The pages /metrics for Prometheus and /health for people and load balancers."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from avisiod.config.settings import Metrics as MetricsConfig
from avisiod.metrics_login import REALM, Login

_log = logging.getLogger(__name__)

Health = Callable[[], Sequence[str]]
"""What is wrong now, one sentence each; empty when nothing is. Must not block."""


class _Root(Resource):
    def getChild(self, path: bytes, request: Request) -> Any:  # noqa: ARG002, N802 - Twisted's names
        return notFound()


class _Page(Resource):
    """Shown at once, or after a look at who asks."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, login: Login | None, refused: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._login = login
        self._refused = refused

    def page(self, request: Request) -> bytes:
        raise NotImplementedError

    def render_GET(self, request: Request) -> bytes | int:  # noqa: N802 - Twisted's name
        if self._login is None:
            return self.page(request)
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        shown = Deferred.fromCoroutine(self._admit(self._login, request, gone))
        shown.addErrback(lambda failure: _log.error("a page of ours failed: %s", failure.getTraceback()))
        return int(NOT_DONE_YET)

    async def _admit(self, login: Login, request: Request, gone: list[object]) -> None:
        admitted = await login.admits(request.getHeader("authorization"))
        if not admitted:
            self._refused()
        if gone:
            return
        if admitted:
            request.write(self.page(request))
        else:
            request.setResponseCode(401)
            request.setHeader(b"www-authenticate", REALM)
        request.finish()


class _Metrics(_Page):
    def __init__(self, registry: CollectorRegistry, login: Login | None, refused: Callable[[], None]) -> None:
        super().__init__(login, refused)
        self._registry = registry

    def page(self, request: Request) -> bytes:
        encode, content_type = choose_encoder(request.getHeader("accept") or "")
        request.setHeader("content-type", content_type)
        page: bytes = encode(self._registry)
        return page


class _Health(_Page):
    def __init__(self, health: Health, login: Login | None, refused: Callable[[], None]) -> None:
        super().__init__(login, refused)
        self._health = health

    def page(self, request: Request) -> bytes:
        try:
            problems = list(self._health())
        except Exception:  # noqa: BLE001 - a health page that fails would look like a dead daemon
            _log.exception("the check of our own health failed")
            problems = ["the health check itself failed; the log says why"]
        request.setHeader("content-type", "application/json")
        request.setHeader("cache-control", "no-store")
        if problems:
            request.setResponseCode(503)
        return msgspec.json.encode({"ok": not problems, "problems": problems}) + b"\n"


class _QuietSite(Site):
    """Without a line in the log for each scrape."""

    displayTracebacks = False  # noqa: N815 - Twisted's name

    def log(self, request: Any) -> None:
        """Nothing."""


def site(
    registry: CollectorRegistry,
    health: Health,
    login: Login | None = None,
    refused: Callable[[], None] = lambda: None,
) -> Site:
    """Both pages, for whoever `login` admits (None: for everybody); every other path is not found.

    `refused` hears of each who is not admitted.
    """
    root: Any = _Root()  # type: ignore[no-untyped-call]
    root.putChild(b"metrics", _Metrics(registry, login, refused))
    root.putChild(b"health", _Health(health, login, refused))
    return _QuietSite(root, timeout=30)  # type: ignore[no-untyped-call]


def listen(
    reactor: Any,
    config: MetricsConfig,
    registry: CollectorRegistry,
    health: Health,
    *,
    certificate: Any = None,
    refused: Callable[[], None] = lambda: None,
) -> IListeningPort:
    """Serve both pages on the configured address, with TLS where a `certificate` is given (web.tls.Certificate).

    CannotListenError where the port is taken; OSError or ValueError where the password's hash cannot be used.
    """
    login = Login(config.user, Path(config.password_hash_file)) if config.user else None
    served: Any = site(registry, health, login, refused)
    if certificate is not None:
        served = TLSMemoryBIOFactory(certificate, False, served)
    port: IListeningPort = reactor.listenTCP(config.port, served, interface=config.address)
    return port
