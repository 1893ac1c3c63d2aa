"""What avisiod asks of a phone, by way of the edge: is it there, fetch your settings, take a call that tests you.

Kamailio is the SIP stack: it finds the phone's registration, its transport and its connection, repeats, and gives up
in time. Here stands only what talks to it over loopback: a request of one datagram, and the status of its answer (RFC
3261 section 17.1, without retransmission). A key, put into the edge over its RPC socket, tells that it is us.
"""

import dataclasses
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet import defer
from twisted.internet.protocol import ConnectedDatagramProtocol, DatagramProtocol

from avisiod.calls.ids import PhoneId
from avisiod.clock import Clock, Timer
from avisiod.devices.waiting import wait_s
from avisiod.log import FirstThenDebug

_log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 8.0
"""The edge itself gives up after 4 s on a request, 6 s on a call."""
KEY_TAKES_S = 0.3
KEY_EVERY_S = 20.0
"""The edge forgets the key after a minute: a daemon that is gone asks nothing."""
TEST_SDP = (
    "v=0\r\no=- 0 0 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio 9 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=inactive\r\n"
)
"""Inactive (RFC 3264 section 5.1): a test opens no microphone in a cell."""
_STATUS = re.compile(rb"SIP/2\.0 ([1-6]\d\d) ")
_CALL_ID = re.compile(rb"^(?:Call-ID|i)[ \t]*:[ \t]*([^\s]{1,128})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CSEQ = re.compile(rb"^CSeq[ \t]*:[ \t]*(\d{1,9})[ \t]+(\w{1,16})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TO_TAG = re.compile(
    rb"^(?:To|t)[ \t]*:[^\r\n]{0,512}?>[^\r\n]{0,256}?;[ \t]*tag=([\w.!%*+`'~-]{1,128})", re.IGNORECASE | re.MULTILINE
)
_LONGEST = 16384


class EdgeSilent(Exception):
    """The edge did not answer: nothing is known of the phone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The final response to a request."""

    status: int
    to_tag: str = ""

    @property
    def taken(self) -> bool:
        """Whether what was asked is done."""
        return 200 <= self.status < 300

    @property
    def by_phone(self) -> bool:
        """Whether the phone itself must have sent it; 404 and 408 are the edge's words for silence."""
        return self.status not in (404, 408, 430, 477, 478, 480, 500, 503)


class EdgeClient:
    """Talks to the edge's inner socket; `start` before use. Every method is for the reactor's thread."""

    def __init__(
        self, reactor: Any, clock: Clock, edge: str, rpc_socket: Path, patience_s: float = ANSWER_WITHIN_S
    ) -> None:
        """`edge`: `host:port` of the inner socket; `rpc_socket`: Kamailio's jsonrpcs datagram socket."""
        self._patience_s = patience_s
        self._reactor = reactor
        self._clock = clock
        host, _, port = edge.rpartition(":")
        self._edge = (host.strip("[]"), int(port))
        self._rpc_path = rpc_socket
        self._key = secrets.token_hex(16)
        self._trouble = FirstThenDebug(_log)
        self._waiting: dict[tuple[bytes, bytes], defer.Deferred[Answer]] = {}
        self._socket: Any = None
        self._rpc: Any = None
        self._renewing: Timer | None = None
        self.unreadable = 0
        """Datagrams that were no answer to anything."""

    def start(self) -> None:
        """Open the socket, and let the edge know the key."""
        self._socket = self._reactor.listenUDP(0, _Ear(self._heard), interface=self._edge[0], maxPacketSize=_LONGEST)
        self._renew()

    def stop(self) -> None:
        """Close; what is waited for fails with EdgeSilent."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._socket is not None:
            self._socket.stopListening()
            self._socket = None
        self._close_rpc()
        for waiting in list(self._waiting.values()):
            waiting.errback(EdgeSilent("the daemon stops"))

    async def options(self, phone: PhoneId) -> Answer:
        """Whether the phone is there (RFC 3261 section 11). EdgeSilent."""
        return await self._ask("OPTIONS", phone, _new_call(), 1)

    async def check_sync(self, phone: PhoneId, event: str) -> Answer:
        """Have it fetch its settings: NOTIFY with the vendor's Event, as `check-sync;reboot=false`. EdgeSilent.

        It belongs to no subscription, as phones want it, and has all that a NOTIFY must have (RFC 6665 section 4.2.2,
        RFC 3265 table 1). A user agent that keeps to section 4.1.3 answers 481, as baresip does.
        """
        host, port = self._address
        headers = (
            f"Event: {event}",
            "Subscription-State: terminated",
            f"Contact: <sip:edge@{host}:{port}>",
        )
        return await self._ask("NOTIFY", phone, _new_call(), 1, headers)

    async def test_call(self, phone: PhoneId) -> Answer:
        """Call it so that it answers by itself, with no sound either way, and hang up at once. EdgeSilent.

        The edge cancels what does not answer within seconds.
        """
        call = _new_call()
        host, port = self._address
        headers = (
            f"Contact: <sip:test@{host}:{port}>",
            "Call-Info: <sip:avisio>;answer-after=0",
            "Alert-Info: <http://avisio.invalid>;info=alert-autoanswer;delay=0",
            "Content-Type: application/sdp",
        )
        answer = await self._ask("INVITE", phone, call, 1, headers, TEST_SDP.format(host=host))
        if answer.taken:
            self._send("ACK", phone, call, 1, to_tag=answer.to_tag)
            await self._ask("BYE", phone, call, 2, to_tag=answer.to_tag)
        return answer

    @property
    def _address(self) -> tuple[str, int]:
        where = self._socket.getHost()
        return (f"[{where.host}]" if ":" in where.host else where.host, where.port)

    async def _ask(
        self,
        method: str,
        phone: PhoneId,
        call: str,
        sequence: int,
        headers: tuple[str, ...] = (),
        body: str = "",
        to_tag: str = "",
    ) -> Answer:
        """Ask; an edge that was started since does not know the key, and is told and asked again."""
        answer = await self._ask_once(method, phone, call, sequence, headers, body, to_tag)
        if answer.status != 403:
            return answer
        self.tell_key()
        await wait_s(self._clock, KEY_TAKES_S)
        return await self._ask_once(method, phone, call, sequence, headers, body, to_tag)

    async def _ask_once(
        self,
        method: str,
        phone: PhoneId,
        call: str,
        sequence: int,
        headers: tuple[str, ...] = (),
        body: str = "",
        to_tag: str = "",
    ) -> Answer:
        if self._socket is None:
            raise EdgeSilent("the edge is not asked: the daemon stops")
        waiting: defer.Deferred[Answer] = defer.Deferred()
        known = (call.encode(), f"{sequence} {method}".encode())
        self._waiting[known] = waiting
        timer = self._clock.call_at(self._clock.now() + self._patience_s, lambda: _too_late(waiting))
        try:
            self._send(method, phone, call, sequence, headers, body, to_tag)
            return await waiting
        finally:
            timer.cancel()
            self._waiting.pop(known, None)

    def _send(
        self,
        method: str,
        phone: PhoneId,
        call: str,
        sequence: int,
        headers: tuple[str, ...] = (),
        body: str = "",
        to_tag: str = "",
    ) -> None:
        host, port = self._address
        lines = [
            f"{method} sip:{phone}@avisio SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{secrets.token_hex(8)}",
            "Max-Forwards: 70",
            f"From: <sip:edge@avisio>;tag={call[:8]}",
            f"To: <sip:{phone}@avisio>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {call}",
            f"CSeq: {sequence} {method}",
            f"X-Avisio-Ask: {self._key}",
            *headers,
            f"Content-Length: {len(body)}",
        ]
        self._socket.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self._edge)

    def _heard(self, data: bytes) -> None:
        """One datagram. What a phone wrote into its answer comes along: only four fields of it are looked at."""
        head = data.partition(b"\r\n\r\n")[0]
        status, call, sequence = _STATUS.match(head), _CALL_ID.search(head), _CSEQ.search(head)
        if not status or not call or not sequence:
            self.unreadable += 1
            return
        if status[1].startswith(b"1"):
            return
        waiting = self._waiting.pop((call[1], sequence[1] + b" " + sequence[2]), None)
        if waiting is None or waiting.called:
            return
        tag = _TO_TAG.search(head)
        waiting.callback(Answer(int(status[1]), tag[1].decode("ascii") if tag else ""))

    # The key.

    def _renew(self) -> None:
        self._renewing = self._clock.call_at(self._clock.now() + KEY_EVERY_S, self._renew)
        self.tell_key()

    def tell_key(self) -> None:
        """Put the key into the edge now; after a restart of the edge it knows none."""
        try:
            if self._rpc is None:
                name = f"\0avisiod-{os.getpid()}-{secrets.token_hex(4)}"
                self._rpc = self._reactor.connectUNIXDatagram(
                    str(self._rpc_path), _Rpc(self._rpc_answered), bindAddress=name
                )
            request = {"jsonrpc": "2.0", "id": 1, "method": "htable.sets", "params": ["asks", "key", self._key]}
            self._rpc.write(msgspec.json.encode(request))
        except OSError as error:
            self._close_rpc()
            self._trouble.failed(
                "the edge takes no orders at %s (%s): phones are not asked whether they are there; calls go on",
                self._rpc_path,
                error.strerror or error,
            )

    def _rpc_answered(self, data: bytes | None) -> None:
        """The edge's word, or None where its socket is gone: it was started anew."""
        if data is None:
            self._close_rpc()
        elif b'"error"' in data:
            self._trouble.failed("the edge refused the key of our questions to phones: is its kamailio.cfg ours?")
        else:
            self._trouble.recovered("the edge takes orders again")

    def _close_rpc(self) -> None:
        port, self._rpc = self._rpc, None
        if port is not None and hasattr(port, "protocol"):  # one that could not connect closes itself, and only once
            port.stopListening()


def _new_call() -> str:
    return secrets.token_hex(16)


def _too_late(waiting: defer.Deferred[Answer]) -> None:
    if not waiting.called:
        waiting.errback(EdgeSilent("the edge did not answer: is Kamailio running?"))


class _Ear(DatagramProtocol):
    def __init__(self, heard: Any) -> None:
        self._heard = heard

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: ARG002, N802 - Twisted's
        self._heard(datagram)


class _Rpc(ConnectedDatagramProtocol):
    def __init__(self, answered: Any) -> None:
        self._answered = answered

    def datagramReceived(self, datagram: bytes) -> None:  # type: ignore[override]  # noqa: N802 - Twisted's
        self._answered(datagram)

    def connectionFailed(self, failure: Any) -> None:  # noqa: ARG002, N802 - Twisted's
        self._answered(None)

    def connectionRefused(self) -> None:  # noqa: N802 - Twisted's
        self._answered(None)
