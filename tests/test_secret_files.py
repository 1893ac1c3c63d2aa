"""A secret without a folder is the one that systemd handed over, or the one of the secrets' folder."""

from pathlib import Path

import pytest

from avisiod import secret_files
from avisiod.config import check, paths
from avisiod.config.settings import Config, Store


def test_what_systemd_handed_over_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets_turn.secret").write_text("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret_files.place("turn.secret") == str(tmp_path / "secrets_turn.secret")
    assert secret_files.place("sim-pin") == "/etc/avisiod/secrets/sim-pin"


def test_outside_of_the_service_the_folder_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert secret_files.place("turn.secret") == "/etc/avisiod/secrets/turn.secret"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"modem": {"pin_file": "sim-pin"}}, {"modem": {"pin_file": "/etc/avisiod/secrets/sim-pin"}}),
        ({"modem": {"pin_file": "/srv/sim-pin"}}, {"modem": {"pin_file": "/srv/sim-pin"}}),
        ({"modem": {"pin_file": ""}}, {"modem": {"pin_file": ""}}),
        ({"site": {"name": "turn"}}, {"site": {"name": "turn"}}),
        (
            {"media": {"ice_servers": [{"urls": ["turn:a"], "secret_file": "turn.secret"}]}},
            {"media": {"ice_servers": [{"urls": ["turn:a"], "secret_file": "/etc/avisiod/secrets/turn.secret"}]}},
        ),
        (None, None),
    ],
)
def test_only_names_of_secrets_are_placed(written: object, read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert secret_files.placed(written) == read


def test_the_settings_are_read_with_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets_database.url").write_text("postgresql://avisiod:hidden@db.example.org/avisiod\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = tmp_path / "avisiod.yaml"
    settings.write_text("store: {url_file: database.url}\n")
    config = check.load(settings, files=False)
    assert config.store.url == "postgresql://avisiod:hidden@db.example.org/avisiod"


def test_a_secret_that_is_not_there_is_named_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_files, "FOLDER", tmp_path / "secrets")
    settings = tmp_path / "avisiod.yaml"
    settings.write_text("store: {url_file: database.url}\n")
    with pytest.raises(check.ConfigError, match=r"store.url_file: .*secrets/database.url: No such file"):
        check.load(settings)


def test_whatever_systemd_can_hand_over_is_closed_to_others(tmp_path: Path) -> None:
    secret = tmp_path / "database.url"
    secret.write_text("postgresql://avisiod:hidden@db.example.org/avisiod\n")
    config = Config(store=Store(url_file=str(secret)))
    assert ("store.url_file", str(secret)) in paths.secrets(config)
    secret.chmod(0o644)
    (told,) = (each for each in paths.found(config) if each.keys[0] == "store.url_file")
    assert "holds a secret and is open to others" in told.reason
    secret.chmod(0o640)
    assert not [each for each in paths.found(config) if each.keys[0] == "store.url_file"]
