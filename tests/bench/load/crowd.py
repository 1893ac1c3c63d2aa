"""2,000 phones beside the calls: each registers every 10 minutes, reports 4 events and fetches its settings once.

The daemon, its database, its HTTPS server towards phones and the edge are real; the phones are one process that signs
its REGISTERs, answers OPTIONS and speaks TLS, a connection for each request, on the generator's core. What is told of
the HTTPS server is what a phone sees: from the connection's beginning to the answer's last byte, the handshake in it.
The media worker that is measured is another one beside the daemon, as in tests/bench/load/busy.py.
"""

import asyncio
import contextlib
import hashlib
import io
import json
import random
import re
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avisiod.calls.ids import PhoneId
from avisiod.cli.main import main as avisioctl
from avisiod.devices.provisioning.phone_secrets import PhoneSecrets, ha1_of
from tests.bench.load.busy import CLIENTS_CPU
from tests.e2e.stage import REALM, PhoneEntry, Stage
from tests.peers.authority import Authority
from tests.peers.booted_phone import trusting
from tests.peers.ports import free_port

PHONES = 2000
PERIOD_S = 600.0
EVENTS = 4
FIRST_S = 40.0
"""All phones register within so long at first, as after a power cut; then the load is steady."""
NAMES = ("off_hook", "on_hook", "call_established", "call_terminated")


def mac_of(n: int) -> str:
    return f"001565{n:06x}"


@contextlib.contextmanager
def running(folder: Path, phones: int = PHONES) -> Iterator[tuple[Stage, list[str]]]:
    """A daemon with its phones; the command that is all of them."""
    site = Authority(folder / "site")
    server = site.issue("server", "127.0.0.1")
    key = folder / "stage" / "state" / "phones.key"
    settings = {
        "provisioning": {
            "address": "127.0.0.1",
            "port": free_port(),
            "certificate_file": str(server),
            "key_file": str(server),
            "master_key_file": str(key),
            "transport": "udp",
            "requests_per_minute": 1_000_000,
        },
    }
    entries = [PhoneEntry(f"cell{n}", cell=f"A {n}") for n in range(phones)]
    with Stage(folder / "stage", phones=entries, settings=settings) as stage:
        devices = folder / "devices.csv"
        rows = "".join(f"cell{n},{mac_of(n)},yealink,VP59\n" for n in range(phones))
        devices.write_text("phone,mac,vendor,model\n" + rows)
        with contextlib.redirect_stdout(io.StringIO()):
            failed = avisioctl(["--config", str(stage.config_file), "devices", "import", str(devices)])
        if failed:
            raise RuntimeError("the devices could not be entered")
        _hand_out(stage.database, PhoneSecrets(key.read_bytes()), phones)
        command = [sys.executable, "-m", "tests.bench.load.crowd", str(stage.edge.port)]
        command += [str(stage.settings["provisioning"]["port"]), str(key), str(site.file), str(phones)]
        yield stage, ["taskset", "-c", str(CLIENTS_CPU), *command]


def _hand_out(database: Path, secrets: PhoneSecrets, phones: int) -> None:
    """As after each phone's first visit: its password is in force, its addresses are known."""
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as opened, opened:
        for n in range(phones):
            name = PhoneId(f"cell{n}")
            ha1 = ha1_of(name, REALM, secrets.of("sip", name, 1))
            opened.execute("UPDATE phones SET ha1 = ? WHERE id = ?", (ha1, name))
            opened.execute(
                "INSERT INTO phone_keys (phone, generation, served_utc) VALUES (?, 1, '2026-01-01T00:00:00.000000Z')",
                (name,),
            )


@contextlib.contextmanager
def beside(command: list[str], out: Path) -> Iterator[None]:
    """The crowd, registered and steady; what it saw of the HTTPS server is added to `out`."""
    crowd = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert crowd.stdout is not None
    assert crowd.stdin is not None
    try:
        if crowd.stdout.readline() != "steady\n":
            raise RuntimeError("the phones did not register")
        yield
    finally:
        crowd.stdin.close()
        told = crowd.stdout.read()
        crowd.wait(30)
        with out.open("a") as file:
            file.write(told)
        sys.stderr.write(told)


