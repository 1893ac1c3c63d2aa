"""A software modem on a pseudo-terminal: answers AT commands like an LTE stick and fails on command.

As a library: `SoftModem(link)` in a test. As a program: `python -m tests.peers.modem --link PATH`, which prints one
line of JSON for each SMS and takes commands on standard input (`help` lists them). The link stands for a path below
/dev/serial/by-id: it goes when the modem is unplugged and comes back with it.

It decodes what it gets by its own means, so that a mistake of the sender's coder is not undone by the same mistake.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import select
import sys
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Self

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ?ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = {10: "\f", 20: "^", 40: "{", 41: "}", 47: "\\", 60: "[", 61: "~", 62: "]", 64: "|", 101: "€"}


@dataclasses.dataclass(frozen=True)
class Received:
    """An SMS that the modem took."""

    number: str
    text: str
    reference: int
    validity: int
    """TP-VP as coded; 0 is 5 minutes."""
    report_wanted: bool
    coding: int


@dataclasses.dataclass
class Faults:
    """What goes wrong; change it at any time."""

    silent: bool = False
    """Says nothing at all."""
    no_prompt: int = 0
    """So many AT+CMGS stay without a prompt (the text entry is open all the same)."""
    hold_prompt: bool = False
    """The prompt waits for `SoftModem.prompt`."""
    silent_after_submit: int = 0
    """So many messages are taken but never answered."""
    lose_submit: int = 0
    """So many messages are neither taken nor answered."""
    cms: dict[int, int] = dataclasses.field(default_factory=dict)
    """+CMS ERROR number → how many times; -1 is always."""
    garbage: bytes = b""
    """Said before every answer."""
    chatter: tuple[str, ...] = ()
    """Lines said before every answer."""
    half_lines: bool = False
    """Answers come octet by octet."""
    slow_s: float = 0.0
    cnmi_refused: tuple[str, ...] = ()
    echo_stuck: bool = False
    """ATE0 is answered but has no effect."""
    memory_full: bool = False
    report_first: bool = False
    """The delivery report overtakes +CMGS."""
    restart_on: str = ""
    """A command that makes the modem restart."""


class SoftModem:
    """The modem. Its thread serves the pty; every method may be called from any thread."""

    def __init__(
        self,
        link: Path,
        *,
        pin: str = "",
        sim: str = "READY",
        on_sms: Callable[[Received], None] = lambda _: None,
        auto_report: bool = False,
        pin_tries: int = 3,
    ) -> None:
        self.link = link
        self.pin = pin
        self.sim = "SIM PIN" if pin else sim
        self.pin_tries = pin_tries
        self.pins_seen: list[str] = []
        self.registration = 1
        self.rssi = 20
        self.faults = Faults()
        self.received: list[Received] = []
        self.commands: list[str] = []
        self.strays: list[str] = []
        """What came in text entry though it was a command: the sender lost the beat."""
        self.auto_report = auto_report
        self._on_sms = on_sms
        self._lock = threading.RLock()
        self._reference = 40
        self._fds: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = os.pipe()
        self._closing = False

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What a hand does.

    def plug(self) -> None:
        """Power up: a new pty behind the link."""
        with self._lock:
            if self._fds is not None:
                return
            master, slave = os.openpty()
            tty.setraw(slave)
            self._fds = (master, slave)
            self._reset()
            partial = self.link.with_name(self.link.name + ".new")
            partial.unlink(missing_ok=True)
            partial.symlink_to(os.ttyname(slave))
            partial.replace(self.link)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="soft modem", daemon=True)
            self._thread.start()
        self._wake()

    def unplug(self) -> None:
        """Pull the stick: the port hangs up and the link goes."""
        with self._lock:
            self.link.unlink(missing_ok=True)
            fds, self._fds = self._fds, None
            for fd in fds or ():
                os.close(fd)
        self._wake()

    def close(self) -> None:
        """Unplug and end the thread."""
        self._closing = True
        self.unplug()
        if self._thread is not None:
            self._thread.join(5)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def say(self, line: str) -> None:
        """An unsolicited line."""
        self._write(f"\r\n{line}\r\n".encode())

    def say_raw(self, data: bytes) -> None:
        """Any octets."""
        self._write(data)

    def restart(self) -> None:
        """The firmware starts anew by itself."""
        with self._lock:
            self._reset()
        self.say("RDY")

    def prompt(self) -> None:
        """Ask for the message at last."""
        self.faults.hold_prompt = False
        self._write(b"\r\n> ")

    def report(self, reference: int | None = None, *, status: int = 0, stored: bool = False) -> None:
        """Hand on a delivery report for a message, the last one by default. `stored` announces it with +CDSI."""
        sms = next(s for s in reversed(self.received) if reference is None or s.reference == reference)
        pdu = report_pdu(sms.number, sms.reference, status)
        if stored:
            self._memory["7"] = pdu
            self.say('+CDSI: "SR",7')
        elif self.faults.half_lines:
            self.say(f"+CDS: {len(pdu) // 2 - 1}\r\n{pdu}")
        else:
            self._write(f"\r\n+CDS: {len(pdu) // 2 - 1}\r\n{pdu}\r\n".encode())

    def incoming(self, index: int) -> None:
        """Somebody answers an SMS."""
        self._memory[str(index)] = "00"
        self.say(f'+CMTI: "SM",{index}')

    @property
    def memory(self) -> dict[str, str]:
        """What is stored, by index."""
        return dict(self._memory)

    # The thread.

    def _reset(self) -> None:
        self._echo = True
        self._text_mode = True
        self._cmee = 0
        self._buffer = b""
        self._entry: int | None = None
        self._prompted = True
        self._memory: dict[str, str] = {}
        if self.pin:
            self.sim = "SIM PIN" if self.sim == "READY" else self.sim

    def _wake(self) -> None:
        os.write(self._wake_write, b"x")

    def _serve(self) -> None:
        while not self._closing:
            with self._lock:
                master = self._fds[0] if self._fds else None
            watched = [self._wake_read] + ([master] if master is not None else [])
            try:
                ready, _, _ = select.select(watched, [], [], 5)
            except (OSError, ValueError):
                continue
            if self._wake_read in ready:
                os.read(self._wake_read, 100)
                continue
            if master is not None and master in ready:
                with self._lock:
                    if not self._fds or self._fds[0] != master:
                        continue
                    try:
                        data = os.read(master, 4096)
                    except OSError:
                        continue
                self._take(data)

    def _take(self, data: bytes) -> None:
        for octet in data:
            char = bytes([octet])
            if self._entry is not None:
                self._take_entry(char)
            elif char == b"\r":
                line, self._buffer = self._buffer.decode("latin-1").replace("\x1b", "").strip(), b""
                if line:
                    self._command(line)
            else:
                self._buffer += char

    def _take_entry(self, char: bytes) -> None:
        if char == b"\x1b":
            if self._buffer.strip():
                self.strays.append(self._buffer.decode("latin-1"))
            self._buffer, self._entry = b"", None
            self._answer("OK")
        elif char == b"\x1a":
            text, length = self._buffer.decode("latin-1"), self._entry
            self._buffer, self._entry = b"", None
            if self._echo:
                self._write(text.encode() + b"\x1a")
            self._message(text, length)
        else:
            self._buffer += char

    def _command(self, line: str) -> None:
        self.commands.append(line)
        if self._echo:
            self._write(line.encode("latin-1") + b"\r")
        if self.faults.restart_on and line.startswith(self.faults.restart_on):
            self.faults.restart_on = ""
            self.restart()
            return
        if line.startswith("AT+CMGS="):
            self._entry = int(line[8:])
            if self.faults.hold_prompt:
                return
            if self.faults.no_prompt:
                self.faults.no_prompt -= 1
            elif not self.faults.silent:
                self._write(b"\r\n> ")
            return
        self._answer(*self._result(line.removeprefix("AT")))

    def _result(self, line: str) -> tuple[str, ...]:
        name, _, argument = line.partition("=")
        answers: dict[str, Callable[[], tuple[str, ...]]] = {
            "": lambda: ("OK",),
            "E0": self._echo_off,
            "+CMEE?": lambda: (f"+CMEE: {self._cmee}", "OK"),
            "+CMEE": lambda: self._set_cmee(argument),
            "+CPIN?": self._cpin,
            "+CPIN": lambda: self._enter_pin(argument.strip('"')),
            "+CPINR": lambda: (f'+CPINR: "SIM PIN",{self.pin_tries},3', "OK"),
            "+CMGF": lambda: self._set_mode(argument),
            "+CSQ": lambda: (f"+CSQ: {self.rssi},99", "OK"),
            "+CREG?": lambda: (f"+CREG: 0,{self.registration}", "OK"),
            "+CEREG?": lambda: (f"+CEREG: 0,{self.registration}", "OK"),
            "+COPS?": lambda: ('+COPS: 0,0,"Soft Mobile",7', "OK"),
            "+COPS": lambda: ("OK",),
            "+CSCA?": lambda: ('+CSCA: "+33600000000",145', "OK"),
            "+CNMI": lambda: ("ERROR",) if argument in self.faults.cnmi_refused else ("OK",),
            "+CPMS": lambda: ("+CPMS: 0,20,0,20,0,20", "OK"),
            "+CMGR": lambda: self._read(argument),
            "+CMGD": lambda: self._delete(argument),
        }
        return answers.get(name, lambda: ("ERROR",))()

    def _echo_off(self) -> tuple[str, ...]:
        self._echo = self.faults.echo_stuck
        return ("OK",)

    def _set_cmee(self, argument: str) -> tuple[str, ...]:
        self._cmee = int(argument)
        return ("OK",)

    def _set_mode(self, argument: str) -> tuple[str, ...]:
        self._text_mode = argument != "0"
        return ("OK",)

    def _cpin(self) -> tuple[str, ...]:
        if self.sim == "absent":
            return ("+CME ERROR: 10",) if self._cmee else ("ERROR",)
        return (f"+CPIN: {self.sim}", "OK")

    def _enter_pin(self, pin: str) -> tuple[str, ...]:
        self.pins_seen.append(pin)
        if pin == self.pin:
            self.sim, self.pin_tries = "READY", 3
            return ("OK",)
        self.pin_tries -= 1
        if self.pin_tries == 0:
            self.sim = "SIM PUK"
        return ("+CME ERROR: 16",) if self._cmee else ("ERROR",)

    def _read(self, index: str) -> tuple[str, ...]:
        pdu = self._memory.get(index)
        return ("OK",) if pdu is None else (f"+CMGR: 0,,{len(pdu) // 2 - 1}", pdu, "OK")

    def _delete(self, argument: str) -> tuple[str, ...]:
        index, _, flag = argument.partition(",")
        if flag == "4":
            self._memory.clear()
            self.faults.memory_full = False
        self._memory.pop(index, None)
        return ("OK",)

    def _message(self, text: str, length: int | None) -> None:
        faults = self.faults
        if faults.lose_submit:
            faults.lose_submit -= 1
            return
        error = 322 if faults.memory_full else next((code for code, times in faults.cms.items() if times), None)
        if error is not None:
            if faults.cms.get(error, 0) > 0:
                faults.cms[error] -= 1
            self._answer(f"+CMS ERROR: {error}")
            return
        if self._text_mode:
            self.strays.append(text)
            self._answer("+CMS ERROR: 303")
            return
        if len(text) % 2 or len(text) // 2 - 1 != length:
            self._answer("+CMS ERROR: 304")
            return
        self._reference = (self._reference + 1) % 256
        sms = decode_submit(text, self._reference)
        self.received.append(sms)
        if faults.report_first:
            self.report()
        if faults.silent_after_submit:
            faults.silent_after_submit -= 1
        else:
            self._answer(f"+CMGS: {sms.reference}", "OK")
        self._on_sms(sms)
        if self.auto_report and sms.report_wanted:
            self.report()

    def _answer(self, *lines: str) -> None:
        if self.faults.slow_s:
            threading.Event().wait(self.faults.slow_s)
        self._write(self.faults.garbage)
        self._write("".join(f"\r\n{line}\r\n" for line in (*self.faults.chatter, *lines)).encode())

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self.faults.silent or self._fds is None or not data:
                return
            pieces = [bytes([octet]) for octet in data] if self.faults.half_lines else [data]
            with contextlib.suppress(OSError):
                for piece in pieces:
                    os.write(self._fds[0], piece)


def decode_submit(text: str, reference: int) -> Received:
    """Read an SMS-SUBMIT bit by bit (TS 23.040 section 9.2.2.2)."""
    octets = bytes.fromhex(text)
    tpdu = octets[1 + octets[0] :]
    if tpdu[0] & 0b11 != 0b01 or tpdu[0] >> 3 & 0b11 != 0b10:
        raise ValueError("not an SMS-SUBMIT with relative validity")
    digits = tpdu[2]
    end = 4 + (digits + 1) // 2
    number = "".join(f"{octet & 15:X}{octet >> 4:X}" for octet in tpdu[4:end])[:digits]
    coding, validity, length = tpdu[end + 1], tpdu[end + 2], tpdu[end + 3]
    data = tpdu[end + 4 :]
    if coding == 8:
        if len(data) != length:
            raise ValueError("the user data has another length than it says")
        body = data.decode("utf-16-be")
    else:
        if len(data) != -(-length * 7 // 8):
            raise ValueError("the user data has another length than it says")
        body = _septets(data, length)
    return Received(
        number=("+" if tpdu[3] == 0x91 else "") + number,
        text=body,
        reference=reference,
        validity=validity,
        report_wanted=bool(tpdu[0] & 0x20),
        coding=coding,
    )


def _septets(data: bytes, count: int) -> str:
    bits = "".join(f"{octet:08b}"[::-1] for octet in data)
    codes = [int(bits[7 * i : 7 * i + 7][::-1], 2) for i in range(count)]
    chars, escaped = [], False
    for code in codes:
        if code == 27 and not escaped:
            escaped = True
        else:
            chars.append(EXTENDED[code] if escaped else BASIC[code])
            escaped = False
    return "".join(chars)


def report_pdu(number: str, reference: int, status: int) -> str:
    """An SMS-STATUS-REPORT with an SMSC in front (TS 23.040 section 9.2.2.3)."""
    digits = number.lstrip("+")
    padded = digits + "F" * (len(digits) % 2)
    swapped = "".join(padded[i + 1] + padded[i] for i in range(0, len(padded), 2))
    stamp = "62106021430080"
    return f"07913306000000F006{reference:02X}{len(digits):02X}91{swapped}{stamp}{stamp}{status:02X}"


HELP = """unplug | replug | report [STATUS] | restart | cms NUMBER [TIMES|always|never] | no-prompt N | lose N
silent on|off | garbage on|off | half-lines on|off | slow SECONDS | registration STAT | signal RSSI | quit"""


def _times(words: list[str]) -> int:
    word = words[0] if words else "1"
    return int({"always": "-1", "never": "0"}.get(word, word))


def _obey(modem: SoftModem, words: list[str]) -> None:
    name, argument = words[0], (words[1] if len(words) > 1 else "")
    on = argument == "on"
    faults = modem.faults
    commands: dict[str, Callable[[], None]] = {
        "unplug": modem.unplug,
        "replug": modem.plug,
        "restart": modem.restart,
        "report": lambda: modem.report(status=int(argument or "0")),
        "cms": lambda: faults.cms.update({int(argument): _times(words[2:])}),
        "no-prompt": lambda: setattr(faults, "no_prompt", int(argument)),
        "lose": lambda: setattr(faults, "lose_submit", int(argument)),
        "silent": lambda: setattr(faults, "silent", on),
        "garbage": lambda: setattr(faults, "garbage", b"\xfe\x00%%\r\n" if on else b""),
        "half-lines": lambda: setattr(faults, "half_lines", on),
        "slow": lambda: setattr(faults, "slow_s", float(argument)),
        "registration": lambda: setattr(modem, "registration", int(argument)),
        "signal": lambda: setattr(modem, "rssi", int(argument)),
    }
    if name not in commands:
        print(HELP, file=sys.stderr)  # noqa: T201 - this is a program's output
        return
    commands[name]()


def main() -> None:
    """Serve until standard input says `quit`, or for ever when it is closed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--link", type=Path, required=True, help="path that stands for the serial port")
    parser.add_argument("--pin", default="", help="the SIM wants this PIN")
    parser.add_argument("--auto-report", action="store_true", help="report every message as delivered")
    options = parser.parse_args()

    def show(sms: Received) -> None:
        print(json.dumps({"number": sms.number, "text": sms.text}, ensure_ascii=False), flush=True)  # noqa: T201

    with SoftModem(options.link, pin=options.pin, on_sms=show, auto_report=options.auto_report) as modem:
        for line in sys.stdin:
            words = line.split()
            if words[:1] == ["quit"]:
                return
            if words:
                try:
                    _obey(modem, words)
                except (ValueError, IndexError, StopIteration):
                    print(HELP, file=sys.stderr)  # noqa: T201
        while True:
            threading.Event().wait(3600)


if __name__ == "__main__":
    main()
