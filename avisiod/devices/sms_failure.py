"""Why a route did not send, by class, and whether trying again within seconds can help."""

import enum

from avisiod.ports import SmsFailed


class FailureKind(enum.StrEnum):
    """The class of a failure: label of the metric and word of the log."""

    NETWORK = "network"
    NO_MODEM = "no_modem"
    NO_ANSWER = "no_answer"
    SIM = "sim"
    PIN = "pin"
    MEMORY_FULL = "memory_full"
    SMSC = "smsc"
    BARRED = "barred"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    CREDENTIALS = "credentials"
    CREDIT = "credit"
    BUSY = "busy"
    SERVER = "server"
    NONSENSE = "nonsense"
    UNCONFIRMED = "unconfirmed"
    UNKNOWN = "unknown"

    @property
    def again(self) -> bool:
        """The same route may take the same message a few seconds later."""
        return self not in _HOPELESS

    @property
    def needs_setup(self) -> bool:
        """The modem must go through its initialisation again."""
        return self in _SETUP


_HOPELESS = frozenset(
    {
        FailureKind.SIM,
        FailureKind.PIN,
        FailureKind.SMSC,
        FailureKind.BARRED,
        FailureKind.REFUSED,
        FailureKind.EXPIRED,
        FailureKind.TLS,
        FailureKind.CREDENTIALS,
        FailureKind.CREDIT,
    }
)
_SETUP = frozenset({FailureKind.SIM, FailureKind.PIN})


class RouteFailure(SmsFailed):
    """A route did not send; `kind.again` tells whether it may later. The text names neither number nor code.

    `retry_after_s`: with BUSY, how long the provider wants to be left alone; 0 where it does not say.
    """

    def __init__(self, kind: FailureKind, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after_s = retry_after_s


_CMS = {
    # TS 24.011 annex E: the network's causes, 0 to 127.
    1: (FailureKind.REFUSED, "the number is not assigned"),
    8: (FailureKind.BARRED, "the operator bars the SIM"),
    10: (FailureKind.BARRED, "calls are barred for the SIM"),
    28: (FailureKind.REFUSED, "the subscriber is not identified"),
    29: (FailureKind.BARRED, "the operator rejected the facility"),
    30: (FailureKind.REFUSED, "the subscriber is not known"),
    38: (FailureKind.NETWORK, "network out of order"),
    41: (FailureKind.NETWORK, "temporary network failure"),
    42: (FailureKind.NETWORK, "network congestion"),
    47: (FailureKind.NETWORK, "network resources unavailable"),
    50: (FailureKind.BARRED, "the SIM's contract has no SMS"),
    69: (FailureKind.BARRED, "the network does not offer SMS"),
    # TS 27.005 section 3.2.5: the modem's own.
    304: (FailureKind.REFUSED, "the modem calls the message invalid"),
    305: (FailureKind.REFUSED, "the modem calls the message invalid"),
    310: (FailureKind.SIM, "no SIM"),
    311: (FailureKind.PIN, "the SIM wants its PIN"),
    312: (FailureKind.PIN, "the SIM is locked to another device"),
    313: (FailureKind.SIM, "the SIM failed"),
    314: (FailureKind.UNKNOWN, "the SIM is busy"),
    315: (FailureKind.SIM, "the SIM is wrong"),
    316: (FailureKind.PIN, "the SIM wants its PUK"),
    320: (FailureKind.MEMORY_FULL, "the message memory failed"),
    322: (FailureKind.MEMORY_FULL, "the message memory is full"),
    330: (FailureKind.SMSC, "the SIM knows no SMS centre: set it with AT+CSCA"),
    331: (FailureKind.NETWORK, "no network"),
    332: (FailureKind.NETWORK, "the network did not answer in time"),
}


def cms_failure(code: int | None) -> RouteFailure:
    """What a +CMS ERROR means; an unlisted one, 500 among them, is worth another try."""
    kind, text = _CMS.get(code or 0, (FailureKind.UNKNOWN, "unknown error"))
    return RouteFailure(kind, f"{text} (CMS {code if code is not None else 'without a number'})")
