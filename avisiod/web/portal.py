"""The relatives' portal as the daemon sees it: made, started, stopped."""

import collections
import logging
from collections.abc import Callable
from typing import Any

from autobahn.twisted.resource import WebSocketResource
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.server import Site

from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.ports import Desk
from avisiod.web import charter, inherited, texts
from avisiod.web.conversation import Conversation, Line
from avisiod.web.doorman import Doorman
from avisiod.web.headers import request_class
from avisiod.web.pages import Pages
from avisiod.web.plain_http import PlainHttp, host_of
from avisiod.web.socket import Pages as Sockets
from avisiod.web.tls import Certificate

log = logging.getLogger(__name__)

IDLE_HTTP_S = 15
"""A connection on which nothing comes for this long is closed."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class PortalCannotStart(Exception):
    """The portal is not served; the text says why and which key to change."""


class RelativesPortal:
    """The portal; nothing is served before `start`."""

    def __init__(self, config: Config, desk: Desk, clock: Clock) -> None:
        portal = config.portal
        languages = texts.load(config.site.language)
        self._language = config.site.language
        self._charters = charter.load(portal.charter_folder, self._language)
        self._settings = portal
        self._listening: list[Any] = []
        self.certificate: Certificate | None = None
        """None: plain HTTP."""
        self._turned_away: collections.Counter[str] = collections.Counter()

        def converse(address: str, line: Line) -> Conversation:
            return Conversation(
                desk=desk,
                charters=self._charters,
                languages=languages,
                address=address,
                line=line,
                now=clock.now,
                refused=self._count,
            )

        self.sockets = Sockets(
            public_url=portal.public_url, trusted=portal.trusted_proxies, clock=clock, converse=converse
        )
        self._pages = Pages(config, self._charters, languages, WebSocketResource(self.sockets))
        requests = request_class(portal.public_url, self._bad_request)
        site: Any = Site(self._pages.app.resource(), requestFactory=requests, timeout=IDLE_HTTP_S)
        site.displayTracebacks = False
        # An access log would keep every relative's address.
        site.log = lambda _: None
        served: Any = site
        if portal.certificate_file:
            host = host_of(portal.public_url)
            self.certificate = Certificate(portal.certificate_file, portal.key_file, utc=clock.utc, host=host)
            context: Any = self.certificate
            served = TLSMemoryBIOFactory(context, False, site)
        self.doorman = Doorman(served, clock, portal.trusted_proxies)
        leads: Any = PlainHttp(portal.public_url, portal.acme_folder)
        plain: Any = Site(leads, requestFactory=requests, timeout=IDLE_HTTP_S)
        plain.displayTracebacks = False
        plain.log = lambda _: None
        self._plain_doorman = Doorman(plain, clock, portal.trusted_proxies)
        self._plain: list[Any] = []

    def start(self) -> None:
        """Listen. PortalCannotStart when the address is taken or not ours."""
        portal = self._settings
        if not portal.certificate_file and portal.address not in LOOPBACK:
            log.warning(
                "the portal answers plain HTTP on %s: set portal.certificate_file, or portal.address to 127.0.0.1 "
                "behind a proxy; browsers give no camera to plain HTTP pages",
                portal.address,
            )
        any_reactor: Any = reactor
        handed = inherited.take(portal.port)
        if handed:
            # Whoever opens the port for us says where: systemd opens it on every address that avisiod.socket lists.
            for each in handed:
                self._listening.append(any_reactor.adoptStreamPort(each.fileno(), each.family, self.doorman))
                each.close()
        else:
            for key, address in self._addresses():
                self._listening.append(self._listen(any_reactor, key, address))
        if portal.http_port:
            for _, address in self._addresses():
                self._listen_plain(any_reactor, address)
        addresses = " and ".join(address for _, address in self._addresses())
        log.info("portal on %s port %d, known as %s", addresses, self.port, portal.public_url)

    def _addresses(self) -> list[tuple[str, str]]:
        """Where it is served, each with the key that says so."""
        found = [("portal.address", self._settings.address), ("portal.address_ipv6", self._settings.address_ipv6)]
        return [(key, address) for key, address in found if address]

    def _listen(self, any_reactor: Any, key: str, address: str) -> Any:
        port = self._listening[0].getHost().port if self._listening else self._settings.port
        try:
            return any_reactor.listenTCP(port, self.doorman, interface=address, backlog=128)
        except CannotListenError as error:
            raise PortalCannotStart(f"{key} {address}, portal.port {port}: {error.socketError}") from error

    def _listen_plain(self, any_reactor: Any, address: str) -> None:
        """Families reach the portal without it too: a port that is taken is told, and keeps nothing from starting."""
        port = self._settings.http_port
        try:
            self._plain.append(any_reactor.listenTCP(port, self._plain_doorman, interface=address, backlog=128))
        except CannotListenError as error:
            log.warning("portal.http_port %d on %s: %s; only https is answered", port, address, error.socketError)

    @property
    def port(self) -> int:
        """The TCP port it listens on; 0 when it does not."""
        return int(self._listening[0].getHost().port) if self._listening else 0

    @property
    def open_pages(self) -> int:
        """Pages connected now."""
        return len(self.sockets.open)

    @property
    def refused(self) -> dict[str, int]:
        """What was turned away since the start, by reason: connections, pages, requests, frames, messages."""
        return {
            "connection": self.doorman.refused,
            "page": self.sockets.no_place,
            "origin": self.sockets.wrong_origins,
            "request": self._turned_away["request"],
            "dawdling": self.doorman.dawdled,
            "frame": self.sockets.broken_frames,
            "message": self._turned_away["malformed"] + self._turned_away["out_of_order"],
            "too_fast": self._turned_away["too_fast"],
        }

    def _count(self, what: str) -> None:
        self._turned_away[what] += 1

    def _bad_request(self) -> None:
        self._count("request")

    def reload(self, config: Config) -> Callable[[], None]:
        """Read the site's charters and texts anew; CharterUnreadable, and nothing is changed, when one is faulty.

        What is returned takes them up. Pages that are open go on with the charter that they show; a renewed
        certificate needs no reload. Where the portal listens, and as what it is known, is that of the start.
        """
        charters = charter.load(config.portal.charter_folder, config.site.language)

        def take() -> None:
            self._charters = charters
            self._pages.show(config, charters)

        return take

    async def stop(self) -> None:
        """Stop listening and say goodbye to every page; calls themselves are the switchboard's to end."""
        listening, self._listening, self._plain = [*self._listening, *self._plain], [], []
        for each in listening:
            stopped = each.stopListening()
            if isinstance(stopped, Deferred):
                await stopped
        self.sockets.close_all()


def make_portal(config: Config, desk: Desk, clock: Clock) -> RelativesPortal:
    """Make the portal.

    CharterUnreadable or CertificateUnusable, with the file and its fault, where a file of the site cannot be used.
    """
    return RelativesPortal(config, desk, clock)
