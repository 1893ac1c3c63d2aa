"""What the switchboard needs of the world and what the world may ask of it: the seams between the rooms.

Coroutines of the control process await Twisted Deferreds, never asyncio futures: AMP, Klein, autobahn, serial ports
and threads all answer with Deferreds. asyncio is for the media workers, where aiortc lives.
"""

import datetime
from collections.abc import Awaitable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from avisiod.calls.admission import Limit
from avisiod.calls.dossier import Dossier
from avisiod.calls.ids import CallId, ClassId, ContactId, DetaineeId, Number, PhoneId, SessionId
from avisiod.calls.ledger import Transaction
from avisiod.calls.people import ORDINARY
from avisiod.calls.reasons import EndReason
from avisiod.calls.tariff import Tariff

# The portal and the switchboard. The web room implements Page and calls Desk.


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """The charter as a relative accepted it: the proof that they were informed."""

    language: str
    version: str
    digest: str
    """SHA-256 of the very text that was shown, hex."""


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """The code was right. `token` brings the same relative back without a code; it is a secret."""

    session: SessionId
    token: str
    limit_s: float
    recorded: bool
    ice_servers: tuple[dict[str, str | list[str]], ...] = ()


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The code or token opened nothing."""

    why: Literal["wrong", "expired", "used", "throttled", "busy", "over", "elsewhere"]
    """`busy`: something failed on our side, try again; `over`: the call has ended or the invitation is void;
    `elsewhere`: the code is right and unspent, and belongs to a call of another box."""
    url: str = ""
    """With `elsewhere`: the address of that box's portal."""
    retry_after_s: float = 0.0
    """With `throttled`: how long this address must wait; a typed address may be told to open the link in the SMS."""
    tries_left: int | None = None
    """With `wrong` on a linked page: tries before the invitation is void."""


class Page(Protocol):
    """One open page of a relative, as the switchboard sees it. Methods never raise and never block."""

    def state(
        self, state: Literal["waiting", "joining", "connected", "interrupted"], remaining_s: float | None
    ) -> None:
        """The call's state; `remaining_s` once the clock runs. Sent on change and every 10 s.

        `waiting` after `joining`: media could not be had; the page may `resume` while its token opens something.
        """

    def warning(self, remaining_s: float) -> None:
        """So much is left."""

    def shortened(self, by: Limit, remaining_s: float) -> None:
        """The call begins and is shorter than usual: why, and how long it may last."""

    def ended(self, reason: EndReason, connected_s: float, *, charged: bool) -> None:
        """The call is over; the page shows why, and whether its time is paid for, and closes."""

    def replaced(self) -> None:
        """The same relative came back on another page; this one closes."""


class RestartRefused(ValueError):
    """An ICE restart whose connection is not there any more, or that changes more: the page must begin anew."""


class Desk(Protocol):
    """What a page may ask. Every answer comes from the server's own state; a page is never believed."""

    def redeem(
        self, code: str, link: str, address: str, acceptance: Acceptance, page: Page
    ) -> Awaitable[Joined | Rejected]:
        """Spend a code. `address` is the relative's IP address, for the throttle only.

        The SMS carries the portal's address as `https://HOST/LINK`, LINK being five characters of
        `calls.invitation.LINK_ALPHABET`: such a page passes it on as `link`, a page whose address was typed by hand
        passes an empty one. It names the invitation, so that a flood of guesses cannot lock out who holds the SMS
        (calls/throttle.py). A link is nearly as secret as a code: never logged, not in a Referer, not in a title.
        """

    def resume(self, token: str, address: str, page: Page) -> Awaitable[Joined | Rejected]:
        """Come back to a call that waits, joins, is connected or interrupted."""

    def offer(self, session: SessionId, sdp: str) -> Awaitable[str]:
        """Answer the page's SDP offer. ValueError with a plain reason where it cannot be answered.

        A further offer of the same RTCPeerConnection is an ICE restart: the call goes on as it is, or RestartRefused.
        """

    def candidate(self, session: SessionId, candidate: str) -> None:
        """A trickled ICE candidate; empty for the end. A stale session is ignored."""

    def converts(self) -> bool:
        """Whether a page without the phones' video codec would get pictures now; with sound only if not."""

    def hang_up(self, session: SessionId) -> None:
        """The relative ends the call."""

    def gone(self, session: SessionId) -> None:
        """The page's connection closed without a word."""


# SMS.


class Sms(msgspec.Struct, frozen=True, kw_only=True):
    """One message to send while it is worth sending."""

    id: str
    number: Number
    text: str
    valid_s: float
    """Not to be delivered later than this."""
    give_up_at: float
    """Monotonic; after it no further try is made."""


class SmsFailed(Exception):
    """No route could hand the message over; the text says why, without number or code."""


class SmsRoute(Protocol):
    """A way to send: a modem, a provider."""

    def send(self, sms: Sms) -> Awaitable[None]:
        """Done when the network has accepted the message. SmsFailed when it has not and will not."""


# What the site's own scripts are told.


class SiteEvents(Protocol):
    """Told of what happens to devices and calls; returns at once and never fails."""

    def happened(self, event: str, facts: Mapping[str, str]) -> None:
        """`event` is one of hook_runner.EVENTS. Facts hold no secret, name or number: ids of devices and calls."""


