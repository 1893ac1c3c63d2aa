"""A certificate from a real ACME authority, Caddy's: certbot asks, the portal answers on port 80, the hook brings it.

In a network of its own, where port 80 is ours and a name leads to us.
"""

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.e2e.stage import Stage
from tests.network.networks import Network, may_make
from tests.peers.processes import Process
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

NAME = "visio.test"
AUTHORITY = 8500
HOOK = Path(__file__).resolve().parents[2] / "etc" / "letsencrypt" / "avisiod-deploy"


@pytest.fixture(autouse=True)
def on_the_box() -> None:
    """No place of this folder's other tests is needed here."""


@pytest.fixture
def alone() -> Iterator[Network]:
    if not may_make():
        pytest.skip("networks of their own need root (CAP_SYS_ADMIN)")
    with Network("acme") as network, network.entered():
        yield network


@pytest.fixture
def authority(alone: Network, tmp_path: Path) -> Iterator[None]:
    folder = tmp_path / "authority"
    folder.mkdir()
    (folder / "hosts").write_text(f"127.0.0.1 localhost {NAME}\n")
    (folder / "Caddyfile").write_text(
        f"""{{
            admin off
            skip_install_trust
            auto_https disable_redirects
            storage file_system {folder}
        }}
        https://localhost:{AUTHORITY} {{
            tls internal
            acme_server
        }}
        """
    )
    mounted = f"mount --bind {folder}/hosts /etc/hosts && exec caddy run --config {folder}/Caddyfile"
    argv = ["unshare", "--mount", "sh", "-c", mounted]
    with Process(argv, name="caddy", env={"HOME": str(folder)}, log=folder / "log"):
        wait_until(lambda: issuer_at(AUTHORITY, "localhost") != "", 30, "the authority answers")
        yield


@pytest.fixture
def stage(alone: Network, tmp_path: Path) -> Iterator[Stage]:
    folder = tmp_path / "box"
    (folder / "acme").mkdir(parents=True)
    settings = {
        "portal": {"http_port": 80, "acme_folder": str(folder / "acme"), "public_url": f"https://{NAME}:8443"}
    }
    stage = Stage(folder, settings=settings)
    try:
        stage._prepare()
        stage.start_modem()
        stage.start_daemon()
        yield stage
    finally:
        stage.stop()


def connected(port: int, name: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname=name)


def issuer_at(port: int, name: str) -> str:
    """Who made the certificate that is shown there; empty where nobody answers."""
    try:
        with connected(port, name) as connection:
            shown = connection.getpeercert(binary_form=True)
    except OSError:
        return ""
    return x509.load_der_x509_certificate(shown or b"").issuer.rfc4514_string()


def test_certbot_gets_a_certificate_over_port_80_and_the_portal_shows_it_without_a_lost_connection(
    stage: Stage, authority: None, tmp_path: Path
) -> None:
    port = stage.settings["portal"]["port"]
    before = connected(port, NAME)
    assert "Caddy" not in issuer_at(port, NAME)
    folder = tmp_path / "certbot"
    folders = [f"--{each}-dir={folder}/{each}" for each in ("config", "work", "logs")]
    argv = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--register-unsafely-without-email", *folders]
    argv += ["--server", f"https://localhost:{AUTHORITY}/acme/local/directory", "--no-verify-ssl"]
    argv += ["--webroot", "--webroot-path", str(stage.folder / "acme"), "--domain", NAME, "--deploy-hook", str(HOOK)]
    done = subprocess.run(
        argv,
        env={
            **os.environ,
            "AVISIOD_FOLDER": str(stage.folder),
            "AVISIOD_GROUP": "root",
            "COTURN_FOLDER": str(tmp_path / "none"),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Caddy" in issuer_at(port, NAME)
    before.sendall(f"GET /robots.txt HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
    assert before.recv(4096).startswith(b"HTTP/1.1 200")
    before.close()
