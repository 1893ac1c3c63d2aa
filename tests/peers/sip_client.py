"""A SIP phone that does as it is told, good or bad: raw messages over UDP, with digest (RFC 7616)."""

import contextlib
import hashlib
import itertools
import re
import socket
import threading
from typing import Self

from tests.peers.sip_message import Request, Response, answer_to, parameter, parse, uri_of
from tests.peers.waiting import Feed, NotSeen

REALM = "avisio"
_numbers = itertools.count(1)


class SipClient:
    """One phone on one UDP socket; `received` holds what came, in order. One dialogue at a time."""

    def __init__(self, edge: str, user: str = "cell1", password: str = "secret", host: str = "127.0.0.1") -> None:
        address, port = edge.split(":")
        self.edge = (address, int(port))
        self.user, self.password = user, password
        self.received: Feed[Request | Response] = Feed(f"sip client {user}")
        self.answers_with = 200
        """The status of every answer to a request; 0 for none at all."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.host, self.port = self._socket.getsockname()
        self._stop = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.new_dialogue()

    def new_dialogue(self) -> None:
        self.call_id = f"{next(_numbers)}-{self.port}@{self.host}"
        self.cseq = 0
        self.to_tag = ""
        self.routes: list[str] = []
        self.target = ""
        self.sdp = ""
        self.credentials = ""

    def _read(self) -> None:
        while not self._stop:
            try:
                data = self._socket.recv(65536)
            except OSError:
                break
            if not data.strip():
                continue
            message = parse(data)
            self.received.add(message)
            if isinstance(message, Request) and message.method != "ACK" and self.answers_with:
                self.send(self._taken(message).encode())

    def _taken(self, request: Request) -> Response:
        response = answer_to(request, self.answers_with, "As told", "mine")
        if self.answers_with == 200 and request.method in {"INVITE", "UPDATE"}:
            response.add("Contact", f"<sip:{self.user}@{self.host}:{self.port}>")
            if request.body:
                response.add("Content-Type", "application/sdp")
                response.body = self.sdp.encode()
        return response

    def send(self, data: bytes) -> None:
        if not self._stop:
            self._socket.sendto(data, self.edge)

    def request(
        self, method: str, uri: str, body: str = "", kind: str = "application/sdp", **headers: str
    ) -> Request:
        """A request; a header given here replaces the one we would write."""
        if method not in {"ACK", "CANCEL"}:
            self.cseq += 1
        to = f"<sip:{self.user}@{REALM}>" if method == "REGISTER" else "<sip:callee@avisio>"
        lines = {
            "Via": f"SIP/2.0/UDP {self.host}:{self.port};rport;branch=z9hG4bK{next(_numbers)}",
            "Max-Forwards": "70",
            "From": f"<sip:{self.user}@{REALM}>;tag=mine",
            "To": to + (f";tag={self.to_tag}" if self.to_tag else ""),
            "Call-ID": self.call_id,
            "CSeq": f"{self.cseq} {method}",
            "Contact": f"<sip:{self.user}@{self.host}:{self.port}>",
            "User-Agent": "test phone",
            **({"Proxy-Authorization": self.credentials} if self.credentials else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        request = Request(method, uri, [(name, value) for name, value in lines.items() if value])
        for route in self.routes:
            request.add("Route", route)
        if body:
            request.add("Content-Type", kind)
            if kind == "application/sdp":
                self.sdp = body
            request.body = body.encode()
        return request

    def ask(self, request: Request, timeout: float = 5.0) -> Response:
        """Send once; the final response. NotSeen when none comes."""
        mark = self.received.mark()
        self.send(request.encode())
        return self.final(request, mark, timeout)

    def final(self, request: Request, since: int = 0, timeout: float = 5.0) -> Response:
        def fits(message: Request | Response) -> bool:
            return (
                isinstance(message, Response)
                and message.status >= 200
                and message.cseq == request.cseq
                and message.call_id == request.call_id
            )

        response = self.received.wait(fits, timeout, f"final response to {request.method}", since)
        assert isinstance(response, Response)
        return response

    def authenticated(
        self,
        method: str,
        uri: str,
        body: str = "",
        kind: str = "application/sdp",
        *,
        timeout: float = 5.0,
        **headers: str,
    ) -> Response:
        """Ask, and ask again with credentials when challenged. A refused INVITE is acknowledged."""
        first = self.request(method, uri, body, kind, **headers)
        response = self.ask(first, timeout)
        if response.status not in {401, 407}:
            return response
        if method == "INVITE":
            self.acknowledge(first, response)
        field = "WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate"
        name = "Authorization" if response.status == 401 else "Proxy-Authorization"
        again = self.request(method, uri, body, kind, **headers)
        again.add(name, self.digest(response.get(field), method, uri))
        self.last = again
        response = self.ask(again, timeout)
        if method == "INVITE" and response.status >= 300:
            self.acknowledge(again, response)
        return response

    def digest(self, challenge: str, method: str, uri: str) -> str:
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
        ha1 = _md5(f"{self.user}:{fields['realm']}:{self.password}")
        middle = f"{fields['nonce']}:00000001:abcdef:auth"
        response = _md5(f"{ha1}:{middle}:{_md5(f'{method}:{uri}')}")
        return (
            f'Digest username="{self.user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", '
            f'response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="abcdef"'
        )

    def give_up(self, timeout: float = 10.0) -> None:
        """CANCEL the INVITE that was sent last (RFC 3261 section 9.1); what was answered all the same is hung up."""
        invite = getattr(self, "last", None)
        if invite is None:
            return
        cancel = Request("CANCEL", invite.uri, [("Via", invite.get("via")), ("Max-Forwards", "70")])
        cancel.headers += [("From", invite.get("from")), ("To", invite.get("to"))]
        cancel.headers += [("Call-ID", invite.call_id), ("CSeq", f"{invite.cseq[0]} CANCEL")]
        self.send(cancel.encode())
        with contextlib.suppress(NotSeen):
            response = self.final(invite, 0, timeout)
            if response.status < 300:
                self.established(response)
                self.send(self.within("ACK").encode())
                self.leave()
            else:
                self.acknowledge(invite, response)

    def acknowledge(self, invite: Request, response: Response) -> None:
        """ACK of a refusal: hop by hop."""
        ack = Request("ACK", invite.uri, [("Via", invite.get("via")), ("Max-Forwards", "70")])
        ack.headers += [("From", invite.get("from")), ("To", response.get("to"))]
        ack.headers += [("Call-ID", invite.call_id), ("CSeq", f"{invite.cseq[0]} ACK")]
        self.send(ack.encode())

    def register(self, expires: int = 300, **headers: str) -> Response:
        """REGISTER with credentials."""
        return self.authenticated("REGISTER", f"sip:{REALM}", Expires=str(expires), **headers)

    def established(self, response: Response) -> None:
        """Learn the dialogue from a 2xx to INVITE."""
        self.to_tag = parameter(response.get("to"), "tag")
        self.routes = list(reversed(response.all("record-route")))
        self.target = uri_of(response.get("contact"))

    def within(self, method: str, body: str = "", kind: str = "application/sdp", **headers: str) -> Request:
        """A request in the dialogue."""
        return self.request(method, self.target, body, kind, **headers)

    def leave(self) -> None:
        """Hang up what a test left standing."""
        if self.to_tag:
            self.send(self.within("BYE").encode())

    def close(self) -> None:
        self._stop = True
        with contextlib.suppress(OSError):  # ENOTCONN; it wakes the reader all the same
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
