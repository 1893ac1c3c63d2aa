"""The settings of serial boards: emergency keys and lamps."""

from typing import Annotated, Literal

from msgspec import Meta

from avisiod.config.section import Section

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Line = Annotated[int, Meta(ge=-1, le=63)]


class BoardKey(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An emergency key: it ends every call of its unit at once, and whatever begins there while it is pressed."""

    name: Name
    """Short, in small letters, as metrics and the log call it."""
    closed_input: Line = -1
    """Input, from 0, of the contact that is closed at rest (normally closed): a broken wire looks like a press."""
    open_input: Line = -1
    """Input of a second contact, open at rest, which tells a press from a broken wire; -1: there is none, and an open
    loop counts as a press."""
    building: str = ""
    """Of the phones of its unit; empty: of any building."""
    floor: str = ""
    """Likewise."""
    phones: tuple[str, ...] = ()
    """Only these phones; empty: all that building and floor leave."""
    on_fault: Literal["alarm", "cut"] = "alarm"
    """What a broken or shorted wire, and a board that does not answer, bring about: an alarm, or the end of calls."""


class BoardLamp(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A lamp that is lit while a call is under way in its unit."""

    name: Name
    """Short, in small letters."""
    output: Annotated[int, Meta(ge=0, le=63)]
    """Relay, from 0."""
    building: str = ""
    """As for a key."""
    floor: str = ""
    """As for a key."""
    phones: tuple[str, ...] = ()
    """As for a key: one phone for a lamp of a cell."""


class Board(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A board with inputs and relays on a serial port."""

    name: Name
    """Short, in small letters."""
    device: str
    """Path of its serial port, best below /dev/serial/by-id."""
    protocol: Literal["numato", "modbus"] = "numato"
    """`numato`: the lines of Numato Lab's USB relay boards; `modbus`: Modbus RTU, discrete inputs and coils."""
    baud: Annotated[int, Meta(ge=300)] = 19200
    """Speed of the serial port in bit/s; of no matter to a USB board."""
    address: Annotated[int, Meta(ge=1, le=247)] = 1
    """Of the board on a Modbus line."""
    inverted: bool = False
    """An input whose contact is closed reads 0 instead of 1, as where it pulls a line to ground."""
    poll_s: Annotated[float, Meta(ge=0.005, le=0.1)] = 0.02
    """Its inputs are read so often, at best."""
    debounce_s: Annotated[float, Meta(ge=0, le=0.1)] = 0.03
    """A contact must stay as it is for so long to be believed."""
    fault_s: Annotated[float, Meta(ge=0.2, le=30)] = 2.0
    """A board that has not answered for so long is at fault, as is a wire that is broken for so long."""
    keys: tuple[BoardKey, ...] = ()
    """Emergency keys."""
    lamps: tuple[BoardLamp, ...] = ()
    """Lamps."""


class Boards(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Serial boards with emergency keys and lamps, see docs/board.md."""

    list: tuple[Board, ...] = ()
    """The boards."""
