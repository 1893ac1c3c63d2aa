"""Try the package for real: a fresh Debian 12 with its own systemd, and calls through what was installed there.

Usage, as root: .venv/bin/python -m tests.deb DEB [FOLDER]     FOLDER is build/deb-test/try unless told
Needs debootstrap, and a way to the servers of Debian's packages; what it downloaded is kept in build/deb-test.

The Debian in FOLDER boots in namespaces of its own and has two networks: the prison's with a baresip phone, the
outside's with Chromium. The folder is deleted when everything was seen to happen, and left for inspection when not.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench import machine as bench_machine
from tests.deb import page
from tests.deb.changes import Changes
from tests.deb.machine import PHONE, PRISON, ROOT, Machine, tell
from tests.deb.trial import PASSWORD
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Chromium
from tests.peers.waiting import NotSeen

CACHE = ROOT / "build" / "deb-test"


def main() -> int:
    """Exit status: 0 only if everything was seen to happen."""
    if os.geteuid():
        sys.exit("run this as root: it boots a machine of its own")
    deb = Path(sys.argv[1]).resolve()
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else CACHE / "try").resolve()
    if folder.exists():
        sys.exit(f"{folder} is left from an earlier try: look at it, then delete it")
    machine = Machine(folder, CACHE)
    try:
        machine.make()
        tell("a fresh Debian 12")
        with machine.booted():
            steps = Changes(machine, deb)
            _try(machine, steps, folder)
    except (NotSeen, OSError, subprocess.SubprocessError) as error:
        tell(f"it stopped here: {error}")
        sys.stdout.write(f"\n  the machine's folder and log are left in {folder}\n")
        return 1
    tell("powered off")
    facts = {**bench_machine.facts(), "load": f"{os.getloadavg()[2]:.1f} over the last quarter of an hour"}
    page.write(facts, steps.figures, steps.memory)
    shutil.rmtree(folder)
    return 0


def _try(machine: Machine, steps: Changes, folder: Path) -> None:
    machine.join_networks()
    steps.install()
    with steps.modem() as modem:
        steps.configure()
        steps.measure()
        steps.backed_up()
        steps.options()
        phone = BaresipPhone(
            folder / "phone", user="cell-101", password=PASSWORD, edge=f"{PRISON}:5060", address=PHONE
        )
        with phone, Chromium() as browser:
            phone.wait_registered()
            tell("a phone registers")
            steps.whole_call(phone, modem, browser)
            steps.killed(phone, modem, browser)
            steps.hung()
            steps.stopped(phone, modem, browser)
            steps.make_later(folder)
            steps.full_disk()
            steps.no_backup()
            steps.upgraded(phone, modem, browser)
            steps.rolled_back()
            steps.cut_off()
            steps.foreign_database()
    steps.removed()
    steps.purged()


if __name__ == "__main__":
    sys.exit(main())