# Calls on the media and SIP side: `gateway.workers` implements these over AMP.


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed recording as the store keeps it; times in UTC, ISO 8601."""

    call: CallId
    path: str
    bytes: int
    sha256: str
    duration_s: float
    truncated: bool
    manifest: str


# What is kept. The store writes these; times are aware and in UTC.


class StoreUnavailable(Exception):
    """Nothing could be saved or read: disk full, locked, damaged. Nothing was changed; the text says what to do."""


class StoreRefused(StoreUnavailable):
    """What was to be saved contradicts what is kept, such as a second end of a call. Nothing was changed."""


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it stands. The dialled number is not in it: `contact` refers to it."""

    id: CallId
    phone: PhoneId
    contact: ContactId | None = None
    state: str
    confidential: bool = False
    created_utc: datetime.datetime
    connected_utc: datetime.datetime | None = None
    ended_utc: datetime.datetime | None = None
    connected_s: float = 0.0
    limit_s: float = 0.0
    end_reason: EndReason | None = None
    charged: bool = False
    detainee: DetaineeId | None = None
    """Who calls: the phone's occupant, or who was identified on it."""
    cls: ClassId | None = None
    """The contact's class for this detainee, as it was when the call was admitted."""
    tariff: Tariff | None = None
    """The price that holds for the whole call; kept with its unit and price, whatever becomes of the tariff."""
    hold_cents: int = 0
    charge_cents: int = 0
    extra: str | None = None
    """The granted extra call that this one uses: used up once it counts."""
    box: str = ""
    """Which of the boxes that share the database has it: the others leave it alone. The store fills it in."""


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a call. `details` hold no code, token or number."""

    call: CallId
    at_utc: datetime.datetime
    at: float
    """Monotonic seconds, to compare with other entries of the same start of the machine."""
    event: str
    details: Mapping[str, str | int | float | bool | None] = {}
    state: str = ""
    """The call's state after it; the store fills it in."""


class InvitationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation: never the code, only its keyed hash."""

    call: CallId
    hash: str
    issued_utc: datetime.datetime
    expires_utc: datetime.datetime | None = None
    """Set once the SMS was accepted."""
    spent_utc: datetime.datetime | None = None


class InvitationSpent(msgspec.Struct, frozen=True, kw_only=True):
    """The code of this call was used; it never is again."""

    call: CallId
    at_utc: datetime.datetime


class AcceptanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who joined this call accepted the charter."""

    call: CallId
    at_utc: datetime.datetime
    acceptance: Acceptance


Kept = InvitationRecord | InvitationSpent | AcceptanceRecord | Recording | Transaction
"""What may be saved together with a call's new state. A transaction whose key is booked already books nothing."""


# What the rules rest on. The store implements this.


class Tries(msgspec.Struct, frozen=True, kw_only=True):
    """Wrong PINs in a row, since the last right one."""

    wrong: int = 0
    last_utc: datetime.datetime | None = None


class PinRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an identifier that was typed on a shared phone. The identifier itself is not in it."""

    detainee: DetaineeId | None = None
    """None where nobody has it: such a try counts against the phone only."""
    pin_hash: str = ""
    """argon2id, encoded; empty where no PIN is set."""
    on_phone: Tries = Tries()
    by_detainee: Tries = Tries()
    language: str = ""
    """The detainee's."""

    def __repr__(self) -> str:
        return f"PinRecord(detainee={self.detainee!r}, pin_hash=…)"


class Books(Protocol):
    """People, rules and accounts. Every call fails with StoreUnavailable."""

    def facts(
        self, phone: PhoneId, detainee: DetaineeId | None, number: Number | None, at_utc: datetime.datetime
    ) -> Awaitable[Dossier]:
        """All that is kept about this call, read in one transaction.

        `detainee` is who was identified on a shared phone; None: the phone's occupant, where it has one.
        """

    def pin_record(self, phone: PhoneId, identifier: str) -> Awaitable[PinRecord]:
        """What is known of who typed this identifier: the digits of a register number. Never logged."""

    def pin_tried(
        self, phone: PhoneId, detainee: DetaineeId | None, at_utc: datetime.datetime, *, right: bool
    ) -> Awaitable[None]:
        """Count a try on the phone and by the detainee; a right one forgives the wrong ones before it."""


# The inventory.


class Phone(msgspec.Struct, frozen=True, kw_only=True):
    """A SIP video phone."""

    id: PhoneId
    cell: str = ""
    ha1: str
    """MD5 of user:realm:password (RFC 7616 section 3.4.2); the password itself is never kept."""
    language: str = "fr"
    building: str = ""
    floor: str = ""
    shared: bool = False
    """It asks who is calling."""
    occupant: DetaineeId | None = None
    """Whom a phone that is not shared stands for."""


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """An authorised outside person."""

    id: ContactId
    number: Number
    confidential: bool = False
    """The law protects the line: never recorded, never watched."""
    phones: Sequence[PhoneId] = ()
    """Phones that may call; empty: every phone."""
    cls: ClassId = ORDINARY.id
    """Its class, where a detainee's authorisation names no other."""
    relation: str = ""
    language: str = ""
    """Of the SMS; empty: the phone's."""
