"""PJSIP's endpoint in a thread of its own: everything of PJSIP happens there, control's orders included."""

import collections
import contextlib
import logging
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pjsua2 as pj
from twisted.internet.defer import Deferred
from twisted.protocols import amp

from avisiod.gateway import wire
from avisiod.gateway.settings import SipWorkerSettings
from avisiod.gateway.sip_call import PhoneCall, guarded
from avisiod.gateway.sip_message import PHONE_HEADER, TRANSPORT_HEADER, BodyUnsupported, Message

log = logging.getLogger(__name__)

REASONS = ("not_edge", "no_dialogue", "body", "unreadable")
POLL_MS = 20
"""How long PJSIP waits for a packet before control's orders are looked at."""
DRAIN_RETRY_S = 30
FAREWELL_S = 0.5
RING_AT_MOST_S = 60.0
"""Control that has decided nothing by then has lost the call; the edge may have another worker take it."""
"""At the end BYEs are repeated and answered for so long."""
INVITES_AT_ONCE = 8
SETTLE_S = 0.6
"""PJSIP opens two sockets for each INVITE, frees their places half a second after its end, has 64 places, and aborts
for want of one. After INVITES_AT_ONCE within SETTLE_S the network therefore waits; honest phones dial more slowly."""
WARNINGS = 2
"""PJSIP's log level for warnings; from 4 on it would write whole messages, with numbers."""
_SIGNS = (
    ("unreadable", "bytes packet from"),
    ("unreadable", "Error processing packet"),
    ("no_dialogue", "too many calls"),
)
"""What turns up in PJSIP's log when it drops a message that it cannot read, or answers an INVITE with 486."""
_USER = re.compile(r"(sips?|tel):[^@\s;>]+", re.IGNORECASE)


class Order(NamedTuple):
    """What control wants done in PJSIP's thread."""

    run: Callable[[], None]
    done: Deferred[None]
    sip_call: str = ""
    answer: str | None = None
    """The session description of an AnswerInvite; empty for a refusal; None for anything else."""


class _Log(pj.LogWriter):
    """What PJSIP turns away by itself shows nowhere but in its log."""

    def __init__(self, turned_away: collections.Counter[str]) -> None:
        super().__init__()
        self._turned_away = turned_away

    @guarded
    def write(self, entry: pj.LogEntry) -> None:
        text = entry.msg.strip().partition("\n")[0]  # the message that was not understood follows, with its numbers
        for why, sign in _SIGNS:
            if sign in text:
                self._turned_away[why] += 1
        log.debug("pjsip: %s", _USER.sub(r"\1:…", text))


class _Account(pj.Account):
    def __init__(self, endpoint: "SipEndpoint") -> None:
        super().__init__()
        self._endpoint = endpoint

    @guarded
    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:  # noqa: N802 - PJSIP's name
        self._endpoint.invited(self, prm.callId, prm.rdata.wholeMsg, prm.rdata.srcAddress)


