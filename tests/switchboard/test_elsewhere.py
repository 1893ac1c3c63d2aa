"""A code that is typed on a box that does not have its call, and the box among others."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, fail, succeed

from avisiod.calls.invitation import Invitations
from avisiod.calls.throttle import Throttle
from avisiod.config.settings import Config, Portal
from avisiod.config.settings import Store as StoreSettings
from avisiod.fleet import Fleet, OtherKey, mark_of
from avisiod.ports import Rejected, StoreUnavailable
from avisiod.store import boxes
from avisiod.switchboard.desk import FrontDesk
from tests.steered_clock import SteeredClock
from tests.switchboard.scene import CHARTER, Page, Scene, make_scene

HOME, KEY = "192.0.2.7", bytes(range(32))
LEASE_S = 30.0


@pytest_twisted.async_yield_fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = await make_scene(tmp_path)
    yield made
    await made.store.close()


def wrong_code(scene: Scene) -> str:
    return f"{(int(scene.route.code) + 1) % 1_000_000:06d}"


@pytest_twisted.ensureDeferred
async def test_the_page_is_told_which_portal_has_the_call_and_nothing_counts(scene: Scene) -> None:
    await scene.wait_for_code()
    asked: list[str] = []

    def elsewhere(code: str) -> "Deferred[str]":
        asked.append(code)
        return succeed("https://north.example")

    desk = FrontDesk(scene.board, [], elsewhere)
    code = wrong_code(scene)
    for _ in range(5):
        answer = await desk.redeem(code, "", HOME, CHARTER, Page())
        assert answer == Rejected(why="elsewhere", url="https://north.example")
    assert asked == [code] * 5
    assert scene.board.invitations._throttle.risk(scene.clock.now()) == 0
    joined = await desk.redeem(scene.route.code, "", HOME, CHARTER, Page())
    assert not isinstance(joined, Rejected), "our own code never asks others"


@pytest_twisted.ensureDeferred
async def test_a_code_that_nobody_has_is_wrong_and_a_throttled_try_asks_nobody(scene: Scene) -> None:
    await scene.wait_for_code()
    asked: list[str] = []

    def nobody(code: str) -> "Deferred[str]":
        asked.append(code)
        return succeed("")

    desk = FrontDesk(scene.board, [], nobody)
    answers = [await desk.redeem(wrong_code(scene), "", HOME, CHARTER, Page()) for _ in range(10)]
    told = [answer.why for answer in answers if isinstance(answer, Rejected)]
    assert told.count("wrong") == len(asked)
    assert told[-1] == "throttled"


@pytest_twisted.ensureDeferred
async def test_where_the_others_cannot_be_asked_a_code_is_wrong(scene: Scene) -> None:
    await scene.wait_for_code()
    desk = FrontDesk(scene.board, [], lambda _: fail(StoreUnavailable("down")))
    answer = await desk.redeem(wrong_code(scene), "", HOME, CHARTER, Page())
    assert isinstance(answer, Rejected)
    assert answer.why == "wrong"


class SharedStore:
    """What a fleet needs of a store; another box is as old as the test says."""

    box = "south"
    database = object()

    def __init__(self) -> None:
        self.age_s = 0.0
        self.key = mark_of(KEY)
        self.down = False
        self.ended: list[str] = []

    def beat(self, own: boxes.OwnBeat, at_utc: object) -> "Deferred[boxes.Fleet]":
        if self.down:
            return fail(StoreUnavailable("the server does not answer"))
        values = {**msgspec.structs.asdict(own), "name": "north", "code_key": self.key}
        return succeed(boxes.Fleet(others=(boxes.OtherBox(**values, age_s=self.age_s),), open_codes=3))

    def end_calls_of(self, name: str, *_: object) -> "Deferred[list[str]]":
        self.ended.append(name)
        return succeed(["call"])


def fleet_of(store: SharedStore) -> tuple[Fleet, SteeredClock, Invitations]:
    clock, invitations = SteeredClock(), Invitations(KEY, Throttle())
    config = Config(
        store=StoreSettings(url="postgresql:///avisiod", lease_s=LEASE_S),
        portal=Portal(public_url="https://s.example"),
    )
    return Fleet(config, clock, store, invitations, KEY), clock, invitations  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_a_silent_box_is_judged_only_by_one_that_was_heard_itself_for_a_whole_lease() -> None:
    store = SharedStore()
    fleet, clock, invitations = fleet_of(store)
    store.age_s = LEASE_S + 1
    await fleet.beat(0)
    assert invitations.elsewhere == 3
    assert (fleet.alive, fleet.gone) == (0, 1)
    clock.advance(LEASE_S - 1)
    await fleet.beat(0)
    assert store.ended == [], "the database may have been away for everybody"
    clock.advance(2)
    await fleet.beat(0)
    assert store.ended == ["north"]
    store.down = True
    await fleet.beat(0)
    store.down = False
    await fleet.beat(0)
    assert store.ended == ["north"], "it was away: a lease has to pass again"
    store.age_s = 0.0
    clock.advance(2 * LEASE_S)
    await fleet.beat(0)
    assert store.ended == ["north"]
    assert (fleet.alive, fleet.gone, fleet.ended) == (1, 0, 1)


@pytest_twisted.ensureDeferred
async def test_a_box_with_another_key_does_not_start_beside_a_living_one() -> None:
    store = SharedStore()
    fleet, _, _ = fleet_of(store)
    await fleet.enter()
    store.key = mark_of(bytes(32))
    with pytest.raises(OtherKey, match=r"code\.key is not the key that the box north has: copy its file here"):
        await fleet.enter()
    store.age_s = LEASE_S + 1
    await fleet.enter()
