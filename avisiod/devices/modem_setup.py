"""From an open port to a modem that sends: greeting, SIM and PIN, PDU mode, delivery reports."""

import logging
import os
from pathlib import Path

from avisiod.clock import Clock
from avisiod.devices.at_session import AtSession, NoAnswer
from avisiod.devices.modem_state import Sim, sim_from, tries_left_from
from avisiod.devices.waiting import wait_s

log = logging.getLogger(__name__)

GREETINGS = 5
SIM_CHECKS = 10
SIM_CHECK_S = 1.0
_CNMI = ("2,1,2,1,0", "2,1,2,2,0", "2,1,2,0,0")
"""Reports at once as +CDS, or stored and announced as +CDSI, or none. +CDS first: Quectel EC25 stores a report in
one memory and announces another."""
_TRIES_LEFT = (('AT+CPINR="SIM PIN"', "+CPINR:"), ('AT+QPINC="SC"', "+QPINC:"), ("AT+SPIC", "+SPIC:"))


class SimUnusable(Exception):
    """The SIM cannot be used; the text says what a person must do."""

    def __init__(self, sim: Sim, text: str) -> None:
        super().__init__(text)
        self.sim = sim


class PinFile:
    """The PIN, and the memory of its refusal.

    A wrong PIN must never be sent twice, after a restart of the daemon neither: the third locks the SIM. So the try
    is noted in `mark` *before* the PIN is sent, and the note is removed when the SIM turns out to be ready. It holds
    size and time of the PIN's file, nothing of its content: a changed file may be tried.
    """

    def __init__(self, pin: Path | None, mark: Path) -> None:
        self._pin = pin
        self._mark = mark

    def take(self) -> str:
        """Read the PIN for the one try that is allowed; SimUnusable when there is none."""
        if self._pin is None:
            raise SimUnusable(
                Sim.PIN_NEEDED, "the SIM wants its PIN: write it to a file and name that in modem.pin_file"
            )
        try:
            stat = self._pin.stat()
            pin = self._pin.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SimUnusable(
                Sim.PIN_NEEDED, f"the PIN was not sent: {self._pin} cannot be read ({type(error).__name__})"
            ) from None
        if not (pin.isdecimal() and 4 <= len(pin) <= 8):
            raise SimUnusable(
                Sim.PIN_NEEDED, f"the PIN was not sent: {self._pin} does not hold 4 to 8 digits and nothing else"
            )
        self._note(f"{stat.st_size} {stat.st_mtime_ns}\n")
        return pin

    def accepted(self) -> None:
        """The SIM is ready: forget the try."""
        try:
            self._mark.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed (%s): remove it, or the PIN is not sent next time", self._mark, error)

    def _note(self, note: str) -> None:
        try:
            if self._mark.exists() and self._mark.read_text("ascii") == note:
                raise SimUnusable(
                    Sim.PIN_REFUSED,
                    f"the PIN in {self._pin} was refused before and is not sent again, so that the SIM does not "
                    "lock: write the right one",
                )
            with self._mark.open("w", encoding="ascii") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SimUnusable(
                Sim.PIN_NEEDED,
                f"the PIN was not sent: {self._mark}, where the try is noted, cannot be written "
                f"({error.strerror or type(error).__name__})",
            ) from None


async def greet(session: AtSession) -> None:
    """Wake the modem, turn the echo off and numbered errors on; NoAnswer when nobody is there."""
    for attempt in range(1, GREETINGS + 1):
        try:
            # What a modem says to the first command may belong to another program's last.
            await session.command("AT")
            break
        except NoAnswer:
            if attempt == GREETINGS:
                raise
    await session.command("ATE0")
    await session.command("AT+CMEE=1")
    await session.sync()


async def unlock(session: AtSession, clock: Clock, pin_file: PinFile, slow_s: float) -> None:
    """See to it that the SIM is ready; SimUnusable when it is not. The PIN is sent at most once."""
    pin_sent = False
    sim = Sim.UNKNOWN
    for _ in range(SIM_CHECKS):
        reply = await session.command("AT+CPIN?", prefix="+CPIN:", required=True, timeout_s=slow_s)
        sim = sim_from(reply.value("+CPIN:"), reply.code if reply.result == "cme" else None)
        if sim is Sim.READY:
            pin_file.accepted()
            return
        if sim is Sim.PIN_NEEDED and not pin_sent:
            await _refuse_last_try(session)
            await _send_pin(session, pin_file.take(), slow_s)
            pin_sent = True
        elif sim is not Sim.UNKNOWN and not pin_sent:
            break
        # A SIM that has just woken or taken its PIN is busy for some seconds.
        await wait_s(clock, SIM_CHECK_S)
    raise SimUnusable(sim, _ADVICE.get(sim, "the SIM does not become ready: take it out, look at it, put it back"))


_ADVICE = {
    Sim.ABSENT: "there is no SIM in the modem",
    Sim.FAILED: "the SIM fails or is locked to another device: try it in a telephone",
    Sim.PIN_NEEDED: "the SIM wants its PIN still, though it took the one of modem.pin_file",
    Sim.PUK_NEEDED: "the SIM is locked and wants its PUK: unlock it in a telephone; nothing was sent to it",
}


async def _refuse_last_try(session: AtSession) -> None:
    for question, prefix in _TRIES_LEFT:
        reply = await session.command(question, prefix=prefix)
        left = tries_left_from(reply.value(prefix)) if reply.ok else None
        if left is not None:
            if left <= 1:
                raise SimUnusable(
                    Sim.PIN_REFUSED,
                    "one try is left for the SIM's PIN and was not used: enter the PIN in a telephone first",
                )
            return


async def _send_pin(session: AtSession, pin: str, slow_s: float) -> None:
    reply = await session.command(f'AT+CPIN="{pin}"', timeout_s=slow_s)
    if not reply.ok:
        raise SimUnusable(
            Sim.PIN_REFUSED,
            "the SIM refused the PIN of modem.pin_file; it is not sent again until that file has changed",
        )


async def configure(session: AtSession, *, reports: bool) -> bool:
    """PDU mode, operator by name, delivery reports; whether reports will come."""
    await session.command("AT+CMGF=0")
    await session.command("AT+COPS=3,0")
    centre = await session.command("AT+CSCA?", prefix="+CSCA:")
    if centre.ok and centre.value("+CSCA:").startswith('""'):
        log.warning("The SIM knows no SMS centre: messages will fail until it is set with AT+CSCA")
    if not reports:
        await session.command("AT+CNMI=2,1,0,0,0")
        return False
    for setting in _CNMI:
        if (await session.command(f"AT+CNMI={setting}")).ok:
            return setting != _CNMI[-1]
    return False
