"""Keys and lamps on a pty: both protocols, with noise, half messages, silence, a flood, and a board that goes."""

import asyncio
import contextlib
import logging
import os
import threading

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from avisiod.clock import SystemClock
from avisiod.config.board import Board, BoardKey, BoardLamp
from avisiod.devices.board.key import KeyState
from avisiod.devices.board.link import URGENCY
from avisiod.devices.board.room import BoardRoom
from avisiod.phone_ports import Device
from tests.devices.conftest import until
from tests.peers.relay_board import RelayBoard

PLACES = {"p1": Device(phone="p1", building="A"), "p2": Device(phone="p2", building="B")}


class Metrics:
    def __init__(self) -> None:
        self.ended = 0
        self.total: dict[str, int] = {}

    def key(self, board, key, state): ...

    def answers(self, board, *, up): ...

    def cut(self, board, key, calls):
        self.ended += calls

    def troubles(self, board, what, total):
        self.total[what] = total


class Scene:
    def __init__(self, folder, protocol, **key) -> None:
        from twisted.internet import reactor

        self.board = RelayBoard(folder / "board", protocol)
        self.board.inputs[1] = False
        keys = (BoardKey(**({"name": "post", "closed_input": 0, "open_input": 1, "building": "A"} | key)),)
        settings = Board(
            name="guard",
            device=str(folder / "board"),
            protocol=protocol,
            keys=keys,
            lamps=(BoardLamp(name="cell", output=2, phones=("p1",)), BoardLamp(name="b", output=3, building="B")),
            fault_s=0.5,
        )
        self.calls = {"call-1": "p1", "call-2": "p2", "call-3": "nowhere"}
        self.events: list = []
        self.metrics = Metrics()
        self.room = BoardRoom(
            reactor,
            SystemClock(asyncio.get_event_loop()),
            [settings],
            self.metrics,
            calls=lambda: list(self.calls.items()),
            place_of=PLACES.get,
            cut=lambda calls: [self.calls.pop(call) for call in calls],
            event=lambda name, facts: self.events.append(name),
        )

    @property
    def state(self):
        return self.room.states.get(("guard", "post"))

    async def start(self):
        self.board.plug()
        self.room.start()
        await self.until(lambda: self.state is KeyState.REST, "the key at rest")

    def press(self, down=True):
        self.board.set(0, not down)
        self.board.set(1, down)

    def until(self, condition, what):
        return until(condition, what)


@pytest.fixture
def scene(tmp_path):
    made = []

    def make(protocol="numato", **key):
        made.append(Scene(tmp_path, protocol, **key))
        return made[-1]

    yield make
    for each in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(each.room.stop()))
        each.board.unplug()


@pytest.mark.parametrize("protocol", ["numato", "modbus"])
@pytest_twisted.ensureDeferred
async def test_a_press_ends_the_calls_of_its_unit_and_of_phones_that_nobody_can_place(scene, protocol):
    s = scene(protocol)
    await s.start()
    s.press()
    await s.until(lambda: s.state is KeyState.PRESSED, "the press")
    assert (list(s.calls), s.metrics.ended, s.events) == (["call-2"], 2, ["emergency-key"])
    s.calls["call-4"] = "p1"
    await s.until(lambda: list(s.calls) == ["call-2"], "the end of what begins meanwhile")
    assert any("is pressed" in problem for problem in s.room.problems)
    s.press(False)
    await s.until(lambda: s.state is KeyState.REST, "the release")
    s.calls["call-5"] = "p1"
    looks = s.board.asked
    await s.until(lambda: s.board.asked > looks + 10, "some looks")
    assert "call-5" in s.calls


@pytest_twisted.ensureDeferred
async def test_calls_are_cut_before_anything_is_said_or_counted(scene):
    s = scene()
    await s.start()
    order = []
    cut = s.room._cut_calls
    s.room._cut_calls = lambda calls: (order.append("cut"), cut(calls))
    s.metrics.key = lambda board, key, state: order.append(state)
    s.room._event = lambda name, facts: order.append(name)
    handler = logging.Handler()
    handler.emit = lambda record: order.append("log")
    logging.getLogger("avisiod.devices.board.room").addHandler(handler)
    try:
        s.press()
        await s.until(lambda: s.state is KeyState.PRESSED, "the press")
    finally:
        logging.getLogger("avisiod.devices.board.room").removeHandler(handler)
    assert order == ["cut", "pressed", "log", "emergency-key"]


