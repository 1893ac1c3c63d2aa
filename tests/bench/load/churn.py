"""Calls that come and go: what they leave behind in a media worker.

Each call has both legs, a recorder and some media both ways until both legs flow, then hangs up; four are under way
at once. After each hundred: memory, descriptors, threads, UDP ports. In the end: a sealed recording of each call with
frames of all four tracks, nothing half written.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from aiortc.rtcdtlstransport import RTCCertificate
from pylibsrtp import Policy, Session

from avisiod.gateway import rtp
from tests.bench.load.browsers import Browser
from tests.bench.load.gateways.avisiod import AvisiodGateway
from tests.bench.load.phones import PAYLOAD_TYPES, Phone

AT_ONCE = 4
STEP = 100
FLOWS_WITHIN_S = 20.0
GROWTH = 0.05
"""Of memory, after the first hundred calls."""
SLICE = {"audio": b"\xd5" * 160, "video": b"\x65\x88" + bytes(1000)}


class Talk:
    """Media of one call, both ways: a packet of each kind every 20 ms."""

    def __init__(self, phone: Phone, browser: Browser) -> None:
        transport = browser.transport
        pair = transport.ice._connection._nominated[1]
        self._outside = pair.protocol.transport
        self._peer = pair.remote_addr
        _, key, _ = transport.keys()
        self._srtp = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND))
        self._phone, self._ssrc = phone, browser.ssrc
        self._phone_ssrc = {kind: random.getrandbits(31) for kind in PAYLOAD_TYPES}

    def say(self, number: int) -> None:
        for kind, payload_type in PAYLOAD_TYPES.items():
            step = 160 if kind == "audio" else 1800
            fields: Any = {"payload_type": payload_type, "sequence": 100 + number, "timestamp": 1000 + number * step}
            fields["marker"] = kind == "video"
            self._phone.send(kind, rtp.packet(SLICE[kind], ssrc=self._phone_ssrc[kind], **fields))
            packet = rtp.packet(SLICE[kind], ssrc=self._ssrc[kind], **fields)
            self._outside.sendto(self._srtp.protect(packet), self._peer)


class Churn:
    """One worker and all its short calls."""

    def __init__(self, folder: Path, calls: int) -> None:
        self.gateway = AvisiodGateway(folder, None, 0, True, {"calls": "150"})
        self.calls = calls
        self.certificate = RTCCertificate.generateCertificate()
        self.samples: list[dict[str, float]] = []

    async def run(self) -> None:
        self.gateway.start()
        await self.gateway.ready()
        await asyncio.sleep(1.0)
        self._sample(0)
        for first in range(0, self.calls, STEP):
            turn = iter(range(first, min(first + STEP, self.calls)))
            await asyncio.gather(*(self._calls(turn) for _ in range(AT_ONCE)))
            await asyncio.sleep(1.0)
            self._sample(first + STEP)

    async def _calls(self, turn: Any) -> None:
        for i in turn:
            await self._call(i)

    async def _call(self, i: int) -> None:
        phone = Phone()
        browser = Browser(self.certificate, bundle=True, profile="sha1_80", feedback=True)
        try:
            await self.gateway.connect(i, browser, phone)
            talk = Talk(phone, browser)
            async with asyncio.timeout(FLOWS_WITHIN_S):
                number = 0
                while number < 10 or self.gateway.controls[0].flowing.get(f"call{i}") != {"phone", "outside"}:
                    talk.say(number)
                    number += 1
                    await asyncio.sleep(0.02)
            await self.gateway.hang_up(i)
        finally:
            self.gateway.controls[0].flowing.pop(f"call{i}", None)
            await browser.close()
            phone.close()

    def _sample(self, calls: int) -> None:
        (process,) = self.gateway.processes
        proc = Path(f"/proc/{process.pid}")
        links = [os.readlink(each) for each in (proc / "fd").iterdir()]
        sockets = {link[8:-1] for link in links if link.startswith("socket:")}
        udp = {line.split()[9] for line in (proc / "net" / "udp").read_text().splitlines()[1:]}
        taken = self.gateway.sample()
        self.samples.append(
            {
                "calls": calls,
                "rss_kb": taken["rss_kb"],
                "descriptors": len(links),
                "udp_ports": len(sockets & udp),
                "threads": taken["threads"],
            }
        )
        sys.stderr.write(json.dumps(self.samples[-1]) + "\n")

    def judged(self) -> dict[str, Any]:
        """The samples, and what is wrong with them: nothing, it is to be hoped."""
        first, last = self.samples[1], self.samples[-1]
        wrong = [
            f"{name}: {first[name]:.0f} after {first['calls']} calls, {last[name]:.0f} after {last['calls']}"
            for name in ("descriptors", "udp_ports", "threads")
            if last[name] > first[name]
        ]
        growth = last["rss_kb"] / first["rss_kb"] - 1
        if growth > GROWTH:
            wrong.append(f"memory grew by {growth:.1%}")
        files = [each for each in self.gateway.recordings.rglob("*") if each.is_file()]
        films = sum(each.suffix == ".mkv" for each in files)
        whole = 0
        for each in files:
            if each.suffix == ".json":
                tracks = json.loads(each.read_bytes())["tracks"]
                whole += len(tracks) == 4 and all(track["frames"] for track in tracks)
        if films != self.calls or whole != self.calls or len(files) != 2 * self.calls:
            wrong.append(f"{films} recordings, {whole} of them whole, {len(files)} files")
        return {"growth": growth, "samples": self.samples, "whole": whole, "wrong": wrong}


def churn(calls: int) -> dict[str, Any]:
    work = Path("build/bench/load/work").absolute()
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="churn-", dir=work))

    async def run() -> dict[str, Any]:
        one = Churn(folder, calls)
        try:
            await one.run()
        finally:
            one.gateway.stop()
        return one.judged()

    try:
        return asyncio.run(run())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--out", default="build/bench/load/churn.json")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    found = churn(args.calls)
    Path(args.out).write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write("".join(f"{each}\n" for each in found["wrong"]) or "nothing was left behind\n")
    sys.stdout.flush()
    os._exit(1 if found["wrong"] else 0)
