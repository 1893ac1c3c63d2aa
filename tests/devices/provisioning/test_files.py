"""Each vendor's files as they were once read by a person: golden, well-formed, with nobody else's secrets in it."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from avisiod.calls.ids import PhoneId
from avisiod.config.phones import Provisioning
from avisiod.config.settings import Calls, Config, Phones
from avisiod.devices.phones.vendors import NAMES, vendors
from avisiod.devices.provisioning.phone_secrets import PhoneSecrets
from avisiod.devices.provisioning.render import CannotRender, Templates, file_asked
from avisiod.devices.provisioning.settings_of import posix_zone, settings_of
from avisiod.phone_ports import Device

GOLDEN = Path(__file__).parent / "golden"
CONFIG = Config(
    provisioning=Provisioning(address="192.0.2.1", certificate_file="/a", key_file="/b"),
    phones=Phones(encryption="required"),
)
SECRETS = PhoneSecrets(b"0" * 32)
MAC = "001565a1b2c3"
FILES = [(vendor, file.name.format(mac=MAC)) for vendor in NAMES for file in vendors()[vendor].files]


def device(vendor: str, phone: str = "cell-101") -> Device:
    return Device(phone=PhoneId(phone), mac=MAC, vendor=vendor, model="M", cell="A 101", language="fr")


def rendered(vendor: str, name: str, firmware: tuple[str, str] = ("9.9", "new.rom"), config: Config = CONFIG) -> str:
    file = file_asked(vendor, name, MAC)
    assert file is not None
    return Templates().render(file, settings_of(device(vendor), 1, config, SECRETS, firmware)).decode()


@pytest.mark.parametrize(("vendor", "name"), FILES)
def test_a_file_is_as_it_was_read_by_a_person(vendor: str, name: str, request: pytest.FixtureRequest) -> None:
    golden = GOLDEN / f"{vendor}-{name.replace('/', '-')}"
    assert rendered(vendor, name) == golden.read_text("utf-8"), f"if that is right, write it to {golden}"


@pytest.mark.parametrize(("vendor", "name"), [(v, n) for v, n in FILES if v in ("grandstream", "2n", "fanvil")])
def test_xml_is_well_formed_whatever_a_phone_is_called(vendor: str, name: str) -> None:
    text = rendered(vendor, name)
    ET.fromstring(text)
    odd = msgspec.structs.replace(CONFIG, provisioning=Provisioning(address="192.0.2.1", ntp_server="<a>&\"'"))
    ET.fromstring(rendered(vendor, name, config=odd))
    assert "new.rom" in text or vendor == "grandstream"


@pytest.mark.parametrize(
    ("dialled", "leaves"),
    [
        ("0639980001", True),
        ("+33639980001", True),
        ("0033639980001", True),
        ("*21#", False),
        ("++33", False),
        ("", False),
        ("anonymous", False),
        ("0639980001;x", False),
        ("1" * 21, False),
    ],
)
def test_the_dial_plan_lets_numbers_out_and_nothing_else(dialled: str, leaves: bool) -> None:
    plan = settings_of(device("generic"), 1, CONFIG, SECRETS).dial_plan
    assert bool(re.fullmatch(plan, dialled)) is leaves
    assert plan in rendered("generic", f"{MAC}/config")
    assert ET.fromstring(rendered("2n", f"{MAC}.xml")).findtext("Phone/Calls/DialPlan") == plan


def test_a_grandstream_file_has_each_setting_once_and_in_the_vendors_form() -> None:
    root = ET.fromstring(rendered("grandstream", f"cfg{MAC}.xml"))
    assert (root.tag, root.get("version"), [child.tag for child in root]) == ("gs_provision", "1", ["mac", "config"])
    names = [child.tag for child in root[1]]
    assert all(re.fullmatch(r"P\d+", name) for name in names)
    assert len(set(names)) == len(names)


def test_a_yealink_file_is_lines_of_key_and_value() -> None:
    text = rendered("yealink", f"{MAC}.cfg")
    assert text.startswith("#!version:1.0.0.1\n")
    keys = [line.partition(" =")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9_.]+", key) for key in keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("vendor", "name"), [(v, n) for v, n in FILES if n != "y000000000091.cfg"])
def test_a_file_carries_its_own_phones_secrets_only(vendor: str, name: str) -> None:
    text = rendered(vendor, name)
    others = {SECRETS.of(purpose, PhoneId("cell-102"), 1) for purpose in ("sip", "fetch", "event", "admin")}
    assert not [secret for secret in others if secret in text]
    assert SECRETS.of("sip", PhoneId("cell-101"), 1) in text or name.endswith("config")


def test_a_phones_own_limit_is_above_ours_all_waiting_included() -> None:
    for limit in (60.0, 1200.0, 3600.0):
        config = Config(calls=Calls(limit_s=limit, warnings_s=()), provisioning=CONFIG.provisioning)
        found = settings_of(device("2n"), 1, config, SECRETS).call_limit_s
        assert found > config.calls.code_valid_s + config.calls.join_timeout_s + limit + config.calls.grace_s


def test_a_value_with_a_line_break_makes_no_setting_of_its_own() -> None:
    odd = msgspec.structs.replace(
        CONFIG, provisioning=Provisioning(address="192.0.2.1", ntp_server="a\nstatic.security.user_password = x")
    )
    with pytest.raises(CannotRender, match="control"):
        rendered("yealink", f"{MAC}.cfg", config=odd)


def test_the_sites_own_template_replaces_ours_and_a_faulty_one_is_told(tmp_path: Path) -> None:
    file = file_asked("yealink", f"{MAC}.cfg", MAC)
    assert file is not None
    settings = settings_of(device("yealink"), 1, CONFIG, SECRETS)
    (tmp_path / "yealink.cfg.j2").write_text("own {{ phone.phone }}")
    assert Templates(str(tmp_path)).render(file, settings) == b"own cell-101"
    (tmp_path / "yealink.cfg.j2").write_text("{{ phone.nothing }}")
    with pytest.raises(CannotRender, match=r"yealink\.cfg\.j2"):
        Templates(str(tmp_path)).render(file, settings)
    (tmp_path / "yealink.cfg.j2").write_text("a\n{% if %}")
    with pytest.raises(CannotRender, match="line 2"):
        Templates(str(tmp_path)).check()


def test_ours_can_all_be_read() -> None:
    Templates().check()


@pytest.mark.parametrize(
    ("name", "zone"), [("Europe/Paris", "CET-1CEST,M3.5.0,M10.5.0/3"), ("UTC", "UTC0"), ("No/where", "UTC0")]
)
def test_a_zone_is_written_as_phones_read_it(name: str, zone: str) -> None:
    assert posix_zone(name) == zone


def test_settings_show_no_secret() -> None:
    settings = settings_of(device("2n"), 1, CONFIG, SECRETS)
    assert settings.password not in repr(settings)
    assert repr(SECRETS) == "PhoneSecrets()"


def test_a_new_generation_and_another_phone_have_other_secrets() -> None:
    one = {SECRETS.of(p, PhoneId("a"), g) for p in ("sip", "fetch", "event", "admin") for g in (1, 2)}
    two = {SECRETS.of(p, PhoneId("b"), g) for p in ("sip", "fetch", "event", "admin") for g in (1, 2)}
    assert len(one | two) == 16
    assert SECRETS.fits(SECRETS.of("sip", PhoneId("a"), 1), "sip", PhoneId("a"), 1)
    assert not SECRETS.fits(SECRETS.of("sip", PhoneId("a"), 1), "fetch", PhoneId("a"), 1)
