"""Control and a media worker: legs, prompts, recordings of calls, and what becomes of them."""

from twisted.protocols import amp

from avisiod.gateway.wire.errors import ERRORS

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
    errors = ERRORS


class Tailor(amp.Command):
    """Who calls became known after OpenCall: speak their language from now on, and protect the line if need be.

    `confidential` true is for good and means as in OpenCall; false leaves the call as it is. RecorderUnavailable,
    and nothing is changed, where a recorder of the call was opened before.
    """

    arguments = [(b"call", amp.Unicode()), (b"confidential", amp.Boolean()), (b"language", amp.Unicode())]
    response = []
    errors = ERRORS


class UpdatePhoneLeg(amp.Command):
    """A new offer of the phone in a running call. Ports stay ours; the answer follows the offer's new facts.

    `answers`: it is not an offer, but the phone's answer to what we sent before; then `answer` is empty.
    """

    arguments = [(b"call", amp.Unicode()), (b"offer", amp.Unicode()), (b"answers", amp.Boolean())]
    response = [(b"answer", amp.Unicode())]
    errors = ERRORS


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
    errors = ERRORS


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
    errors = ERRORS


class LinkTranscoder(amp.Command):
    """The transcoder of a call is gone: another one takes over at `link`. Harmless where none is wanted any more."""

    arguments = [(b"call", amp.Unicode()), (b"link", amp.Descriptor())]
    response = []
    errors = ERRORS


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
    errors = ERRORS


class AddCandidate(amp.Command):
    """A trickled ICE candidate of the page (RFC 8838), `candidate:…`; empty means end of candidates."""

    arguments = [(b"call", amp.Unicode()), (b"session", amp.Unicode()), (b"candidate", amp.Unicode())]
    response = []
    errors = ERRORS


class CloseBrowserLeg(amp.Command):
    """Forget the page: the call waits or ends."""

    arguments = [(b"call", amp.Unicode())]
    response = []
    errors = ERRORS


class OpenRecorder(amp.Command):
    """Create the Matroska file at `path` + `.part` and write its header to disk; answered once it is there.

    `facts` is JSON for the manifest: call, pseudonymous ids, start in UTC. RecorderUnavailable when it cannot be,
    or when the call is confidential.
    """

    arguments = [(b"call", amp.Unicode()), (b"path", amp.Unicode()), (b"facts", amp.String())]
    response = []
    errors = ERRORS


class Bridge(amp.Command):
    """Forward between the legs from now until `deadline`, at which the worker stops by itself."""

    arguments = [(b"call", amp.Unicode()), (b"deadline", amp.Float())]
    response = []
    errors = ERRORS


class Unbridge(amp.Command):
    """Stop forwarding now; legs and recorder stay."""

    arguments = [(b"call", amp.Unicode())]
    response = []
    errors = ERRORS


class AskPicture(amp.Command):
    """Ask a leg's sender for a keyframe: `leg` is `phone` or `outside`. Rate-limited by the worker."""

    arguments = [(b"call", amp.Unicode()), (b"leg", amp.Unicode())]
    response = []
    errors = ERRORS


class SealRecording(amp.Command):
    """Stop recording for good and seal the file (fsync, rename, digest, manifest); the legs stay for a farewell.

    `reason` goes into the manifest. `recording` is the manifest as JSON, empty where nothing was recorded.
    """

    arguments = [(b"call", amp.Unicode()), (b"reason", amp.Unicode())]
    response = [(b"recording", amp.String())]
    errors = ERRORS


class CloseCall(amp.Command):
    """Close both legs, seal the recording where SealRecording has not, forget the call.

    `reason` and `recording` as in SealRecording; `recording` is empty where it was sealed before.
    """

    arguments = [(b"call", amp.Unicode()), (b"reason", amp.Unicode())]
    response = [(b"recording", amp.String())]
    errors = ERRORS


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
