"""SIGHUP: settings are taken up whole or not at all, and what waits for a restart is named."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from avisiod.config.reload_rules import AT_RELOAD, change
from avisiod.config.settings import Calls, Config, Log, Media, Site
from avisiod.reloading import NotTaken, Reloading

KEYS = [
    f"{section.name}.{field.name}"
    for section in msgspec.structs.fields(Config)
    for field in msgspec.structs.fields(section.type)
]


def test_every_key_that_a_reload_takes_up_exists() -> None:
    assert set(KEYS) >= AT_RELOAD


def altered(keys: set[str]) -> Config:
    """The defaults with other values at these keys; whether they make sense does not matter here."""
    sections = {}
    for section in msgspec.structs.fields(Config):
        mine = {key.partition(".")[2]: object() for key in keys if key.startswith(f"{section.name}.")}
        sections[section.name] = msgspec.structs.replace(getattr(Config(), section.name), **mine)
    return Config(**sections)


@given(keys=st.sets(st.sampled_from(KEYS)))
def test_of_any_change_each_key_is_taken_now_or_named_for_later_and_nothing_else_moves(keys: set[str]) -> None:
    old, new = Config(), altered(keys)
    found = change(old, new)
    assert set(found.taken) == keys & AT_RELOAD
    assert set(found.later) == keys - AT_RELOAD
    for key in KEYS:
        section, _, name = key.partition(".")
        source = new if key in found.taken else old
        assert getattr(getattr(found.config, section), name) is getattr(getattr(source, section), name)


class Rooms:
    """Takes settings up, or cannot."""

    def __init__(self) -> None:
        self.config = Config()
        self.wrong: Exception | None = None
        self.prepared = 0
        self.waits: Deferred[None] | None = None
        self.reached: Deferred[None] = Deferred()

    async def prepare(self, config: Config) -> Callable[[], Awaitable[None]]:
        self.prepared += 1
        if self.waits is not None:
            waits, self.waits = self.waits, None
            self.reached.callback(None)
            await waits
        if self.wrong is not None:
            raise self.wrong

        async def take() -> None:
            self.config = config

        return take


class Scene:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "avisiod.yaml"
        self.file.write_text("calls: {limit_s: 300}\n")
        self.rooms = Rooms()
        self.told: list[str] = []
        self.reloading = Reloading(self.file, self.rooms, self.told.append)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("avisiod.config.paths.found", lambda _config: [])
    return Scene(tmp_path)


@pytest_twisted.ensureDeferred
async def test_a_good_file_is_taken_up_and_told(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    scene.file.write_text("calls: {limit_s: 300, capacity: 100}\nlog: {level: DEBUG}\nsip: {port: 5070}\n")
    await scene.reloading.reload()
    assert scene.rooms.config == Config(calls=Calls(limit_s=300, capacity=100), log=Log(level="DEBUG"))
    assert scene.told == ["taken"]
    assert "new from the next call on: calls.limit_s, calls.capacity, log.level" in caplog.text
    assert "sip.port was changed, which takes a restart" in caplog.text


@pytest_twisted.ensureDeferred
async def test_a_capacity_that_the_workers_cannot_carry_is_named(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.file.write_text("calls: {capacity: 100}\n")
    await scene.reloading.reload()
    assert "calls.capacity needs more SIP workers" in caplog.text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("calls: {limits_s: 300}", "calls.limits_s: unknown key"),
        ("calls: {limit_s: -1}", "calls.limit_s"),
        ("calls: [", "avisiod.yaml"),
        ("calls: {limit_s: 60, warnings_s: [120]}", "a warning 120 s before the end"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_bad_file_changes_nothing_and_is_named(
    scene: Scene, caplog: pytest.LogCaptureFixture, text: str, named: str
) -> None:
    scene.file.write_text(text)
    await scene.reloading.reload()
    assert (scene.rooms.config, scene.rooms.prepared, scene.told) == (Config(), 0, ["refused"])
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("the settings were not reloaded, those in use stay")
    assert named in line
    assert "\n" not in line


@pytest.mark.parametrize("wrong", [NotTaken("line 3 of the inventory"), RuntimeError("never thought of")])
@pytest_twisted.ensureDeferred
async def test_a_room_that_cannot_use_it_changes_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture, wrong: Exception
) -> None:
    scene.rooms.wrong = wrong
    await scene.reloading.reload()
    assert (scene.rooms.config, scene.told) == (Config(), ["refused"])
    assert "those in use stay" in caplog.text


@pytest_twisted.ensureDeferred
async def test_what_is_asked_for_during_a_reload_is_done_once_after_it(scene: Scene) -> None:
    scene.rooms.waits = waits = Deferred()
    first = Deferred.fromCoroutine(scene.reloading.reload())
    for _ in range(3):
        await scene.reloading.reload()
    await scene.rooms.reached
    scene.file.write_text("site: {name: other}\nmedia: {workers: 3}\n")
    waits.callback(None)
    await first
    assert scene.told == ["taken", "taken"]
    assert scene.rooms.config == Config(site=Site(name="other"), media=Media())
