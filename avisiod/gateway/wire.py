"""The boundary between control and its workers: one AMP command a class, which is also its documentation.

Control spawns each worker with one end of a socketpair as file descriptor 3 and speaks AMP (twisted.protocols.amp)
over it in both directions. Nothing secret is ever in an argv. A worker first receives `Configure`, then serves.
Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share. Every value is at most 65,535 bytes.
When the socket closes, control is gone: a SIP worker hangs up its calls and exits, a media worker stops forwarding,
seals its recordings and exits. While control merely hangs (the socket stays open), running calls go on to their
deadline, which the media worker keeps by itself: neither a lost nor a stuck control process lengthens a call.
"""

import signal

from twisted.protocols import amp

WORKER_FD = 3
"""Number of the inherited socket in a worker."""
STOP_SIGNAL = signal.SIGUSR1
"""Control's order to end."""
SIGNALS_FOR_CONTROL = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""systemd, its watchdog and terminals send these to every process of the service. Workers take no notice: they go on
until control orders them to end or its socket closes, and then end their calls properly."""


class WorkerError(Exception):
    """A worker could not do what was asked; nothing was changed. The text is for the log."""


class OfferUnacceptable(WorkerError):
    """An SDP that cannot be answered: nonsense, or nothing in common. The text names what and why."""


class NoPorts(WorkerError):
    """Every port of the configured range is taken."""


class RecorderUnavailable(WorkerError):
    """The recording could not be opened or went wrong; the text begins with `disk_full` or `io`."""


class NotRecorded(WorkerError):
    """A bridge was asked for on a line that must be recorded, while no recorder is writing."""


class TranscodingNeeded(WorkerError):
    """A page without the phone's video codec: its picture takes a transcoder, or has to be left out."""


class NoSuchCall(WorkerError):
    """The call is not, or no longer, known to the worker."""


_ERRORS: dict[type[Exception], bytes] = {
    OfferUnacceptable: b"OFFER_UNACCEPTABLE",
    NoPorts: b"NO_PORTS",
    RecorderUnavailable: b"RECORDER_UNAVAILABLE",
    NotRecorded: b"NOT_RECORDED",
    TranscodingNeeded: b"TRANSCODING_NEEDED",
    NoSuchCall: b"NO_SUCH_CALL",
    WorkerError: b"WORKER_ERROR",
}


class Configure(amp.Command):
    """First command to every worker: its settings, JSON of a struct of gateway/settings.py."""

    arguments = [(b"settings", amp.String())]
    response = []
    errors = _ERRORS


class Reconfigure(amp.Command):
    """New settings, of the same shape as in Configure, for calls that begin from now on.

    Addresses, ports and numbers are those of Configure: a worker does not look at them again. A SIP worker and a
    transcoder take up `log_level` only.
    """

    arguments = [(b"settings", amp.String())]
    response = []
    errors = _ERRORS


class Ping(amp.Command):
    """Answered at once from the worker's main loop; silence means that it hangs.

    A SIP worker says what it turned away since the last answer: INVITEs that came past the edge (`not_edge`), without
    a free dialogue (`no_dialogue`), for their body (`body`); messages that cannot be read (`unreadable`).
    """

    arguments = []
    response = [
        (b"not_edge", amp.Integer(optional=True)),
        (b"no_dialogue", amp.Integer(optional=True)),
        (b"body", amp.Integer(optional=True)),
        (b"unreadable", amp.Integer(optional=True)),
    ]


# Control to the SIP worker.


class AnswerInvite(amp.Command):
    """Answer an INVITE, or a re-INVITE that `Reoffer` announced, with 200 and this SDP."""

    arguments = [(b"sip_call", amp.Unicode()), (b"answer", amp.Unicode())]
    response = []
    errors = _ERRORS


class RejectInvite(amp.Command):
    """Refuse an INVITE or re-INVITE with a final status of 300 to 699; a refused re-INVITE leaves the call up."""

    arguments = [(b"sip_call", amp.Unicode()), (b"status", amp.Integer()), (b"reason", amp.Unicode())]
    response = []
    errors = _ERRORS


class HangUp(amp.Command):
    """End the dialogue: BYE, or a final status before the answer, with a Reason header (RFC 3326)."""

    arguments = [(b"sip_call", amp.Unicode()), (b"status", amp.Integer()), (b"reason", amp.Unicode())]
    response = []
    errors = _ERRORS


class AskPictureByInfo(amp.Command):
    """Ask the phone for a keyframe by INFO application/media_control+xml (RFC 5168)."""

    arguments = [(b"sip_call", amp.Unicode())]
    response = []
    errors = _ERRORS


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
    errors = _ERRORS


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


# Control to a media worker.


