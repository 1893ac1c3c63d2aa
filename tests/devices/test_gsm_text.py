import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.devices import gsm_text
from avisiod.devices.gsm_text import Coding, fit

GSM = [chr(c) for c in range(0x2000) if gsm_text.is_gsm(chr(c))] + ["€"]
gsm_texts = st.text(st.sampled_from(GSM), max_size=200)


def test_the_alphabet_has_127_characters_and_10_by_escape():
    assert len([c for c in set(GSM) if len(gsm_text.septets(c)) == 1]) == 127
    assert len([c for c in set(GSM) if len(gsm_text.septets(c)) == 2]) == 10


@given(gsm_texts)
def test_what_is_coded_in_septets_reads_the_same(text):
    assert gsm_text.text_from_septets(gsm_text.septets(text)) == text


@given(st.binary(max_size=200).map(lambda b: bytes(o & 0x7F for o in b)))
def test_what_is_packed_unpacks_the_same(septets):
    packed = gsm_text.packed(septets)
    assert len(packed) == -(-len(septets) * 7 // 8)
    assert gsm_text.unpacked(packed, len(septets)) == septets


@given(st.binary(max_size=170))
def test_any_octets_can_be_read_as_septets(data):
    gsm_text.text_from_septets(data)


@pytest.mark.parametrize(
    ("text", "packed"),
    [("hellohello", "E8329BFD4697D9EC37"), ("é", "05"), ("€", "9B32"), ("@@@@@@@@", "00000000000000"), ("", "")],
)
def test_known_texts_pack_to_known_octets(text, packed):
    assert gsm_text.packed(gsm_text.septets(text)).hex().upper() == packed


@pytest.mark.parametrize(
    ("text", "coding", "units", "one_part"),
    [
        ("a" * 160, Coding.GSM7, 160, True),
        ("a" * 161, Coding.GSM7, 161, False),
        ("€" * 80, Coding.GSM7, 160, True),
        ("€" * 81, Coding.GSM7, 162, False),
        ("ê" * 70, Coding.UCS2, 70, True),
        ("ê" * 71, Coding.UCS2, 71, False),
        ("😀" * 35, Coding.UCS2, 70, True),
        ("😀" * 36, Coding.UCS2, 72, False),
    ],
)
def test_a_text_is_counted_in_the_units_of_its_coding(text, coding, units, one_part):
    assert (fit(text).coding, fit(text).units, fit(text).one_part) == (coding, units, one_part)


def test_french_letters_that_cost_half_the_room():
    assert all(gsm_text.is_gsm(c) for c in "éèùàÉÇ")
    assert not any(gsm_text.is_gsm(c) for c in "çêëîïôûœâÀÈ\x1b")


@pytest.mark.parametrize("broken", [lambda: gsm_text.septets("123456 ê"), lambda: gsm_text.ucs2("123456 \ud800")])
def test_a_refused_text_is_not_quoted(broken):
    with pytest.raises(ValueError, match="the text has") as caught:
        broken()
    assert "123456" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_too_few_octets_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        gsm_text.unpacked(b"\x00", 2)
