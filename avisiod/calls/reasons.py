"""Why a call ended: one closed list, the same in the journal, the metrics, the manifest and on the page."""

import dataclasses
import enum


class Cause(enum.StrEnum):
    """Who brought the end about."""

    DETAINEE = "detainee"
    RELATIVE = "relative"
    STAFF = "staff"
    RULE = "rule"
    NETWORK = "network"
    SERVICE = "service"


@dataclasses.dataclass(frozen=True, slots=True)
class _Facts:
    cause: Cause
    sip_status: int
    charged: bool


class EndReason(enum.Enum):
    """The one reason of an ended call. `charged`: the connected time is paid for.

    `sip_status` answers the INVITE when the phone has not been answered yet (RFC 3261 section 21);
    later the phone gets a BYE whose Reason header (RFC 3326) carries it.
    """

    # The call took place.
    LIMIT_REACHED = "limit_reached"
    DETAINEE_HUNG_UP = "detainee_hung_up"
    RELATIVE_HUNG_UP = "relative_hung_up"
    STAFF_ENDED = "staff_ended"
    RELATIVE_LOST = "relative_lost"
    PHONE_LOST = "phone_lost"
    # It never began.
    DETAINEE_GAVE_UP = "detainee_gave_up"
    CODE_EXPIRED = "code_expired"
    JOIN_FAILED = "join_failed"
    # Refused.
    UNKNOWN_PHONE = "unknown_phone"
    UNKNOWN_NUMBER = "unknown_number"
    NOT_A_NUMBER = "not_a_number"
    PHONE_BUSY = "phone_busy"
    CONTACT_BUSY = "contact_busy"
    NO_CAPACITY = "no_capacity"
    OFFER_UNACCEPTABLE = "offer_unacceptable"
    # Refused by the site's rules.
    DETAINEE_UNKNOWN = "detainee_unknown"
    DETAINEE_SUSPENDED = "detainee_suspended"
    DETAINEE_BUSY = "detainee_busy"
    NOT_IDENTIFIED = "not_identified"
    PIN_REFUSED = "pin_refused"
    PIN_LOCKED = "pin_locked"
    NOT_AUTHORISED = "not_authorised"
    AUTHORISATION_ENDED = "authorisation_ended"
    OUTSIDE_HOURS = "outside_hours"
    CLOSED = "closed"
    HOURS_OVER = "hours_over"
    QUOTA_REACHED = "quota_reached"
    PAUSE_WANTED = "pause_wanted"
    BALANCE_TOO_LOW = "balance_too_low"
    # Our failure.
    SMS_FAILED = "sms_failed"
    RECORDER_FAILED = "recorder_failed"
    DISK_FULL = "disk_full"
    MEDIA_FAILED = "media_failed"
    SIP_FAILED = "sip_failed"
    STORE_FAILED = "store_failed"
    SERVICE_RESTARTED = "service_restarted"
    SERVICE_STOPPING = "service_stopping"

    @property
    def cause(self) -> Cause:
        """Who brought it about."""
        return _FACTS[self].cause

    @property
    def sip_status(self) -> int:
        """Status for the phone."""
        return _FACTS[self].sip_status

    @property
    def charged(self) -> bool:
        """Whether connected time is paid for; never where the failure is ours."""
        return _FACTS[self].charged


_FACTS = {
    EndReason.LIMIT_REACHED: _Facts(Cause.RULE, 200, charged=True),
    EndReason.DETAINEE_HUNG_UP: _Facts(Cause.DETAINEE, 200, charged=True),
    EndReason.RELATIVE_HUNG_UP: _Facts(Cause.RELATIVE, 200, charged=True),
    EndReason.STAFF_ENDED: _Facts(Cause.STAFF, 403, charged=True),
    EndReason.RELATIVE_LOST: _Facts(Cause.NETWORK, 480, charged=True),
    EndReason.PHONE_LOST: _Facts(Cause.NETWORK, 408, charged=False),
    EndReason.DETAINEE_GAVE_UP: _Facts(Cause.DETAINEE, 487, charged=False),
    EndReason.CODE_EXPIRED: _Facts(Cause.RULE, 480, charged=False),
    EndReason.JOIN_FAILED: _Facts(Cause.NETWORK, 480, charged=False),
    EndReason.UNKNOWN_PHONE: _Facts(Cause.RULE, 403, charged=False),
    EndReason.UNKNOWN_NUMBER: _Facts(Cause.RULE, 404, charged=False),
    EndReason.NOT_A_NUMBER: _Facts(Cause.RULE, 484, charged=False),
    EndReason.PHONE_BUSY: _Facts(Cause.RULE, 486, charged=False),
    EndReason.CONTACT_BUSY: _Facts(Cause.RULE, 486, charged=False),
    EndReason.NO_CAPACITY: _Facts(Cause.SERVICE, 503, charged=False),
    EndReason.OFFER_UNACCEPTABLE: _Facts(Cause.SERVICE, 488, charged=False),
    EndReason.DETAINEE_UNKNOWN: _Facts(Cause.RULE, 403, charged=False),
    EndReason.DETAINEE_SUSPENDED: _Facts(Cause.RULE, 403, charged=False),
    EndReason.DETAINEE_BUSY: _Facts(Cause.RULE, 486, charged=False),
    EndReason.NOT_IDENTIFIED: _Facts(Cause.DETAINEE, 403, charged=False),
    EndReason.PIN_REFUSED: _Facts(Cause.RULE, 403, charged=False),
    EndReason.PIN_LOCKED: _Facts(Cause.RULE, 403, charged=False),
    EndReason.NOT_AUTHORISED: _Facts(Cause.RULE, 403, charged=False),
    EndReason.AUTHORISATION_ENDED: _Facts(Cause.RULE, 403, charged=False),
    EndReason.OUTSIDE_HOURS: _Facts(Cause.RULE, 480, charged=False),
    EndReason.CLOSED: _Facts(Cause.RULE, 480, charged=False),
    EndReason.HOURS_OVER: _Facts(Cause.RULE, 480, charged=False),
    EndReason.QUOTA_REACHED: _Facts(Cause.RULE, 480, charged=False),
    EndReason.PAUSE_WANTED: _Facts(Cause.RULE, 480, charged=False),
    EndReason.BALANCE_TOO_LOW: _Facts(Cause.RULE, 402, charged=False),
    EndReason.SMS_FAILED: _Facts(Cause.SERVICE, 503, charged=False),
    EndReason.RECORDER_FAILED: _Facts(Cause.SERVICE, 500, charged=False),
    EndReason.DISK_FULL: _Facts(Cause.SERVICE, 500, charged=False),
    EndReason.MEDIA_FAILED: _Facts(Cause.SERVICE, 500, charged=False),
    EndReason.SIP_FAILED: _Facts(Cause.SERVICE, 500, charged=False),
    EndReason.STORE_FAILED: _Facts(Cause.SERVICE, 500, charged=False),
    EndReason.SERVICE_RESTARTED: _Facts(Cause.SERVICE, 503, charged=False),
    EndReason.SERVICE_STOPPING: _Facts(Cause.SERVICE, 503, charged=False),
}
