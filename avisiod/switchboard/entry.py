"""What the switchboard holds of one call beside the rules' own record."""

import collections
import dataclasses
import datetime
from collections.abc import Collection
from pathlib import Path

from twisted.internet.defer import Deferred

from avisiod.calls.admission import Granted
from avisiod.calls.call import Call
from avisiod.calls.events import Event
from avisiod.calls.identification import Identification
from avisiod.calls.ids import ContactId, DetaineeId, Number, SessionId
from avisiod.clock import Timer
from avisiod.ports import CallRecord, Kept, Page


@dataclasses.dataclass(frozen=True, slots=True)
class Queued:
    """An event that waits for its turn, and what is stored with it."""

    event: Event
    kept: tuple[Kept, ...] = ()
    brought_by_time: bool = False
    """Nothing happened but that its moment came; where it is no longer due once its turn comes, it is nothing."""
    taken: Deferred[None] = dataclasses.field(default_factory=Deferred)


@dataclasses.dataclass(slots=True, kw_only=True)
class Entry:
    """One call under way: its record, its ends in the world, and the events that wait for their turn."""

    call: Call
    sip_call: str | None
    """The dialogue; None once it is over."""
    offer: str = dataclasses.field(repr=False)
    """The phone's SDP offer, empty for a late one. It may hold keys."""
    secure: bool
    """It came over TLS."""
    language: str
    """Of the prompts."""
    sms_language: str = ""
    """Of the contact; empty: `language`."""
    dialled_utc: datetime.datetime
    connected_utc: datetime.datetime | None = None
    ended_utc: datetime.datetime | None = None
    number: Number | None = None
    contact: ContactId | None = None
    detainee: DetaineeId | None = None
    """Who calls, where the rules ask for it."""
    granted: Granted | None = None
    phone_busy: bool = False
    """As it was when this call came."""
    identification: Identification | None = None
    """While a shared phone is asked who calls."""
    key_source: str = ""
    """How this phone sends its keys: `rtp` or `info`, by the first one."""
    page: Page | None = None
    offered: SessionId | None = None
    """The page's session whose offer went to the media worker last."""
    offerer: str = ""
    """The RTCPeerConnection that made it, as its SDP names it."""
    token: bytes | None = None
    """SHA-256 of the token that brings the relative back."""
    phone_quiet: float | None = None
    """When the phone was last heard, where that is some time ago; None while it is heard."""
    cut: bool = False
    """The emergency key ends it."""
    media_open: bool = False
    recording_folder: Path = Path()
    again_utc: datetime.datetime | None = None
    """When a refused call may be made, where that is known."""
    farewell_prompt: str = ""
    unpaid_ends: Collection[str] = ()
    """As the settings said when it was dialled."""
    timer: Timer | None = None
    sms: Deferred[None] | None = None
    events: collections.deque[Queued] = dataclasses.field(default_factory=collections.deque)
    busy: bool = False
    sms_accepted_at: float | None = None
    code_accepted_at: float | None = None
    """Both for the measure of how long setting up takes."""
    seals: int = 0
    """Sealings under way; the entry is kept until they are done."""

    @property
    def charged(self) -> bool:
        """Whether the connected time is paid for and counts, once the call has ended."""
        reason = self.call.reason
        if reason is None or not reason.charged or reason.value in self.unpaid_ends:
            return False
        return self.call.connected_s > 0

    def record(self) -> CallRecord:
        """The call's row for the store."""
        call = self.call
        # Without a detainee there are no rules, no class and no price: the list decides.
        granted = self.granted if self.detainee is not None else None
        return CallRecord(
            id=call.id,
            phone=call.phone,
            contact=call.contact,
            state=call.state.value,
            confidential=call.confidential,
            limit_s=call.limit_s,
            created_utc=self.dialled_utc,
            connected_utc=self.connected_utc,
            ended_utc=self.ended_utc,
            connected_s=call.connected_s,
            end_reason=call.reason if self.ended_utc is not None else None,
            charged=self.charged,
            detainee=self.detainee,
            cls=None if granted is None else granted.cls.id,
            tariff=None if granted is None else granted.tariff,
            hold_cents=0 if granted is None else granted.hold_cents,
            extra=None if granted is None else granted.extra,
        )
