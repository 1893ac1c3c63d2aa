"""A relative who is gone for a while is back without a code, in the same call and in the same recording.

One call goes through everything; each test leaves it connected for the next one.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from avisiod.gateway import pictures, prompt_catalogue
from avisiod.gateway.manifest import verify
from avisiod.gateway.parameter_sets import Size
from avisiod.gateway.prompt_catalogue import language
from tests.e2e.connected import FRAMES, connected, wait_ended
from tests.e2e.one_call import ALIKE, PROMPTS
from tests.network.internet import HOME, MOBILE
from tests.network.networks import Network
from tests.network.place import Place
from tests.peers import portal
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Relative
from tests.peers.media import find_sound, read_wav
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

GRACE_S = 60.0
ANOTHER_PICTURE = 25.0
"""Mean difference of a colour, of 255: a phone's colours are a little off, another picture is far away."""


class Talk:
    """The call, seen from everywhere."""

    def __init__(self, place: Place, phone: BaresipPhone, relative: Relative, call: str) -> None:
        self.place = place
        self.phone = phone
        self.relative = relative
        self.call = call
        self.left_s = 0.0

    def row(self) -> dict[str, Any]:
        return next(row for row in self.place.calls() if row["id"] == self.call)

    def events(self) -> list[str]:
        return [str(row["event"]) for row in self.place.journal(self.call)]

    def wait_state(self, state: str, timeout: float) -> None:
        wait_until(lambda: self.row()["state"] == state, timeout, f"the call is {state}: {self.events()[-6:]}")

    def wait_both_see(self) -> None:
        """Fresh pictures on both sides, and sound from the cell, within the grace."""
        self.wait_state("connected", GRACE_S)
        wait_until(lambda: portal.is_connected(self.relative), GRACE_S, "the page is back in the call")
        seen, shown = self.relative.seen().frames, self.phone.video().frames
        self.relative.wait_frames(seen + FRAMES, GRACE_S)
        self.phone.wait_frames(shown + FRAMES, GRACE_S)
        self.relative.wait_heard(-45.0)

    def wait_phone_is_told(self) -> None:
        """Picture and prompt of the interruption."""
        self.wait_state("interrupted", 40)
        before = self.phone.heard().duration_s
        prompt = read_wav(PROMPTS / "interrupted.wav")

        def said() -> bool:
            return find_sound(prompt, self.phone.heard(), max(before - 3.0, 0.0)).likeness > ALIKE

        wait_until(said, 20, "the phone hears that the call is interrupted", 0.3)
        assert nearest_picture(self.phone.snapshot("interrupted")) == prompt_catalogue.INTERRUPTED

    def outside_ports(self) -> set[int]:
        """The UDP ports towards pages that are bound now."""
        first, last = self.place.settings["media"]["outside_ports"]
        lines = self.place.net.box.run("ss", "-Hnua").splitlines()
        ports = {int(line.split()[3].rpartition(":")[2]) for line in lines}
        return {port for port in ports if first <= port <= last}

    def is_as_before(self) -> None:
        """One code, one leg, one clock that runs on."""
        assert self.events().count("CodeAccepted") == 1
        wait_until(lambda: len(self.outside_ports()) == 1, 10, "the old leg is closed")
        minutes, _, seconds = str(
            self.relative.evaluate("document.getElementById('remaining').textContent")
        ).partition(":")
        left = 60 * int(minutes) + int(seconds)
        assert 0 < left < (self.left_s or self.row()["limit_s"])
        self.left_s = left


def nearest_picture(snapshot: Path) -> str:
    """Which of our pictures a phone shows; empty where it shows something else."""
    shown = Image.open(snapshot).convert("RGB")
    difference = {}
    for name, text in language("fr").prompts.items():
        if text.title:
            drawn = pictures.render(name, text, Size(*shown.size))
            difference[name] = max(ImageStat.Stat(ImageChops.difference(shown, drawn)).mean)
    best = min(difference, key=lambda name: difference[name])
    return best if difference[best] < ANOTHER_PICTURE else ""


@pytest.fixture(scope="module")
def talk(place: Place, phone: BaresipPhone) -> Iterator[Talk]:
    with contextlib.ExitStack() as stack:
        with place.net.box.entered():
            relative, call = stack.enter_context(connected(place, phone))
        yield Talk(place, phone, relative, call)


