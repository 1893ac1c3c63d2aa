r"""The line protocol of Numato Lab's USB relay boards, over any port that reads and writes. Blocks.

A command ends with CR; the board echoes it, answers, and shows a prompt: `gpio read 0\r` brings
`gpio read 0\n\r1\n\r>`. Lines count from 0 to 9, then A, B, C …
"""

from typing import Protocol

LONGEST = 256
"""Octets of an answer; more is noise."""
PROMPT = b">"


class Port(Protocol):
    """What is needed of a port, whose patience limits each read."""

    def read(self, size: int, /) -> bytes:
        """What has come, `size` octets at most; waits for the first one, and is empty where none came in time."""

    def write(self, data: bytes, /) -> int | None:
        """Write all of it."""

    def reset_input_buffer(self) -> None:
        """Forget what came and was not read."""


class NoSense(Exception):
    """The board said something else, half of it, or nothing."""


class Numato:
    """The dialogue. Every method raises NoSense, or what the port raises."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._left = bytearray()
        """What came behind a prompt."""

    def begin(self) -> None:
        """Find the beat: an empty command, and whatever comes until a prompt."""
        self._port.reset_input_buffer()
        self._left.clear()
        self._port.write(b"\r")
        self._until_prompt()

    def read_inputs(self, inputs: list[int]) -> dict[int, bool]:
        """Whether each input reads 1."""
        return {place: self._value(f"gpio read {digit(place)}") == "1" for place in inputs}

    def write_output(self, output: int, *, on: bool) -> None:
        """Switch a relay, and see that it is switched."""
        self._command(f"relay {'on' if on else 'off'} {digit(output)}")
        if self._command(f"relay read {digit(output)}") != ("on" if on else "off"):
            raise NoSense("a relay did not switch")

    def _value(self, command: str) -> str:
        value = self._command(command)
        if value not in ("0", "1"):
            raise NoSense("an input is neither 0 nor 1")
        return value

    def _command(self, command: str) -> str:
        self._port.write(command.encode("ascii") + b"\r")
        text = self._until_prompt().decode("ascii", "replace")
        words = [line.strip() for line in text.replace("\r", "\n").split("\n")]
        said = [word for word in words if word]
        # The echo is the proof that this is the answer to this question, and not to one before.
        if not said or said[0].removeprefix(">").strip() != command or len(said) > 2:
            raise NoSense("an answer without its question")
        return said[1] if len(said) == 2 else ""

    def _until_prompt(self) -> bytes:
        taken = bytearray()
        while True:
            for place, octet in enumerate(self._left):
                if octet == PROMPT[0]:
                    del self._left[: place + 1]
                    return bytes(taken) if taken.strip() else b""
                taken.append(octet)
                if len(taken) == LONGEST:
                    raise NoSense("more than an answer")
            self._left.clear()
            # All that is there at once: whoever takes single octets lets go of the interpreter for each of them, and
            # waits for it again for as long as the rest of the process has something to do.
            self._left += self._port.read(LONGEST)
            if not self._left:
                raise NoSense("no answer")


def digit(place: int) -> str:
    """As the board counts."""
    return str(place) if place < 10 else chr(ord("A") + place - 10)
