"""A board on Modbus RTU: discrete inputs (function 2) and coils (5, 1), by pymodbus. Blocks."""

from pymodbus import ModbusException
from pymodbus.client import ModbusSerialClient

from avisiod.devices.board.numato import NoSense


class Modbus:
    """The dialogue. Every method raises NoSense or OSError."""

    def __init__(self, device: str, baud: int, address: int, timeout_s: float) -> None:
        self._address = address
        self._client = ModbusSerialClient(device, baudrate=baud, timeout=timeout_s, retries=0, name="board")

    def begin(self) -> None:
        """Open the port."""
        if not self._client.connect():
            raise OSError("the port cannot be opened")

    def read_inputs(self, inputs: list[int]) -> dict[int, bool]:
        """Whether each input reads 1; all of them in one question."""
        if not inputs:
            return {}
        first, count = min(inputs), max(inputs) - min(inputs) + 1
        try:
            answer = self._client.read_discrete_inputs(first, count=count, device_id=self._address)
        except ModbusException as error:
            raise NoSense(type(error).__name__) from None
        if answer.isError() or len(answer.bits) < count:
            raise NoSense("the inputs cannot be read")
        return {place: bool(answer.bits[place - first]) for place in inputs}

    def write_output(self, output: int, *, on: bool) -> None:
        """Switch a relay, and see that it is switched."""
        try:
            written = self._client.write_coil(output, on, device_id=self._address)
            read = self._client.read_coils(output, count=1, device_id=self._address)
        except ModbusException as error:
            raise NoSense(type(error).__name__) from None
        if written.isError() or read.isError() or not read.bits or bool(read.bits[0]) is not on:
            raise NoSense("a relay did not switch")

    def close(self) -> None:
        """Let the port go."""
        self._client.close()  # type: ignore[no-untyped-call]