def browsers(network: Network) -> list[int]:
    """The processes of the browser in that network."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            here = process.name.isdigit() and os.stat(process / "ns/net").st_ino == network.inode
            if here and "chromium" in (process / "exe").readlink().name:
                found.append(int(process.name))
    return found


def test_a_page_that_is_loaded_again_is_back(talk: Talk) -> None:
    talk.relative.reload()
    talk.wait_both_see()
    talk.is_as_before()
    assert talk.events().count("CameBack") == 1


def test_a_page_that_slept_is_back_where_it_was_and_the_phone_was_told_meanwhile(talk: Talk, place: Place) -> None:
    sleeping = browsers(place.net.page)
    assert sleeping
    connections, came_back = len(talk.relative.connections()), talk.events().count("CameBack")
    for process in sleeping:
        os.kill(process, signal.SIGSTOP)
    try:
        talk.wait_phone_is_told()
    finally:
        for process in sleeping:
            os.kill(process, signal.SIGCONT)
    talk.wait_both_see()
    talk.is_as_before()
    assert (len(talk.relative.connections()), talk.events().count("CameBack")) == (connections, came_back)


def test_a_lost_path_is_replaced_by_an_ice_restart_on_the_same_session(talk: Talk, place: Place) -> None:
    connections, came_back = len(talk.relative.connections()), talk.events().count("CameBack")
    port = talk.relative.path().remote_port
    place.net.home.treat(barred=port)
    wait_until(lambda: talk.relative.path().remote_port not in (0, port), 40, "the page uses another port of the box")
    talk.wait_both_see()
    talk.is_as_before()
    assert (len(talk.relative.connections()), talk.events().count("CameBack")) == (connections, came_back)


def test_a_page_whose_network_was_away_is_back_with_a_new_session(talk: Talk, place: Place) -> None:
    came_back = talk.events().count("CameBack")
    place.net.home.unplug()
    talk.wait_phone_is_told()
    talk.relative.wait_text("connexion est coupée", 40)
    place.net.home.treat()
    talk.wait_both_see()
    talk.is_as_before()
    assert talk.events().count("CameBack") > came_back


def test_a_page_that_goes_from_wifi_to_a_mobile_network_and_back_is_there_each_time(talk: Talk, place: Place) -> None:
    assert talk.relative.path().local_address == HOME
    place.net.go_mobile()
    wait_until(lambda: talk.relative.path().local_address == MOBILE, GRACE_S, "the page is there by another network")
    talk.wait_both_see()
    talk.is_as_before()
    place.net.go_home()
    wait_until(lambda: talk.relative.path().local_address == HOME, GRACE_S, "and back again")
    talk.wait_both_see()
    talk.is_as_before()


def test_a_second_tab_takes_the_call_over_and_the_first_one_is_told(talk: Talk) -> None:
    first = talk.relative
    talk.relative = first.second_tab()
    wait_until(lambda: portal.ending(first) == "L’appel continue ailleurs", GRACE_S, "the first tab is told")
    talk.wait_both_see()
    talk.is_as_before()


def test_the_recording_went_on_in_one_file_that_names_its_gaps(talk: Talk, place: Place, phone: BaresipPhone) -> None:
    phone.hang_up()
    row = wait_ended(place, talk.call)
    assert (row["end_reason"], row["charged"]) == ("detainee_hung_up", 1)
    wait_until(lambda: bool(place.rows("select * from recordings where call = ?", talk.call)), 15, "it is kept")
    files = [path for path in place.recordings_folder.rglob("*") if talk.call in path.name]
    (recording,) = [path for path in files if path.suffix == ".mkv"]
    assert sorted(path.suffix for path in files) == [".json", ".mkv"]
    manifest = verify(recording)
    for track in manifest.tracks:
        assert track.first_s is not None
        assert track.last_s is not None
        assert track.first_s < 5 < manifest.duration_s - 5 < track.last_s
    outside = next(track for track in manifest.tracks if track.name == "outside-audio")
    assert all(a.to_s <= b.from_s for a, b in zip(outside.gaps, outside.gaps[1:], strict=False))
    assert sum(gap.to_s - gap.from_s > 2 for gap in outside.gaps) >= 3
