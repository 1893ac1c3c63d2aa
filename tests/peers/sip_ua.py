"""A SIP user agent just large enough to be a phone in tests: it registers, dials, and answers what comes."""

import contextlib
import hashlib
import re
import secrets
import socket
import threading
from typing import NamedTuple, Self

from tests.peers.waiting import Feed

REQUEST_TIMEOUT_S = 10.0


class Refused(Exception):
    """A final status of 300 or more."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status


class Message(NamedTuple):
    """A SIP message; `first` is its first line, header names in lower case."""

    first: str
    headers: list[tuple[str, str]]
    body: str

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def status(self) -> int:
        """0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of a request, or of the request that a response answers."""
        return self.get("cseq").split()[-1]


class SipUa:
    """One account at an edge, over UDP; one call at a time.

    Requests that come within the call are answered with 200 and are items of `requests`; a new offer gets the SDP
    that we offered.
    """

    def __init__(self, user: str, password: str, edge: tuple[str, int], realm_user: str = "") -> None:
        self.user, self._password, self._edge = user, password, edge
        self._auth_user = realm_user or user
        self.requests: Feed[Message] = Feed(f"{user} (requests)")
        self._responses: Feed[Message] = Feed(f"{user} (responses)")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._tag, self._cseq = secrets.token_hex(4), 0
        self._call_id = ""
        self._sdp = ""
        self._dialog: tuple[str, str, list[str]] | None = None
        threading.Thread(target=self._read, name=f"sip-{user}", daemon=True).start()

    def close(self) -> None:
        """Say nothing more, as when the cable is pulled."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address_of_record(self) -> str:
        return f"sip:{self.user}@{self._edge[0]}"

    def register(self, expires_s: int = 600) -> None:
        """Refused when the edge does not want it."""
        to = f"<{self.address_of_record}>"
        self._request("REGISTER", f"sip:{self._edge[0]}", to, secrets.token_hex(8), extra=[f"Expires: {expires_s}"])

    def invite(self, number: str, sdp: str, timeout: float = REQUEST_TIMEOUT_S) -> str:
        """Dial; returns the SDP of the 200. Refused otherwise."""
        self._call_id, self._sdp, target = secrets.token_hex(8), sdp, f"sip:{number}@{self._edge[0]}"
        answer = self._request("INVITE", target, f"<{target}>", self._call_id, body=sdp, timeout=timeout)
        contact = re.search(r"<([^>]+)>", answer.get("contact"))
        self._dialog = (contact[1] if contact else target, answer.get("to"), answer.all("record-route")[::-1])
        self._acknowledge(answer)
        return answer.body

    def reinvite(self, sdp: str) -> str:
        """A new offer in the call; returns the new answer."""
        target, to, _ = self._in_call()
        self._sdp = sdp
        answer = self._request("INVITE", target, to, self._call_id, body=sdp)
        self._acknowledge(answer)
        return answer.body

    def info(self, content_type: str, body: str) -> None:
        target, to, _ = self._in_call()
        self._request("INFO", target, to, self._call_id, body=body, content_type=content_type)

    def bye(self) -> None:
        target, to, _ = self._in_call()
        self._request("BYE", target, to, self._call_id)
        self._dialog = None

    def wait_request(self, method: str, timeout: float = REQUEST_TIMEOUT_S, since: int = 0) -> Message:
        return self.requests.wait(lambda message: message.method == method, timeout, method, since)

    def _in_call(self) -> tuple[str, str, list[str]]:
        if self._dialog is None:
            raise RuntimeError(f"{self.user} is in no call")
        return self._dialog

    def _request(
        self, method: str, target: str, to: str, call_id: str, *, body: str = "", extra: list[str] | None = None,
        content_type: str = "application/sdp", timeout: float = REQUEST_TIMEOUT_S,
    ) -> Message:  # fmt: skip
        authorization: list[str] = []
        for _ in range(2):
            mark = self._responses.mark()
            self._cseq += 1
            number = self._cseq
            self._send(method, target, to, call_id, number, [*(extra or []), *authorization], body, content_type)
            answer = self._responses.wait(
                lambda message, number=number: message.status >= 200 and message.get("cseq").startswith(f"{number} "),
                timeout, f"final answer to {method}", mark,
            )  # fmt: skip
            if method == "INVITE" and answer.status >= 300:
                self._send("ACK", target, answer.get("to"), call_id, number, [], "", "", answer.get("via"))
            if answer.status not in (401, 407) or authorization:
                break
            authorization = [self._authorize(answer, method, target)]
        if answer.status >= 300:
            raise Refused(answer.status, answer.first.split(maxsplit=2)[2])
        return answer

    def _acknowledge(self, answer: Message) -> None:
        target, to, _ = self._in_call()
        self._send("ACK", target, to, self._call_id, int(answer.get("cseq").split()[0]), [], "", "")

    def _send(
        self, method: str, target: str, to: str, call_id: str, number: int, extra: list[str], body: str,
        content_type: str, via: str = "",
    ) -> None:  # fmt: skip
        routes = self._dialog[2] if self._dialog and call_id == self._call_id else []
        via = via or f"SIP/2.0/UDP 127.0.0.1:{self.port};rport;branch=z9hG4bK{secrets.token_hex(6)}"
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: {via}",
            "Max-Forwards: 70",
            *(f"Route: {route}" for route in routes),
            f"From: <{self.address_of_record}>;tag={self._tag}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:{self.user}@127.0.0.1:{self.port}>",
            "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, NOTIFY",
            *extra,
            *([f"Content-Type: {content_type}"] if body else []),
            f"Content-Length: {len(body.encode())}",
        ]
        self._socket.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self._edge)

    def _authorize(self, challenge: Message, method: str, uri: str) -> str:
        """Digest (RFC 7616) with MD5, with qop=auth where it is offered."""
        name = "www-authenticate" if challenge.status == 401 else "proxy-authenticate"
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge.get(name)))
        ha1 = _md5(f"{self._auth_user}:{fields['realm']}:{self._password}")
        ha2 = _md5(f"{method}:{uri}")
        parts = {"username": self._auth_user, "realm": fields["realm"], "nonce": fields["nonce"], "uri": uri}
        if "qop" in fields:
            cnonce = secrets.token_hex(8)
            parts["response"] = _md5(f"{ha1}:{fields['nonce']}:00000001:{cnonce}:auth:{ha2}")
            more = f', qop=auth, nc=00000001, cnonce="{cnonce}"'
        else:
            parts["response"], more = _md5(f"{ha1}:{fields['nonce']}:{ha2}"), ""
        header = "Authorization" if challenge.status == 401 else "Proxy-Authorization"
        return f"{header}: Digest " + ", ".join(f'{key}="{value}"' for key, value in parts.items()) + more

    def _read(self) -> None:
        while True:
            try:
                data, source = self._socket.recvfrom(65535)
            except OSError:
                break
            if data.strip():
                message = _parsed(data.decode(errors="replace"))
                if message.status:
                    self._responses.add(message)
                    continue
                with contextlib.suppress(OSError):  # closed meanwhile: nobody is there to answer
                    self._answer(message, source)
        self._responses.close("the socket was closed")
        self.requests.close("the socket was closed")

    def _answer(self, request: Message, source: tuple[str, int]) -> None:
        if request.method != "ACK":
            body = self._sdp if request.method == "INVITE" else ""
            to = request.get("to")
            copied = [(key, value) for key, value in request.headers if key in ("via", "record-route")]
            lines = [
                "SIP/2.0 200 OK",
                *(f"{key.title()}: {value}" for key, value in copied),
                f"From: {request.get('from')}",
                f"To: {to}" if "tag=" in to else f"To: {to};tag={self._tag}",
                f"Call-ID: {request.get('call-id')}",
                f"CSeq: {request.get('cseq')}",
                f"Contact: <sip:{self.user}@127.0.0.1:{self.port}>",
                *(["Content-Type: application/sdp"] if body else []),
                f"Content-Length: {len(body.encode())}",
            ]
            self._socket.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), source)
        if request.method == "BYE":
            self._dialog = None
        self.requests.add(request)


COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}


def _parsed(text: str) -> Message:
    head, _, body = text.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers.append((COMPACT.get(key, key), value.strip()))
    return Message(first, headers, body)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
