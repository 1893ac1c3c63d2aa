"""One measurement: a gateway, a number of calls, a window of time. Prints JSON.

python -m tests.bench.load.run avisiod --calls 20 --record
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from aiortc.rtcdtlstransport import RTCCertificate

from tests.bench.load.browsers import PROFILES, Browser, Relay, StaticBrowser
from tests.bench.load.gateways.base import Gateway
from tests.bench.load.phones import PAYLOAD_TYPES, Phone
from tests.bench.load.pump import CATEGORIES, Pump

GATEWAYS = {
    "avisiod": "avisiod:AvisiodGateway",
    "janus": "janus:JanusGateway",
    "rtpengine": "rtpengine:RtpengineGateway",
    "floor-c": "floors:FloorC",
    "floor-python": "floors:FloorPython",
}
MS = 1_000_000
STREAMS = {"audio": (20 * MS, 1, 160, 160), "video": (40 * MS, 4, 1100, 3600)}
"""Of each kind: period, packets in it, octets of payload, step of the timestamp."""
REPORT_EVERY = 5000 * MS
LATE_S = 0.5
"""What has not arrived so long after the window is lost."""
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gateway", choices=GATEWAYS)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="the gateway's own recording is on")
    parser.add_argument("--seconds", type=float, default=10, help="length of the window")
    parser.add_argument("--warmup", type=float, default=4)
    parser.add_argument("--seed", type=int, default=1, help="phases of the calls")
    parser.add_argument("--gateway-cpu", type=int, default=0, help="core of the gateway, -1: any")
    parser.add_argument("--gateway-priority", type=int, default=1, help="SCHED_RR priority of the gateway, 0: none")
    parser.add_argument("--cpu", type=int, default=1, help="core of the generator")
    parser.add_argument("--priority", type=int, default=10, help="SCHED_FIFO priority of the generator, 0: none")
    parser.add_argument("--spin", action="store_true", help="the generator polls and never sleeps")
    parser.add_argument("--profile", default="sha1_80", choices=PROFILES)
    parser.add_argument("--no-feedback", action="store_true", help="offer no NACK, PLI, REMB")
    parser.add_argument("--option", action="append", default=[], help="name=value for the gateway")
    parser.add_argument("--keep", action="store_true", help="keep logs and recordings")
    return parser.parse_args(given)


def gateway_class(name: str) -> type[Gateway]:
    module, _, cls = GATEWAYS[name].partition(":")
    found: type[Gateway] = getattr(import_module(f"tests.bench.load.gateways.{module}"), cls)
    return found


class Measurement:
    """One gateway under one load."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args = args
        self.random = random.Random(args.seed)
        options = {"calls": str(args.calls)} | dict(each.split("=", 1) for each in args.option)
        cpu = args.gateway_cpu if args.gateway_cpu >= 0 else None
        self.gateway = gateway_class(args.gateway)(folder, cpu, args.gateway_priority, args.record, options)
        self.relay = Relay(asyncio.get_running_loop())
        self.pump = Pump(self.relay.theirs.fileno())
        self.certificate = RTCCertificate.generateCertificate()
        self.browsers: list[Any] = []
        self.phones: list[Phone] = []

    async def run(self) -> dict[str, Any]:
        args, gateway = self.args, self.gateway
        try:
            gateway.start()
            await gateway.ready()
            await asyncio.sleep(1.0)
            idle, begun = gateway.sample(), time.monotonic()
            for i in range(args.calls):
                await self._call(i)
            ready = gateway.sample()
            result = {
                **{
                    name: getattr(args, name) for name in ("gateway", "record", "calls", "seconds", "profile", "spin")
                },
                "options": args.option,
                "version": gateway.version(),
                "setup_ms_cpu_per_call": (ready["cpu_ns"] - idle["cpu_ns"]) / 1e6 / args.calls,
                "setup_ms_wall_per_call": (time.monotonic() - begun) * 1e3 / args.calls,
            }
            self._load()
            self.pump.start(args.cpu, args.priority, args.spin)
            await asyncio.sleep(args.warmup)
            result |= await self._window(idle)
        finally:
            gateway.stop()
        return result | self._latencies() | self._recordings()

    async def _call(self, i: int) -> None:
        gateway, args = self.gateway, self.args
        browser: Any
        if gateway.static:
            browser = StaticBrowser(self.random.randbytes(30), self.random.randbytes(30))
        else:
            browser = Browser(
                self.certificate, bundle=gateway.bundle, profile=args.profile, feedback=not args.no_feedback
            )
        phone = Phone()
        await gateway.connect(i, browser, phone)
        self.browsers.append(browser)
        self.phones.append(phone)
        if args.record:
            await gateway.record(i)

    def _load(self) -> None:
        """Streams of all calls, each with a phase of its own."""
        for browser, phone in zip(self.browsers, self.phones, strict=True):
            ends = (phone.handover(self.pump), browser.handover(self.pump, self.relay))
            for video, kind in enumerate(PAYLOAD_TYPES):
                period, packets, octets, step = STREAMS[kind]
                for side, sockets in enumerate(ends):
                    self.pump.stream(
                        *sockets[kind],
                        2 * side + video,
                        video,
                        PAYLOAD_TYPES[kind],
                        browser.ssrc[kind] if side else self.random.getrandbits(31) | 1,
                        period,
                        packets,
                        octets,
                        step,
                        self.random.randrange(period),
                        REPORT_EVERY,
                        self.random.randrange(REPORT_EVERY),
                    )

    async def _window(self, idle: dict[str, float]) -> dict[str, Any]:
        args, pump = self.args, self.pump
        start = pump.now() + 50 * MS
        pump.window(start, start + int(args.seconds * 1e9))
        await asyncio.sleep(0.05)
        errors, before, begun = udp_errors(), self.gateway.sample(), time.monotonic()
        await asyncio.sleep(args.seconds)
        after, wall = self.gateway.sample(), time.monotonic() - begun
        await asyncio.sleep(LATE_S)
        pump.pause()
        await asyncio.sleep(0.2)
        consent_lost = sum(browser.consent_lost for browser in self.browsers)
        pump.stop()
        stats = pump.stats()
        forwarded = sum(stats.recv)
        cpu = (after["cpu_ns"] - before["cpu_ns"]) / 1e9 / wall
        return {
            "forwarded": forwarded,
            "sent": sum(stats.sent),
            "lost": sum(stats.sent) - forwarded,
            "reordered": sum(stats.late_order),
            "cpu_ms_per_call_s": cpu * 1e3 / args.calls,
            "cpu_ms_per_call_s_ticks": (after["ticks"] - before["ticks"]) * 1e3 / wall / args.calls,
            "us_per_packet": cpu * args.seconds * 1e6 / forwarded if forwarded else None,
            "wait_ms_per_call_s": (after["wait_ns"] - before["wait_ns"]) / 1e6 / wall / args.calls,
            "switches_per_packet": (after["switches"] - before["switches"]) / forwarded if forwarded else None,
            "rss0_kb": idle["rss_kb"],
            "rss_per_call_kb": (after["rss_kb"] - idle["rss_kb"]) / args.calls,
            "anon_per_call_kb": (after["anon_kb"] - idle["anon_kb"]) / args.calls,
            "threads": after["threads"],
            "gen_cpu_pct": stats.cpu_ns / 1e7 / args.seconds,
            "gen_prep_us": stats.prep_ns / 1e3 / stats.nprep if stats.nprep else None,
            **{name: getattr(stats, name) for name in ("rtcp_sent", "rtcp_recv", "rtcp_bad", "bad_auth")},
            **{name: getattr(stats, name) for name in ("not_ours", "send_err", "to_python")},
            "consent_lost": consent_lost,
            "udp_receive_errors": udp_errors() - errors,
        }

    def _latencies(self) -> dict[str, Any]:
        each = [self.pump.latencies(n) for n in range(len(CATEGORIES))]
        ways = dict(zip(CATEGORIES, each, strict=True))
        ways |= {"phone>browser": sorted(each[0] + each[1]), "browser>phone": sorted(each[2] + each[3])}
        return {
            "gen_lag_us": percentiles(self.pump.lags()),
            "latency_us": {name: percentiles(values) for name, values in ways.items()},
        }

    def _recordings(self) -> dict[str, Any]:
        if not self.args.record:
            return {}
        files = [each for each in self.gateway.recordings.rglob("*") if each.is_file()]
        return {"record_files": len(files), "record_bytes": sum(each.stat().st_size for each in files)}


def percentiles(values: list[int]) -> dict[str, float]:
    """In microseconds, of sorted nanoseconds."""
    if not values:
        return dict.fromkeys(PERCENTILES, 0.0)
    return {name: values[min(len(values) - 1, int(len(values) * p))] / 1e3 for name, p in PERCENTILES.items()}


def udp_errors() -> int:
    """Datagrams that found a full socket buffer."""
    names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line[:4] == "Udp:")
    return int(dict(zip(names, values, strict=True))["RcvbufErrors"])


def measure(args: argparse.Namespace) -> dict[str, Any]:
    os.sched_setaffinity(0, {args.cpu})
    work = Path("build/bench/load/work").absolute()
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{args.gateway}-", dir=work))

    async def run() -> dict[str, Any]:
        return await Measurement(args, folder).run()

    try:
        return asyncio.run(run())
    finally:
        if args.keep:
            sys.stderr.write(f"{folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(arguments())) + "\n")
    sys.stdout.flush()
    os._exit(0)  # sockets and aiortc's tasks go with the process