@pytest.mark.parametrize("protocol", ["numato", "modbus"])
@pytest_twisted.ensureDeferred
async def test_lamps_show_calls_and_come_back_with_the_board(scene, protocol):
    s = scene(protocol)
    await s.start()
    await s.until(lambda: s.board.outputs[2:4] == [True, True], "both lamps")
    del s.calls["call-1"]
    await s.until(lambda: s.board.outputs[2:4] == [False, True], "one lamp out")
    s.board.unplug()
    await s.until(lambda: not s.room.answering["guard"], "the loss")
    s.board.outputs = [False] * 8
    s.board.plug()
    await s.until(lambda: s.board.outputs[2:4] == [False, True], "the lamp again")
    assert s.events == ["board-lost"]


def may_be_urgent():
    """Whether this user may raise a thread so far; in a thread that ends, for there is no way back without rights."""
    found = []

    def attempt():
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), URGENCY)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return found == [URGENCY]


@pytest_twisted.ensureDeferred
async def test_a_board_s_thread_comes_before_the_rest_where_it_may_and_works_where_it_may_not(scene):
    s = scene()
    await s.start()
    (thread,) = (each for each in threading.enumerate() if each.name == "board-guard")
    own = os.getpriority(os.PRIO_PROCESS, 0)
    expected = URGENCY if may_be_urgent() else own
    assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == expected
    assert os.getpriority(os.PRIO_PROCESS, 0) == own, "the others stay as they were"


@pytest.mark.parametrize(("on_fault", "left"), [("alarm", 3), ("cut", 1)])
@pytest.mark.parametrize("what", ["broken", "shorted", "gone", "silent"])
@pytest_twisted.ensureDeferred
async def test_a_fault_is_told_and_cuts_where_the_site_wants_it(scene, on_fault, left, what):
    s = scene(on_fault=on_fault)
    await s.start()
    if what == "broken":
        s.board.set(0, False)
    elif what == "shorted":
        s.board.set(1, True)
    elif what == "gone":
        s.board.unplug()
    else:
        s.board.silent = True
    await s.until(lambda: s.state is KeyState.FAULT, "the fault")
    await s.until(lambda: len(s.calls) == left, "the calls")
    assert s.room.problems
    assert "emergency-key" not in s.events


@pytest_twisted.ensureDeferred
async def test_with_one_contact_an_open_loop_is_a_press(scene):
    s = scene(open_input=-1)
    await s.start()
    s.board.set(0, False)
    await s.until(lambda: s.state is KeyState.PRESSED, "the press")
    assert list(s.calls) == ["call-2"]


@pytest.mark.parametrize("protocol", ["numato", "modbus"])
@pytest.mark.parametrize("noise", ["garbage", "half", "flooding", "silent"])
@pytest_twisted.ensureDeferred
async def test_noise_presses_nothing_holds_nothing_up_and_the_key_works_again(scene, protocol, noise):
    s = scene(protocol)
    await s.start()
    setattr(s.board, noise, b"\xfe#>9\x00" if noise == "garbage" else True)
    beats = []
    await s.until(lambda: beats.append(1) or s.metrics.total.get("nonsense", 0) >= 3, "noise that was noticed")
    assert len(beats) > 3  # the loop went on meanwhile
    assert len(s.calls) == 3
    assert s.state is not KeyState.PRESSED
    setattr(s.board, noise, b"" if noise == "garbage" else False)
    await s.until(lambda: s.state is KeyState.REST and s.room.answering["guard"], "the key at rest")
    s.press()
    await s.until(lambda: s.state is KeyState.PRESSED, "the press")
    assert list(s.calls) == ["call-2"]
