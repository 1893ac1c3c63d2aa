"""The firewall and the TURN server that are shipped fit the settings that are shipped."""

import re
from pathlib import Path

from avisiod.config.rules import OUTSIDE_PORTS_PER_CALL, PHONE_PORTS_PER_CALL
from avisiod.config.settings import Config
from tests.network.firewall import defines

ETC = Path(__file__).resolve().parent.parent / "etc"


def test_the_firewall_opens_the_ports_of_the_settings() -> None:
    found, config = defines(), Config()
    assert found["phone_media"] == "{}-{}".format(*config.media.phone_ports)
    assert found["outside_media"] == "{}-{}".format(*config.media.outside_ports)
    assert found["provisioning"] == str(config.provisioning.port)
    local = (ETC / "kamailio" / "kamailio-local.cfg").read_text()
    ports = {kind: port for kind, port in re.findall(r"listen=(udp|tls):\S+:(\d+)", local) if port != "5059"}
    assert (found["sip"], found["sips"]) == (ports["udp"], ports["tls"])


def test_the_firewall_opens_nothing_that_is_for_this_machine_only() -> None:
    config, found = Config(), defines()
    opened = " ".join(found[name] for name in found if name not in ("phones", "admins"))
    numbers = [tuple(map(int, each.split("-"))) for each in re.findall(r"\d+(?:-\d+)?", opened)]
    inner = [5059, config.sip.port, config.metrics.port, 9465]
    assert [port for port in inner for each in numbers if each[0] <= port <= each[-1]] == []


def test_the_bounded_ranges_carry_every_call_of_the_capacity() -> None:
    media, capacity = Config().media, Config().calls.capacity
    for (first, last), each in (
        (media.phone_ports, PHONE_PORTS_PER_CALL),
        (media.outside_ports, 2 * OUTSIDE_PORTS_PER_CALL),
    ):
        assert last - first + 1 >= capacity * each


def test_the_turn_server_relays_to_avisiod_and_to_nobody_else() -> None:
    lines = [
        line for line in (ETC / "coturn" / "turnserver.conf").read_text().splitlines() if line and line[0] != "#"
    ]
    assert [line for line in lines if line.startswith("allowed-peer-ip")] == ["allowed-peer-ip=198.51.100.1"]
    assert {"no-udp", "no-dtls", "no-tcp", "tls-listening-port=443", "use-auth-secret", "no-multicast-peers"} <= set(
        lines
    )
    assert "static-auth-secret=CHANGE-ME" in lines
