"""What a technician does with the package and looks at, step by step."""

import contextlib
import json
import re
import socket
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage

from tests.deb.machine import OUTSIDE, PHONE, PRISON, Machine, see, tell
from tests.e2e.stage import code_of, make_certificate
from tests.peers import portal
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Chromium, Relative
from tests.peers.processes import Process
from tests.peers.waiting import wait_until

URL = f"https://{OUTSIDE}"
NUMBER = "0639980001"
UNITS = ("avisiod", "avisiod-edge")
DATA = "var/lib/avisiod"
SETTINGS = f"""\
site: {{admission: listed}}
calls: {{limit_s: 60.0, warnings_s: [30.0], drain_s: 0}}
media: {{phone_address: {PRISON}, outside_address: {OUTSIDE}}}
recordings: {{keep_free_bytes: 50000000}}
portal:
  address: {OUTSIDE}
  port: 443
  public_url: {URL}
  certificate_file: /etc/avisiod/portal.pem
  key_file: /etc/avisiod/portal.key
modem: {{device: /run/soft-modem}}
backup: {{recipients: [{pyrage.x25519.Identity.generate().to_public()}]}}
"""
INVENTORY = f"""\
phones:
  - {{id: cell-101, cell: A 101, password: a-password-for-a-try}}
contacts:
  - {{id: c-0001, number: "{NUMBER}"}}
"""
STARTS = 3
PASSWORD = "a-password-for-a-try"


