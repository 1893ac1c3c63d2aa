"""One dialogue with a phone, as PJSIP reports it and as control steers it. Lives in the thread that drives PJSIP.

PJSIP negotiates with the text that control gives it and announces nothing of its own: what goes out is the session
description of a media worker. A callback that raised would abort the process, so each is guarded.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import pjsua2 as pj
from twisted.protocols import amp

from avisiod.gateway import wire
from avisiod.gateway.sip_message import (
    FINAL_HEADER,
    PICTURE_REQUEST,
    PICTURE_REQUEST_TYPE,
    BodyUnsupported,
    Message,
    for_pjsip,
    media_lines,
    of_phone,
    reason_header,
)

log = logging.getLogger(__name__)

P = ParamSpec("P")
Owner = TypeVar("Owner")

_PHONE_GONE = (408, 481)
"""No answer to a request of ours, no refresh of the phone's, or an answer of one that has forgotten the dialogue."""
UPDATE_ANSWER_S = 1.0
"""How long control may take over an offer in an UPDATE, which PJSIP wants answered at once; other dialogues wait."""


def guarded(callback: Callable[Concatenate[Owner, P], None]) -> Callable[Concatenate[Owner, P], None]:
    """A callback of PJSIP that never raises into C."""

    def safe(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(self, *args, **kwargs)
        except Exception:
            log.exception("%s failed", callback.__name__, extra={"call": getattr(self, "sip_call", "")})

    safe.__doc__ = callback.__doc__
    return safe


class Switch(Protocol):
    """What a call asks of the endpoint that holds it."""

    def tell(self, command: type[amp.Command], **arguments: str | int) -> None:
        """Tell control."""

    def over(self, call: "PhoneCall") -> None:
        """The dialogue has ended."""

    def wait_for_answer(self, sip_call: str, within_s: float) -> str:
        """Block until control answers an offer; empty where it refuses or takes too long."""


class PhoneCall(pj.Call):
    """A dialogue that a phone opened. Commands raise wire.WorkerError and then change nothing."""

    def __init__(self, account: pj.Account, call_id: int, sip_call: str, switch: Switch) -> None:
        super().__init__(account, call_id)
        self.sip_call = sip_call
        self.invited = False
        """Control knows of it."""
        self._switch = switch
        self._ours = ""
        """The session description that we sent last."""
        self._theirs = ""
        self._answered = False
        self._reoffered = False
        """A re-INVITE waits for control's answer."""
        self._established = False
        self._ended_by = ""
        self._over = False

    # What control asks.

    def ring(self, offer: str) -> None:
        """180, while control decides about `offer`, which is empty where the phone sent none."""
        self._theirs = offer
        self.invited = True
        self._respond(180)

    def ring_on(self) -> None:
        """Another 180 while control has not decided: the edge then knows that this worker still has the call."""
        if self.invited and not self._answered and not self._ended_by and not self._over:
            with contextlib.suppress(wire.WorkerError):  # over at this very moment
                self._respond(180)

    def accept(self, answer: str) -> None:
        """200 with this session description: to the INVITE, or to a re-INVITE that waits."""
        if self._answered and not self._reoffered:
            raise wire.NoSuchCall("no INVITE of this dialogue waits for an answer")
        first = not self._answered
        before, self._ours = self._ours, answer
        self._answered, self._reoffered = True, False
        try:
            # An answer is handed over; an offer of ours (a late-offer INVITE) is asked for by onCallSdpCreated.
            self._respond(200, sdp=answer if self._theirs else "", offered=answer if not self._theirs else "")
        except wire.WorkerError:
            self._ours = before
            if first:
                self._ended_by = "failure"
                self._answered = False
                with contextlib.suppress(wire.WorkerError):  # mostly PJSIP has ended it by itself, with 415
                    self._respond(488, (FINAL_HEADER, "yes"))
            raise

    def refuse(self, status: int, reason: str) -> None:
        """A final refusal of the INVITE, or of a re-INVITE that waits; the latter leaves the call as it was."""
        if self._reoffered:
            self._reoffered = False
            self._respond(status)
        elif self._answered:
            raise wire.NoSuchCall("no INVITE of this dialogue waits for an answer")
        else:
            self._ended_by = self._ended_by or "us"
            self._respond(status, (FINAL_HEADER, "yes"), ("Reason", reason_header(status, reason)))

    def turn_away(self, retry_after_s: int) -> None:
        """503: this worker takes no call now; the edge may ask another one."""
        self._respond(503, ("Retry-After", str(retry_after_s)))

    def end(self, status: int, reason: str) -> None:
        """BYE, or a final refusal before the answer; the phone is told why."""
        if not self._answered:
            self.refuse(status if status >= 300 else 480, reason)
            return
        self._ended_by = self._ended_by or "us"
        operation = pj.CallOpParam()
        operation.statusCode = status
        operation.txOption.headers.append(_header("Reason", reason_header(status, reason)))
        try:
            self.hangup(operation)
        except pj.Error as error:
            raise _refused("BYE", error) from error

    def ask_picture(self) -> None:
        """Ask the phone for a keyframe by INFO."""
        if not self._established:
            raise wire.NoSuchCall("the dialogue does not stand yet")
        request = pj.CallSendRequestParam()
        request.method = "INFO"
        request.txOption.contentType = PICTURE_REQUEST_TYPE
        request.txOption.msgBody = PICTURE_REQUEST
        try:
            self.sendRequest(request)
        except pj.Error as error:
            raise _refused("INFO", error) from error

    def _respond(self, status: int, *headers: tuple[str, str], sdp: str = "", offered: str = "") -> None:
        operation = pj.CallOpParam()
        operation.statusCode = status
        for name, value in headers:
            operation.txOption.headers.append(_header(name, value))
        operation.sdp.wholeSdp = for_pjsip(sdp)
        if offered:
            # As many m-lines as ours has; they may not be called video, for the library was built without it.
            operation.opt.audioCount, operation.opt.videoCount = media_lines(for_pjsip(offered)), 0
        try:
            self.answer(operation)
        except pj.Error as error:
            raise _refused(str(status), error) from error
        if self._over and status < 300:
            raise wire.WorkerError("PJSIP found nothing in common with this answer: the dialogue is over")

    # What PJSIP reports.

    @guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:  # noqa: N802 - PJSIP's name
        """The dialogue stands, or is over."""
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED and not self._established:
            self._established = True
            if not self._theirs and prm.e.type == pj.PJSIP_EVENT_RX_MSG:
                self._phone_answered(prm.e.body.rxMsg.rdata.wholeMsg)
            self._switch.tell(wire.Acknowledged, sip_call=self.sip_call)
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED and not self._over:
            self._over = True
            by = self._ended_by or self._why_over(info.lastStatusCode)
            if self.invited:
                self._switch.tell(wire.SipEnded, sip_call=self.sip_call, by=by, status=info.lastStatusCode)
            self._switch.over(self)

    def _why_over(self, status: int) -> str:
        """Who ended what neither we nor the phone ended by a BYE."""
        if status == 487:
            return "phone"
        return "lost" if self._established and status in _PHONE_GONE else "failure"

    @guarded
    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:  # noqa: N802 - PJSIP's name
        """A transaction within the dialogue moved: the phone's BYE and INFO, its answers to refreshes of ours."""
        if prm.e.type != pj.PJSIP_EVENT_TSX_STATE or prm.e.body.tsxState.type != pj.PJSIP_EVENT_RX_MSG:
            return
        event = prm.e.body.tsxState
        transaction = event.tsx
        if transaction.role == pj.PJSIP_ROLE_UAS and transaction.state == pj.PJSIP_TSX_STATE_TRYING:
            if transaction.method == "BYE":
                self._ended_by = self._ended_by or "phone"
            elif transaction.method == "INFO":
                self._informed(Message(event.src.rdata.wholeMsg))
        elif (
            transaction.role == pj.PJSIP_ROLE_UAC
            and transaction.method in {"INVITE", "UPDATE"}
            and transaction.statusCode // 100 == 2
        ):
            self._phone_answered(event.src.rdata.wholeMsg)

    def _informed(self, message: Message) -> None:
        if digit := message.digit:
            self._switch.tell(wire.InfoDigit, sip_call=self.sip_call, digit=digit)
        elif message.asks_picture:
            self._switch.tell(wire.PictureAskedByInfo, sip_call=self.sip_call)

    def _phone_answered(self, message: str) -> None:
        try:
            answer = Message(message).sdp()
        except BodyUnsupported as why:
            log.warning("the phone's answer cannot be read: %s", why, extra={"call": self.sip_call})
            return
        if answer and answer != self._theirs:
            self._theirs = answer
            self._switch.tell(wire.PhoneAnswered, sip_call=self.sip_call, answer=answer)

    @guarded
    def onCallRxReinvite(self, prm: pj.OnCallRxReinviteParam) -> None:  # noqa: N802 - PJSIP's name
        """The phone changes its media by re-INVITE: control answers when it is ready."""
        prm.isAsync = True
        self._reoffered = True
        self._offered(prm.offer.wholeSdp)

    @guarded
    def onCallRxOffer(self, prm: pj.OnCallRxOfferParam) -> None:  # noqa: N802 - PJSIP's name
        """The phone changes its media by UPDATE: the answer has to be there when this returns."""
        self._offered(prm.offer.wholeSdp)
        answer = self._switch.wait_for_answer(self.sip_call, UPDATE_ANSWER_S)
        if answer:
            self._ours = answer
        else:
            prm.statusCode = 488

    def _offered(self, description: str) -> None:
        self._theirs = offer = of_phone(description)
        self._switch.tell(wire.Reoffer, sip_call=self.sip_call, offer=offer)

    @guarded
    def onCallSdpCreated(self, prm: pj.OnCallSdpCreatedParam) -> None:  # noqa: N802 - PJSIP's name
        """PJSIP wrote a session description: ours takes its place."""
        if self._ours:
            prm.sdp.wholeSdp = for_pjsip(self._ours)


def _header(name: str, value: str) -> pj.SipHeader:
    header = pj.SipHeader()
    header.hName, header.hValue = name, value
    return header


def _refused(what: str, error: pj.Error) -> wire.WorkerError:
    return wire.WorkerError(f"PJSIP could not send {what}: {error.reason}")
