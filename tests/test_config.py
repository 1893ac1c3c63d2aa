"""A settings file is taken whole or refused with all that is wrong: where, why, what to do."""

import contextlib
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avisiod.config.check import ConfigError, cautions, load, report
from avisiod.config.settings import Backup, Calls, Config, IceServer, Media, Portal
from avisiod.config.sms import Modem

ROOT = Path(__file__).resolve().parent.parent


def refusal(folder: Path, text: str, *, files: bool = False) -> list[str]:
    """Every problem of this file, as it is shown."""
    path = folder / "avisiod.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(path, files=files)
    return [str(problem) for problem in refused.value.problems]


def accepted(folder: Path, text: str, *, files: bool = False) -> Config:
    path = folder / "avisiod.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, files=files)


@pytest.mark.parametrize("text", ["", "# nothing\n", "site:\n  # all commented out\n", "\ufeffsite: {}\n"])
def test_what_is_missing_has_its_default(tmp_path: Path, text: str) -> None:
    assert accepted(tmp_path, text) == Config()


def test_values_arrive_typed(tmp_path: Path) -> None:
    config = accepted(
        tmp_path,
        """
calls: {limit_s: 30, warnings_s: [20, 10]}
media:
  phone_ports: [40000, 40999]
  ice_servers:
    - urls: ["stun:stun.example.org:3478"]
    - urls: ["turn:turn.example.org:3478?transport=tcp"]
      secret_file: /etc/avisiod/turn.secret
""",
    )
    assert config.calls == Calls(limit_s=30.0, warnings_s=(20.0, 10.0))
    assert isinstance(config.calls.limit_s, float)
    assert config.media == Media(
        phone_ports=(40000, 40999),
        ice_servers=(
            IceServer(urls=("stun:stun.example.org:3478",)),
            IceServer(urls=("turn:turn.example.org:3478?transport=tcp",), secret_file="/etc/avisiod/turn.secret"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "media:\n  phone_ports: [40000, 30000]",
            "line 2: media.phone_ports: first port 40000 is above the last 30000: swap them",
        ),
        (
            "phones:\n  audio_codecs: [OPUS, G729]",
            "line 2: phones.audio_codecs: unknown codec `G729`: take some of OPUS, G722, PCMA, PCMU",
        ),
        ("calls:\n  limits: 3", "line 2: calls.limits: unknown key: did you mean `limit_s`?"),
        ("site:\n  capacity: 3", "line 2: site.capacity: unknown key: it belongs into the section `calls`"),
        (
            "metrics:\n  zzz: 3",
            (
                "line 2: metrics.zzz: unknown key: remove it; known here: address, port, certificate_file, key_file, "
                "user, password_hash_file"
            ),
        ),
        (
            "metrics:\n  user: prometheus",
            "line 1: metrics.password_hash_file: user and password go together: name both, or neither",
        ),
        (
            "metrics:\n  certificate_file: /a.crt",
            "line 1: metrics.key_file: certificate and key go together: name both, or neither",
        ),
        (
            "metrics:\n  user: a:b\n  password_hash_file: /hash",
            "line 2: metrics.user: a colon in the user's name: take another name (RFC 7617)",
        ),
        (
            "metrics:\n  address: 192.0.2.1\n  user: prometheus\n  password_hash_file: /hash",
            (
                "line 2: metrics.address: the password could be overheard on 192.0.2.1: name "
                "metrics.certificate_file and metrics.key_file, or bind a loopback address"
            ),
        ),
        ("mediaa: {}", "line 1: mediaa: unknown key: did you mean `media`?"),
        (
            "site:\n  language: no",
            (
                "line 2: site.language: expected text, got true or false (YAML reads yes, no, on and off so): "
                "put it in quotes"
            ),
        ),
        (
            "calls:\n  capacity: many",
            "line 2: calls.capacity: expected a whole number, got text: give a whole number",
        ),
        (
            "calls:\n  capacity: 0",
            "line 2: calls.capacity: 0 is out of bounds: give a whole number of at least 1",
        ),
        ("calls:\n  limit_s: .inf", "line 2: calls.limit_s: inf is not a finite number: give a number"),
        (
            "calls:\n  limit_s: 0",
            "line 2: calls.limit_s: 0 is out of bounds: give a number of more than 0.0",
        ),
        (
            "calls:\n  warnings_s: [60, soon]",
            "line 2: calls.warnings_s: entry 2: expected a number, got text: give a number",
        ),
        (
            "calls:\n  warnings_s: [30, 120]",
            "line 2: calls.warnings_s: not from the longest to the shortest: sort them, each once",
        ),
        (
            "calls:\n  unpaid_ends: [staff_ended, media_failed]",
            (
                "line 2: calls.unpaid_ends[1]: media_failed: costs nothing anyway: take some of "
                "limit_reached, detainee_hung_up, relative_hung_up, staff_ended, relative_lost"
            ),
        ),
        (
            "calls:\n  limit_s: 100",
            (
                "line 1: calls.warnings_s: a warning 120 s before the end of a call of 100 s: "
                "warn later, or raise calls.limit_s"
            ),
        ),
        (
            "media:\n  phone_ports: [30000]",
            "line 2: media.phone_ports: expected 2 entries, got 1: list 2 of them",
        ),
        ("media: 7", "line 1: media: expected keys and values, got the number 7: write `key: value` lines"),
        ("- a", "expected keys and values, got a list: write `key: value` lines"),
        (
            "media:\n  phone_ports: [30001, 30999]",
            "line 2: media.phone_ports: first port 30001 is odd, RTP takes even ones: begin at 30002",
        ),
        (
            "media:\n  worker_memory_mib: 64",
            (
                "line 2: media.worker_memory_mib: 64 MiB is less than a worker needs, which would be replaced again "
                "and again: give it 256 or more, or 0 for no limit"
            ),
        ),
        (
            "media:\n  phone_ports: [30000, 30039]",
            (
                "line 2: media.phone_ports: 40 ports are too few for 20 calls of 4: "
                "widen the range to 80 ports, or lower calls.capacity to 10"
            ),
        ),
        (
            "media:\n  outside_ports: [30900, 31999]",
            (
                "line 2: media.outside_ports: shares the ports 30900 to 30999 with media.phone_ports on one address: "
                "keep the ranges apart"
            ),
        ),
        (
            "sip:\n  port: 30010",
            "line 2: sip.port: 30010 to 30015, one a SIP worker, lie within media.phone_ports: take another port",
        ),
        (
            "sip:\n  port: 29998",
            "line 2: sip.port: 29998 to 30003, one a SIP worker, lie within media.phone_ports: take another port",
        ),
        ("metrics:\n  port: 8443", "line 2: metrics.port: 8443 is the portal's port too: take another port"),
        (
            "sip:\n  edge: [kamailio]",
            "line 2: sip.edge[0]: `kamailio` is no IP address: write it as 192.0.2.1 or 2001:db8::1",
        ),
        (
            "media:\n  phone_address: 0.0.0.0",
            "line 2: media.phone_address: 0.0.0.0 cannot be announced: give one real address",
        ),
        (
            "media:\n  outside_address: 192.0.2.1\n  outside_address_ipv6: 192.0.2.2",
            "line 3: media.outside_address_ipv6: `192.0.2.2` is an IPv4 address: write it into media.outside_address",
        ),
        (
            "media:\n  outside_address: 2001:db8::1\n  outside_address_ipv6: 2001:db8::2",
            (
                "line 3: media.outside_address_ipv6: media.outside_address is an IPv6 address too: 2001:db8::1: "
                "write the IPv4 address into media.outside_address, or leave this one empty"
            ),
        ),
        (
            "media:\n  outside_address: 192.0.2.1\n  outside_address_ipv6: '::'",
            "line 3: media.outside_address_ipv6: :: cannot be announced: give one real address",
        ),
        (
            "portal:\n  address_ipv6: 2001:db8::1",
            (
                "line 2: portal.address_ipv6: plain HTTP on 2001:db8::1 could be overheard: "
                "name certificate_file and key_file, or bind a loopback address behind a proxy"
            ),
        ),
        (
            (
                "media:\n  outside_address_ipv6: 2001:db8::5\n"
                "provisioning:\n  address: 2001:db8::5\n  certificate_file: /a\n  key_file: /b"
            ),
            (
                "line 4: provisioning.address: the outside reaches this address: "
                "give this machine's address on the prison LAN"
            ),
        ),
        (
            "site:\n  time_zone: Europe/Pari",
            "line 2: site.time_zone: unknown time zone `Europe/Pari`: did you mean Europe/Paris?",
        ),
        (
            "site:\n  language: ro",
            (
                "line 2: site.language: no prompts in `ro`: "
                "take one of fr, en, or put prompts into media.prompts_folder/ro"
            ),
        ),
        ("site:\n  region: fr", "line 2: site.region: unknown country `fr`: take two capital letters such as FR"),
        (
            "portal:\n  public_url: http://visio.example.org",
            "line 2: portal.public_url: browsers open no camera over plain http: write https://",
        ),
        (
            "portal:\n  public_url: visio.example.org",
            "line 2: portal.public_url: `visio.example.org` is no address of a page: write https://visio.example.org",
        ),
        (
            "portal:\n  address: 192.0.2.1",
            (
                "line 2: portal.address: plain HTTP on 192.0.2.1 could be overheard: "
                "name certificate_file and key_file, or bind a loopback address behind a proxy"
            ),
        ),
        (
            "portal:\n  certificate_file: /etc/avisiod/portal.pem",
            "line 1: portal.key_file: certificate and key go together: name both, or neither",
        ),
        (
            "media:\n  ice_servers:\n    - urls: ['turn:turn.example.org']",
            (
                "line 3: media.ice_servers[0].secret_file: `turn:turn.example.org` needs credentials: "
                "name the file with coturn's static-auth-secret"
            ),
        ),
        (
            "media:\n  ice_servers:\n    - urls: ['http://turn.example.org']",
            (
                "line 3: media.ice_servers[0].urls: `http://turn.example.org` is no STUN or TURN address: "
                "write stun:host:port, turn:host:port or turns:host:port"
            ),
        ),
        ("media:\n  ice_servers:\n    - {}", "line 3: media.ice_servers[0].urls: missing: add it"),
        (
            "provisioning:\n  address: 0.0.0.0\n  certificate_file: /a\n  key_file: /b",
            (
                "line 2: provisioning.address: `0.0.0.0` is not one address: the outside could ask, too: "
                "give this machine's address on the prison LAN"
            ),
        ),
        (
            (
                "media:\n  outside_address: 203.0.113.5\n"
                "provisioning:\n  address: 203.0.113.5\n  certificate_file: /a\n  key_file: /b"
            ),
            (
                "line 4: provisioning.address: the outside reaches this address: "
                "give this machine's address on the prison LAN"
            ),
        ),
        (
            "provisioning:\n  address: 192.0.2.1\n  certificate_file: /a",
            (
                "line 1: provisioning.key_file: missing: "
                "name certificate_file and key_file: passwords go to phones over this server"
            ),
        ),
        (
            "provisioning:\n  address: 192.0.2.1\n  certificate_file: /a\n  key_file: /b\n  authentication: either",
            (
                "line 1: provisioning.client_ca_file: no certificate of a phone could be checked: "
                "name the authorities that signed the phones' certificates"
            ),
        ),
        (
            "health:\n  self_test_ends: '02:30'",
            "line 2: health.self_test_ends: tests begin and end at the same time: leave them an hour",
        ),
        ("log:\n  level: LOUD", "line 2: log.level: unknown level `LOUD`: take one of DEBUG, INFO, WARNING, ERROR"),
        (
            "store:\n  path: avisiod.db",
            "line 2: store.path: `avisiod.db` is relative: write the whole path, from / on",
        ),
        ("site:\n  name: a\nlog: {}\nsite: {}", "line 4: site: the key stands twice: keep one of them"),
        ("site:\n\tname: a", "line 2: a tab stands where YAML wants spaces at column 1: indent with spaces"),
        (
            "site:\n  name: 'a\n",
            "line 3: found unexpected end of stream at column 1: correct the YAML there, or just above",
        ),
        ("site: &a\n  name: *a", "line 1: an alias refers to itself: write the value out"),
        ("site:\n  name: a\x07", "line 2: a control character stands in the file: remove it"),
    ],
)
def test_a_mistake_is_named_with_line_reason_and_remedy(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in refusal(tmp_path, text)


def test_all_mistakes_are_found_at_once_in_the_files_order(tmp_path: Path) -> None:
    text = """
log: {level: LOUD}
calls:
  limit: 30
  warnings_s: wrong
media:
  phone_ports: [40000, 30000]
  behind_nat: 3
"""
    assert [problem.split(": ")[1] for problem in refusal(tmp_path, text)] == [
        "log.level",
        "calls.limit",
        "calls.warnings_s",
        "media.phone_ports",
        "media.behind_nat",
    ]


def test_a_rule_does_not_judge_a_value_that_is_already_refused(tmp_path: Path) -> None:
    problems = refusal(tmp_path, "calls:\n  limit_s: long\n  warnings_s: [3000]")
    assert len(problems) == 1


def test_files_are_looked_at(tmp_path: Path) -> None:
    pin, inventory = tmp_path / "pin", tmp_path / "inventory.yaml"
    pin.write_text("1234")
    pin.chmod(0o644)
    inventory.write_text("phones: []")
    text = f"""
portal: {{charter_folder: {tmp_path}/none}}
modem: {{device: {tmp_path}/unplugged, pin_file: {pin}}}
store: {{path: {tmp_path}/new/avisiod.db, inventory_file: {inventory}}}
"""
    problems = refusal(tmp_path, text, files=True)
    assert problems == [
        f"line 2: portal.charter_folder: {tmp_path}/none is no folder: create it, or correct the path",
        f"line 3: modem.pin_file: {pin} holds a secret and is open to others: chmod 600 {pin}",
    ]
    pin.chmod(0o600)
    (tmp_path / "none").mkdir()
    assert accepted(tmp_path, text, files=True).modem.pin_file == str(pin)


def test_a_missing_inventory_is_told_before_the_start(tmp_path: Path) -> None:
    (problem,) = refusal(tmp_path, f"store: {{inventory_file: {tmp_path}/none.yaml}}", files=True)
    assert problem.startswith(f"line 1: store.inventory_file: {tmp_path}/none.yaml: No such file")


def test_a_missing_file_and_a_binary_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read \\(No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "binary").write_bytes(b"site:\n  name: \xff")
    with pytest.raises(ConfigError, match="byte 14 is not UTF-8: save the file in that encoding"):
        load(tmp_path / "binary")


def test_check_prints_and_gives_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "avisiod.yaml"
    (tmp_path / "inventory.yaml").write_text("")
    path.write_text(f"store: {{inventory_file: {tmp_path}/inventory.yaml}}\nmodem: {{device: /dev/ttyUSB2}}")
    assert report(path) == 0
    good, *buts = capsys.readouterr().out.splitlines()
    assert good == f"{path}: good, but"
    assert buts[0] == (
        "  media.phone_address: phones cannot reach 127.0.0.1: give this machine's address on the prison LAN"
    )
    assert [line.split(":")[0].strip() for line in buts] == [
        "media.phone_address",
        "media.outside_address",
        "portal.certificate_file",
        "portal.public_url",
        "backup.recipients",
    ]
    path.write_text("log: {level: LOUD}\ncalls: {capacity: 0}")
    assert report(path) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"{path}: 3 problems, nothing of it was used"


def test_settings_that_serve_everybody_are_good_without_a_but() -> None:
    served = Config(
        backup=Backup(recipients=(f"age1{'q' * 58}",)),
        modem=Modem(device="/dev/ttyUSB2"),
        media=Media(phone_address="192.0.2.1", outside_address="198.51.100.1"),
        portal=Portal(
            public_url="https://visio.example.org",
            certificate_file="/etc/avisiod/portal.pem",
            key_file="/etc/avisiod/portal.key",
        ),
    )
    assert cautions(served) == []


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SECTIONS = st.sampled_from(sorted(Config.__struct_fields__))
KEYS = st.sampled_from(["limit_s", "warnings_s", "phone_ports", "ice_servers", "address", "port", "urls", "name"])


@given(data=st.dictionaries(SECTIONS | st.text(max_size=5), PLAIN | st.dictionaries(KEYS, PLAIN, max_size=3)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_yaml_is_accepted_or_refused_in_words(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    with contextlib.suppress(ConfigError):
        load(path, files=False)


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_text_is_accepted_or_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(text, encoding="utf-8")
    with contextlib.suppress(ConfigError):
        load(path, files=False)


DOCS = runpy.run_path(str(ROOT / "scripts" / "configuration_docs.py"))["FILES"]


@pytest.mark.parametrize("name", DOCS)
def test_the_reference_and_the_example_are_current(name: str) -> None:
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == DOCS[name](), f"{name} is out of date: run scripts/configuration_docs.py"


def test_the_shipped_example_loads_and_shows_the_defaults(tmp_path: Path) -> None:
    example = (ROOT / "etc" / "avisiod.yaml").read_text(encoding="utf-8")
    assert accepted(tmp_path, example) == Config()
    shown = "\n".join(line.replace("  #", "  ", 1) for line in example.splitlines() if not line.startswith("  # "))
    shown = "\n".join(line for line in shown.splitlines() if "    - urls" not in line and "secret_file" not in line)
    assert accepted(tmp_path, shown) == Config()
