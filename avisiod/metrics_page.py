"""The pages /metrics for Prometheus and /health for people and load balancers."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.internet.interfaces import IListeningPort
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from avisiod.config import Metrics as MetricsConfig

_log = logging.getLogger(__name__)

Health = Callable[[], Sequence[str]]
"""What is wrong now, one sentence each; empty when nothing is. Must not block."""


class _Root(Resource):
    def getChild(self, path: bytes, request: Request) -> Any:  # noqa: ARG002, N802 - Twisted's names
        return notFound()


class _Metrics(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._registry = registry

    def render_GET(self, request: Request) -> bytes:  # noqa: N802 - Twisted's name
        encode, content_type = choose_encoder(request.getHeader("accept") or "")
        request.setHeader("content-type", content_type)
        page: bytes = encode(self._registry)
        return page


class _Health(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, health: Health) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._health = health

    def render_GET(self, request: Request) -> bytes:  # noqa: N802 - Twisted's name
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


def site(registry: CollectorRegistry, health: Health) -> Site:
    """Both pages; every other path is not found."""
    root: Any = _Root()  # type: ignore[no-untyped-call]
    root.putChild(b"metrics", _Metrics(registry))
    root.putChild(b"health", _Health(health))
    return _QuietSite(root, timeout=30)  # type: ignore[no-untyped-call]


def listen(reactor: Any, config: MetricsConfig, registry: CollectorRegistry, health: Health) -> IListeningPort:
    """Serve both pages on the configured address; CannotListenError where the port is taken."""
    port: IListeningPort = reactor.listenTCP(config.port, site(registry, health), interface=config.address)
    return port
