"""The boundary between control and its workers: one AMP command a class, which is also its documentation.

Control starts each worker with one end of a socketpair as file descriptor 3 and speaks AMP (twisted.protocols.amp)
over it in both directions. Nothing secret is ever in an argv. A worker first receives `Configure`, then serves.
Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share. Every value is at most 65,535 bytes.
When the socket closes, control is gone: a SIP worker hangs up its calls and exits, a media worker stops forwarding,
seals its recordings and exits. While control merely hangs (the socket stays open), running calls go on to their
deadline, which the media worker keeps by itself: neither a lost nor a stuck control process lengthens a call.

One module for each kind of worker; they are used as one: `wire.Invited`, `wire.Bridge`.
"""

from avisiod.gateway.wire.errors import (
    NoPorts,
    NoSuchCall,
    NotRecorded,
    OfferUnacceptable,
    RecorderUnavailable,
    TranscodingNeeded,
    WorkerError,
)
from avisiod.gateway.wire.media import (
    AddCandidate,
    AskPicture,
    Bridge,
    CloseBrowserLeg,
    CloseCall,
    DeadlinePassed,
    LegChanged,
    LinkTranscoder,
    OpenBrowserLeg,
    OpenCall,
    OpenRecorder,
    PhonePictureWanted,
    Present,
    PromptOver,
    RecorderFailed,
    RestartBrowserLeg,
    RtpDigit,
    SealRecording,
    Stats,
    Tailor,
    Unbridge,
    UpdatePhoneLeg,
)
from avisiod.gateway.wire.sip import (
    Acknowledged,
    AnswerInvite,
    AskPictureByInfo,
    Drain,
    HangUp,
    InfoDigit,
    Invited,
    PhoneAnswered,
    PictureAskedByInfo,
    RejectInvite,
    Reoffer,
    SipEnded,
)
from avisiod.gateway.wire.transcoding import (
    OpenTranscoding,
    TranscodingStats,
)
from avisiod.gateway.wire.worker import (
    SIGNALS_FOR_CONTROL,
    STOP_SIGNAL,
    WORKER_FD,
    Configure,
    Ping,
    Reconfigure,
)

__all__ = [
    "SIGNALS_FOR_CONTROL",
    "STOP_SIGNAL",
    "WORKER_FD",
    "Acknowledged",
    "AddCandidate",
    "AnswerInvite",
    "AskPicture",
    "AskPictureByInfo",
    "Bridge",
    "CloseBrowserLeg",
    "CloseCall",
    "Configure",
    "DeadlinePassed",
    "Drain",
    "HangUp",
    "InfoDigit",
    "Invited",
    "LegChanged",
    "LinkTranscoder",
    "NoPorts",
    "NoSuchCall",
    "NotRecorded",
    "OfferUnacceptable",
    "OpenBrowserLeg",
    "OpenCall",
    "OpenRecorder",
    "OpenTranscoding",
    "PhoneAnswered",
    "PhonePictureWanted",
    "PictureAskedByInfo",
    "Ping",
    "Present",
    "PromptOver",
    "Reconfigure",
    "RecorderFailed",
    "RecorderUnavailable",
    "RejectInvite",
    "Reoffer",
    "RestartBrowserLeg",
    "RtpDigit",
    "SealRecording",
    "SipEnded",
    "Stats",
    "Tailor",
    "TranscodingNeeded",
    "TranscodingStats",
    "Unbridge",
    "UpdatePhoneLeg",
    "WorkerError",
]