class Trial:
    """The steps, in the order in which they are called; each says what it has seen."""

    def __init__(self, machine: Machine, deb: Path) -> None:
        self.machine = machine
        self.deb = deb
        self.etc = machine.root / "etc" / "avisiod"
        self.memory: dict[str, list[float]] = {}
        """MiB of each idle process by kind; what several share is counted once (PSS of proc(5))."""
        self.figures: dict[str, float] = {"deb_mb": deb.stat().st_size / 1e6}

    # --- From nothing to a call

    def install(self) -> None:
        """One apt install, and everything is there and runs."""
        inside = self.put(self.deb)
        self.machine.run("apt-get", "-q", "update", with_packages=True)
        began = time.monotonic()
        self.machine.apt("install", inside)
        self.figures["install_s"] = time.monotonic() - began
        wait_until(self.is_whole, 120, "a green selftest")
        self.figures["green_s"] = time.monotonic() - began
        self.machine.keep_downloads()
        tell(f"apt install to a green selftest: {self.figures['green_s']:.0f} s")
        for unit in UNITS:
            see(self.machine.says("systemctl", "is-enabled", unit).strip() == "enabled", f"{unit} is enabled")
        see(self.machine.show("kamailio", "ActiveState") == "inactive", "Debian's own Kamailio does not run")
        see(self.machine.show("coturn", "ActiveState") == "inactive", "a coturn that nobody configured does not run")
        see((self.etc / "avisiod.yaml").stat().st_mode & 0o777 == 0o640, "settings are closed to others")
        secret = self.etc / "secrets/turn.secret"
        see(secret.stat().st_mode & 0o007 == 0 and len(secret.read_text()) >= 32, "a secret was made")
        warned = self.machine.says("journalctl", "-u", "avisiod", "-p", "warning", "-o", "cat")
        see("media.phone_address: phones cannot reach" in warned, f"what is missing is told: {warned}")
        tell("a first configuration runs and says what it lacks")

    def configure(self) -> None:
        """As docs/install.md says; the modem is a soft one, whose port a real one would not need opened."""
        (self.etc / "avisiod.yaml").write_text(SETTINGS)
        (self.etc / "inventory.yaml").write_text(INVENTORY)
        local = self.etc / "kamailio" / "kamailio-local.cfg"
        local.write_text(re.sub(r"(?m)^(listen=\w+):127.0.0.1:5060$", rf"\1:{PRISON}:5060", local.read_text()))
        make_certificate(self.etc / "portal.pem", self.etc / "portal.key")
        self.machine.run("chgrp", "avisiod", "/etc/avisiod/portal.key")
        (self.etc / "portal.key").chmod(0o640)
        drop_in = self.machine.root / "etc/systemd/system/avisiod.service.d/soft-modem.conf"
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text("[Service]\nDeviceAllow=char-pts rw\nWatchdogSec=15\n")
        self.machine.run("systemctl", "daemon-reload")
        _, checked = self.machine.tries("runuser", "-u", "avisiod", "--", "avisiod", "--check-config")
        see("yaml: good" in checked and "1 phones, 1 contacts" in checked and "cannot reach" not in checked, checked)
        self.machine.run("systemctl", "restart", "avisiod", "avisiod-edge")
        self.serving()
        wait_until(self.is_whole, 60, "a green selftest of the site's own settings")
        tell("configured, restarted, selftest green")

    @contextlib.contextmanager
    def modem(self) -> Iterator[Process]:
        """A soft modem in there, whose port the service may open; a line of JSON for each SMS."""
        tests = Path(__file__).resolve().parent.parent
        self.machine.do("cp", "-r", tests, self.machine.root / "root" / "tests")
        python = "/usr/lib/avisiod/bin/python3 -m tests.peers.modem --link /run/soft-modem"
        with Process(self.machine.argv("sh", "-c", f"cd /root && exec {python}"), name="soft modem") as modem:
            ours = "test -e /run/soft-modem && chgrp dialout /run/soft-modem && chmod 660 /run/soft-modem"
            wait_until(lambda: self.runs("sh", "-c", ours), 30, "the modem's port")
            yield modem

    def measure(self) -> None:
        """How quickly it starts, and what it takes while nobody calls."""
        took, worked = [], []
        for _ in range(STARTS):
            self.machine.run("systemctl", "restart", "avisiod")
            begin, ready = (
                int(self.machine.show("avisiod", f"{moment}TimestampMonotonic"))
                for moment in ("ExecMainStart", "ActiveEnter")
            )
            took.append((ready - begin) / 1e6)
            worked.append(int(self.machine.show("avisiod", "CPUUsageNSec")) / 1e9)
        self.figures["ready_s"] = statistics.median(took)
        self.figures["ready_cpu_s"] = statistics.median(worked)
        wait_until(self.is_whole, 60, "a green selftest")
        for unit in UNITS:
            group = self.machine.show(unit, "ControlGroup").removeprefix("/")
            pids = self.machine.says("cat", f"/sys/fs/cgroup/{group}/cgroup.procs").split()
            for pid in pids:
                rollup = self.machine.says("cat", f"/proc/{pid}/smaps_rollup")
                mib = int(re.findall(r"(?m)^Pss:\s+(\d+)", rollup)[0]) / 1024
                command = self.machine.says("cat", f"/proc/{pid}/cmdline")
                worker = re.search(r"avisiod\.gateway\.(\w+)", command)
                kind = worker[1] if worker else "control" if unit == "avisiod" else "edge"
                self.memory.setdefault(kind, []).append(mib)
        self.figures["idle_mib"] = sum(map(sum, self.memory.values()))
        tell(f"from start to READY: {self.figures['ready_s']:.1f} s; idle: {self.figures['idle_mib']:.0f} MiB")
        tell(", ".join(f"{kind} {len(each)} x {sum(each) / len(each):.0f} MiB" for kind, each in self.memory.items()))

    def backed_up(self) -> None:
        """What the timer starts each night does its work."""
        timer = self.machine.says("systemctl", "is-active", "avisiod-backup.timer").strip()
        see(timer == "active", f"the timer of the backup runs: {timer}")
        self.machine.run("systemctl", "start", "avisiod-backup.service")
        made = list((self.machine.root / DATA / "backups").glob("*.age"))
        see(len(made) == 1 and made[0].stat().st_mode & 0o077 == 0, f"a sealed backup: {made}")
        tell("the timer's service made a sealed backup")

    def options(self) -> None:
        """The edge answers who asks whether it is there, from the prison's network."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind((PHONE, 0))
            phone.settimeout(1)
            port = phone.getsockname()[1]
            lines = (
                f"OPTIONS sip:{PRISON} SIP/2.0", f"Via: SIP/2.0/UDP {PHONE}:{port};branch=z9hG4bKtry;rport",
                f"From: <sip:cell-101@{PRISON}>;tag=try", f"To: <sip:{PRISON}>", "Call-ID: try", "CSeq: 1 OPTIONS",
                "Max-Forwards: 70", "Content-Length: 0", "", "",
            )  # fmt: skip

            def answered() -> bool:
                phone.sendto("\r\n".join(lines).encode(), (PRISON, 5060))
                with contextlib.suppress(TimeoutError):
                    return phone.recv(4096).startswith(b"SIP/2.0 200")
                return False

            wait_until(answered, 30, "an answer of the edge")
        tell("the edge answers OPTIONS from the prison's network")

    # --- Calls

    @contextlib.contextmanager
    def call(self, phone: BaresipPhone, modem: Process, browser: Chromium) -> Iterator[tuple[Relative, str]]:
        """A call in which both see each other; the relative, and the call's id."""
        wait_until(lambda: "avisiod_modem_usable 1.0" in self.metrics(), 60, "a modem that can send")
        sms = self._invited(phone, modem)
        relative = browser.relative()
        try:
            portal.join(relative, URL, code_of(sms["text"]))
            wait_until(lambda: portal.is_connected(relative), 60, "the page: connected")
            shown = phone.video().frames
            relative.wait_frames(20)
            phone.wait_frames(shown + 20)
            yield relative, str(self.rows("select id from calls order by created_utc desc limit 1")[0][0])
        finally:
            relative.close()

    def _invited(self, phone: BaresipPhone, modem: Process) -> dict[str, str]:
        """Dial until a code is sent: for a second after a start the edge says that no worker is there."""
        since, dialled = modem.lines.mark(), [phone.events.mark()]
        phone.dial(NUMBER)

        def sent() -> list[str]:
            return [line for line in modem.lines.items(since) if line.startswith("{")]

        def sent_at_last() -> bool:
            if not sent() and any(event.type == "CALL_CLOSED" for event in phone.events.items(dialled[-1])):
                dialled.append(phone.events.mark())
                phone.dial(NUMBER)
            return bool(sent())

        wait_until(sent_at_last, 90, "an SMS", 1.0)
        found: dict[str, str] = json.loads(sent()[0])
        return found

    def whole_call(self, phone: BaresipPhone, modem: Process, browser: Chromium) -> None:
        """Seen in the status while it runs, in journal and recordings when it is over."""
        with self.call(phone, modem, browser) as (_, call):
            tell("a call: both see each other")
            status = self.machine.show
            wait_until(lambda: "1 of 20" in status("avisiod", "StatusText"), 30, "the call in the status")
            phone.hang_up()
            self.ended(call, "detainee_hung_up")
        journal = self.machine.says("journalctl", "-o", "cat", f"CALL_ID={call}")
        see(len(journal.splitlines()) > 2, f"the journal knows the call by its id: {journal!r}")
        recordings = self.machine.root / DATA / "recordings"
        wait_until(lambda: any(call in path.name for path in recordings.rglob("*.mkv")), 30, "a sealed recording")
        tell("hung up; journal and recording are there")

    def killed(self, phone: BaresipPhone, modem: Process, browser: Chromium) -> None:
        """SIGKILL of the daemon's first process in the middle of a call."""
        mark = phone.events.mark()
        with self.call(phone, modem, browser) as (_, call):
            before = int(self.machine.show("avisiod", "NRestarts"))
            self.machine.run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "avisiod")
            phone.wait_closed(30, since=mark)
            tell("killed: the phone is hung up all the same")
            self.ended(call, "service_restarted", 90)
        self.serving()
        see(int(self.machine.show("avisiod", "NRestarts")) == before + 1, "restarted once")
        tell("restarted by systemd, the call ended as service_restarted")

    def hung(self) -> None:
        """A daemon that does nothing any more is ended by the watchdog."""
        before = int(self.machine.show("avisiod", "NRestarts"))
        self.machine.run("systemctl", "kill", "--kill-whom=main", "-s", "STOP", "avisiod")
        wait_until(lambda: int(self.machine.show("avisiod", "NRestarts")) > before, 90, "the watchdog's bite")
        self.serving()
        tell("hung: ended by the watchdog, restarted")

    def stopped(self, phone: BaresipPhone, modem: Process, browser: Chromium) -> None:
        """Both units are stopped in mid-call, as at a shutdown: the edge last, for the phone hears by it."""
        self._interrupted(phone, modem, browser, lambda: self.machine.run("systemctl", "stop", *UNITS))
        see(self.machine.show("avisiod", "Result") == "success", "systemd calls it a success")
        self.machine.run("systemctl", "start", *UNITS)
        self.serving()

    def _interrupted(self, phone: BaresipPhone, modem: Process, browser: Chromium, what: Any) -> None:
        mark = phone.events.mark()
        with self.call(phone, modem, browser) as (relative, call):
            done: list[Exception] = []

            def work() -> None:
                try:
                    what()
                except Exception as error:
                    done.append(error)

            stop = threading.Thread(target=work)
            stop.start()
            wait_until(lambda: bool(portal.ending(relative)), 60, "the page tells the end")
            phone.wait_closed(60, since=mark)
            stop.join()
            if done:
                raise done[0]
            ((state, reason),) = self.rows("select state, end_reason from calls where id = ?", call)
        see(state == "ended", f"the call ended in order: {state}, {reason}")
        tell(f"stopped in mid-call: both were told, the call ended as {reason}")

    # --- Helpers

    def put(self, deb: Path) -> str:
        """The package in there; its path."""
        self.machine.do("cp", deb, self.machine.root / "root" / deb.name)
        return f"/root/{deb.name}"

    def is_whole(self) -> bool:
        """Whether the selftest is green."""
        status, said = self.machine.tries("avisioctl", "selftest", "--json")
        return status == 0 and json.loads(said)["ok"] is True

    def metrics(self) -> str:
        """As Prometheus would read them."""
        read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9464/metrics').read().decode())"
        return self.machine.says("/usr/bin/python3", "-c", read)

    def serving(self) -> None:
        """Until both units run."""
        for unit in UNITS:
            wait_until(lambda unit=unit: self.machine.show(unit, "SubState") == "running", 120, f"{unit} runs")

    def ended(self, call: str, reason: str, timeout: float = 30) -> None:
        """Until the call has ended so."""

        def row() -> tuple[str, str]:
            return self.rows("select state, end_reason from calls where id = ?", call)[0]

        wait_until(lambda: row()[0] == "ended", timeout, "the call's end")
        see(row()[1] == reason, f"the call ended as {reason}, not {row()[1]}")

    def rows(self, query: str, *parameters: str) -> list[tuple[str, str]]:
        """What the database in there says."""
        database = self.machine.root / DATA / "avisiod.db"
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(query, parameters).fetchall()

    def runs(self, *argv: str) -> bool:
        """Whether it ends with exit status 0."""
        return subprocess.run(self.machine.argv(*argv), capture_output=True, check=False).returncode == 0
