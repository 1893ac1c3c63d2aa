"""/metrics with TLS and a password: whoever has both sees it, nobody else, and refusals are counted."""

import base64
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from avisiod import metrics_login
from avisiod.config.settings import Metrics as MetricsConfig
from avisiod.metrics import Metrics
from avisiod.metrics_login import HashUnusable, Login, hashed
from avisiod.metrics_page import listen
from avisiod.web.tls import Certificate
from tests.e2e.stage import make_certificate

PASSWORD = "four words: and a colon"


class Client(NamedTuple):
    """urllib, as any program has it."""

    port: int
    trusted: Path

    def get(self, page: str = "metrics", authorization: str = "") -> tuple[int, str, str]:
        """Status, body, and how to log in. Blocks."""
        request = urllib.request.Request(f"https://localhost:{self.port}/{page}")
        if authorization:
            request.add_header("Authorization", authorization)
        context = ssl.create_default_context(cafile=str(self.trusted))
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                return answer.status, answer.read().decode(), ""
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers["WWW-Authenticate"]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Served(NamedTuple):
    client: Client
    refused: list[None]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    make_certificate(tmp_path / "m.crt", tmp_path / "m.key")
    (tmp_path / "hash").write_text(hashed(PASSWORD) + "\n")
    config = MetricsConfig(port=0, user="prometheus", password_hash_file=str(tmp_path / "hash"))
    refused: list[None] = []
    port = listen(
        reactor,
        config,
        Metrics().registry,
        lambda: (),
        certificate=Certificate(str(tmp_path / "m.crt"), str(tmp_path / "m.key"), "metrics"),
        refused=lambda: refused.append(None),
    )
    yield Served(Client(port.getHost().port, tmp_path / "m.crt"), refused)
    pytest_twisted.blockon(port.stopListening())


@pytest_twisted.ensureDeferred
async def test_name_and_password_open_both_pages_again_and_again(served: Served) -> None:
    for page, has in (("metrics", "avisiod_calls"), ("health", '"ok":true'), ("metrics", "avisiod_calls")):
        status, body, _ = await deferToThread(served.client.get, page, basic("prometheus", PASSWORD))
        assert (status, has in body) == (200, True)
    assert served.refused == []


@pytest.mark.parametrize(
    "shown",
    [
        "",
        basic("prometheus", "wrong"),
        basic("somebody", PASSWORD),
        basic("prometheus", ""),
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        basic("prometheus", PASSWORD).replace("Basic", "Bearer"),
        basic("prometheus", PASSWORD)[:-4],
    ],
)
@pytest_twisted.ensureDeferred
async def test_nobody_else_sees_anything(served: Served, shown: str) -> None:
    for page in ("metrics", "health"):
        status, body, how = await deferToThread(served.client.get, page, shown)
        assert (status, body, how.split()[0]) == (401, "", "Basic")
    assert len(served.refused) == 2


@pytest_twisted.ensureDeferred
async def test_plain_http_gets_nothing_on_the_tls_port(served: Served) -> None:
    def ask() -> bytes:
        with urllib.request.urlopen(f"http://localhost:{served.client.port}/metrics", timeout=30) as answer:
            return bytes(answer.read())

    with pytest.raises(OSError):  # noqa: PT011 - closed in one of several ways
        await deferToThread(ask)


@pytest_twisted.ensureDeferred
async def test_a_password_that_was_right_is_verified_once_and_a_wrong_one_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hash").write_text(hashed(PASSWORD))
    login = Login("prometheus", tmp_path / "hash")
    verified: list[str] = []
    real = login._is_right
    monkeypatch.setattr(login, "_is_right", lambda header: verified.append(header) or real(header))
    right, wrong = basic("prometheus", PASSWORD), basic("prometheus", "wrong")
    answers = [await login.admits(each) for each in (right, right, wrong, wrong, right)]
    assert answers == [True, True, False, False, True]
    assert verified == [right, wrong, wrong]


@pytest_twisted.ensureDeferred
async def test_a_crowd_of_wrong_passwords_is_refused_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hash").write_text(hashed(PASSWORD))
    login = Login("prometheus", tmp_path / "hash")
    monkeypatch.setattr(login, "_waiting", metrics_login.WAITING)
    assert not await login.admits(basic("prometheus", PASSWORD))


def test_a_file_without_a_hash_is_named(tmp_path: Path) -> None:
    (tmp_path / "hash").write_text(PASSWORD)
    with pytest.raises(HashUnusable, match=r"hash holds no hash: make one with avisiod --hash-password") as raised:
        Login("prometheus", tmp_path / "hash")
    assert PASSWORD not in str(raised.value)


@pytest_twisted.ensureDeferred
async def test_what_hash_password_prints_opens(tmp_path: Path) -> None:
    def made(typed: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "avisiod", "--hash-password"]
        return subprocess.run(command, input=f"{typed}\n", capture_output=True, text=True, timeout=60)

    done = await deferToThread(made, PASSWORD)
    assert done.returncode == 0
    (tmp_path / "hash").write_text(done.stdout)
    assert await Login("prometheus", tmp_path / "hash").admits(basic("prometheus", PASSWORD))
    assert (await deferToThread(made, "")).returncode == 1
