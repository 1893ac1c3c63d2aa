"""avisiod, whose loop SIGUSR2 keeps busy for two seconds: `python -m tests.bench.blockable --config …`."""

import signal
import sys
import time
from types import FrameType

from avisiod.__main__ import main

BLOCKED_S = 2.0


def _block(_number: int, _frame: FrameType | None) -> None:
    until = time.monotonic() + BLOCKED_S
    while time.monotonic() < until:
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, _block)  # Python runs it in the main thread, which is the loop's
    sys.exit(main())