class SipEndpoint:
    """All dialogues of this worker. `tell` is called in PJSIP's thread, as is `crashed` should that thread fail.

    Public methods are for other threads; their Deferreds fire in the reactor's thread through `in_reactor`.
    """

    def __init__(
        self,
        settings: SipWorkerSettings,
        tell: Callable[..., None],
        in_reactor: Callable[..., None],
        crashed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._in_reactor = in_reactor
        self._crashed = crashed
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._postponed: list[Order] = []
        self._calls: dict[str, PhoneCall] = {}
        self._gone: list[PhoneCall] = []
        self._ringing: dict[str, tuple[float, float]] = {}
        """Of calls that control has not decided on: when the next 180 is due, and until when any is."""
        self._arrivals: collections.deque[float] = collections.deque()
        """When the latest INVITEs came."""
        self._breath = threading.Event()
        self._turned_away: collections.Counter[str] = collections.Counter()
        """Written in PJSIP's thread only, as `_told` is in the other."""
        self._told: collections.Counter[str] = collections.Counter()
        self._draining = False
        self._on_empty: Callable[[], None] | None = None
        self._stopped: Deferred[None] | None = None
        self._thread = threading.Thread(target=self._serve, name="pjsip", daemon=True)
        self._started: Deferred[None] = Deferred()

    # For the reactor's thread.

    def start(self) -> Deferred[None]:
        """Listen for the edge; WorkerError where that cannot be."""
        self._thread.start()
        return self._started

    def ping(self) -> Deferred[None]:
        """Fires when PJSIP's thread is seen alive."""
        return self._order(lambda: None)

    def take_refused(self) -> dict[str, object]:
        """What was turned away since this was asked last, by the reasons of wire.Ping."""
        total = collections.Counter({why: self._turned_away[why] for why in REASONS})
        new: dict[str, object] = {why: total[why] - self._told[why] for why in REASONS}
        self._told = total
        return new

    def answer(self, sip_call: str, sdp: str) -> Deferred[None]:
        """wire.AnswerInvite."""
        return self._order(lambda: self._call(sip_call).accept(sdp), sip_call, sdp)

    def reject(self, sip_call: str, status: int, reason: str) -> Deferred[None]:
        """wire.RejectInvite."""
        return self._order(lambda: self._call(sip_call).refuse(status, reason), sip_call, "")

    def hang_up(self, sip_call: str, status: int, reason: str) -> Deferred[None]:
        """wire.HangUp."""
        return self._order(lambda: self._call(sip_call).end(status, reason))

    def ask_picture(self, sip_call: str) -> Deferred[None]:
        """wire.AskPictureByInfo."""
        return self._order(lambda: self._call(sip_call).ask_picture())

    def drain(self) -> Deferred[None]:
        """Turn new calls away."""
        return self._order(self._drain)

    def when_empty(self, do: Callable[[], None]) -> Deferred[None]:
        """Have `do` called in PJSIP's thread once no dialogue is left, now perhaps."""
        return self._order(lambda: self._watch(do))

    def stop(self, reason: str) -> Deferred[None]:
        """End every dialogue, telling phones why, and PJSIP itself; fires when nothing is left."""
        stopped: Deferred[None] = Deferred()
        self._order(lambda: self._stop(reason, stopped))
        return stopped

    def _order(self, run: Callable[[], None], sip_call: str = "", answer: str | None = None) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._orders.put(Order(run, done, sip_call, answer))
        return done

    # In PJSIP's thread.

    def _serve(self) -> None:
        endpoint = pj.Endpoint()
        try:
            account = self._open(endpoint)
        except pj.Error as error:
            settings = self._settings
            why = f"cannot listen on {settings.address}, port {settings.port}: {error.reason}"
            self._in_reactor(self._started.errback, wire.WorkerError(why))
            return
        log.info("listening for the edge on %s, port %d", self._settings.address, self._settings.port)
        self._in_reactor(self._started.callback, None)
        try:
            while self._stopped is None:
                if self._crowded(time.monotonic()):
                    self._breath.wait(POLL_MS / 1000)
                else:
                    endpoint.libHandleEvents(POLL_MS)
                self._work()
            self._close(endpoint, account)
        except Exception:
            log.exception("PJSIP's thread failed: the process ends, its dialogues are lost, media goes on")
            self._crashed()
            return
        self._in_reactor(self._stopped.callback, None)

    def _open(self, endpoint: pj.Endpoint) -> _Account:
        settings = self._settings
        endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly = 0, True
        config.uaConfig.maxCalls = settings.dialogues
        config.uaConfig.userAgent = "avisiod"
        # consoleLevel: what reaches the writer, which takes the console's place.
        config.logConfig.level, config.logConfig.consoleLevel, config.logConfig.msgLogging = WARNINGS, WARNINGS, 0
        writer = _Log(self._turned_away)
        writer.__disown__()  # PJSIP deletes it
        config.logConfig.writer = writer
        config.medConfig.hasIoqueue, config.medConfig.threadCnt = False, 0
        config.medConfig.clockRate = 8000
        endpoint.libInit(config)
        endpoint.audDevManager().setNoDev()  # without a clock PJSIP sends no media of its own
        transport = pj.TransportConfig()
        transport.boundAddress, transport.port = settings.address, settings.port
        endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        endpoint.libStart()
        account_config = pj.AccountConfig()
        account_config.idUri = f"sip:avisiod@{settings.address}:{settings.port}"
        account_config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_ALWAYS
        account_config.callConfig.timerSessExpiresSec = settings.session_expires_s
        # Sockets that PJSIP opens for media stay unused; bound to loopback they reach nobody.
        account_config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
        account_config.mediaConfig.transportConfig.port = 0
        account_config.natConfig.contactRewriteUse = account_config.natConfig.viaRewriteUse = 0
        account_config.natConfig.sdpNatRewriteUse = account_config.natConfig.sipOutboundUse = 0
        account = _Account(self)
        account.create(account_config)
        return account

    def _close(self, endpoint: pj.Endpoint, account: _Account) -> None:
        until = time.monotonic() + FAREWELL_S
        while time.monotonic() < until:
            endpoint.libHandleEvents(POLL_MS)
        # A call or account that outlived the library would fail an assertion: an order that waits may hold one, too.
        with contextlib.suppress(queue.Empty):
            while True:
                self._postponed.append(self._orders.get_nowait())
        late, self._postponed = self._postponed, []
        while late:
            self._in_reactor(late.pop().done.errback, wire.NoSuchCall("the worker ends"))
        self._calls.clear()
        self._gone.clear()
        account.shutdown()
        endpoint.libDestroy()

    def _crowded(self, now: float) -> bool:
        """Whether PJSIP has to settle before it may read on."""
        while self._arrivals and self._arrivals[0] < now - SETTLE_S:
            self._arrivals.popleft()
        return len(self._arrivals) >= INVITES_AT_ONCE

    def _work(self) -> None:
        # Not within their own callback; and not while another dialogue has the place of one of them in PJSIP: the
        # destructor hangs up whatever is there.
        self._gone = [call for call in self._gone if call.isActive()]
        postponed, self._postponed = self._postponed, []
        for order in postponed:
            self._carry_out(order)
        with contextlib.suppress(queue.Empty):
            while True:
                self._carry_out(self._orders.get_nowait())
        self._ring_on(time.monotonic())
        if self._on_empty is not None and not self._calls:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()

    def _ring_on(self, now: float) -> None:
        for sip_call, (due, until) in list(self._ringing.items()):
            if sip_call not in self._calls or now >= until:
                del self._ringing[sip_call]
            elif now >= due:
                self._calls[sip_call].ring_on()
                self._ringing[sip_call] = now + self._settings.ring_again_s, until

    def _carry_out(self, order: Order) -> None:
        try:
            order.run()
        except wire.WorkerError as error:
            self._in_reactor(order.done.errback, error)
        except Exception as error:
            # One order may fail in a way that nobody foresaw; the dialogues of this worker go on.
            log.exception("an order to PJSIP failed")
            self._in_reactor(order.done.errback, wire.WorkerError(f"unexpected {type(error).__name__}"))
        else:
            self._in_reactor(order.done.callback, None)

    def _call(self, sip_call: str) -> PhoneCall:
        try:
            return self._calls[sip_call]
        except KeyError:
            raise wire.NoSuchCall("the dialogue is not, or no longer, known") from None

    def _drain(self) -> None:
        if not self._draining:
            self._draining = True
            log.info("draining: %d dialogues go on, new ones hear 503", len(self._calls))

    def _watch(self, do: Callable[[], None]) -> None:
        self._on_empty = do

    def _stop(self, reason: str, stopped: Deferred[None]) -> None:
        self._draining = True
        for call in list(self._calls.values()):
            try:
                call.end(503, reason)
            except wire.WorkerError as error:
                log.debug("not hung up: %s", error, extra={"call": call.sip_call})
        self._stopped = stopped

    def invited(self, account: pj.Account, call_id: int, text: str, source: str) -> None:
        """An INVITE came; it is looked at once PJSIP has taken it in, which is after this returns."""
        call = PhoneCall(account, call_id, secrets.token_hex(8), self)
        self._calls[call.sip_call] = call
        self._arrivals.append(time.monotonic())
        considered = self._order(lambda: self._consider(call, Message(text), source))
        considered.addErrback(lambda failure: log.debug("an INVITE was over before its answer: %s", failure.value))

    def _consider(self, call: PhoneCall, invite: Message, source: str) -> None:
        if call.sip_call not in self._calls:
            return  # cancelled at once
        phone = invite.header(PHONE_HEADER)
        host = source.rpartition(":")[0].strip("[]")
        if not {source, host} & set(self._settings.edge) or not phone:
            # One WARNING: whoever floods us must not fill the journal as well.
            level = logging.DEBUG if self._turned_away["not_edge"] else logging.WARNING
            self._turned_away["not_edge"] += 1
            log.log(level, "an INVITE that did not come through the edge was refused, from %s", source)
            call.refuse(403, "not from the edge")
        elif self._draining:
            call.turn_away(DRAIN_RETRY_S)
        else:
            try:
                offer = invite.sdp()
            except BodyUnsupported as why:
                self._turned_away["body"] += 1
                log.warning("an INVITE of phone %s was refused: %s", phone, why, extra={"phone": phone})
                call.refuse(415, str(why))
                return
            call.ring(offer)
            now = time.monotonic()
            self._ringing[call.sip_call] = now + self._settings.ring_again_s, now + RING_AT_MOST_S
            secure = invite.header(TRANSPORT_HEADER).lower() == "tls"
            facts: dict[str, str | int] = {"phone": phone, "number": invite.dialled, "offer": offer, "secure": secure}
            self.tell(wire.Invited, sip_call=call.sip_call, **facts)

    def tell(self, command: type[amp.Command], **arguments: str | int) -> None:
        """Tell control."""
        self._tell(command, **arguments)

    def over(self, call: PhoneCall) -> None:
        """Forget a dialogue."""
        if self._calls.pop(call.sip_call, None) is not None:
            self._gone.append(call)

    def wait_for_answer(self, sip_call: str, within_s: float) -> str:
        """Block until control answers an offer; its other orders are carried out afterwards."""
        until = time.monotonic() + within_s
        with contextlib.suppress(queue.Empty):
            while (left := until - time.monotonic()) > 0:
                order = self._orders.get(timeout=left)
                if order.sip_call == sip_call and order.answer is not None:
                    self._in_reactor(order.done.callback, None)
                    return order.answer
                self._postponed.append(order)
        log.warning("control did not answer an UPDATE in time; it is refused", extra={"call": sip_call})
        return ""
