"""What goes wrong in a soak: each function harms a stage that is in use, undoes it, and returns what it did."""

import contextlib
import os
import random
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.stage import Stage
from tests.peers.disk import Disk
from tests.peers.waiting import NotSeen, wait_until
from tests.peers.workers import command, workers
from tests.soak.story import Call, Fault

BACK_WITHIN_S = 30.0
JUMP_S = 3600
SPARE_DESCRIPTORS = 3

Harm = Callable[["Scene", random.Random], Fault]


class Scene:
    """What the faults are done to."""

    def __init__(self, stage: Stage, disk: Disk, running: Callable[[], list[Call]]) -> None:
        self.stage = stage
        self.disk = disk
        self.running = running
        """The calls under way."""
        self.jumped_s = 0

    def victim(self, module: str, dice: random.Random) -> int:
        """A worker that holds a call, where one does; else any."""
        those = workers(self.stage.daemon.pid, module)
        held = {call.media_pid if module == "media_worker" else call.sip_pid for call in self.running()}
        return dice.choice(sorted(set(those) & held) or sorted(those))

    def wait_back(self, module: str, pid: int, count: int) -> None:
        """As many serve as before, and the one that was hit is gone."""

        def back() -> bool:
            there = workers(self.stage.daemon.pid, module)
            return pid not in there and len(there) == count and self.served(module) == count

        wait_until(back, BACK_WITHIN_S, f"{count} of {module} serve again")

    def served(self, module: str) -> int:
        """How many workers have taken their settings since they were started: control logs each by its process id."""
        serving = {
            line.rpartition("pid ")[2].rstrip(")") for line in self.stage.daemon.lines.items() if "runs (pid" in line
        }
        return sum(str(pid) in serving for pid in workers(self.stage.daemon.pid, module))


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _worker_ends(module: str, how: signal.Signals) -> Harm:
    def harm(scene: Scene, dice: random.Random) -> Fault:
        count = len(workers(scene.stage.daemon.pid, module))
        pid = scene.victim(module, dice)
        fault = Fault(f"{module} {how.name}", time.monotonic(), pid=pid)
        mark = scene.stage.daemon.lines.mark()
        os.kill(pid, how)
        if how is not signal.SIGSTOP:
            scene.wait_back(module, pid, count)
        else:
            scene.stage.daemon.wait_for_line(rf"\(pid {pid}\) (was stopped|is killed)", BACK_WITHIN_S, since=mark)
            wait_until(lambda: _state(pid) != "T", BACK_WITHIN_S, f"{module} {pid} is no longer stopped")
            if command(pid) == "":
                scene.wait_back(module, pid, count)
                fault.facts["replaced"] = True
        fault.facts["back_s"] = round(time.monotonic() - fault.began_at, 2)
        return fault

    return harm


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def control_killed(scene: Scene, dice: random.Random) -> Fault:
    """As systemd does it: started again a second after the last of its processes has ended."""
    left = workers(scene.stage.daemon.pid)
    fault = Fault("control SIGKILL", time.monotonic())
    os.kill(scene.stage.daemon.pid, signal.SIGKILL)
    wait_until(lambda: not any(command(pid) for pid in left), BACK_WITHIN_S, "its workers have ended")
    pause(1.0)
    scene.stage.start_daemon()
    fault.facts["back_s"] = round(time.monotonic() - fault.began_at, 2)
    return fault


def control_restarted(scene: Scene, dice: random.Random) -> Fault:
    """`systemctl restart`."""
    fault = Fault("control restarted", time.monotonic())
    scene.stage.daemon.signal(signal.SIGTERM)
    fault.facts["status"] = scene.stage.daemon.wait(90)
    scene.stage.start_daemon()
    fault.facts["back_s"] = round(time.monotonic() - fault.began_at, 2)
    return fault


def control_stopped(scene: Scene, dice: random.Random) -> Fault:
    fault = Fault("control SIGSTOP", time.monotonic())
    os.kill(scene.stage.daemon.pid, signal.SIGSTOP)
    pause(dice.uniform(1.0, 5.0))
    os.kill(scene.stage.daemon.pid, signal.SIGCONT)
    return fault


def edge_killed(scene: Scene, dice: random.Random) -> Fault:
    fault = Fault("kamailio SIGKILL", time.monotonic())
    scene.stage.edge.process.kill()
    pause(dice.uniform(0.5, 3.0))
    scene.stage.edge.start()
    return fault


def modem_unplugged(scene: Scene, dice: random.Random) -> Fault:
    fault = Fault("modem unplugged", time.monotonic())
    scene.stage.modem.unplug()
    pause(dice.uniform(2.0, 15.0))
    scene.stage.modem.plug()
    _usable(scene)
    return fault


