"""Control and the SIP worker: dialogues, and what phones say in them."""

from twisted.protocols import amp

from avisiod.gateway.wire.errors import ERRORS

# Control to the SIP worker.


class AnswerInvite(amp.Command):
    """Answer an INVITE, or a re-INVITE that `Reoffer` announced, with 200 and this SDP."""

    arguments = [(b"sip_call", amp.Unicode()), (b"answer", amp.Unicode())]
    response = []
    errors = ERRORS


class RejectInvite(amp.Command):
    """Refuse an INVITE or re-INVITE with a final status of 300 to 699; a refused re-INVITE leaves the call up."""

    arguments = [(b"sip_call", amp.Unicode()), (b"status", amp.Integer()), (b"reason", amp.Unicode())]
    response = []
    errors = ERRORS


class HangUp(amp.Command):
    """End the dialogue: BYE, or a final status before the answer, with a Reason header (RFC 3326)."""

    arguments = [(b"sip_call", amp.Unicode()), (b"status", amp.Integer()), (b"reason", amp.Unicode())]
    response = []
    errors = ERRORS


class AskPictureByInfo(amp.Command):
    """Ask the phone for a keyframe by INFO application/media_control+xml (RFC 5168)."""

    arguments = [(b"sip_call", amp.Unicode())]
    response = []
    errors = ERRORS


class Drain(amp.Command):
    """Answer new INVITEs with 503 and Retry-After; leave running dialogues alone."""

    arguments = []
    response = []


# The SIP worker to control.


class Invited(amp.Command):
    """An INVITE came from the edge. `sip_call` is made by the worker, unique for its life.

    `phone` is the user that the edge authenticated, `number` the dialled digits as they came, `offer` the SDP
    (empty when the phone sent none), `secure` whether it came over TLS. Control answers with AnswerInvite,
    RejectInvite or HangUp; where it fails with a WorkerError it does not know the call. `call` is the call's id, for
    the worker's log.
    """

    arguments = [
        (b"sip_call", amp.Unicode()),
        (b"phone", amp.Unicode()),
        (b"number", amp.Unicode()),
        (b"offer", amp.Unicode()),
        (b"secure", amp.Boolean()),
    ]
    response = [(b"call", amp.Unicode(optional=True))]
    errors = ERRORS


class Acknowledged(amp.Command):
    """The ACK of our first 200 arrived: the dialogue stands."""

    arguments = [(b"sip_call", amp.Unicode())]
    response = []


class PhoneAnswered(amp.Command):
    """The phone's SDP answer to an offer of ours: to our 200 where its INVITE had no offer, or to a refresh."""

    arguments = [(b"sip_call", amp.Unicode()), (b"answer", amp.Unicode())]
    response = []


class Reoffer(amp.Command):
    """A re-INVITE or UPDATE carries a new offer (hold, codec or address change); answer it with AnswerInvite."""

    arguments = [(b"sip_call", amp.Unicode()), (b"offer", amp.Unicode())]
    response = []


class SipEnded(amp.Command):
    """The dialogue is over and `sip_call` forgotten.

    `by`: `phone` (BYE, CANCEL), `us`, `lost` (the phone no longer answers, does not refresh the session as it had
    promised (RFC 4028), or says that it knows nothing of the call), or `failure`.
    """

    arguments = [(b"sip_call", amp.Unicode()), (b"by", amp.Unicode()), (b"status", amp.Integer())]
    response = []


class InfoDigit(amp.Command):
    """A DTMF digit by INFO (application/dtmf-relay or application/dtmf). Never to be logged."""

    arguments = [(b"sip_call", amp.Unicode()), (b"digit", amp.Unicode())]
    response = []


class PictureAskedByInfo(amp.Command):
    """The phone asks for a keyframe by INFO (RFC 5168)."""

    arguments = [(b"sip_call", amp.Unicode())]
    response = []
