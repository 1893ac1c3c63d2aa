"""What a page and the portal say to each other on the WebSocket: one class a message (docs/portal-api.md).

Each message is one JSON object in one text frame; `type` is the class's name in snake case. Codes and tokens show in
no `repr`. An unknown field is ignored, so that a newer page may talk to an older portal.
"""

import re
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from avisiod.calls.invitation import LINK_ALPHABET, LINK_LENGTH

SUBPROTOCOL = "avisio.v1"
"""Sec-WebSocket-Protocol (RFC 6455 section 1.9) of this version."""

PATH = "/ws"
MAX_MESSAGE_BYTES = 80 * 1024
"""A larger message closes the connection with 1009."""

CLOSE_ENDED = 4000
"""The call is over."""
CLOSE_REPLACED = 4001
"""The same relative came back on another page."""
CLOSE_IDLE = 4002
"""Nobody joined a call within the time allowed; connect again when the code is there."""
CLOSE_TOO_FAST = 4003
"""Messages came faster than any page sends them."""
CLOSE_STOPPING = 4004
"""The service stops or restarts; connect again in a moment."""


def _tag(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=_tag):
    """Any message."""


Language = Annotated[str, Meta(min_length=2, max_length=16, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Sdp = Annotated[str, Meta(min_length=1, max_length=64 * 1024)]


class Charter(msgspec.Struct, frozen=True, kw_only=True):
    """Which charter: `digest` is the SHA-256 of its file, in hex."""

    language: Language
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    digest: Digest


# From the page.


class Hello(Message, frozen=True, kw_only=True):
    """Optional, first: the language of the `advice` texts."""

    language: Language


class Join(Message, frozen=True, kw_only=True):
    """Spend the code of the SMS, having accepted this charter."""

    code: Annotated[str, Meta(pattern=r"^[0-9]{6}$")]
    link: Annotated[str, Meta(pattern=rf"^([{LINK_ALPHABET}]{{{LINK_LENGTH}}})?$")] = ""
    """What follows the host in the address of the SMS; empty where the address was typed by hand."""
    charter: Charter

    def __repr__(self) -> str:
        return "Join(code=…)"


class Resume(Message, frozen=True, kw_only=True):
    """Come back to the call with the token of `joined`."""

    token: Annotated[str, Meta(min_length=1, max_length=256)]

    def __repr__(self) -> str:
        return "Resume(token=…)"


class Offer(Message, frozen=True, kw_only=True):
    """The page's SDP offer (RFC 8829), right after `joined`, then for each new RTCPeerConnection or ICE restart."""

    sdp: Sdp


class Candidate(Message, frozen=True, kw_only=True):
    """One trickled ICE candidate (RFC 8838), the text of RTCIceCandidate.candidate; empty: there are no more."""

    candidate: Annotated[str, Meta(max_length=1024)]


class HangUp(Message, frozen=True, kw_only=True):
    """The relative ends the call."""


# To the page.


class Welcome(Message, frozen=True, kw_only=True):
    """First of all: the charters in force, one a language; `join` must name one of them."""

    charters: tuple[Charter, ...]
    converts: bool = False
    """Whether a page without H.264 would get pictures if it joined now; with sound only if not."""


class Joined(Message, frozen=True, kw_only=True):
    """The code or token was right: send the offer now. `token` is a secret."""

    token: str
    limit_s: float
    recorded: bool
    ice_servers: tuple[dict[str, str | list[str]], ...] = ()

    def __repr__(self) -> str:
        return f"Joined(token=…, limit_s={self.limit_s}, recorded={self.recorded})"


class Rejected(Message, frozen=True, kw_only=True):
    """The code or token opened nothing; the connection stays open for another try."""

    why: Literal["wrong", "expired", "used", "throttled", "busy", "over", "elsewhere"]
    url: str = ""
    """With `elsewhere`: the portal that has the call; the code is unspent, and good there."""
    retry_after_s: float = 0.0
    tries_left: int | None = None


class Answer(Message, frozen=True, kw_only=True):
    """The SDP answer; it holds all candidates of the box."""

    sdp: str


class State(Message, frozen=True, kw_only=True):
    """The call's state, on change and every 10 s. `remaining_s` once the clock runs: count down from it.

    `waiting` after `joining`: sound and picture could not be had; `resume` to try once more.
    """

    state: Literal["waiting", "joining", "connected", "interrupted"]
    remaining_s: float | None = None


class Warning(Message, frozen=True, kw_only=True):  # noqa: A001 - the message's name in the protocol
    """So much is left."""

    remaining_s: float


class Shortened(Message, frozen=True, kw_only=True):
    """The call begins and is shorter than usual. `text` is for the person, in the language of `hello`."""

    by: Literal["hours", "rules"]
    """`rules`: which of them is between the person in detention and the establishment."""
    remaining_s: float
    text: str


class Ended(Message, frozen=True, kw_only=True):
    """The call is over: reason and cause of calls.reasons. The portal closes with 4000."""

    reason: str
    cause: str
    connected_s: float
    charged: bool
    """Whether the detained person pays for the connected time."""


class Replaced(Message, frozen=True, kw_only=True):
    """The call went on in another page of the same relative. The portal closes with 4001."""


What = Literal[
    "malformed", "out_of_order", "charter_changed", "offer_refused", "restart_refused", "too_fast", "internal"
]


class Error(Message, frozen=True, kw_only=True):
    """A message had no effect. `advice` is for the person, in the language of `hello`."""

    what: What
    advice: str
    detail: str = ""
    """For whoever writes a client."""


FromPage = Hello | Join | Resume | Offer | Candidate | HangUp
ToPage = Welcome | Joined | Rejected | Answer | State | Warning | Shortened | Ended | Replaced | Error
ALL: tuple[type[Message], ...] = (*get_args(FromPage), *get_args(ToPage))


class Malformed(ValueError):
    """What came is no message of this protocol. The text names the place, never a value that came."""


_decoder: msgspec.json.Decoder[FromPage] = msgspec.json.Decoder(FromPage)
_reader: msgspec.json.Decoder[ToPage] = msgspec.json.Decoder(ToPage)
_encoder = msgspec.json.Encoder()


def from_page(frame: bytes) -> FromPage:
    """Read what a page sent; Malformed for everything else, whatever its shape."""
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Values in quotes may be a code typed in the wrong place.
        place = "not UTF-8" if isinstance(error, UnicodeDecodeError) else re.sub(r"'[^']*'?", "'…'", str(error))
    raise Malformed(place[:200])


def to_page(frame: bytes) -> ToPage:
    """Read what the portal sent, for clients in Python."""
    return _reader.decode(frame)


def encode(message: Message) -> bytes:
    """Render a message as one JSON text frame."""
    return _encoder.encode(message)
