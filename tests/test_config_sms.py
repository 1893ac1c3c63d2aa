"""Routes for SMS are taken whole or refused with all that is wrong with them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.config.check import ConfigError, load
from avisiod.config.sms_rules import sender_fits

OVH = "{name: ovh, kind: ovh, account: sms-ab12345-1, secret_file: /etc/avisiod/ovh.secret}"


def problems(tmp_path: Path, sms: str, *, more: str = "", files: bool = False) -> list[str]:
    path = tmp_path / "avisiod.yaml"
    path.write_text(f"sms:\n  {sms}\n{more}")
    try:
        load(path, files=files)
    except ConfigError as error:
        return [f"{found.key}: {found.reason}" for found in error.problems]
    return []


@pytest.mark.parametrize(
    ("sender", "fits"),
    [
        ("Avisio.io", True),
        ("Avisio", True),
        ("AVISIO-2 b", True),
        ("A2345678901", True),
        ("A23456789012", False),
        ("12345", False),
        ("", False),
        ("Avísio", False),
        ("Avisio\n", False),
        ("Avisio_1", False),
    ],
)
def test_a_sender_that_telephones_show(sender, fits):
    assert sender_fits(sender) is fits


@given(st.text(max_size=14))
def test_no_sender_that_fits_is_long_or_accented(sender):
    assert not sender_fits(sender) or (len(sender) <= 11 and sender.isascii() and any(map(str.isalpha, sender)))


@pytest.mark.parametrize(
    ("sms", "found"),
    [
        (f"routes: [{OVH}]", []),
        ("routes: [{name: m, kind: modem, device: /dev/avisiod/modem-*}]", []),
        ("routes: [{name: m, kind: modem}]", ["sms.routes[0].device: no serial port"]),
        ("routes: [{name: m, kind: modem, device: dev/tty}]", ["sms.routes[0].device: `dev/tty` is relative"]),
        (
            "routes: [{name: m, kind: modem, device: /dev/x, url: 'https://x'}]",
            ["sms.routes[0].url: a modem has none"],
        ),
        (f"routes: [{OVH}, {OVH}]", ["sms.routes[1].name: another route is called `ovh` too"]),
        (
            "routes: [{name: ovh, kind: ovh}]",
            ["sms.routes[0].account: missing", "sms.routes[0].secret_file: missing"],
        ),
        ("routes: [{name: Ovh 1, kind: ovhh}]", None),
        ("routes: [{kind: twilio, account: x, secret_file: /x}]", ["sms.routes[0].name: missing"]),
        ("routes: [{name: t, kind: teltonika, secret_file: /x}]", ["sms.routes[0].url: missing"]),
        (
            "routes: [{name: t, kind: teltonika, secret_file: /x, url: 'https://admin:pw@192.0.2.1'}]",
            ["sms.routes[0].url: no address that can be asked"],
        ),
        (
            "routes: [{name: h, kind: http, url: 'http://sms.example/{digits}?t={text}'}]",
            ["sms.routes[0].url: codes and credentials would go out unencrypted"],
        ),
        ("routes: [{name: h, kind: http, url: 'https://sms.example/{digits}?t={text}'}]", []),
        (
            "routes: [{name: h, kind: http, url: 'https://sms.example/{digits}?t={txt}&k={secret.key}'}]",
            [
                "sms.routes[0].url: nothing is called {txt}",
                "sms.routes[0].request.body: a message needs {text}, and {number} or {digits}",
                "sms.routes[0].secret_file: missing, and {secret.…} is used",
            ],
        ),
        ("sender: Établissement", ["sms.sender: `Établissement` cannot be a sender"]),
        ("reports_address: 127.0.0.1", ["sms.reports_url: missing"]),
        (
            "{reports_address: 0.0.0.0, reports_url: 'https://x/'}",
            ["sms.reports_address: plain HTTP on 0.0.0.0 could be overheard"],
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, sms, found):
    named = problems(tmp_path, sms)
    assert named if found is None else sorted(named) == sorted(found)


def test_a_modem_beside_a_list_is_sent_into_it(tmp_path):
    (found,) = problems(tmp_path, f"routes: [{OVH}]", more="modem: {device: /dev/ttyUSB2}\n")
    assert found == "modem.device: a modem beside a list of routes has no place in it"


def test_credentials_that_others_may_read_are_refused(tmp_path):
    secret = tmp_path / "ovh.secret"
    secret.write_text("token: x")
    secret.chmod(0o644)
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("")
    entry = f"{{name: f, kind: smsfactor, secret_file: {secret}}}"
    more = f"store: {{inventory_file: {inventory}}}\n"
    (found,) = problems(tmp_path, f"routes: [{entry}]", more=more, files=True)
    assert found == f"sms.routes[0].secret_file: {secret} holds a secret and is open to others"
