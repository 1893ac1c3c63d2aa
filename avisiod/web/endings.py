"""What the page says when a call ends or a code opens nothing: what happened and what to do, without blame."""

from typing import NamedTuple

from avisiod.calls.reasons import EndReason
from avisiod.web.messages import What


def _(text: str) -> str:
    """Mark a text for translation; it is translated where a page is made."""
    return text


class Words(NamedTuple):
    """A title and what to do, both in English, both to be translated."""

    title: str
    advice: str


_CALL_AGAIN = _(
    "There is nothing to pay for and nothing to do on your side. The person in detention may call you again."
)
_TELL_HELP = _("If it happens again, tell the help desk what you read here, with the date and the time.")
_NOT_POSSIBLE = Words(
    _("This call is not possible now"),
    _("The rules of the establishment do not allow it now. The person in detention has been told why."),
)
"""Refusals that come before any SMS: whatever page shows them says nothing of the person in detention."""

ENDINGS: dict[EndReason, Words] = {
    EndReason.LIMIT_REACHED: Words(
        _("The time of the call is over"),
        _(
            "Each call has a time limit, the same for everyone. "
            "The person in detention may call you again another time."
        ),
    ),
    EndReason.DETAINEE_HUNG_UP: Words(
        _("The other person hung up"),
        _("The call was ended from the phone in the cell. You have nothing to do."),
    ),
    EndReason.RELATIVE_HUNG_UP: Words(
        _("You hung up"),
        _("The call is over. Only the person in detention can call again: you would then get a new code by SMS."),
    ),
    EndReason.STAFF_ENDED: Words(
        _("The prison staff ended the call"),
        _("For the reason, please write to or call the establishment. This page does not know it."),
    ),
    EndReason.RELATIVE_LOST: Words(
        _("Your connection was lost for too long"),
        _("Come closer to your Wi-Fi, or use another network. The person in detention may call you again."),
    ),
    EndReason.PHONE_LOST: Words(
        _("The phone in the cell no longer answers"),
        _CALL_AGAIN,
    ),
    EndReason.DETAINEE_GAVE_UP: Words(
        _("The other person hung up before the call began"),
        _("The code you had is no longer valid. If they call again, you get a new code by SMS."),
    ),
    EndReason.CODE_EXPIRED: Words(
        _("The time to join is over"),
        _(
            "A code is valid for a few minutes only. "
            "The person in detention must dial again: you then get a new code."
        ),
    ),
    EndReason.JOIN_FAILED: Words(
        _("Sound and picture could not get through"),
        _(
            "Your network may block video calls: try without VPN, or with mobile data instead of Wi-Fi. "
            "The person in detention must dial again: you then get a new code."
        ),
    ),
    EndReason.UNKNOWN_PHONE: Words(_("This call is not possible"), _TELL_HELP),
    EndReason.UNKNOWN_NUMBER: Words(
        _("Your number is not authorised for this call"),
        _("Authorised numbers are registered by the establishment: please contact it."),
    ),
    EndReason.NOT_A_NUMBER: Words(
        _("The number that was dialled is not complete"),
        _("The person in detention may dial again."),
    ),
    EndReason.PHONE_BUSY: Words(
        _("The phone in the cell is already in a call"),
        _("The person in detention may call you again later."),
    ),
    EndReason.CONTACT_BUSY: Words(
        _("You are already in a call"),
        _("End the other call first. The person in detention may then call you again."),
    ),
    EndReason.NO_CAPACITY: Words(
        _("All lines are busy"),
        _("The person in detention may dial again in a few minutes: you then get a new code."),
    ),
    EndReason.OFFER_UNACCEPTABLE: Words(
        _("The phone in the cell and the service do not understand each other"),
        _TELL_HELP,
    ),
    EndReason.DETAINEE_UNKNOWN: _NOT_POSSIBLE,
    EndReason.DETAINEE_SUSPENDED: _NOT_POSSIBLE,
    EndReason.DETAINEE_BUSY: _NOT_POSSIBLE,
    EndReason.NOT_IDENTIFIED: _NOT_POSSIBLE,
    EndReason.PIN_REFUSED: _NOT_POSSIBLE,
    EndReason.PIN_LOCKED: _NOT_POSSIBLE,
    EndReason.NOT_AUTHORISED: _NOT_POSSIBLE,
    EndReason.AUTHORISATION_ENDED: _NOT_POSSIBLE,
    EndReason.OUTSIDE_HOURS: _NOT_POSSIBLE,
    EndReason.CLOSED: _NOT_POSSIBLE,
    EndReason.QUOTA_REACHED: _NOT_POSSIBLE,
    EndReason.PAUSE_WANTED: _NOT_POSSIBLE,
    EndReason.BALANCE_TOO_LOW: _NOT_POSSIBLE,
    EndReason.HOURS_OVER: Words(
        _("The calling hours are over"),
        _(
            "The establishment sets the hours of calls. Nothing is charged. "
            "The person in detention may call you again within their hours."
        ),
    ),
    EndReason.SMS_FAILED: Words(
        _("The SMS could not be sent"),
        _("The person in detention may dial again in a few minutes."),
    ),
    EndReason.RECORDER_FAILED: Words(_("The service had a failure"), _CALL_AGAIN),
    EndReason.DISK_FULL: Words(_("The service had a failure"), _CALL_AGAIN),
    EndReason.STORE_FAILED: Words(_("The service had a failure"), _CALL_AGAIN),
    EndReason.MEDIA_FAILED: Words(_("The service had a failure"), _CALL_AGAIN),
    EndReason.SIP_FAILED: Words(_("The service had a failure"), _CALL_AGAIN),
    EndReason.SERVICE_RESTARTED: Words(_("The service had to restart"), _CALL_AGAIN),
    EndReason.SERVICE_STOPPING: Words(_("The service is being stopped for maintenance"), _CALL_AGAIN),
}

