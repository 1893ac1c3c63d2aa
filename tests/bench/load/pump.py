"""The generator: a real-time thread in C (pump.c) that paces, encrypts, sends, receives, checks and times packets."""

import ctypes
import os
import subprocess
from array import array
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUILT = Path("build/bench/load/bin").absolute()

CATEGORIES = ("phone>browser audio", "phone>browser video", "browser>phone audio", "browser>phone video")


class Stats(ctypes.Structure):
    """stats_t of pump.c."""

    _fields_ = [
        *((name, ctypes.c_uint64 * len(CATEGORIES)) for name in ("sent", "recv", "late_order", "nlat")),
        *((name, ctypes.c_uint64) for name in ("rtcp_sent", "rtcp_recv", "rtcp_bad", "bad_auth", "not_ours")),
        *((name, ctypes.c_uint64) for name in ("to_python", "send_err", "nlag", "wakeups")),
        *((name, ctypes.c_int64) for name in ("cpu_ns", "prep_ns")),
        ("nprep", ctypes.c_uint64),
    ]


def build(name: str, source: str, *flags: str) -> Path:
    """Compile a source of ours unless that was done since it changed."""
    BUILT.mkdir(parents=True, exist_ok=True)
    out, path = BUILT / name, HERE / source
    if not out.exists() or out.stat().st_mtime < path.stat().st_mtime:
        folder = os.environ.get("SRTP_DIR")
        linked = [f"{folder}/libsrtp2.a" if folder and flag == "-lsrtp2" else flag for flag in flags]
        subprocess.run(["gcc", "-O2", "-Wall", "-o", out, path, *linked], check=True)
    return out


class Pump:
    """Sockets and streams are declared, then it runs."""

    def __init__(self, control_fd: int) -> None:
        """`control_fd` gets STUN and DTLS that arrive."""
        path = build("libpump.so", "pump.c", "-shared", "-fPIC", "-lsrtp2", "-lcrypto", "-lpthread")
        self._lib = lib = ctypes.CDLL(str(path))
        number, text, long = ctypes.c_int, ctypes.c_char_p, ctypes.c_int64
        lib.pump_sock.argtypes = [number, text, number, number, text, text]
        lib.pump_stream.argtypes = [
            *(number, number, number, number, number, ctypes.c_uint32, long, number, number),
            *(ctypes.c_uint32, long, long, long),
        ]
        lib.pump_window.argtypes = [long, long]
        lib.pump_now.restype = long
        lib.pump_stats.restype = ctypes.POINTER(Stats)
        lib.pump_lat.restype = lib.pump_lag.restype = ctypes.POINTER(ctypes.c_uint32)
        if lib.pump_init(control_fd):
            raise RuntimeError("the generator cannot start")

    def sock(self, fd: int, peer: tuple[str, int], profile: int = 0, tx: bytes = b"", rx: bytes = b"") -> int:
        """Take a socket; `profile` is the number of a DTLS-SRTP profile, 0 for plain RTP."""
        return self._made(self._lib.pump_sock(fd, peer[0].encode(), peer[1], profile, tx, rx))

    def stream(self, *arguments: int) -> int:
        """Declare a stream: see pump_stream in pump.c."""
        return self._made(self._lib.pump_stream(*arguments))

    @staticmethod
    def _made(number: int) -> int:
        if number < 0:
            raise RuntimeError(f"the generator took no more: {number}")
        return number

    def start(self, cpu: int, priority: int, spin: bool) -> None:
        if self._lib.pump_start(cpu, priority, int(spin)):
            raise RuntimeError("the generator's thread cannot start")

    def window(self, start_ns: int, end_ns: int) -> None:
        """Count what is sent between these."""
        self._lib.pump_window(start_ns, end_ns)

    def pause(self) -> None:
        """Send no more, go on receiving."""
        self._lib.pump_pause()

    def stop(self) -> None:
        self._lib.pump_stop()

    def now(self) -> int:
        """CLOCK_REALTIME in nanoseconds."""
        return int(self._lib.pump_now())

    def stats(self) -> Any:
        return self._lib.pump_stats().contents

    def latencies(self, category: int) -> list[int]:
        """Nanoseconds, sorted."""
        return _sorted(self._lib.pump_lat(category), self.stats().nlat[category])

    def lags(self) -> list[int]:
        """How late each burst was sent, in nanoseconds, sorted."""
        return _sorted(self._lib.pump_lag(), self.stats().nlag)


def _sorted(pointer: Any, count: int) -> list[int]:
    found = array("I")
    found.frombytes(ctypes.string_at(pointer, count * 4))
    return sorted(found)
