"""Networks of the tests' own: namespaces, links between them, NAT, and what makes a network bad.

A namespace is held by a process, so that nothing is left of it, of its links and of its rules when the tests end,
however they do. It takes root; `may_make` tells.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.peers.namespace import inside
from tests.peers.processes import Process
from tests.peers.waiting import wait_until

_CAP_SYS_ADMIN = 21


def may_make() -> bool:
    """Whether this process may make networks."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(found and int(found[1], 16) >> _CAP_SYS_ADMIN & 1)


class Network:
    """A host, or a router, with interfaces of its own; loopback is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder = Process(["unshare", "--net", "sleep", "infinity"], name=f"network {name}")
        ours = os.stat("/proc/self/ns/net").st_ino
        wait_until(lambda: os.stat(self._path).st_ino != ours, 10, f"the network {name} is there")
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def _path(self) -> str:
        return f"/proc/{self._holder.pid}/ns/net"

    @property
    def pid(self) -> int:
        return self._holder.pid

    @property
    def inode(self) -> int:
        """What tells it from others: /proc/PID/ns/net of whoever is in it has the same."""
        return os.fstat(self._descriptor).st_ino

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in the network: so are the sockets, threads and processes that it makes meanwhile."""
        with inside(self._descriptor):
            yield

    def run(self, *argv: str, text: str = "") -> str:
        """Run a program in it to its end; its output. CalledProcessError with what it said where it fails."""
        done = subprocess.run(
            ["nsenter", f"--net={self._path}", *argv], input=text, capture_output=True, text=True, timeout=30
        )
        if done.returncode:
            raise AssertionError(f"{self.name}: {' '.join(argv)}: {done.stderr.strip()}\n{text}")
        return done.stdout

    def link(self, device: str, address: str, peer: "Network", peer_device: str, peer_address: str) -> None:
        """A cable to another network; addresses with their prefix length."""
        self.cable(device, peer, peer_device)
        self.run("ip", "address", "add", address, "dev", device)
        peer.run("ip", "address", "add", peer_address, "dev", peer_device)

    def cable(self, device: str, peer: "Network", peer_device: str) -> None:
        """A cable to another network, without addresses."""
        self.run("ip", "link", "add", device, "type", "veth", "peer", "name", peer_device, "netns", str(peer.pid))
        self.run("ip", "link", "set", device, "up")
        peer.run("ip", "link", "set", peer_device, "up")

    def address6(self, device: str, address: str) -> None:
        """An IPv6 address, of use at once: nobody else has it."""
        self.run("ip", "address", "add", address, "dev", device, "nodad")

    def route(self, gateway: str, destination: str = "default") -> None:
        """Send there, by way of the gateway, what is not local."""
        version = "-6" if ":" in gateway else "-4"
        self.run("ip", version, "route", "replace", destination, "via", gateway)

    def forward(self) -> None:
        """Be a router."""
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def rules(self, text: str) -> None:
        """nftables rules, in place of the earlier ones."""
        self.run("nft", "-f", "-", text=f"flush ruleset\n{text}\n")

    def rate(self, device: str, kbit_s: int) -> None:
        """What leaves by this device, at most; 0 for no limit. More waits for 100 ms, and is dropped then."""
        with contextlib.suppress(AssertionError):
            self.run("tc", "qdisc", "del", "dev", device, "root")
        if kbit_s:
            limit = ("rate", f"{kbit_s}kbit", "burst", "4kb", "latency", "100ms")
            self.run("tc", "qdisc", "add", "dev", device, "root", "tbf", *limit)

    def close(self) -> None:
        os.close(self._descriptor)
        self._holder.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