def modem_silent(scene: Scene, dice: random.Random) -> Fault:
    fault = Fault("modem silent", time.monotonic())
    scene.stage.modem.faults.silent = True
    pause(dice.uniform(2.0, 12.0))
    scene.stage.modem.faults.silent = False
    _usable(scene)
    return fault


def _usable(scene: Scene) -> None:
    wait_until(lambda: scene.stage.metrics()["avisiod_modem_usable"] == 1.0, 60, "the modem is back", 0.5)


def disk_full(scene: Scene, dice: random.Random) -> Fault:
    fault = Fault("disk full", time.monotonic())
    scene.disk.fill()
    pause(dice.uniform(4.0, 10.0))
    fault.facts["full_until"] = time.monotonic()
    scene.disk.make_room()
    pause(6.0)  # control looks at the disk every five seconds
    return fault


def disk_slow(scene: Scene, dice: random.Random) -> Fault:
    """For a time within what a recorder's queue holds: nothing may come of it."""
    fault = Fault("disk slow", time.monotonic())
    scene.disk.freeze()
    pause(dice.uniform(2.0, 6.0))
    scene.disk.thaw()
    return fault


def disk_hangs(scene: Scene, dice: random.Random) -> Fault:
    """Longer than that."""
    fault = Fault("disk hangs", time.monotonic())
    scene.disk.freeze()
    pause(14.0)
    scene.disk.thaw()
    return fault


def database_locked(scene: Scene, dice: random.Random) -> Fault:
    """For a time within what the store waits: nothing may come of it."""
    return _lock(scene, dice.uniform(1.0, 4.0), "database locked")


def database_locked_long(scene: Scene, dice: random.Random) -> Fault:
    return _lock(scene, dice.uniform(10.0, 30.0), "database locked long")


def _lock(scene: Scene, seconds: float, kind: str) -> Fault:
    with contextlib.closing(sqlite3.connect(scene.stage.database, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        fault = Fault(kind, time.monotonic())
        pause(seconds)
        other.execute("ROLLBACK")
    return fault


def clock_jumps(scene: Scene, dice: random.Random) -> Fault:
    fault = Fault("clock jumps", time.monotonic())
    scene.jumped_s = dice.choice([offset for offset in (-JUMP_S, 0, JUMP_S) if offset != scene.jumped_s])
    set_clock(scene.stage.folder, scene.jumped_s)
    fault.facts["ahead_s"] = scene.jumped_s
    pause(2.0)
    return fault


def set_clock(folder: Path, ahead_s: int) -> None:
    """For a daemon under libfaketime."""
    aside = folder / "faketime.new"
    aside.write_text(f"{ahead_s:+d}s\n")
    aside.rename(folder / "faketime")


def no_descriptors(scene: Scene, dice: random.Random) -> Fault:
    """A media worker can open next to nothing any more."""
    pid = scene.victim("media_worker", dice)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    fault = Fault("no descriptors", time.monotonic(), pid=pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + SPARE_DESCRIPTORS, hard))
    pause(dice.uniform(5.0, 15.0))
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    return fault


FAULTS: dict[str, Harm] = {
    "sip-kill": _worker_ends("sip_worker", signal.SIGKILL),
    "sip-abort": _worker_ends("sip_worker", signal.SIGABRT),
    "sip-stop": _worker_ends("sip_worker", signal.SIGSTOP),
    "media-kill": _worker_ends("media_worker", signal.SIGKILL),
    "media-abort": _worker_ends("media_worker", signal.SIGABRT),
    "media-stop": _worker_ends("media_worker", signal.SIGSTOP),
    "control-kill": control_killed,
    "control-restart": control_restarted,
    "control-stop": control_stopped,
    "edge-kill": edge_killed,
    "modem-unplug": modem_unplugged,
    "modem-silent": modem_silent,
    "disk-full": disk_full,
    "disk-slow": disk_slow,
    "disk-hang": disk_hangs,
    "database-lock": database_locked,
    "database-lock-long": database_locked_long,
    "clock-jump": clock_jumps,
    "descriptors": no_descriptors,
}


def inflict(name: str, scene: Scene, dice: random.Random) -> Fault:
    """Do it and undo it; what the scene could not get over is in `facts["not_over"]`."""
    began = time.monotonic()
    try:
        fault = FAULTS[name](scene, dice)
    except (NotSeen, OSError) as error:
        fault = Fault(name, began, facts={"not_over": str(error)[:500]})
    fault.ended_at = time.monotonic()
    return fault
