"""Trying parts of the box for real, from outside of the daemon. Each blocks for seconds at most and never raises."""

import asyncio
import ctypes
import ctypes.util
import os
import re
import secrets
import shutil
import socket
import ssl
import struct
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aioice import stun
from aioice.turn import create_turn_endpoint

from avisiod.config.settings import Config, IceServer
from avisiod.switchboard.desk import ice_server

WITHIN_S = 3.0
TRIES = 3
"""A datagram may be lost, and the edge may just be starting."""
TURN_WITHIN_S = 6.0
TRIAL_BYTES = 32 * 2**20
LISTENS = re.compile(r"(?m)^\s*listen\s*=\s*udp:(\[[0-9A-Fa-f:]+\]|[0-9.]+):(\d+)")


def edge_place(config: Config, listens: str) -> tuple[str, int]:
    """Where Kamailio listens for phones, by its local settings: the first UDP socket that is not the inner one."""
    inner = {address.rpartition(":")[2] for address in config.sip.edge}
    places = [(host.strip("[]"), int(port)) for host, port in LISTENS.findall(listens) if port not in inner]
    return places[0] if places else ("127.0.0.1", 5060)


def options(host: str, port: int, within_s: float = WITHIN_S) -> str:
    """The first line that an OPTIONS over UDP is answered with (RFC 3261 section 11); empty: nothing came."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asker:
            asker.settimeout(within_s / TRIES)
            asker.connect((host, port))
            ours, from_port = asker.getsockname()[:2]
            here, there = (f"[{ours}]", f"[{host}]") if family == socket.AF_INET6 else (ours, host)
            lines = (
                f"OPTIONS sip:{there}:{port} SIP/2.0",
                f"Via: SIP/2.0/UDP {here}:{from_port};branch=z9hG4bK{secrets.token_hex(8)};rport",
                f"From: <sip:doctor@{there}>;tag={secrets.token_hex(4)}",
                f"To: <sip:{there}>",
                f"Call-ID: {secrets.token_hex(8)}@{here}",
                "CSeq: 1 OPTIONS",
                f"Contact: <sip:doctor@{here}:{from_port}>",
                "Max-Forwards: 70",
                "Content-Length: 0",
            )
            for _ in range(TRIES):
                asker.send(("\r\n".join(lines) + "\r\n\r\n").encode())
                try:
                    return asker.recv(4096).partition(b"\r\n")[0].decode(errors="replace")
                except TimeoutError:
                    continue
    except OSError:
        return ""
    return ""


class Heard(NamedTuple):
    """What came of a test call."""

    packets: int
    problem: str


def media_call(address: str, probe: Callable[[str, str], str], within_s: float = WITHIN_S) -> Heard:
    """Call a media worker as a phone would, and count the packets of its prompt. `probe`: step and offer to answer.

    Whatever `probe` raises is left to the caller.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as phone:
        try:
            phone.bind((address, 0))
        except OSError as error:
            return Heard(0, f"media.phone_address {address} cannot be bound: {error.strerror}")
        version, port = ("IP6" if family == socket.AF_INET6 else "IP4"), phone.getsockname()[1]
        offer = (
            f"v=0\r\no=doctor 1 1 IN {version} {address}\r\ns=-\r\nc=IN {version} {address}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=sendrecv\r\n"
        )
        answer = probe("open", offer)
        try:
            target = re.search(r"^m=audio (\d+) ", answer, re.MULTILINE)
            if not target or target[1] == "0":
                return Heard(0, "the media worker answered without sound")
            probe("speak", "")
            return Heard(_received(phone, (address, int(target[1])), within_s), "")
        finally:
            probe("close", "")


def _received(phone: socket.socket, worker: tuple[str, int], within_s: float) -> int:
    """Send silence as a phone does, count RTP that comes, until a second of it is there or the time is over."""
    silence, ssrc = b"\xd5" * 160, secrets.randbits(32)
    until, packets, sent = time.monotonic() + within_s, 0, 0
    phone.settimeout(0.02)
    while time.monotonic() < until and packets < 50:
        phone.sendto(struct.pack("!BBHII", 0x80, 8, sent & 0xFFFF, sent * 160 & 0xFFFFFFFF, ssrc) + silence, worker)
        sent += 1
        try:
            packet = phone.recv(2048)
        except TimeoutError:
            continue
        packets += len(packet) > 12 and packet[0] >> 6 == 2 and packet[1] & 0x7F == 8
    return packets


