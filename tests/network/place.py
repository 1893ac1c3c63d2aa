"""A stage in a small internet: the daemon and the edge on a box with two addresses, the page behind NAT."""

import base64
import contextlib
import hashlib
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e.stage import Stage, make_certificate
from tests.network.firewall import adapted
from tests.network.internet import BOX_INSIDE, BOX_OUTSIDE, BOX_OUTSIDE6, CORE, PHONES, Internet
from tests.peers import assets
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Chromium, Relative
from tests.peers.processes import Process

ETC = Path(__file__).resolve().parents[2] / "etc"
NAME = "visio.example"
SECRET = "shared-with-coturn"
CALL_S = 300
"""As the phone's film and speech last."""


def leads_to(address: str) -> str:
    """A flag of Chromium: the portal's name is that of this address, without a resolver."""
    return f"--host-resolver-rules=MAP {NAME} {address}"


class Place(Stage):
    """See the module. Methods that ask the daemon must be called inside `net.box`."""

    def __init__(self, folder: Path, net: Internet) -> None:
        self.net = net
        secret = folder / "turn.secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        settings: dict[str, dict[str, Any]] = {
            "calls": {"limit_s": 600.0, "warnings_s": []},
            "media": {
                "phone_address": BOX_INSIDE,
                "outside_address": BOX_OUTSIDE,
                "outside_address_ipv6": BOX_OUTSIDE6,
                "outside_silent_s": 3.0,
                "ice_servers": [{"urls": [f"turns:{CORE}:443?transport=tcp"], "secret_file": str(secret)}],
            },
            "portal": {
                "address": BOX_OUTSIDE,
                "address_ipv6": BOX_OUTSIDE6,
                "port": 443,
                "public_url": f"https://{NAME}",
            },
        }
        super().__init__(folder, settings=settings, edge_address=BOX_INSIDE)
        self._made = contextlib.ExitStack()

    def start(self) -> "Place":
        """As any stage, with coturn on the internet, which takes TLS on port 443 and nothing else."""
        with contextlib.ExitStack() as made:
            with self.net.core.entered():
                self.coturn = made.enter_context(self._coturn())
            with self.net.box.entered():
                super().start()
                made.callback(super().stop)
            self.firewall()
            with self.net.page.entered():
                self.chromium = made.enter_context(Chromium(flags=[*self._trusted(), leads_to(BOX_OUTSIDE)]))
            self._made = made.pop_all()
        return self

    def stop(self) -> None:
        """The browser first: its pages go while the daemon is there."""
        with self.net.box.entered():
            self._made.close()

    def firewall(self) -> None:
        """Everything here happens behind the firewall that is shipped."""
        media = self.settings["media"]
        values = {
            "prison": '"lan"',
            "outside": '"wan"',
            "phones": "{ 10.1.0.0/24 }",
            "phones6": "{ fd01::/64 }",
            "admins": "{ 10.1.0.240/28 }",
            "sip": str(self.edge.port),
            "sips": str(self.edge.tls_port or 5061),
            "phone_media": "{}-{}".format(*media["phone_ports"]),
            "outside_media": "{}-{}".format(*media["outside_ports"]),
        }
        self.net.box.run("nft", "-f", "-", text=adapted(values))

    def _coturn(self) -> Process:
        make_certificate(self.folder / "turn.crt", self.folder / "turn.key")
        text = (ETC / "coturn" / "turnserver.conf").read_text().replace("/etc/coturn/", f"{self.folder}/")
        for shipped, here in (("198.51.100.2", CORE), ("198.51.100.1", BOX_OUTSIDE), ("CHANGE-ME", SECRET)):
            assert shipped in text
            text = text.replace(shipped, here)
        file = self.folder / "turnserver.conf"
        file.write_text(text.replace("\nsyslog\n", "\n"))
        argv: list[str | Path] = ["turnserver", "-c", file, "--log-file=stdout", "--verbose"]
        argv += [f"--pidfile={self.folder}/turn.pid", f"--db={self.folder}/turn.db"]
        return Process(argv, name="coturn", log=self.folder / "coturn.log")

    def _trusted(self) -> list[str]:
        """Chromium takes the certificate of coturn for good, as one of a known authority."""
        certificate = x509.load_pem_x509_certificate((self.folder / "turn.crt").read_bytes())
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
        return [f"--ignore-certificate-errors-spki-list={pin}"]

    def phone(self, user: str = "cell1", **options: Any) -> BaresipPhone:
        """On the prison's LAN, with a film that is longer than any of these calls."""
        options.setdefault("camera", assets.movie(seconds=CALL_S))
        with self.net.phones.entered():
            return super().phone(user, address=PHONES, **options)

    def relative(self, **options: Any) -> Relative:
        """Behind NAT."""
        return self.chromium.relative(**options)
