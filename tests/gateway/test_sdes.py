"""Keys of SRTP in SDP: what phones write is read, what is dangerous is not taken, and no key is ever shown."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import sdes

KEY = base64.b64encode(bytes(range(30))).decode()
LONG = base64.b64encode(bytes(range(44))).decode()


@pytest.mark.parametrize(
    ("value", "tag", "suite"),
    [
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", 1, "AES_CM_128_HMAC_SHA1_80"),
        (f"7 aes_cm_128_hmac_sha1_32 inline:{KEY}|2^20", 7, "AES_CM_128_HMAC_SHA1_32"),
        (f"2  AES_CM_128_HMAC_SHA1_80  inline:{KEY}|1048576 WSH=128 -x=y KDR=0 ", 2, "AES_CM_128_HMAC_SHA1_80"),
        (f"3 AEAD_AES_256_GCM inline:{LONG}", 3, "AEAD_AES_256_GCM"),
    ],
)
def test_what_phones_write_is_read(value: str, tag: int, suite: str) -> None:
    (crypto,), faults = sdes.read([value])
    assert (crypto.tag, crypto.suite, faults) == (tag, suite, [])
    assert crypto.key == bytes(range(44 if "256" in suite else 30))
    assert sdes.read([crypto.line().removeprefix("a=crypto:")])[0] == [crypto]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("hello", "not of the form"),
        (f"1 F8_128_HMAC_SHA1_80 inline:{KEY}", "the suite F8_128_HMAC_SHA1_80 is not known"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4", "without MKI"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4", "without MKI"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}", "without MKI"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{LONG}", "the key has 44 octets, AES_CM_128_HMAC_SHA1_80 takes 30"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-1]}", "not base64"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP", "UNENCRYPTED_SRTP is not taken"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP", "UNAUTHENTICATED_SRTP is not taken"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=2", "KDR is not taken"),
    ],
)
def test_what_cannot_be_taken_is_passed_over_and_named_without_the_key(value: str, fault: str) -> None:
    good = f"9 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
    usable, faults = sdes.read([value, good])
    assert [each.tag for each in usable] == [9]
    assert len(faults) == 1
    assert fault in faults[0]
    assert KEY[:10] not in faults[0]


def test_a_key_stands_in_no_repr() -> None:
    ours, theirs = sdes.fresh()[2:]
    shown = f"{sdes.Keys(ours, theirs)!r} {ours} {[theirs]}"
    assert "AES_CM_128_HMAC_SHA1_80" in shown
    assert str(ours.key)[2:8] not in shown


def test_keys_are_never_the_same_twice_and_fit_their_suites() -> None:
    first, second = sdes.fresh(), sdes.fresh()
    assert [each.tag for each in first] == [1, 2, 3, 4]
    assert len({each.key for each in (*first, *second)}) == 8
    assert all(len(each.key) == sdes.KEY_OCTETS[each.suite] for each in first)


@given(st.lists(st.text(max_size=120) | st.from_regex(r"[0-9] AES_CM_128_HMAC_SHA1_80 inline:[ -~]*"), max_size=3))
def test_no_text_upsets_the_reading(values: list[str]) -> None:
    usable, faults = sdes.read(values)
    assert len(usable) + len(faults) == len(values)
