"""The end of each certificate that the settings name is found, or why not."""

import datetime
import shutil
import subprocess
from pathlib import Path

import pytest

from avisiod import certificates
from avisiod.config.settings import Config, Metrics, Portal


def made(path: Path, days: int) -> None:
    openssl = shutil.which("openssl") or "openssl"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-keyout", path.with_suffix(".key"), "-out", path]
    subprocess.run([*command, "-days", str(days), *names], check=True, capture_output=True)


def test_each_section_that_names_a_certificate_is_looked_at(tmp_path: Path) -> None:
    made(tmp_path / "a.crt", 7)
    made(tmp_path / "b.crt", 30)
    chain = tmp_path / "chain.crt"
    chain.write_bytes((tmp_path / "b.crt").read_bytes() + (tmp_path / "a.crt").read_bytes())
    config = Config(
        portal=Portal(certificate_file=str(chain)), metrics=Metrics(certificate_file=str(tmp_path / "b.crt"))
    )
    found = {each.of: each for each in certificates.look(config)}
    assert set(found) == {"portal", "metrics"}
    ends = {of: each.ends_utc for of, each in found.items()}
    assert ends["portal"] is not None
    assert ends["metrics"] is not None
    assert ends["metrics"] - ends["portal"] >= datetime.timedelta(days=22), "the first of a chain to end counts"


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file"), (b"", "no certificate"), (b"-----BEGIN CERT", "no certificate")]
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "a.crt"
    if content is not None:
        path.write_bytes(content)
    (found,) = certificates.look(Config(portal=Portal(certificate_file=str(path))))
    assert found.ends_utc is None
    assert problem in found.problem


def test_no_certificate_is_no_finding() -> None:
    assert certificates.look(Config()) == []
    assert {"portal", "metrics", "edge", "turn"} <= set(certificates.sections())
