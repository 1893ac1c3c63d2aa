"""A switchboard on a real store, with workers, an SMS route and a page that note what they are asked."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from avisiod.calls.call import State
from avisiod.calls.ids import ContactId, Number, PhoneId, SessionId
from avisiod.calls.invitation import Invitations
from avisiod.calls.reasons import EndReason
from avisiod.calls.throttle import Throttle
from avisiod.config.settings import Calls, Config, Portal, Recordings, Site
from avisiod.devices import code_sms
from avisiod.gateway import wire
from avisiod.ports import Acceptance, Contact, Joined, Phone, Rejected, Sms, SmsFailed
from avisiod.store.store import Store
from avisiod.switchboard.actions import Actions
from avisiod.switchboard.desk import FrontDesk
from avisiod.switchboard.entry import Entry
from avisiod.switchboard.switchboard import Switchboard
from tests.steered_clock import SteeredClock

reactor: Any = _reactor

PHONE = Phone(id=PhoneId("cell1"), ha1="0" * 32)
SECOND = Phone(id=PhoneId("cell2"), ha1="1" * 32, language="en")
SISTER = Contact(id=ContactId("sister"), number=Number("+33639980001"))
LAWYER = Contact(id=ContactId("lawyer"), number=Number("+33639980002"), confidential=True)
ONLY_SECOND = Contact(id=ContactId("cousin"), number=Number("+33639980003"), phones=(SECOND.id,))
CHARTER = Acceptance(language="fr", version="1", digest="d" * 64)
LIMIT_S = 1200.0


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Turn the reactor until it holds."""
    for _ in range(2000):
        if holds():
            return
        await deferLater(reactor, 0.002)
    raise AssertionError(f"never: {what}")


class Workers:
    """Stands in for both gateways: notes every command, answers at once, fails where `failing` says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.confidential: list[bool] = []
        """What media was told of each line, in order."""
        self.failing: dict[str, Exception] = {}
        self.ready = True

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        def ask(*arguments: Any, **named: Any) -> Deferred[Any]:
            self.asked.append((name, *arguments))
            self.confidential += [named["confidential"]] if "confidential" in named else []
            answer: Deferred[Any] = Deferred()
            if name in self.failing:
                answer.errback(self.failing[name])
            else:
                answer.callback({"open_call": "answer", "open_browser_leg": "page answer"}.get(name, b""))
            return answer

        return ask

    def names(self) -> list[str]:
        return [each[0] for each in self.asked]

    def last(self, name: str) -> tuple[Any, ...]:
        return [each for each in self.asked if each[0] == name][-1]


class Route:
    """Takes every SMS, or none, or keeps the caller waiting."""

    def __init__(self) -> None:
        self.sent: list[Sms] = []
        self.failure: SmsFailed | None = None
        self.pending: list[Deferred[None]] | None = None

    def send(self, sms: Sms) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.sent.append(sms)
        if self.pending is not None:
            self.pending.append(done)
        elif self.failure is not None:
            done.errback(self.failure)
        else:
            done.callback(None)
        return done

    @property
    def code(self) -> str:
        return re.findall(r"#(\d{6})$", self.sent[-1].text)[0]

    @property
    def link(self) -> str:
        return re.findall(r"https://visio\.example\.org/(\w{5})", self.sent[-1].text)[0]


class Page:
    """What a relative's page was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def state(self, state: str, remaining_s: float | None) -> None:
        self.told.append(("state", state, remaining_s))

    def warning(self, remaining_s: float) -> None:
        self.told.append(("warning", remaining_s))

    def shortened(self, by: str, remaining_s: float) -> None:
        self.told.append(("shortened", str(by), remaining_s))

    def ended(self, reason: EndReason, connected_s: float, *, charged: bool) -> None:
        self.told.append(("ended", reason, connected_s))
        self.charged = charged

    def replaced(self) -> None:
        self.told.append(("replaced",))


@dataclasses.dataclass
class Scene:
    """All of it; `sip` and `media` are `Workers`."""

    clock: SteeredClock
    store: Store
    board: Switchboard
    desk: FrontDesk
    sip: Workers
    media: Workers
    route: Route

    @property
    def entry(self) -> Entry:
        return next(reversed(self.board.entries.values()))

    @property
    def state(self) -> State:
        return self.entry.call.state

    async def reach(self, state: State) -> None:
        await eventually(lambda: bool(self.board.entries) and self.state is state, f"the call is {state}")
        await self.settled()

    async def settled(self) -> None:
        await eventually(lambda: not any(e.busy for e in self.board.entries.values()), "no event is under way")

    async def dial(self, number: str = "0639980001", phone: str = "cell1", sip_call: str = "s1") -> Entry:
        self.board.invited(sip_call, phone, number, "offer", secure=False)
        entry = self.entry
        await eventually(lambda: entry.call.state is not State.DIALLED, "admission decided")
        return entry

    async def wait_for_code(self, **dialled: str) -> Entry:
        entry = await self.dial(**dialled)
        await eventually(lambda: entry.call.state is State.WAITING, "the SMS was accepted")
        self.board.leg_changed(entry.call.id, "phone", "", "flowing", self.clock.now())
        await self.settled()
        return entry

    async def join(self, page: Page) -> Joined:
        joined = await self.desk.redeem(self.route.code, self.route.link, "192.0.2.7", CHARTER, page)
        assert isinstance(joined, Joined), joined
        return joined

    async def connect(self, **dialled: str) -> tuple[Entry, Page, Joined]:
        entry, page = await self.wait_for_code(**dialled), Page()
        joined = await self.join(page)
        await eventually(lambda: entry.call.recording or entry.call.confidential, "the recorder writes")
        await self.settled()
        self.board.leg_changed(entry.call.id, "outside", joined.session, "flowing", self.clock.now())
        await eventually(lambda: entry.call.state is State.CONNECTED, "both legs flow")
        await self.settled()
        return entry, page, joined

    async def journal(self, entry: Entry) -> list[str]:
        return [line.event for line in await self.store.journal(entry.call.id)]


async def make_scene(folder: Path, admission: Literal["listed", "full"] = "listed") -> Scene:
    """A scene with two phones and three contacts; the caller closes the store."""
    config = Config(
        site=Site(admission=admission),
        calls=Calls(limit_s=LIMIT_S, capacity=2),
        portal=Portal(public_url="https://visio.example.org"),
        recordings=Recordings(folder=str(folder / "recordings")),
    )
    clock = SteeredClock()
    store = Store(folder / "avisiod.db", reactor)
    await store.open()
    await store.sync_inventory([PHONE, SECOND], [SISTER, LAWYER, ONLY_SECOND])
    board = Switchboard(config, clock, store, Invitations(bytes(32), Throttle()))
    sip, media, route = Workers(), Workers(), Route()
    board.actions = Actions(board, config, sip, media, route, code_sms.load())  # type: ignore[arg-type]
    return Scene(clock, store, board, FrontDesk(board, []), sip, media, route)


__all__ = ["CHARTER", "LIMIT_S", "Page", "Rejected", "Scene", "SessionId", "eventually", "make_scene", "wire"]
