"""Where the edge sends calls: this machine's SIP workers, and in turn those of other boxes."""

import pytest

from avisiod.config.rules import consistent
from avisiod.config.settings import Config, Sip
from avisiod.gateway.sip_gateway import dispatcher_list


def test_calls_go_to_the_workers_of_all_boxes_in_turn() -> None:
    sip = Sip(address="192.0.2.11", port=5062, workers=3, beside=("192.0.2.12:5070-5071", "[2001:db8::2]:5062"))
    assert dispatcher_list(Config(sip=sip)).splitlines() == [
        "1 sip:192.0.2.11:5062",
        "1 sip:192.0.2.12:5070",
        "1 sip:[2001:db8::2]:5062",
        "1 sip:192.0.2.11:5063",
        "1 sip:192.0.2.12:5071",
        "1 sip:192.0.2.11:5064",
    ]


@pytest.mark.parametrize(
    ("beside", "good"),
    [
        ("192.0.2.12:5062-5067", True),
        ("192.0.2.12:5062", True),
        ("[2001:db8::2]:5062-5063", True),
        ("192.0.2.12", False),
        ("192.0.2.12:5067-5062", False),
        ("south:5062", False),
        ("192.0.2.12:5062-70000", False),
        ("192.0.2.12:-", False),
    ],
)
def test_workers_of_other_boxes_are_named_as_they_must_be(beside: str, good: bool) -> None:
    keys = [key for finding in consistent(Config(sip=Sip(beside=(beside,)))) for key in finding.keys]
    assert ("sip.beside[0]" not in keys) is good
