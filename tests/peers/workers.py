"""A daemon's worker processes, seen from outside: which there are, which holds a port, what they hold open."""

import contextlib
import os
from pathlib import Path


def workers(daemon: int, module: str = "") -> list[int]:
    """Process ids of the daemon's workers; with `module` (`media_worker`, `sip_worker`) of that kind only."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{daemon}/task").iterdir():
            with contextlib.suppress(OSError):
                children = [int(child) for child in (task / "children").read_text().split()]
                found += [child for child in children if f"avisiod.gateway.{module}" in command(child)]
    return found


def command(pid: int) -> str:
    """How the process was called; empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def holder_of(udp_port: int, pids: list[int]) -> int | None:
    """Which of these processes has the UDP port open."""
    inodes = set()
    for table in ("udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == udp_port:
                inodes.add(f"socket:[{fields[9]}]")
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in inodes:
                        return pid
    return None


def udp_ports_between(first: int, last: int) -> list[int]:
    """Ports of this range, both ends included, on which anybody of this machine listens by UDP."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    ports = {int(line.split()[1].rpartition(":")[2], 16) for line in lines}
    return sorted(port for port in ports if first <= port <= last)
