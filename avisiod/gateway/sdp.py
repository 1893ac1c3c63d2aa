"""SDP (RFC 8866) as facts: a parser that takes what real phones and browsers write, and what both answers share.

`parse` accepts any text: it returns a `Session`, or raises `OfferUnacceptable` with the line and the reason. It never
lets another exception out. What it does not know it skips; what it must understand (m=, c=, rtpmap) it checks.
aiortc.sdp is not used: it asserts, and refuses much that phones write (fmtp before rtpmap, static payload types with
feedback, lower-case protocols).
"""

import ipaddress
import re
from collections.abc import Iterator

import msgspec

from avisiod.gateway.leg import Codec, Direction, Kind
from avisiod.gateway.wire import OfferUnacceptable

MAX_LENGTH = 60_000
"""Characters; the boundary to the workers carries at most 65,535 bytes."""
MAX_MEDIA = 32
"""m-lines of one session; real ones have at most eight."""

EVENT = "TELEPHONE-EVENT"

_STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000)}
"""Payload types that need no rtpmap (RFC 3551 table 4)."""
_CLOCK_RATES = {"OPUS": 48000, "G722": 8000, "PCMA": 8000, "PCMU": 8000, "H264": 90000, "VP8": 90000}
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_ORIGIN = re.compile(r"^o=(\S{1,256} [0-9]{1,32}) [0-9]{1,32} (IN \S{1,8} \S{1,256})\s*$", re.ASCII | re.MULTILINE)
_TOKEN = re.compile(r"[!-~]+", re.ASCII)
_RTPMAP = re.compile(r"([0-9]{1,3})\s+([!-.0-~]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?\s*", re.ASCII)


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One payload type of an m-line with everything that is said of it."""

    payload_type: int
    name: str
    """Upper case encoding name; empty where no rtpmap tells it."""
    clock_rate: int = 0
    channels: int = 1
    fmtp: dict[str, str] = {}
    feedback: frozenset[str] = frozenset()
    """What `a=rtcp-fb` offers: `nack`, `nack pli`, `ccm fir`, `goog-remb`, …"""

    def codec(self) -> Codec:
        """The format as the legs know it."""
        return Codec(
            name=self.name,
            payload_type=self.payload_type,
            clock_rate=self.clock_rate,
            channels=self.channels,
            fmtp=dict(self.fmtp),
        )


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """One m-line and what belongs to it, session-level values already inherited."""

    line: int
    """Number of the m-line in the text, from 1; for sentences."""
    kind: str
    """`audio`, `video`, `application`, …"""
    port: int
    protocol: str
    """Upper case: RTP/AVP, UDP/TLS/RTP/SAVPF, …"""
    tokens: tuple[str, ...]
    """The format list as it stands in the m-line."""
    formats: tuple[Format, ...]
    """The formats of an RTP m-line, in the order of preference."""
    address: str
    """Canonical IP address of the c= line; empty where there is none."""
    direction: Direction
    """Who may send, seen from the one who wrote this text."""
    bandwidth_kbps: int | None
    attributes: dict[str, tuple[str, ...]]
    """Every a= of the m-line, by name, in order; the value of a flag is empty."""
    session_attributes: dict[str, tuple[str, ...]]

    def flag(self, name: str) -> bool:
        """Whether the m-line has this attribute."""
        return name in self.attributes

    def value(self, name: str) -> str:
        """First value of the attribute at the m-line, else of the session, else empty."""
        return self.values(name)[0] if self.values(name) else ""

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of the attribute at the m-line, else of the session."""
        return self.attributes.get(name) or self.session_attributes.get(name, ())

    def number(self, name: str) -> int | None:
        """First value where it begins with a decimal number; None otherwise."""
        found = _NUMBER.match(self.value(name))
        return int(found[0]) if found else None

    def __str__(self) -> str:
        return f"line {self.line} (m={self.kind})"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A whole description."""

    origin: str
    media: tuple[Media, ...]
    attributes: dict[str, tuple[str, ...]]

    def of(self, kind: Kind) -> tuple[Media, ...]:
        """The m-lines of this kind."""
        return tuple(media for media in self.media if media.kind == kind)


def writer(text: str) -> str:
    """Who wrote this text: its o= line without the version (RFC 8866 section 5.2); empty where it has none.

    The later offers of one RTCPeerConnection say the same (RFC 8829 section 5.2.2), those of another say otherwise.
    """
    found = _ORIGIN.search(text)
    return f"{found[1]} {found[2]}" if found else ""


def parse(text: str) -> Session:
    """Read a session description. OfferUnacceptable names the line and what is wrong with it."""
    if len(text) > MAX_LENGTH:
        raise OfferUnacceptable(f"the SDP has {len(text)} characters, more than {MAX_LENGTH}")
    session, blocks = _blocks(text)
    if not session or session[0][1:] != ("v", "0"):
        raise OfferUnacceptable("line 1: the SDP does not begin with v=0")
    if not blocks:
        raise OfferUnacceptable("the SDP has no m-line")
    if len(blocks) > MAX_MEDIA:
        raise OfferUnacceptable(f"the SDP has {len(blocks)} m-lines, more than {MAX_MEDIA}")
    attributes = _attributes(session)
    address = _connection(session, "")
    return Session(
        origin=next((value for _, letter, value in session if letter == "o"), ""),
        media=tuple(_media(block, attributes, address) for block in blocks),
        attributes=attributes,
    )


def reversed_direction(direction: Direction) -> Direction:
    """The same direction seen from the other side."""
    match direction:
        case Direction.SENDONLY:
            return Direction.RECVONLY
        case Direction.RECVONLY:
            return Direction.SENDONLY
    return direction


def common_direction(one: Direction, other: Direction) -> Direction:
    """What both allow, both seen from the same side."""
    sends = all(each in (Direction.SENDRECV, Direction.SENDONLY) for each in (one, other))
    receives = all(each in (Direction.SENDRECV, Direction.RECVONLY) for each in (one, other))
    if sends:
        return Direction.SENDRECV if receives else Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


def event_format(formats: tuple[Format, ...], clock_rate: int) -> Format | None:
    """The telephone-event that goes with a codec of this clock rate (RFC 4733 section 2.1).

    Phones that speak Opus often offer events at 8000 Hz only; that one is then taken.
    """
    events = [each for each in formats if each.name == EVENT]
    return next((each for each in events if each.clock_rate == clock_rate), events[0] if events else None)


def rtpmap(codec: Codec) -> str:
    """The a=rtpmap line of a codec, without line end."""
    names = {"OPUS": "opus"}
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    return f"a=rtpmap:{codec.payload_type} {names.get(codec.name, codec.name)}/{codec.clock_rate}{channels}"


def fmtp_line(payload_type: int, fmtp: dict[str, str]) -> list[str]:
    """The a=fmtp line without line end; nothing where there is nothing to say."""
    if not fmtp:
        return []
    return [f"a=fmtp:{payload_type} " + ";".join(f"{key}={value}" if value else key for key, value in fmtp.items())]


def rejected(media: Media) -> list[str]:
    """Lines that refuse an m-line (RFC 3264 section 6): same kind, protocol and formats, port 0."""
    lines = [f"m={media.kind} 0 {media.protocol} {' '.join(media.tokens)}", "c=IN IP4 0.0.0.0", "a=inactive"]
    mid = media.attributes.get("mid", ("",))[0]
    if _TOKEN.fullmatch(mid):
        lines.append(f"a=mid:{mid}")
    return lines


def joined(lines: list[str]) -> str:
    """The text of these lines."""
    return "\r\n".join(lines) + "\r\n"


_Line = tuple[int, str, str]
"""Number, letter, value."""


def _blocks(text: str) -> tuple[list[_Line], list[list[_Line]]]:
    """The lines of the session and those of each m-line."""
    session: list[_Line] = []
    blocks: list[list[_Line]] = []
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        line = raw.strip()
        if not line:
            continue
        if len(line) < 2 or line[1] != "=":
            raise OfferUnacceptable(f"line {number}: not of the form letter=value")
        letter = line[0]
        if letter == "m":
            blocks.append([])
        (blocks[-1] if blocks else session).append((number, letter, line[2:].strip()))
    return session, blocks


def _attributes(lines: list[_Line]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for _, letter, value in lines:
        if letter == "a":
            name, _, rest = value.partition(":")
            found.setdefault(name.strip().lower(), []).append(rest.strip())
    return {name: tuple(values) for name, values in found.items()}


def _connection(lines: list[_Line], inherited: str) -> str:
    for number, letter, value in lines:
        if letter == "c":
            return ip_address(value, f"line {number}: c=")
    return inherited


def ip_address(connection: str, where: str) -> str:
    """The canonical address of `IN IP4 address`; OfferUnacceptable where it is none to send media to."""
    parts = connection.split()
    if len(parts) != 3 or parts[0].upper() != "IN" or parts[1].upper() not in ("IP4", "IP6"):
        raise OfferUnacceptable(f"{where} is not of the form IN IP4 address")
    try:
        address = ipaddress.ip_address(parts[2].split("/")[0])
    except ValueError:
        raise OfferUnacceptable(f"{where} holds no numeric IP address") from None
    if address.is_multicast or str(address) == "255.255.255.255":
        raise OfferUnacceptable(f"{where} is a multicast or broadcast address")
    return str(address)


def _media(lines: list[_Line], session: dict[str, tuple[str, ...]], address: str) -> Media:
    number, _, value = lines[0]
    parts = value.split()
    if len(parts) < 4 or not all(_TOKEN.fullmatch(part) for part in parts):
        raise OfferUnacceptable(f"line {number}: m= is not of the form kind port protocol formats")
    port_text = parts[1].split("/")[0]
    if not _NUMBER.fullmatch(port_text) or int(port_text) > 65535:
        raise OfferUnacceptable(f"line {number}: the port of m= is no number from 0 to 65535")
    attributes = _attributes(lines)
    kind = parts[0].lower()
    protocol = parts[2].upper()
    return Media(
        line=number,
        kind=kind,
        port=int(port_text),
        protocol=protocol,
        tokens=tuple(parts[3:]),
        formats=_formats(number, parts[3:], attributes) if kind in tuple(Kind) and "RTP/" in protocol else (),
        address=_connection(lines[1:], address),
        direction=_direction(attributes) or _direction(session) or Direction.SENDRECV,
        bandwidth_kbps=_bandwidth(lines),
        attributes=attributes,
        session_attributes=session,
    )


def _direction(attributes: dict[str, tuple[str, ...]]) -> Direction | None:
    return next((direction for direction in Direction if direction in attributes), None)


def _bandwidth(lines: list[_Line]) -> int | None:
    """b=AS in kbit/s, or b=TIAS in bit/s (RFC 3890)."""
    for _, letter, value in lines:
        name, _, rest = value.partition(":")
        if letter == "b" and _NUMBER.fullmatch(rest) and name.upper() in ("AS", "TIAS"):
            return int(rest) if name.upper() == "AS" else int(rest) // 1000
    return None


def _formats(number: int, tokens: list[str], attributes: dict[str, tuple[str, ...]]) -> tuple[Format, ...]:
    maps = _rtpmaps(attributes)
    parameters = dict(_by_payload_type(attributes.get("fmtp", ())))
    feedback = list(_by_payload_type(attributes.get("rtcp-fb", ())))
    formats: dict[int, Format] = {}
    for token in tokens:
        if not _NUMBER.fullmatch(token) or int(token) > 127:
            raise OfferUnacceptable(f"line {number}: {token[:20]!r} is no payload type from 0 to 127")
        payload_type = int(token)
        name, clock_rate, channels = maps.get(payload_type, (*_STATIC.get(payload_type, ("", 0)), 1))
        if clock_rate != _CLOCK_RATES.get(name, clock_rate):
            name = ""  # not the codec that we know by this name
        formats.setdefault(
            payload_type,
            Format(
                payload_type=payload_type,
                name=name,
                clock_rate=clock_rate,
                channels=channels,
                fmtp=_parameters(parameters.get(str(payload_type), "")),
                feedback=frozenset(value.lower() for key, value in feedback if key in ("*", str(payload_type))),
            ),
        )
    return tuple(formats.values())


def _rtpmaps(attributes: dict[str, tuple[str, ...]]) -> dict[int, tuple[str, int, int]]:
    maps = {}
    for value in attributes.get("rtpmap", ()):
        found = _RTPMAP.fullmatch(value)
        if found:  # one that is not understood leaves its payload type unknown, which is never chosen
            maps[int(found[1])] = (found[2].upper(), int(found[3]), int(found[4] or 1))
    return maps


def _by_payload_type(values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for value in values:
        key, _, rest = value.partition(" ")
        yield key, " ".join(rest.split())


def _parameters(text: str) -> dict[str, str]:
    """`a=1; b=2` as a dict, keys in lower case; only printable ASCII is kept, since answers repeat some of it."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        key, _, value = (each.strip() for each in part.partition("="))
        if _TOKEN.fullmatch(key) and (not value or _TOKEN.fullmatch(value)):
            found.setdefault(key.lower(), value)
    return found
