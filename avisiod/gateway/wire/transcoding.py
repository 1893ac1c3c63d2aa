"""Control and a transcoder: pictures are converted for one call at a time."""

from twisted.protocols import amp

from avisiod.gateway.wire.errors import ERRORS


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
    errors = ERRORS


class TranscodingStats(amp.Command):
    """Counters of a transcoder since its start, every 5 s and after each call: JSON of `stats.TranscoderStats`."""

    arguments = [(b"stats", amp.String())]
    response = []
