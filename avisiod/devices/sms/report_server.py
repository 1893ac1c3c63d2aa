"""Where providers tell what became of messages: plain HTTP on loopback, behind the site's proxy.

A report that is not the provider's own, or speaks of no message of ours, changes nothing but a counter. The answer is
the same for all that is well formed, so that nobody learns which messages there are.
"""

import collections
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.web.pages import errorPage, notFound
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from avisiod.config.sms import SmsRoute
from avisiod.devices.sms import reports
from avisiod.devices.sms.provider_route import ProviderRoute, secrets_of
from avisiod.devices.sms.reports import News
from avisiod.devices.sms_failure import RouteFailure

log = logging.getLogger(__name__)

LARGEST = 16384
"""Bytes of a report."""
TAKEN = ("taken", "no_news", "unknown", "denied", "unreadable")
"""What becomes of a report: see avisiod_sms_reports."""

Told = Callable[[str, str, bool], bool]


def path_of(route: SmsRoute, token: str) -> str:
    """Below sms.reports_url. Twilio signs, so its address needs no token."""
    return f"/{route.name}" if route.kind == "twilio" else f"/{route.name}/{token}"


class ReportServer:
    """Takes reports of provider routes. `told` hears route, message and whether it was delivered; False: unknown."""

    def __init__(self, reactor: Any, routes: Sequence[ProviderRoute], reports_url: str, told: Told) -> None:
        self._reactor = reactor
        self._routes: Mapping[str, ProviderRoute] = {route.settings.name: route for route in routes}
        self._url = reports_url.rstrip("/")
        self._told = told
        self._listening: Any = None
        self.counts: collections.Counter[str] = collections.Counter()

    def start(self, address: str, port: int) -> None:
        """Listen. OSError where that is not possible."""
        site: Any = _Site(_Root(self), timeout=15)  # type: ignore[no-untyped-call]
        try:
            self._listening = self._reactor.listenTCP(port, site, interface=address)
        except CannotListenError as error:
            raise OSError(f"sms.reports_port {port} on {address}: {error.socketError}") from None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return int(self._listening.getHost().port) if self._listening else 0

    async def stop(self) -> None:
        """Take no more."""
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await listening.stopListening()

    def signs(self, name: str) -> bool:
        """Whether this route's reports are signed, so that their address ends with its name."""
        return name in self._routes and self._routes[name].settings.kind == "twilio"

    def take(self, name: str, token: str, fields: dict[str, str], data: Any, signature: str) -> str:
        """One report; what became of it, of TAKEN."""
        route = self._routes.get(name)
        what = self._judge(route, token, fields, data, signature) if route is not None else "denied"
        self.counts[what] += 1
        level = logging.WARNING if what == "denied" and self.counts[what] == 1 else logging.DEBUG
        log.log(level, "a delivery report was %s", what)
        return what

    def _judge(self, route: ProviderRoute, token: str, fields: dict[str, str], data: Any, signature: str) -> str:
        settings = route.settings
        try:
            secrets = secrets_of(settings.secret_file)
        except RouteFailure:
            return "denied"
        known = settings.reports
        if settings.kind == "twilio":
            url = self._url + path_of(settings, "")
            if not reports.genuine_twilio(url, fields, signature, secrets.get("token", "")):
                return "denied"
            known = reports.TWILIO
        elif not reports.genuine_token(token, secrets.get("reports_token", "")):
            return "denied"
        told_name, news = reports.news_of(known, fields if data is None else data)
        if not told_name:
            return "unreadable"
        sms = route.sms_of(told_name)
        if sms is None:
            return "unknown"
        if news is News.NONE:
            return "no_news"
        return "taken" if self._told(settings.name, sms, news is News.DELIVERED) else "unknown"


class _Site(Site):
    """Without a line in the log for each report: its address is a secret."""

    displayTracebacks = False  # noqa: N815 - Twisted's name

    def log(self, request: Any) -> None:
        """Nothing."""


class _Root(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, server: ReportServer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._server = server

    def render_GET(self, request: Request) -> Any:  # noqa: N802 - Twisted's name
        """Some providers put all of it into the address."""
        return self.render_POST(request)

    def render_POST(self, request: Request) -> Any:  # noqa: N802 - Twisted's name
        """One report: /NAME or /NAME/TOKEN at the end of whatever the proxy puts in front."""
        parts = [part.decode("ascii", "replace") for part in request.postpath or [] if part]
        body: Any = request.content
        length = request.getHeader("content-length") or "0"
        if not parts or not length.isdecimal() or int(length) > LARGEST:
            self._server.counts["unreadable"] += 1
            return _said(notFound(), request)
        name, token = (parts[-1], "") if self._server.signs(parts[-1]) else (["", *parts][-2], parts[-1])
        content_type = request.getHeader("content-type") or ""
        data = reports.fields_of(body.read(), content_type)
        fields = {
            key.decode("utf-8", "replace"): values[-1].decode("utf-8", "replace") for key, values in _args(request)
        }
        what = self._server.take(name, token, fields, data, request.getHeader("x-twilio-signature") or "")
        if what == "denied":
            return _said(errorPage(403, "Forbidden", "no report is taken at this address"), request)
        request.setResponseCode(204)
        return b""


def _said(page: Any, request: Request) -> Any:
    return page.render(request)


def _args(request: Request) -> Any:
    args: dict[bytes, list[bytes]] = request.args or {}
    return args.items()