class OpenCall(amp.Command):
    """Bind ports for the phone, read its offer, answer it, and start to listen.

    `confidential`: the worker then refuses OpenRecorder, now and later; otherwise it refuses Bridge while no
    recorder writes. `language` is that of prompts and pictures. An empty offer asks for an offer of ours
    (a late-offer INVITE); the phone's answer then comes by UpdatePhoneLeg. `secure`: the phone's signalling came
    over TLS, so that keys in its SDP are worth something. `phone` is for the worker's log.
    """

    arguments = [
        (b"call", amp.Unicode()),
        (b"offer", amp.Unicode()),
        (b"confidential", amp.Boolean()),
        (b"language", amp.Unicode()),
        (b"secure", amp.Boolean()),
        (b"phone", amp.Unicode(optional=True)),
    ]
    response = [(b"answer", amp.Unicode())]
    errors = _ERRORS


class Tailor(amp.Command):
    """Who calls became known after OpenCall: speak their language from now on, and protect the line if need be.

    `confidential` true is for good and means as in OpenCall; false leaves the call as it is. RecorderUnavailable,
    and nothing is changed, where a recorder of the call was opened before.
    """

    arguments = [(b"call", amp.Unicode()), (b"confidential", amp.Boolean()), (b"language", amp.Unicode())]
    response = []
    errors = _ERRORS


class UpdatePhoneLeg(amp.Command):
    """A new offer of the phone in a running call. Ports stay ours; the answer follows the offer's new facts.

    `answers`: it is not an offer, but the phone's answer to what we sent before; then `answer` is empty.
    """

    arguments = [(b"call", amp.Unicode()), (b"offer", amp.Unicode()), (b"answers", amp.Boolean())]
    response = [(b"answer", amp.Unicode())]
    errors = _ERRORS


class Present(amp.Command):
    """Show a picture and play a prompt to the phone, in place of what the relative sends.

    `prompt` and `picture` are names of the catalogue (gateway/prompts.py), empty for none; `one+other` are two
    prompts in a row. `repeat_s` > 0 plays the prompt again after that many seconds of silence, until the next Present
    or Bridge. In a bridged call a prompt without picture replaces only the relative's sound while it plays.
    PromptOver follows a prompt that is not repeated.
    """

    arguments = [
        (b"call", amp.Unicode()),
        (b"prompt", amp.Unicode()),
        (b"picture", amp.Unicode()),
        (b"repeat_s", amp.Float()),
    ]
    response = []
    errors = _ERRORS


class OpenBrowserLeg(amp.Command):
    """Answer the page's SDP offer with ICE and DTLS of ours and only the codecs that the phone speaks.

    A leg of an older session of the same call is closed. `ice_servers` is JSON: `[{"urls", "username",
    "credential"}]` with time-limited credentials. A page whose pictures the phone cannot take is answered with
    TranscodingNeeded, and nothing is changed, unless `link` leads to a transcoder (transcode_link.py), which is then
    used, or `sound_only` leaves the picture out. `picture` tells what became of it: `relayed`, `transcoded`, `none`.
    """

    arguments = [
        (b"call", amp.Unicode()),
        (b"session", amp.Unicode()),
        (b"offer", amp.Unicode()),
        (b"ice_servers", amp.String()),
        (b"sound_only", amp.Boolean(optional=True)),
        (b"link", amp.Descriptor(optional=True)),
    ]
    response = [(b"answer", amp.Unicode()), (b"picture", amp.Unicode())]
    errors = _ERRORS


class LinkTranscoder(amp.Command):
    """The transcoder of a call is gone: another one takes over at `link`. Harmless where none is wanted any more."""

    arguments = [(b"call", amp.Unicode()), (b"link", amp.Descriptor())]
    response = []
    errors = _ERRORS


class RestartBrowserLeg(amp.Command):
    """Answer an ICE restart (RFC 8445 section 9) of the page's connection: the leg goes on, over another path.

    OfferUnacceptable where that session has no leg, or the offer changes more than the ICE transport; the leg that
    there is stays as it was. `ice_servers` as in OpenBrowserLeg.
    """

    arguments = [
        (b"call", amp.Unicode()),
        (b"session", amp.Unicode()),
        (b"offer", amp.Unicode()),
        (b"ice_servers", amp.String()),
    ]
    response = [(b"answer", amp.Unicode())]
    errors = _ERRORS


class AddCandidate(amp.Command):
    """A trickled ICE candidate of the page (RFC 8838), `candidate:…`; empty means end of candidates."""

    arguments = [(b"call", amp.Unicode()), (b"session", amp.Unicode()), (b"candidate", amp.Unicode())]
    response = []
    errors = _ERRORS


class CloseBrowserLeg(amp.Command):
    """Forget the page: the call waits or ends."""

    arguments = [(b"call", amp.Unicode())]
    response = []
    errors = _ERRORS


