"""The HTTPS server towards phones, on the prison LAN only."""

import logging
import pathlib
from collections.abc import Callable
from typing import Any

from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.policies import ThrottlingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import File
from zope.interface import implementer

from avisiod.clock import Clock
from avisiod.config.phones import Provisioning
from avisiod.devices.mistakes import described
from avisiod.devices.provisioning.reception import Reception, Reply, Visit

_log = logging.getLogger(__name__)

IDLE_S = 15
CONNECTIONS = 512
"""At once; a phone opens one or two."""
CHAIN = 4


class ServerCannotStart(OSError):
    """Phones are given no settings; the text says why and which key to change."""


@implementer(IOpenSSLServerConnectionCreator)
class PhoneTls:
    """TLS towards phones: ours is shown; theirs is asked for where the settings say so, and a bad one refused."""

    def __init__(self, settings: Provisioning) -> None:
        self._files = [
            pathlib.Path(name)
            for name in (settings.certificate_file, settings.key_file, settings.client_ca_file)
            if name
        ]
        self._settings = settings
        self._stamp = self._read_stamp()
        self._context = self._load()

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: ARG002, N802 - Twisted's names
        """A connection with the newest files that work."""
        try:
            stamp = self._read_stamp()
            if stamp != self._stamp:
                self._stamp = stamp
                self._context = self._load()
                _log.info("the renewed certificate towards phones is in use")
        except ServerCannotStart as error:
            _log.warning("%s; the former one stays in use", error)
        return SSL.Connection(self._context, None)

    def _read_stamp(self) -> tuple[tuple[int, int], ...]:
        try:
            return tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in self._files)
        except OSError as error:
            raise ServerCannotStart(f"certificate towards phones: {error}") from error

    def _load(self) -> SSL.Context:
        settings = self._settings
        options = ssl.CertificateOptions(
            raiseMinimumTo=ssl.TLSVersion.TLSv1_2, acceptableProtocols=[b"http/1.1"], trustRoot=None
        )
        context = options.getContext()
        try:
            context.use_certificate_chain_file(settings.certificate_file)
            context.use_privatekey_file(settings.key_file)
            context.check_privatekey()
            if settings.authentication != "token":
                context.load_verify_locations(settings.client_ca_file)
                context.set_verify_depth(CHAIN)
                # A bad one ends the handshake; none at all is judged by what is asked for.
                context.set_verify(SSL.VERIFY_PEER, lambda _c, _x, _e, _d, good: bool(good))
        except (SSL.Error, OSError) as error:
            files = ", ".join(str(file) for file in self._files)
            raise ServerCannotStart(f"the certificate towards phones ({files}): {error}") from error
        return context


class PhoneRequest(Request):
    """A request of a phone: no body but the few bytes of an event, and no word about us in the answer."""

    LONGEST_BODY = 4096
    refused: Callable[[str], None] = staticmethod(lambda _why: None)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """Refuse a long body before it is read."""
        if length is None or length > self.LONGEST_BODY:
            self.refused("body")
            transport: Any = self.channel.transport
            transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.channel.loseConnection()
            length = 0
        HttpRequest.gotLength(self, length)

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:  # noqa: N802 - Twisted's name
        """Set a header, but do not tell which software and version this is."""
        if name.lower() not in (b"server", "server"):
            Request.setHeader(self, name, value)


class _Root(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, server: "PhoneServer") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._server = server

    def render(self, request: Request) -> Any:
        """Every method and path."""
        if request.method not in (b"GET", b"POST", b"HEAD"):
            self._server.count("method", 0.0)
            request.setResponseCode(405)
            request.setHeader("allow", "GET, POST")
            return b""
        self._server.serve(request)
        return NOT_DONE_YET


class PhoneServer:
    """Serves phones; nothing before `start`."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        settings: Provisioning,
        reception: Reception,
        count: Callable[[str, float], None],
    ) -> None:
        """`count(why, seconds)` is told of every answer. ServerCannotStart where the certificate is of no use."""
        self._reactor = reactor
        self._clock = clock
        self._settings = settings
        self._reception = reception
        self.count = count
        requests = type("PhoneRequest", (PhoneRequest,), {"refused": staticmethod(lambda why: count(why, 0.0))})
        site: Any = Site(_Root(self), requestFactory=requests, timeout=IDLE_S)
        site.displayTracebacks = False
        # An access log would keep the secrets in the paths.
        site.log = lambda _: None
        context: Any = PhoneTls(settings)
        self._factory: Any = ThrottlingFactory(
            TLSMemoryBIOFactory(context, False, site), maxConnectionCount=CONNECTIONS
        )
        self._listening: Any = None

    def start(self) -> None:
        """Listen. ServerCannotStart where that is not possible."""
        settings = self._settings
        try:
            self._listening = self._reactor.listenTCP(
                settings.port, self._factory, interface=settings.address, backlog=256
            )
        except CannotListenError as error:
            where = f"provisioning.address {settings.address}, provisioning.port {settings.port}"
            raise ServerCannotStart(f"{where}: {error.socketError}") from None
        _log.info("phones fetch their settings from %s port %d", settings.address, self.port)

    @property
    def port(self) -> int:
        """The TCP port; 0 while it does not listen."""
        return int(self._listening.getHost().port) if self._listening else 0

    async def stop(self) -> None:
        """Listen no more."""
        listening, self._listening = self._listening, None
        if listening is not None:
            stopped = listening.stopListening()
            if isinstance(stopped, Deferred):
                await stopped

    def serve(self, request: Request) -> None:
        """Answer one request."""
        gone = [False]
        request.notifyFinish().addErrback(lambda _: gone.__setitem__(0, True))
        began = self._clock.now()

        def done(reply: Reply) -> None:
            self.count(reply.why, self._clock.now() - began)
            if not gone[0]:
                _send(request, reply)

        def failed(failure: Failure) -> None:
            cause = failure.value
            _log.error("a phone could not be answered: %s", described(cause) if cause is not None else "?")
            done(Reply(503, body=b"later\n", why="failed"))

        Deferred.fromCoroutine(self._reception.answer(_visit(request))).addCallbacks(done, failed)


def _visit(request: Request) -> Visit:
    transport: Any = request.transport
    common_name = ""
    peer = getattr(transport, "getPeerCertificate", lambda: None)()
    if peer is not None:
        names = peer.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        common_name = str(names[0].value) if len(names) == 1 else ""
    path, _, query = request.uri.partition(b"?")
    host = getattr(request.getClientAddress(), "host", "")
    return Visit(path=path, address=host, query=query[:2048], certificate=common_name[:100])


def _send(request: Request, reply: Reply) -> None:
    request.setHeader("cache-control", "no-store")
    request.setHeader("x-content-type-options", "nosniff")
    if reply.file:
        # Twisted's own file, which knows ranges (RFC 9110 section 14) and closes what it opened.
        sent: Any = File(reply.file, defaultType="application/octet-stream").render_GET(request)
        if sent is not NOT_DONE_YET:
            request.write(sent)
            request.finish()
        return
    request.setResponseCode(reply.status)
    request.setHeader("content-type", reply.type)
    request.setHeader("content-length", str(len(reply.body)))
    if request.method != b"HEAD":
        request.write(reply.body)
    request.finish()
