"""What is read of a SIP message that PJSIP has accepted: headers, session descriptions, bodies of INFO. Pure."""

import re

PHONE_HEADER = "X-Avisio-Phone"
"""The edge writes the user that it authenticated here."""
TRANSPORT_HEADER = "X-Avisio-Transport"
"""Here it writes how the phone's INVITE came: udp, tcp or tls."""
FINAL_HEADER = "X-Avisio-Final"
"""Marks a refusal that control or this program decided, so that the edge does not ask another worker."""

PICTURE_REQUEST_TYPE = "application/media_control+xml"
PICTURE_REQUEST = (
    '<?xml version="1.0" encoding="utf-8"?>\r\n'
    "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>\r\n"
)
"""RFC 5168 section 7: ask the encoder for a whole picture."""

STAND_IN = "m=audio 9 RTP/AVP 0\r\nc=IN IP4 127.0.0.1\r\na=sendrecv\r\n"
"""The one m-line that PJSIP negotiates. It ends calls whose codecs or keys it does not know, so it sees none: the
edge puts this line before the phone's own, we put it before ours (docs/decisions/0008)."""

MAX_SDP_BYTES = 32_768
"""Far beyond any phone's; AMP carries at most twice that."""

_COMPACT = {"c": "content-type", "e": "content-encoding", "f": "from", "t": "to", "v": "via", "i": "call-id"}
_NO_UTF_8 = re.compile(r"[\ud800-\udfff]")
_FOLDED = re.compile(r"\r?\n[ \t]+")
_REQUEST_URI = re.compile(r"\S+ (?:sips?|tel):([^\s@;>?]+)", re.IGNORECASE)
_DIGIT = re.compile(r"[0-9A-D*#]")
_SIGNAL = re.compile(r"\s*signal\s*=\s*(\S+)\s*", re.IGNORECASE)
_EVENTS = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
"""Event codes of RFC 4733 that some phones write in the place of the digit."""
_PICTURE = re.compile(r"<\s*(?:\w+:)?picture_fast_update\b")


class BodyUnsupported(ValueError):
    """A body that is no session description of a usable kind or length; the text says what it is."""


class Message:
    """One message as it came over the wire."""

    def __init__(self, text: str) -> None:
        """`text`: bytes that are no UTF-8 stand in it as lone surrogates, as PJSIP's binding leaves them."""
        head, _, self.body = _NO_UTF_8.sub("\ufffd", text).partition("\r\n\r\n")
        self.start, *lines = _FOLDED.sub(" ", head).split("\r\n")
        self._headers: list[tuple[str, str]] = []
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            self._headers.append((_COMPACT.get(name, name), value.strip()))

    def header(self, name: str) -> str:
        """The only value of a header; empty where it is absent or, being forged perhaps, there more than once."""
        values = [value for header, value in self._headers if header == name.lower()]
        return values[0] if len(values) == 1 else ""

    @property
    def dialled(self) -> str:
        """The user part of the Request-URI, unescaped, without its parameters; empty where it has none."""
        found = _REQUEST_URI.match(self.start)
        if found is None or ("@" not in self.start and not self.start.partition(" ")[2].lower().startswith("tel:")):
            return ""
        return re.sub(r"%([0-9A-Fa-f]{2})", lambda escape: chr(int(escape[1], 16)), found[1].partition(":")[0])

    @property
    def kind(self) -> str:
        """Media type of the body in lower case, without parameters; empty where there is no body."""
        return self.header("content-type").split(";", 1)[0].strip().lower() if self.body else ""

    def sdp(self) -> str:
        """The phone's session description; empty where the message carries none.

        BodyUnsupported when it has another body, an encoded one, or one that is longer than MAX_SDP_BYTES. A
        description in a multipart body was taken out of it by the edge.
        """
        if not self.kind:
            return ""
        if self.header("content-encoding").lower() not in {"", "identity"}:
            raise BodyUnsupported("the body is encoded")
        if self.kind != "application/sdp":
            raise BodyUnsupported("the body is no session description")
        if len(self.body.encode(errors="replace")) > MAX_SDP_BYTES:
            raise BodyUnsupported("the session description is too long")
        return of_phone(self.body)

    @property
    def digit(self) -> str:
        """The DTMF digit of an INFO, `0` to `9`, `A` to `D`, `*` or `#`; empty when it carries none.

        application/dtmf-relay has `Signal=5`; application/dtmf has the digit alone, or the same line.
        """
        if self.kind not in {"application/dtmf-relay", "application/dtmf"}:
            return ""
        lines = self.body.splitlines()
        signals = [found[1] for line in lines if (found := _SIGNAL.fullmatch(line))]
        if not signals and self.kind == "application/dtmf":
            signals = [line.strip() for line in lines[:1]]
        digit = next(iter(signals), "").upper()
        digit = _EVENTS.get(digit, digit)
        return digit if _DIGIT.fullmatch(digit) else ""

    @property
    def asks_picture(self) -> bool:
        """Whether an INFO asks for a whole picture (RFC 5168)."""
        return self.kind == PICTURE_REQUEST_TYPE and bool(_PICTURE.search(self.body))


def for_pjsip(description: str) -> str:
    """Our description as PJSIP may negotiate it: STAND_IN alone. What we mean stands behind it in lines with port 0.

    `m=video 30002` becomes `m=video 0/30002`. The edge takes the stand-in and each `0/` away.
    """
    hidden = re.sub(r"(?m)^m=(\S+) (\d+) ", r"m=\1 0/\2 ", description)
    return re.sub(r"(?m)^(?=m=)", lambda _: STAND_IN, hidden, count=1)


def of_phone(description: str) -> str:
    """What the phone wrote, without the stand-in; BodyUnsupported where the edge has put none."""
    before, stand_in, rest = description.partition(STAND_IN)
    if not stand_in:
        raise BodyUnsupported("the session description holds no line of the edge's")
    return before + rest


def media_lines(sdp: str) -> int:
    """How many m-lines a session description has."""
    return len(re.findall(r"^m=", sdp, re.MULTILINE))


def reason_header(status: int, reason: str) -> str:
    """Value of a Reason header (RFC 3326) that tells a phone why we end or refuse."""
    text = re.sub(r'[^\x20-\x7e]|["\\]', "", reason)
    return f'SIP;cause={status};text="{text}"'