class OpenRecorder(amp.Command):
    """Create the Matroska file at `path` + `.part` and write its header to disk; answered once it is there.

    `facts` is JSON for the manifest: call, pseudonymous ids, start in UTC. RecorderUnavailable when it cannot be,
    or when the call is confidential.
    """

    arguments = [(b"call", amp.Unicode()), (b"path", amp.Unicode()), (b"facts", amp.String())]
    response = []
    errors = _ERRORS


class Bridge(amp.Command):
    """Forward between the legs from now until `deadline`, at which the worker stops by itself."""

    arguments = [(b"call", amp.Unicode()), (b"deadline", amp.Float())]
    response = []
    errors = _ERRORS


class Unbridge(amp.Command):
    """Stop forwarding now; legs and recorder stay."""

    arguments = [(b"call", amp.Unicode())]
    response = []
    errors = _ERRORS


class AskPicture(amp.Command):
    """Ask a leg's sender for a keyframe: `leg` is `phone` or `outside`. Rate-limited by the worker."""

    arguments = [(b"call", amp.Unicode()), (b"leg", amp.Unicode())]
    response = []
    errors = _ERRORS


class SealRecording(amp.Command):
    """Stop recording for good and seal the file (fsync, rename, digest, manifest); the legs stay for a farewell.

    `reason` goes into the manifest. `recording` is the manifest as JSON, empty where nothing was recorded.
    """

    arguments = [(b"call", amp.Unicode()), (b"reason", amp.Unicode())]
    response = [(b"recording", amp.String())]
    errors = _ERRORS


class CloseCall(amp.Command):
    """Close both legs, seal the recording where SealRecording has not, forget the call.

    `reason` and `recording` as in SealRecording; `recording` is empty where it was sealed before.
    """

    arguments = [(b"call", amp.Unicode()), (b"reason", amp.Unicode())]
    response = [(b"recording", amp.String())]
    errors = _ERRORS


# A media worker to control.


class LegChanged(amp.Command):
    """A leg's state: `leg` is `phone` or `outside`; `state` one of `flowing`, `quiet`, `silent`, `failed`.

    `flowing`: authenticated media of every negotiated kind has come (for video: or none within 3 s of sound).
    `quiet` (phone only): nothing for longer than between two reports; it may have gone. `silent`: neither RTP nor
    RTCP (outside: nor ICE consent, RFC 7675) for the configured time. The `at` of both is when the last packet came.
    `flowing` again when it comes back. `failed`: ICE or DTLS gave up, or the page said goodbye.
    `session` is empty for the phone.
    """

    arguments = [
        (b"call", amp.Unicode()),
        (b"leg", amp.Unicode()),
        (b"session", amp.Unicode()),
        (b"state", amp.Unicode()),
        (b"at", amp.Float()),
    ]
    response = []


class PromptOver(amp.Command):
    """A prompt that is not repeated has been played to its end."""

    arguments = [(b"call", amp.Unicode()), (b"prompt", amp.Unicode())]
    response = []


class DeadlinePassed(amp.Command):
    """The worker stopped forwarding at the deadline; `last_forwarded` is when the last packet left."""

    arguments = [(b"call", amp.Unicode()), (b"last_forwarded", amp.Float())]
    response = []


class RecorderFailed(amp.Command):
    """The recorder of a running call cannot write any more; the worker has already stopped forwarding.

    `why` is `disk_full`, `io` or `overrun`.
    """

    arguments = [(b"call", amp.Unicode()), (b"why", amp.Unicode())]
    response = []


class RtpDigit(amp.Command):
    """A DTMF digit by telephone-event (RFC 4733), once per key press. Never to be logged."""

    arguments = [(b"call", amp.Unicode()), (b"digit", amp.Unicode())]
    response = []


class PhonePictureWanted(amp.Command):
    """A keyframe of the phone is needed and the phone offers no RTCP feedback: control sends AskPictureByInfo."""

    arguments = [(b"call", amp.Unicode())]
    response = []


class Stats(amp.Command):
    """Counters of one call, every 5 s and at its end: JSON of `gateway.stats.CallStats`."""

    arguments = [(b"call", amp.Unicode()), (b"stats", amp.String())]
    response = []


# Control to a transcoder, and back.


class OpenTranscoding(amp.Command):
    """Convert the pictures of this call, which come and go at `link`, until its other end closes.

    A transcoder has one call at a time: what it had before is given up.
    """

    arguments = [
        (b"call", amp.Unicode()),
        (b"link", amp.Descriptor()),
        (b"phone", amp.Unicode(optional=True)),
    ]
    response = []
    errors = _ERRORS


class TranscodingStats(amp.Command):
    """Counters of a transcoder since its start, every 5 s and after each call: JSON of `stats.TranscoderStats`."""

    arguments = [(b"stats", amp.String())]
    response = []
