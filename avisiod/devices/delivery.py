"""Delivery reports matched with the messages they speak of, by the reference (TP-MR) that the modem gave."""

import logging

import msgspec

from avisiod.devices import pdu

log = logging.getLogger(__name__)


class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the network tells of a message after its acceptance."""

    sms: str
    """Sms.id"""
    delivered: bool
    status: int
    """TP-ST (TS 23.040 section 9.2.3.15)."""
    after_s: float
    """Since the acceptance."""


class DeliveryBook:
    """The accepted messages whose report is open: at most 256, for so many references exist."""

    def __init__(self) -> None:
        self._accepted: dict[int, tuple[str, float]] = {}
        self._early: dict[int, pdu.StatusReport] = {}

    def submitting(self) -> None:
        """A message goes out now; a report of it may overtake its reference."""
        self._early.clear()

    def accepted(self, reference: int, sms: str, now: float) -> DeliveryReport | None:
        """Remember a message; its report when that came first."""
        self._accepted[reference] = (sms, now)
        early = self._early.pop(reference, None)
        return self._match(early, now) if early is not None else None

    def read(self, text: str, now: float) -> DeliveryReport | None:
        """Take the PDU of a report; None when it is not final, is none, or speaks of no message of ours."""
        try:
            report = pdu.status_report_from(text)
        except ValueError as error:
            log.debug("A delivery report is passed over: %s", error)
            return None
        if report.reference in self._accepted:
            return self._match(report, now)
        self._early[report.reference] = report
        return None

    def _match(self, report: pdu.StatusReport, now: float) -> DeliveryReport | None:
        if not report.final:
            return None
        sms, accepted_at = self._accepted.pop(report.reference)
        return DeliveryReport(sms=sms, delivered=report.delivered, status=report.status, after_s=now - accepted_at)