class Relayed(NamedTuple):
    """What a STUN or TURN server did."""

    url: str
    address: str
    problem: str


def ice(server: IceServer, secret: bytes, expires: int) -> list[Relayed]:
    """Allocate at a TURN server with a credential as relatives get one, or ask a STUN server who we are."""
    credentials = ice_server(server, secret, "doctor", expires)
    user, password = str(credentials.get("username", "")), str(credentials.get("credential", ""))
    return [asyncio.run(_ice(url, user, password)) for url in server.urls]


async def _ice(url: str, user: str, password: str) -> Relayed:
    try:
        async with asyncio.timeout(TURN_WITHIN_S):
            return Relayed(url, await _asked(url, user, password), "")
    except TimeoutError:
        return Relayed(url, "", f"no answer within {TURN_WITHIN_S:.0f} s")
    except stun.TransactionFailed as error:
        code, reason = error.response.attributes.get("ERROR-CODE", (0, ""))
        return Relayed(url, "", f"refused with {code} {reason}".strip())
    except (OSError, ValueError, stun.TransactionError) as error:
        return Relayed(url, "", str(error) or type(error).__name__)


async def _asked(url: str, user: str, password: str) -> str:
    scheme, _, rest = url.partition(":")
    place, _, query = rest.partition("?")
    transport = dict(urllib.parse.parse_qsl(query)).get("transport", "tcp" if scheme == "turns" else "udp")
    parts = urllib.parse.urlsplit(f"//{place}")
    host, port = parts.hostname or "", parts.port or (5349 if scheme in ("turns", "stuns") else 3478)
    if scheme.startswith("stun"):
        return await _binding(host, port)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    secure = ssl.create_default_context() if scheme == "turns" else None
    relay, _ = await create_turn_endpoint(
        asyncio.DatagramProtocol, (str(found[0][4][0]), port), user, password, ssl=secure, transport=transport
    )
    try:
        host, port = relay.get_extra_info("sockname")[:2]
        return f"{host} port {port}"
    finally:
        relay.close()


async def _binding(host: str, port: int) -> str:
    """A STUN binding request (RFC 8489 section 2)."""
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)

    class Asker(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            del addr
            seen = stun.parse_message(data).attributes.get("XOR-MAPPED-ADDRESS")
            if seen is not None and not answered.done():
                answered.set_result(f"{seen[0]} port {seen[1]}")

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Asker, remote_addr=(host, port))
    try:
        while True:
            transport.sendto(bytes(request))
            done, _ = await asyncio.wait({answered}, timeout=0.5)
            if done:
                return answered.result()
    finally:
        transport.close()


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as it is read; the rest is room for what the kernel writes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


STA_UNSYNC = 0x40


def clock() -> tuple[bool | None, float]:
    """Whether the kernel's clock is synchronised, and by how many seconds it may be off; None: it does not tell."""
    library = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    timex = _Timex(modes=0)
    if library.adjtimex(ctypes.byref(timex)) < 0:
        return None, 0.0
    return not timex.status & STA_UNSYNC, timex.maxerror / 1e6


class Written(NamedTuple):
    """What came of a trial on the recordings' disk."""

    free_bytes: int
    bytes_per_s: float
    sync_s: float
    """Until a single small write lay on the disk."""
    problem: str


def disk(folder: Path) -> Written:
    """Write a file of TRIAL_BYTES, or of one byte where there is no room, and delete it again. Blocks."""
    trial = folder / f".avisiod-doctor-{os.getpid()}"
    try:
        free = shutil.disk_usage(folder).free
        size = TRIAL_BYTES if free >= 4 * TRIAL_BYTES else 0
        with trial.open("wb", buffering=0) as file:
            began = time.monotonic()
            piece = secrets.token_bytes(2**20)  # not zeros, which a clever disk does not write
            for _ in range(size // len(piece)):
                file.write(piece)
            os.fsync(file.fileno())
            written = time.monotonic()
            file.write(b"x")
            os.fsync(file.fileno())
            settled = time.monotonic()
    except OSError as error:
        return Written(0, 0.0, 0.0, f"{folder}: {error.strerror}")
    finally:
        trial.unlink(missing_ok=True)
    speed = size / max(written - began, 1e-6) if size else DISK_UNKNOWN
    return Written(free, speed, settled - written, "")


DISK_UNKNOWN = 1e9
"""The speed of a disk that has no room for a trial: its want of room is what counts."""
