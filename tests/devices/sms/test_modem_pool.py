"""Modems that come and go, each with a path of its own, as one route."""

import pytest
import pytest_twisted

from avisiod.config.sms import Modem
from avisiod.devices.sms.modem_pool import ModemPool
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.ports import Sms
from tests.devices.conftest import NUMBER, TEXT, SteeredClock, until
from tests.peers.modem import SoftModem


class Rig:
    def __init__(self, folder, pattern="modem-*") -> None:
        from twisted.internet import reactor

        self.folder = folder
        self.clock = SteeredClock()
        self.changes: list = []
        settings = Modem(device=str(folder / pattern), pin_mark_file=str(folder / "mark"))
        self.pool = ModemPool(settings, self.clock, reactor, changed=lambda path, state: self.changes.append(path))
        self.softs: list[SoftModem] = []

    def soft(self, name, **options) -> SoftModem:
        soft = SoftModem(self.folder / name, **options)
        soft.plug()
        self.softs.append(soft)
        return soft

    def until(self, condition, what, step=0.05):
        return until(condition, what, clock=self.clock, step=step)

    def send(self):
        sms = Sms(id="x", number=NUMBER, text=TEXT, valid_s=300, give_up_at=self.clock.now() + 60)
        return self.pool.send(sms)

    @property
    def usable(self) -> int:
        return sum(state.usable for state in self.pool.states.values())


@pytest.fixture
def rig(tmp_path):
    made = []

    def make(**options):
        made.append(Rig(tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.pool.stop()
        for soft in each.softs:
            soft.close()
        assert each.clock.pending == 0


@pytest_twisted.ensureDeferred
async def test_modems_are_taken_up_as_they_are_plugged_in(rig):
    r = rig()
    r.pool.start()
    with pytest.raises(RouteFailure) as caught:
        await r.send()
    assert caught.value.kind is FailureKind.NO_MODEM
    first = r.soft("modem-1")
    await r.until(lambda: r.usable == 1, "the first modem")
    await r.send()
    second = r.soft("modem-2")
    await r.until(lambda: r.usable == 2, "the second modem")
    first.faults.silent = True
    stuck = [r.send(), r.send()]
    await r.until(lambda: second.received, "a message by the other", step=0)
    assert (len(first.received), len(second.received)) == (1, 1)
    for each in stuck:
        each.addErrback(lambda _: None)


@pytest_twisted.ensureDeferred
async def test_a_modem_that_is_gone_is_dropped_and_one_that_starts_anew_is_not(rig):
    r = rig()
    soft = r.soft("modem-1")
    r.pool.start()
    await r.until(lambda: r.usable == 1, "the modem")
    modem = next(iter(r.pool.modems.values()))
    soft.unplug()
    await r.until(lambda: r.usable == 0, "its loss", step=0.2)
    soft.plug()
    await r.until(lambda: r.usable == 1, "its return", step=0.2)
    assert next(iter(r.pool.modems.values())) is modem
    soft.unplug()
    await r.until(lambda: not r.pool.modems, "dropped", step=0.5)
    assert r.changes[-1].endswith("modem-1")


@pytest_twisted.ensureDeferred
async def test_a_locked_sim_is_passed_by(rig):
    r = rig()
    locked, good = r.soft("modem-1", sim="puk"), r.soft("modem-2")
    r.pool.start()
    await r.until(lambda: r.usable == 1, "the good one")
    for _ in range(3):
        await r.send()
    assert (len(locked.received), len(good.received)) == (0, 3)


@pytest_twisted.ensureDeferred
async def test_a_whole_path_is_one_modem_whether_it_is_there_or_not(rig):
    r = rig(pattern="modem-7")
    r.pool.start()
    assert len(r.pool.modems) == 1
    with pytest.raises(RouteFailure) as caught:
        await r.send()
    assert caught.value.kind is FailureKind.NO_MODEM