class Phones(asyncio.DatagramProtocol):
    """All of them, on one socket."""

    def __init__(self, edge: int, https: int, secrets: PhoneSecrets, context: ssl.SSLContext, count: int) -> None:
        self._edge, self._https, self._context, self._count = ("127.0.0.1", edge), https, context, count
        self._secrets = {n: {p: secrets.of(p, PhoneId(f"cell{n}"), 1) for p in ("sip", "fetch", "event")}
                         for n in range(count)}  # fmt: skip
        self._waiting: dict[str, asyncio.Future[tuple[int, str]]] = {}
        self._sequence = 0
        self.seen: dict[str, list[float]] = {"settings": [], "event": [], "register": []}
        self.failed = 0
        self.asked = 0
        """OPTIONS of ours that it answered."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        text = data.decode(errors="replace")
        if text.startswith("SIP/2.0 "):
            call = re.search(r"(?im)^call-id: (\S+)", text)
            waiting = self._waiting.get(call[1]) if call else None
            if waiting is not None and not waiting.done() and not text.startswith("SIP/2.0 1"):
                waiting.set_result((int(text[8:11]), text))
            return
        self.asked += text.startswith("OPTIONS ")
        kept = [line for line in text.split("\r\n") if re.match(r"(?i)(via|from|to|call-id|cseq):", line)]
        kept = [
            line + ";tag=mine" if line.lower().startswith("to:") and "tag=" not in line else line for line in kept
        ]
        self._transport.sendto("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode(), addr)

    async def register(self, n: int) -> None:
        began = time.perf_counter()
        status, text = await self._send(n, "")
        if status == 401:
            status, _ = await self._send(n, self._digest(n, text))
        if status == 200:
            self.seen["register"].append(time.perf_counter() - began)
        else:
            self.failed += 1

    async def _send(self, n: int, authorization: str) -> tuple[int, str]:
        self._sequence += 1
        call = f"{n}-crowd" if not authorization else f"{n}-crowd-a"
        me = f"127.0.0.1:{self._port}"
        lines = [
            f"REGISTER sip:{REALM} SIP/2.0",
            f"Via: SIP/2.0/UDP {me};rport;branch=z9hG4bK{self._sequence}",
            "Max-Forwards: 70",
            f"From: <sip:cell{n}@{REALM}>;tag=mine",
            f"To: <sip:cell{n}@{REALM}>",
            f"Call-ID: {call}",
            f"CSeq: {self._sequence} REGISTER",
            f"Contact: <sip:cell{n}@{me}>",
            "User-Agent: Yealink SIP-VP59 91.15.0.20",
            "Expires: 600",
            *([f"Authorization: {authorization}"] if authorization else []),
            "Content-Length: 0",
        ]
        waiting = self._waiting[call] = asyncio.get_running_loop().create_future()
        try:
            for patience_s in (0.5, 1.0, 2.0, 4.0, 4.0):  # as RFC 3261 section 17.1.2 repeats it
                self._transport.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), self._edge)
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(asyncio.shield(waiting), patience_s)
            return 0, ""
        finally:
            self._waiting.pop(call, None)

    def _digest(self, n: int, challenge: str) -> str:
        fields = dict(re.findall(r'(\w+)="?([^",\r\n]+)"?', challenge.partition("WWW-Authenticate:")[2]))
        uri = f"sip:{REALM}"
        ha1 = ha1_of(f"cell{n}", REALM, self._secrets[n]["sip"])
        ha2 = hashlib.md5(f"REGISTER:{uri}".encode()).hexdigest()
        response = hashlib.md5(f"{ha1}:{fields['nonce']}:00000001:abcdef:auth:{ha2}".encode()).hexdigest()
        return (
            f'Digest username="cell{n}", realm="{REALM}", nonce="{fields["nonce"]}", uri="{uri}", '
            f'response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="abcdef"'
        )

    async def visit(self, n: int, what: str) -> None:
        secret = self._secrets[n]["fetch" if what == "settings" else "event"]
        path = f"/c/{mac_of(n)}/{secret}/{mac_of(n)}.cfg"
        if what == "event":
            path = f"/e/{mac_of(n)}/{secret}/{random.choice(NAMES)}"
        began = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._https, ssl=self._context)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
        except (OSError, TimeoutError):
            answer = b""
        # The same event of a phone again within two seconds is none: 404 all the same is an answer.
        if answer.startswith(b"HTTP/1.1 200") or (what == "event" and answer.startswith(b"HTTP/1.1 404")):
            self.seen[what].append(time.perf_counter() - began)
        else:
            self.failed += 1

    async def again_and_again(self, n: int, what: str, every_s: float) -> None:
        """One thing that a phone does, for ever, from a moment of its own on."""
        await asyncio.sleep(random.random() * every_s)
        while True:
            await (self.register(n) if what == "register" else self.visit(n, what))
            await asyncio.sleep(every_s)


def percentile(values: list[float], share: float) -> float:
    """In ms."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000 if values else 0.0


async def crowd(edge: int, https: int, key: bytes, ca: Path, count: int) -> None:
    loop = asyncio.get_running_loop()
    phones = Phones(edge, https, PhoneSecrets(key), trusting(ca), count)
    await loop.create_datagram_endpoint(lambda: phones, local_addr=("127.0.0.1", 0))

    async def first(n: int) -> None:
        await asyncio.sleep(FIRST_S * n / count)
        await phones.register(n)

    await asyncio.gather(*(first(n) for n in range(count)))
    if phones.failed:
        raise RuntimeError(f"{phones.failed} of {count} phones could not register")
    for values in phones.seen.values():
        values.clear()
    each = (("register", PERIOD_S), ("settings", PERIOD_S), ("event", PERIOD_S / EVENTS))
    lives = [
        loop.create_task(phones.again_and_again(n, what, every_s)) for n in range(count) for what, every_s in each
    ]
    sys.stdout.write("steady\n")
    sys.stdout.flush()
    began = time.monotonic()
    await loop.run_in_executor(None, sys.stdin.read)
    told = {
        "phones": count,
        "seconds": round(time.monotonic() - began, 1),
        "failed": phones.failed,
        "options_answered": phones.asked,
        **{
            f"{what}_{name}_ms": round(percentile(values, share), 2)
            for what, values in phones.seen.items()
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        },
        "counts": {what: len(values) for what, values in phones.seen.items()},
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    for life in lives:
        life.cancel()


if __name__ == "__main__":
    edge_port, https_port, key_file, ca_file, phones_count = sys.argv[1:]
    key_bytes = Path(key_file).read_bytes()
    asyncio.run(crowd(int(edge_port), int(https_port), key_bytes, Path(ca_file), int(phones_count)))
