"""What a worker could not do: the errors that cross the boundary, and their names on it."""


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


ERRORS: dict[type[Exception], bytes] = {
    OfferUnacceptable: b"OFFER_UNACCEPTABLE",
    NoPorts: b"NO_PORTS",
    RecorderUnavailable: b"RECORDER_UNAVAILABLE",
    NotRecorded: b"NOT_RECORDED",
    TranscodingNeeded: b"TRANSCODING_NEEDED",
    NoSuchCall: b"NO_SUCH_CALL",
    WorkerError: b"WORKER_ERROR",
}
"""For `errors` of a command."""
