"""What some workers do not load, for memory and for a quicker start.

Twisted's AMP brings TLS along where pyOpenSSL is there: 15 MiB and a third of the start of a process that speaks to
control over an inherited socket and to the edge in the clear on loopback. There are half a dozen of them.
To be imported before Twisted.
"""

import sys
from collections.abc import Sequence

WITHOUT_TLS = ("avisiod.gateway.sip_worker", "avisiod.gateway.transcode_worker")
"""Run with `python -m`; media workers need TLS for DTLS."""


def shed(command: Sequence[str]) -> None:
    """Where this process is run as such a worker: let pyOpenSSL look as if it were not installed."""
    if command[-2:-1] == ["-m"] and command[-1] in WITHOUT_TLS:
        sys.modules["OpenSSL"] = None  # type: ignore[assignment]


shed(sys.orig_argv)
