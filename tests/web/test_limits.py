"""How much one stranger may ask, and who is believed to be asking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.web.addresses import client_address, plain
from avisiod.web.limits import Bucket, Places
from avisiod.web.socket import origin_of


@given(st.lists(st.floats(0, 5), max_size=200))
def test_a_bucket_never_gives_more_than_burst_and_rate(gaps: list[float]) -> None:
    bucket = Bucket(rate=2.0, burst=5.0, now=0.0)
    now, taken = 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)
        assert taken <= 5 + 2 * now + 1e-6


def test_one_address_cannot_hold_every_place() -> None:
    places = Places(total=3, per_address=2)
    assert [places.take("a"), places.take("a"), places.take("a"), places.take("b")] == [True, True, False, True]
    assert not places.take("c")
    places.leave("a")
    assert places.take("c")


def test_a_proxy_is_bound_by_the_total_only() -> None:
    places = Places(total=3, per_address=1)
    assert [places.take("proxy", shared=True) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60))
def test_places_are_never_lost_nor_made(moves: list[tuple[bool, str]]) -> None:
    places = Places(total=4, per_address=3)
    held = {"a": 0, "b": 0, "c": 0}
    for coming, address in moves:
        if coming:
            held[address] += places.take(address)
        else:
            held[address] = max(0, held[address] - 1)
            places.leave(address)
        assert places.taken == sum(held.values())


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str, forwarded: list[str], address: str) -> None:
    assert client_address(peer, forwarded, ("10.0.0.1", "10.0.0.2")) == address


@given(st.text(max_size=40))
def test_no_text_is_taken_for_an_address_that_it_is_not(text: str) -> None:
    assert plain(text) in ("", plain(plain(text)))


def test_origins_compare_with_their_default_ports() -> None:
    assert origin_of("https://visio.example.org") == origin_of("https://VISIO.example.org:443/x")
    assert origin_of("https://visio.example.org") != origin_of("http://visio.example.org")
    assert origin_of("https://visio.example.org:bad")[2] == -1
