"""One question over HTTP, with a limit on everything: time, size, redirections, whom to believe."""

import io
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from service_identity.exceptions import CertificateError
from twisted.internet import error as net
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from avisiod.clock import Clock
from avisiod.devices.sms.exchange import Answer, Question, nonsense
from avisiod.devices.sms_failure import FailureKind, RouteFailure

LARGEST = 65536
"""Bytes of an answer; a provider's have some hundred."""


class HttpClient:
    """Asks providers. `ca_file`: PEM of the only authorities to believe; empty: those of the system.

    A connection serves one question: one that is kept open may be half closed just when the next code is written to
    it, and whether that code left nobody could tell. Redirections are not followed: they would carry credentials and
    code to whoever they name.
    """

    def __init__(self, reactor: Any, clock: Clock, ca_file: str = "") -> None:
        self._reactor = reactor
        self._clock = clock
        self._ca_file = ca_file
        self._agent: Agent | None = None
        self._stamp: tuple[int, int] = (0, 0)

    async def ask(self, question: Question, timeout_s: float) -> Answer:
        """The answer, whatever its status. RouteFailure where there is none."""
        asking = Deferred.fromCoroutine(self._ask(question))
        late = False

        def expire() -> None:
            nonlocal late
            late = True
            asking.cancel()

        timer = self._clock.call_at(self._clock.now() + timeout_s, expire)
        try:
            return await asking
        except CancelledError:
            if late:
                raise _no_answer() from None
            raise
        except RouteFailure:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a peer can bring about, told without its text
            if late:
                raise _no_answer() from None
            raise _told(error) from None
        finally:
            timer.cancel()

    async def _ask(self, question: Question) -> Answer:
        headers = Headers({name: [value] for name, value in question.headers.items()})
        headers.setRawHeaders("User-Agent", ["avisiod"])
        body: Any = FileBodyProducer(io.BytesIO(question.body)) if question.body else None
        response: Any = await self._agent_now().request(
            question.method.encode(), question.url.encode(), headers, body
        )
        taken: Deferred[bytes] = Deferred(lambda _: body_taker.abort())
        body_taker = _Body(taken)
        response.deliverBody(body_taker)
        retry_after = (response.headers.getRawHeaders("retry-after") or [""])[0]
        return Answer(response.code, await taken, retry_after)

    def _agent_now(self) -> Agent:
        """A renewed file of authorities is taken up with the next question."""
        stamp = (0, 0)
        if self._ca_file:
            try:
                stat = Path(self._ca_file).stat()
            except OSError as error:
                raise RouteFailure(FailureKind.TLS, f"{self._ca_file} cannot be read ({error.strerror})") from None
            stamp = (stat.st_mtime_ns, stat.st_size)
        if self._agent is None or stamp != self._stamp:
            policy = BrowserLikePolicyForHTTPS(trustRoot=self._trust())
            pool = HTTPConnectionPool(self._reactor, persistent=False)
            self._agent = Agent(self._reactor, policy, pool=pool)
            self._stamp = stamp
        return self._agent

    def _trust(self) -> Any:
        if not self._ca_file:
            return platformTrust()
        try:
            text = Path(self._ca_file).read_text("ascii")
            ends = [each + "-----END CERTIFICATE-----\n" for each in text.split("-----END CERTIFICATE-----")[:-1]]
            return trustRootFromCertificates([Certificate.loadPEM(each.encode()) for each in ends])
        except (OSError, ValueError, SSL.Error):
            raise RouteFailure(FailureKind.TLS, f"{self._ca_file} has no certificates that can be read") from None


class _Body(Protocol):
    """Takes an answer's body; one that is too long, or breaks off, is none."""

    def __init__(self, taken: Deferred[bytes]) -> None:
        self._taken = taken
        self._data = bytearray()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """A piece."""
        self._data += data
        if len(self._data) > LARGEST:
            self._fail()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """All of it has come, or the connection is lost."""
        if self._taken.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self._taken.callback(bytes(self._data))
        else:
            self._taken.errback(nonsense())

    def abort(self) -> None:
        """Nobody waits any more."""
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def _fail(self) -> None:
        if not self._taken.called:
            self._taken.errback(nonsense())
        self.abort()


def _no_answer() -> RouteFailure:
    return RouteFailure(FailureKind.NO_ANSWER, "it did not answer in time: it is not known whether it went")


_UNTRUSTED = (VerificationError, CertificateError, SSL.Error)


def _told(error: Exception) -> RouteFailure:
    """What a failed connection means. Never its own text: that may hold the address, and with it credentials."""
    causes = [error]
    if isinstance(error, ResponseNeverReceived | RequestTransmissionFailed | ResponseFailed):
        causes = [each.value for each in error.reasons] or causes
    if any(isinstance(cause, _UNTRUSTED) for cause in causes):
        return RouteFailure(FailureKind.TLS, "its certificate is not to be believed; nothing was sent")
    if isinstance(error, net.ConnectionRefusedError | net.NoRouteError | net.DNSLookupError | net.ConnectError):
        return RouteFailure(FailureKind.UNREACHABLE, f"it cannot be reached ({type(error).__name__})")
    if isinstance(error, ResponseNeverReceived | RequestTransmissionFailed | ResponseFailed):
        return RouteFailure(
            FailureKind.NO_ANSWER, "it closed the connection without an answer: it is not known whether it went"
        )
    return RouteFailure(FailureKind.UNKNOWN, f"it could not be asked ({type(error).__name__})")
