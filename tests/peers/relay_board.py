"""A board with inputs and relays on a pseudo-terminal: Numato's lines or Modbus RTU, failing on command.

`RelayBoard(link, "numato")` in a test: `inputs[0] = False` opens a contact, `outputs` shows relays. The Modbus side
counts its CRC by itself, so that it does not agree with the library's mistakes.
"""

import contextlib
import os
import select
import struct
import termios
import threading
import time
import tty
from pathlib import Path
from typing import Self


class RelayBoard:
    """A thread that answers on a pty; `link` is the path where it is plugged in."""

    def __init__(self, link: Path, protocol: str = "numato", lines: int = 8) -> None:
        self.link = link
        self.protocol = protocol
        self.inputs = [True] * lines
        """What each input reads: contacts that are closed at rest are closed."""
        self.outputs = [False] * lines
        self.asked = 0
        self.garbage = b""
        """Sent before each answer."""
        self.half = False
        """Answers stop in the middle."""
        self.silent = False
        self.flooding = False
        self.changed_at = 0.0
        """When an input was set last, on the monotonic clock."""
        self._master = -1
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def set(self, place: int, value: bool) -> float:
        """Open or close a contact; when."""
        self.changed_at = time.monotonic()
        self.inputs[place] = value
        return self.changed_at

    def plug(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(slave))
        self._slave = slave
        self._ending.clear()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        if self._thread is None:
            return
        self.link.unlink(missing_ok=True)
        self._ending.set()
        self._thread.join(5)
        self._thread = None
        for each in (self._slave, self._master):
            with contextlib.suppress(OSError):
                os.close(each)

    def _serve(self) -> None:
        buffer = bytearray()
        while not self._ending.is_set():
            if self.flooding:
                with contextlib.suppress(OSError):
                    os.set_blocking(self._master, False)
                    os.write(self._master, b"\xff\x00flood>" * 200)
                    os.set_blocking(self._master, True)
            ready, _, _ = select.select([self._master], [], [], 0.002 if self.flooding else 0.02)
            if not ready:
                continue
            try:
                buffer += os.read(self._master, 4096)
            except OSError:
                return
            if self.protocol == "numato":
                self._numato(buffer)
            else:
                self._modbus(buffer)

    def _say(self, answer: bytes) -> None:
        self.asked += 1
        if self.silent:
            return
        if self.half:
            answer = answer[: len(answer) // 2]
        with contextlib.suppress(OSError):
            os.write(self._master, self.garbage + answer)

    def _numato(self, buffer: bytearray) -> None:
        while b"\r" in buffer:
            line, _, rest = bytes(buffer).partition(b"\r")
            buffer[:] = rest
            command = line.decode("ascii", "replace").strip()
            answer = self._answered(command)
            said = f"{command}\n\r" + (f"{answer}\n\r" if answer else "") + ">"
            self._say(said.encode())

    def _answered(self, command: str) -> str:
        words = command.split()
        match words:
            case ["gpio", "read", place]:
                return "1" if self.inputs[_place(place)] else "0"
            case ["relay", "on" | "off", place]:
                self.outputs[_place(place)] = words[1] == "on"
                return ""
            case ["relay", "read", place]:
                return "on" if self.outputs[_place(place)] else "off"
        return ""

    def _modbus(self, buffer: bytearray) -> None:
        while len(buffer) >= 8:
            frame = bytes(buffer[:8])
            if crc(frame[:6]) != frame[6:]:
                del buffer[0]
                continue
            del buffer[:8]
            address, function, first, count = struct.unpack(">BBHH", frame[:6])
            if function in (1, 2):
                values = (self.outputs if function == 1 else self.inputs)[first : first + count]
                if len(values) < count:
                    body = bytes([address, function | 0x80, 2])
                else:
                    bits = sum(value << place for place, value in enumerate(values))
                    octets = (count + 7) // 8
                    body = bytes([address, function, octets]) + bits.to_bytes(octets, "little")
            elif function == 5:
                self.outputs[first] = count == 0xFF00
                body = frame[:6]
            else:
                body = bytes([address, function | 0x80, 1])
            self._say(body + crc(body))


def _place(text: str) -> int:
    return int(text) if text.isdecimal() else ord(text) - ord("A") + 10


def crc(data: bytes) -> bytes:
    """Modbus over serial line 2.5.1.2: CRC-16, low octet first."""
    value = 0xFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")
