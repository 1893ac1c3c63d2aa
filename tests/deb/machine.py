"""A fresh Debian 12 in a folder, booted with its own systemd in namespaces of its own: no virtual machine."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.peers.waiting import NotSeen, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PRISON, PHONE = "192.0.2.1", "192.0.2.2"
OUTSIDE, RELATIVE = "198.51.100.1", "198.51.100.2"
CLONE_NEWNET = 0x40000000
FROM_HERE = (
    *("etc/apt/sources.list", "etc/apt/sources.list.d", "etc/apt/apt.conf.d", "usr/share/keyrings"),
    *("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"),
)
"""How this machine gets at packages."""
NOT_FROM_HERE = ("docker-clean", "docker-no-languages", "docker-gzip-indexes", "20packagekit", "50appstream")
"""What a server with Debian does not have."""
FIRST_PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates"
BEGAN = time.monotonic()


def tell(text: str) -> None:
    """Say what was seen to happen, and when."""
    sys.stdout.write(f"{time.monotonic() - BEGAN:6.1f} s  {text}\n")
    sys.stdout.flush()


def see(seen: bool, what: str) -> None:
    """NotSeen where it is not so."""
    if not seen:
        raise NotSeen(f"not so: {what}")


class Machine:
    """The Debian. What was downloaded for it is kept in `cache` for the next one."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.root = folder / "root"
        self.log = folder / "log.txt"
        self.cache = cache
        self._network = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._pid = 0
        folder.mkdir(parents=True)

    def make(self) -> None:
        """The Debian, as debootstrap makes it, with what this machine knows of the way to packages."""
        base = self.cache / "debian"
        if not base.exists():
            new = self.cache / "debian.new"
            shutil.rmtree(new, ignore_errors=True)
            new.parent.mkdir(parents=True, exist_ok=True)
            self.do("debootstrap", "--variant=minbase", f"--include={FIRST_PACKAGES}", "bookworm", new)
            new.rename(base)
        self.do("cp", "-a", base, self.root)
        (self.root / "etc/apt/sources.list").unlink(missing_ok=True)
        for name in FROM_HERE:
            here, there = Path("/", name), self.root / name
            if here.is_dir():
                shutil.copytree(here, there, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_FROM_HERE))
            elif here.exists():
                shutil.copyfile(here, there)
        (self.cache / "archives").mkdir(exist_ok=True)
        shutil.copytree(self.cache / "archives", self.root / "var/cache/apt/archives", dirs_exist_ok=True)

    def keep_downloads(self) -> None:
        """For the next machine."""
        for package in (self.root / "var/cache/apt/archives").glob("*.deb"):
            shutil.copyfile(package, self.cache / "archives" / package.name)

    @contextlib.contextmanager
    def booted(self) -> Iterator[None]:
        """Runs within, and is powered off after."""
        with self.log.open("ab") as log:
            boot = subprocess.Popen(
                [ROOT / "scripts" / "boot-root", self.root], stdout=log, stderr=log, start_new_session=True
            )
        told = self.root.with_name("root.pid")
        try:
            wait_until(lambda: told.exists() and told.read_text().strip() != "", 30, "a first process")
            self._pid = int(told.read_text())
            wait_until(lambda: self.says("systemctl", "is-system-running").strip() == "running", 90, "systemd runs")
            yield
        finally:
            if self._pid:
                os.kill(self._pid, signal.SIGRTMIN + 4)
            try:
                boot.wait(150)
            except subprocess.TimeoutExpired:
                os.kill(self._pid, signal.SIGKILL)
                boot.wait(10)

    def argv(self, *argv: str | Path, with_packages: bool = False) -> list[str | Path]:
        """How to run something in there; `with_packages`: on the network that leads to the package servers."""
        network = f"/proc/{os.getpid()}/fd/{self._network}" if with_packages else f"/proc/{self._pid}/ns/net"
        spaces = ["nsenter", "-t", str(self._pid), "-m", "-u", "-i", "-p", "-C", f"--net={network}"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*spaces, "env", "-i", path, "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *argv]

    def run(self, *argv: str | Path, with_packages: bool = False) -> None:
        """Run it in there, all output into the log; NotSeen where it fails."""
        self.do(*self.argv(*argv, with_packages=with_packages))

    def tries(self, *argv: str | Path, timeout: float = 240) -> tuple[int, str]:
        """Exit status, and everything that was said."""
        done = subprocess.run(
            self.argv(*argv),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(map(str, argv))}\n{done.stdout}")
        return done.returncode, done.stdout

    def says(self, *argv: str | Path) -> str:
        """Standard output, whatever the exit status."""
        done = subprocess.run(self.argv(*argv), capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    def show(self, unit: str, what: str) -> str:
        """A property of a unit, as `systemctl show` has it."""
        return self.says("systemctl", "show", "-P", what, unit).strip()

    def apt(self, *argv: str) -> None:
        """What a technician types, answered by its defaults; edited files are kept."""
        kept = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
        self.run("apt-get", "-qy", "--allow-downgrades", *kept, *argv, with_packages=True)

    def join_networks(self) -> None:
        """From here on we are the phones and the relatives: two cables, and no other way."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no network of our own")
        self.do("ip", "link", "set", "lo", "up")
        for name, theirs, ours in (("prison", PRISON, PHONE), ("outside", OUTSIDE, RELATIVE)):
            self.do("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}0", "netns", str(self._pid))
            self.do("ip", "address", "add", f"{ours}/24", "dev", name)
            self.do("ip", "link", "set", name, "up")
            inside = ("nsenter", "-t", str(self._pid), "-n")
            self.do(*inside, "ip", "address", "add", f"{theirs}/24", "dev", f"{name}0")
            self.do(*inside, "ip", "link", "set", f"{name}0", "up")

    def do(self, *argv: str | Path) -> None:
        """Run it out here, all output into the log; NotSeen where it fails."""
        with self.log.open("ab") as log:
            done = subprocess.run(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise NotSeen(f"{' '.join(map(str, argv))}: exit status {done.returncode}, see {self.log}")
