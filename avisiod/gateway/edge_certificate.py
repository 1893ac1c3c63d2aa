"""The edge's certificate towards phones: when its files are renewed, Kamailio is told to read them again.

Kamailio reads them for new connections only (RPC `tls.reload`): phones that are connected stay so.
"""

import datetime
import logging
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
from twisted.internet.threads import deferToThread

from avisiod.certificate_pair import CertificateUnusable, Renewable
from avisiod.config.settings import Config
from avisiod.log import FirstThenDebug

_log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 5.0
_answer: msgspec.json.Decoder[dict[str, object]] = msgspec.json.Decoder(dict[str, object])


class EdgeCertificate:
    """Looks at the files that the settings name; does nothing where they name none."""

    def __init__(self, config: Config, utc: Callable[[], datetime.datetime]) -> None:
        self._config = config
        self._utc = utc
        self._renewable: Renewable | None = None
        self._untold = False
        self._trouble = FirstThenDebug(_log)

    @property
    def refused(self) -> int:
        """Renewed files that were not taken."""
        return self._renewable.refused if self._renewable else 0

    async def look(self) -> None:
        """Take renewed files up."""
        certificate, key = self._config.sip.edge_certificate_file, self._config.sip.edge_key_file
        if not certificate:
            return
        if self._renewable is None:
            try:
                self._renewable = Renewable("the edge", certificate, key, self._utc, lambda: None)
            except CertificateUnusable as error:
                self._trouble.failed("%s: phones with TLS cannot call", error)
            return
        if self._renewable.look():
            self._untold = True
        if self._untold:
            await self._tell()

    async def _tell(self) -> None:
        """Until the edge has taken it: it may be down just now."""
        try:
            await deferToThread(tell_edge, Path(self._config.health.edge_control))
        except OSError as error:
            self._trouble.failed("the edge did not take its renewed certificate up: %s; it is asked again", error)
        else:
            self._untold = False
            self._trouble.recovered("the edge has taken its renewed certificate up")


def tell_edge(control: Path, within_s: float = ANSWER_WITHIN_S) -> None:
    """Have Kamailio read its certificate again; blocks. OSError where it does not answer or refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        asking.bind(f"\0avisiod-{os.getpid()}-{secrets.token_hex(4)}")
        asking.settimeout(within_s)
        asking.connect(str(control))
        asking.send(msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tls.reload"}))
        said = asking.recv(65536)
    try:
        answer = _answer.decode(said)
    except msgspec.MsgspecError:
        raise OSError("it answered what is no JSON") from None
    if "error" in answer:
        raise OSError(f"it said {answer['error']}; its journal says more")