REJECTIONS: dict[str, Words] = {
    "elsewhere": Words(
        _("Your call is on another server"),
        _("You are being taken there. Your code is still valid: it is filled in for you."),
    ),
    "wrong": Words(
        _("This code is not right"),
        _("Check the digits in the last SMS you received, then type them again."),
    ),
    "expired": Words(
        _("This code is no longer valid"),
        _("Its time is over. The person in detention must dial again: you then get a new code by SMS."),
    ),
    "used": Words(
        _("This code was already used"),
        _(
            "A code works once. If you were in the call on another page or device, go back to it. "
            "Otherwise the person in detention must dial again: you then get a new code by SMS."
        ),
    ),
    "throttled": Words(
        _("Too many tries"),
        _(
            "Open this page with the link in the SMS: there you need not wait. "
            "Your code stays valid for its own time."
        ),
    ),
    "busy": Words(
        _("The service had a failure"),
        _("Please try again in a moment. Your code is still valid for its own time."),
    ),
    "over": Words(
        _("This call is over"),
        _(
            "Or there were too many wrong tries. "
            "The person in detention may dial again: you then get a new code by SMS."
        ),
    ),
}

SHORTENED: dict[str, str] = {
    "hours": _("This call is shorter than usual, because the calling hours end."),
    "rules": _("This call is shorter than usual, by the rules of the establishment."),
}
"""What the page says when a call begins that is shorter than usual; how long it may last follows."""

ADVICE: dict[What, str] = {
    "malformed": _("Please load this page again. If it happens again, try another browser."),
    "out_of_order": _("Please load this page again."),
    "charter_changed": _("The charter was changed while you were reading. Please read it again, then accept it."),
    "offer_refused": _("Your browser and the service found no common way to talk. Try another browser or device."),
    "restart_refused": _("Please load this page again."),
    "too_fast": _("Please wait a moment, then load this page again."),
    "internal": _("The service had a failure. Please try again."),
}
"""What a person should do after an `error` message."""
