"""SIP messages as text (RFC 3261 section 7), for the phones that tests play: read strictly, written plainly."""

import re
from collections.abc import Iterable, Iterator

MAX_BYTES = 65_535
"""A UDP datagram holds no more."""

_COMPACT = {
    "i": "call-id",
    "m": "contact",
    "e": "content-encoding",
    "l": "content-length",
    "c": "content-type",
    "f": "from",
    "s": "subject",
    "k": "supported",
    "t": "to",
    "v": "via",
    "x": "session-expires",
}
"""Compact header names (RFC 3261 section 7.3.3, RFC 4028 section 4)."""

_TOKEN = re.compile(r"[\w.!%*+`'~-]+", re.ASCII)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6]\d\d) ?(.*)", re.IGNORECASE)
_CSEQ = re.compile(r"(\d{1,10})\s+([\w.!%*+`'~-]+)", re.ASCII)
_MAX_CSEQ = 2**31
_MANDATORY = ("via", "from", "to", "call-id", "cseq")


class SipSyntaxError(ValueError):
    """Bytes that are no SIP message; the text says what is wrong and quotes nothing of it."""


class Message:
    """What requests and responses share: headers in their order, and a body."""

    def __init__(self, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self.headers = list(headers)
        self.body = body

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order, lines with several values split at their commas."""
        wanted = name.lower()
        return [value for header, line in self.headers if _canonical(header) == wanted for value in split_list(line)]

    def lines(self, name: str) -> list[str]:
        """Every line of a header, unsplit: for headers that are no lists."""
        wanted = name.lower()
        return [line for header, line in self.headers if _canonical(header) == wanted]

    def get(self, name: str) -> str:
        """The first line of a header; empty when there is none."""
        return next(iter(self.lines(name)), "")

    def add(self, name: str, value: str) -> None:
        """Append a header line."""
        self.headers.append((name, value))

    @property
    def call_id(self) -> str:
        """Call-ID."""
        return self.get("call-id")

    @property
    def cseq(self) -> tuple[int, str]:
        """Sequence number and method of CSeq."""
        found = _CSEQ.fullmatch(self.get("cseq"))
        if not found or int(found[1]) >= _MAX_CSEQ:
            raise SipSyntaxError("CSeq is not a number below 2^31 and a method")
        return int(found[1]), found[2]

    @property
    def branch(self) -> str:
        """Branch of the topmost Via, which names the transaction (RFC 3261 section 8.1.1.7)."""
        return parameter(next(iter(self.all("via")), ""), "branch")

    def _encode(self, start: str) -> bytes:
        lines = [start, *(f"{name}: {value}" for name, value in self.headers), f"Content-Length: {len(self.body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


class Request(Message):
    """A request."""

    def __init__(self, method: str, uri: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    def encode(self) -> bytes:
        """As it goes over the wire; Content-Length is added."""
        return self._encode(f"{self.method} {self.uri} SIP/2.0")


class Response(Message):
    """A response."""

    def __init__(self, status: int, reason: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    def encode(self) -> bytes:
        """As it goes over the wire; Content-Length is added."""
        return self._encode(f"SIP/2.0 {self.status} {self.reason}")


def parse(data: bytes) -> Request | Response:
    """Read one message of one datagram. SipSyntaxError on anything else; a keep-alive is nothing to parse."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise SipSyntaxError("the header section does not end")
    try:
        start, *lines = head.decode().lstrip("\r\n").split("\r\n")
    except UnicodeDecodeError:
        raise SipSyntaxError("the header section is not UTF-8") from None
    message = _start(start)
    message.headers = list(_headers(lines))
    for name in _MANDATORY:
        if not message.get(name):
            raise SipSyntaxError(f"no {name} header")
    if any(len(message.lines(name)) > 1 for name in ("from", "to", "call-id", "cseq")):
        raise SipSyntaxError("a header stands twice that may stand once")
    _, method = message.cseq
    if isinstance(message, Request) and method != message.method:
        raise SipSyntaxError("CSeq names another method")
    message.body = _body(message.get("content-length"), body)
    return message


def _start(line: str) -> Request | Response:
    if status := _STATUS_LINE.fullmatch(line):
        return Response(int(status[1]), status[2])
    parts = line.split(" ")
    if len(parts) != 3 or parts[2].upper() != "SIP/2.0" or not _TOKEN.fullmatch(parts[0]) or not parts[1]:
        raise SipSyntaxError("the first line is neither a request nor a response of SIP/2.0")
    return Request(parts[0], parts[1])


def _headers(lines: list[str]) -> Iterator[tuple[str, str]]:
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and unfolded:
            unfolded[-1] += " " + line.strip()
        else:
            unfolded.append(line)
    for line in unfolded:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name.rstrip()) or "\n" in value or "\r" in value:
            raise SipSyntaxError("a header line is no name and value")
        yield name.rstrip(), value.strip()


def _body(length: str, body: bytes) -> bytes:
    if not length:
        return body
    if not length.isascii() or not length.isdecimal() or int(length) > len(body):
        raise SipSyntaxError("Content-Length promises more than came")
    return body[: int(length)]


def _canonical(name: str) -> str:
    lower = name.lower()
    return _COMPACT.get(lower, lower)


def split_list(line: str) -> list[str]:
    """Split a header line at the commas that stand outside quotes and angle brackets."""
    return [item for item in (part.strip() for part in _split(line, ",")) if item]


def _split(text: str, separator: str) -> list[str]:
    parts = [""]
    quoted = escaped = False
    depth = 0
    for character in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped = character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = True
        elif character == "<":
            depth += 1
        elif character == ">":
            depth = max(0, depth - 1)
        elif character == separator and not depth:
            parts.append("")
            continue
        parts[-1] += character
    return parts


def parameter(value: str, name: str) -> str:
    """A `;name=value` of a header value, quotes taken off; empty when it is absent or has no value."""
    for part in _split(value, ";")[1:]:
        key, _, found = part.partition("=")
        if key.strip().lower() == name:
            return found.strip().strip('"')
    return ""


def uri_of(address: str) -> str:
    """The URI of a From, To, Contact or Route value, with or without name and angle brackets."""
    unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', "", address)
    if bracketed := re.search(r"<([^>]*)>", unquoted):
        return bracketed[1].strip()
    return unquoted.split(";", 1)[0].strip()


def uri_user(uri: str) -> str:
    """The user part of a sip, sips or tel URI, unescaped, its parameters (`;phone-context=…`) cut off."""
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme.lower() not in {"sip", "sips", "tel"}:
        return ""
    if scheme.lower() != "tel":
        rest, at, _ = rest.rpartition("@")
        if not at:
            return ""
    user = rest.split(";", 1)[0].split(":", 1)[0]
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), user)


def answer_to(request: Request, status: int, reason: str, tag: str = "") -> Response:
    """A response with the headers that it must copy (RFC 3261 section 8.2.6.2); To gets `tag` where it has none."""
    to = request.get("to")
    if tag and not parameter(to, "tag"):
        to += f";tag={tag}"
    response = Response(status, reason, [("Via", via) for via in request.all("via")])
    for record_route in request.all("record-route"):
        response.add("Record-Route", record_route)
    response.add("From", request.get("from"))
    response.add("To", to)
    response.add("Call-ID", request.call_id)
    response.add("CSeq", request.get("cseq"))
    return response
