"""What is known of a modem, and how its answers are read (3GPP TS 27.007)."""

import enum

import msgspec

from avisiod.devices.sms_failure import FailureKind


class Sim(enum.StrEnum):
    """The SIM, as AT+CPIN? tells."""

    UNKNOWN = "unknown"
    READY = "ready"
    ABSENT = "absent"
    FAILED = "failed"
    PIN_NEEDED = "pin_needed"
    PIN_REFUSED = "pin_refused"
    PUK_NEEDED = "puk_needed"


class ModemState(msgspec.Struct, frozen=True, kw_only=True):
    """A modem at one moment, for metrics and health; nothing in it points to a person."""

    present: bool = False
    """The port is open and the modem answers."""
    sim: Sim = Sim.UNKNOWN
    registered: bool = False
    roaming: bool = False
    operator: str = ""
    signal_dbm: int | None = None
    last_error: FailureKind | None = None
    """Class of the last failure; None again after a success."""
    sent: int = 0
    failed: int = 0
    reports: bool = False
    """The modem hands on delivery reports."""
    delivered: int = 0
    undelivered: int = 0
    last_latency_s: float | None = None
    """From the moment the modem got the message to its acceptance by the network."""

    @property
    def usable(self) -> bool:
        """A message can be tried now."""
        return self.present and self.sim is Sim.READY and self.registered


def signal_from(csq: str) -> int | None:
    """RSSI in dBm out of +CSQ's `rssi,ber` (TS 27.007 section 8.5); None when unknown."""
    rssi = csq.split(",", maxsplit=1)[0].strip()
    if not rssi.isdecimal() or int(rssi) > 31:
        return None
    return -113 + 2 * int(rssi)


def registration_from(creg: str) -> int | None:
    """<stat> out of the answer to +CREG? or +CEREG?, `n,stat[,…]`; a bare `stat` is read as well."""
    fields = [field.strip() for field in creg.split(",")]
    stat = fields[1] if len(fields) > 1 and fields[1].isdecimal() else fields[0]
    return int(stat) if stat.isdecimal() else None


def is_registered(stat: int | None) -> bool:
    """Home, roaming, or registered for SMS alone (TS 27.007 section 7.2)."""
    return stat in {1, 5, 6, 7}


def is_roaming(stat: int | None) -> bool:
    """Registered with a network that is not the SIM's."""
    return stat in {5, 7}


def operator_from(cops: str) -> str:
    """Name or code of the operator out of +COPS?, `mode,format,"operator"[,AcT]`; at most 32 characters."""
    parts = cops.split('"')
    return "".join(char for char in parts[1] if char.isprintable())[:32] if len(parts) > 1 else ""


def sim_from(cpin: str, cme: int | None) -> Sim:
    """The SIM out of the answer to +CPIN? or the +CME ERROR in its place (TS 27.007 sections 8.3 and 9.2)."""
    if cme is not None:
        return {10: Sim.ABSENT, 11: Sim.PIN_NEEDED, 12: Sim.PUK_NEEDED, 13: Sim.FAILED, 15: Sim.FAILED}.get(
            cme, Sim.UNKNOWN
        )
    if cpin == "READY":
        return Sim.READY
    if cpin == "SIM PIN":
        return Sim.PIN_NEEDED
    if cpin == "SIM PUK":
        return Sim.PUK_NEEDED
    return Sim.FAILED if cpin else Sim.UNKNOWN


def tries_left_from(answer: str) -> int | None:
    """Tries that remain for the PIN: last number of +CPINR's `"SIM PIN",3[,…]`, +QPINC's or +SPIC's answer."""
    fields = [field.strip() for field in answer.split(",")]
    numbers = [int(field) for field in fields if field.isdecimal()]
    return numbers[0] if numbers else None
