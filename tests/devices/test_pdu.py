import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.devices import gsm_text, pdu
from tests.devices.test_gsm_text import gsm_texts
from tests.peers.modem import decode_submit, report_pdu

numbers = st.from_regex(r"\+[1-9][0-9]{3,14}", fullmatch=True)
wide_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


def test_a_known_message_has_known_octets():
    # The example that every SMS tutorial takes (TS 23.040 section 9.2.2.2).
    message = pdu.submit("+46708251358", "hellohello", valid_s=4 * 24 * 3600, report=False)
    assert message.hex == "0011000B916407281553F80000AA0AE8329BFD4697D9EC37"
    assert message.length == 23


@given(numbers, st.one_of(gsm_texts, wide_texts), st.booleans())
def test_an_independent_reader_reads_what_was_written(number, text, report):
    if not gsm_text.fit(text).one_part:
        with pytest.raises(ValueError, match="more than one part"):
            pdu.submit(number, text, valid_s=300, report=report)
        return
    message = pdu.submit(number, text, valid_s=300, report=report)
    read = decode_submit(message.hex, 0)
    assert (read.number, read.text, read.report_wanted, read.validity) == (number, text, report, 0)
    assert message.length == len(message.hex) // 2 - 1


def test_neither_repr_nor_error_shows_number_or_text():
    assert "33" not in repr(pdu.submit("+33612345678", "123456", valid_s=300, report=True))
    with pytest.raises(ValueError, match=r"E\.164") as caught:
        pdu.submit("0612345678", "123456", valid_s=300, report=True)
    assert "0612345678" not in str(caught.value)


@pytest.mark.parametrize(
    "number", ["", "+", "0612345678", "+0612345678", "+33 6", "+336123456789012345", "+٣٣٦١٢٣٤٥"]
)
def test_a_number_that_is_not_e164_is_refused(number):
    with pytest.raises(ValueError, match=r"E\.164"):
        pdu.submit(number, "x", valid_s=300, report=True)


@pytest.mark.parametrize(
    ("seconds", "value", "meaning_s"),
    [
        (0, 0, 300),
        (300, 0, 300),
        (599, 0, 300),
        (600, 1, 600),
        (12 * 3600, 143, 12 * 3600),
        (24 * 3600, 167, 24 * 3600),
        (12 * 3600 + 300, 143, 12 * 3600),
        (4 * 86400, 170, 4 * 86400),
        (30 * 86400, 196, 30 * 86400),
        (35 * 86400, 197, 35 * 86400),
        (10**9, 255, 63 * 7 * 86400),
    ],
)
def test_validity_takes_the_longest_step_that_is_not_too_long(seconds, value, meaning_s):
    assert pdu.relative_validity(seconds) == value
    assert _seconds(value) == meaning_s


@given(st.floats(300, 440 * 86400))
def test_validity_never_exceeds_what_was_asked(seconds):
    assert _seconds(pdu.relative_validity(seconds)) <= seconds


def _seconds(value):
    # TS 23.040 section 9.2.3.12.1, the table read backwards.
    if value <= 143:
        return (value + 1) * 300
    if value <= 167:
        return 12 * 3600 + (value - 143) * 1800
    return (value - 166) * 86400 if value <= 196 else (value - 192) * 7 * 86400


@pytest.mark.parametrize(
    ("status", "final", "delivered"),
    [
        (0x00, True, True),
        (0x02, True, True),
        (0x20, False, False),
        (0x3F, False, False),
        (0x46, True, False),
        (0x60, True, False),
    ],
)
def test_a_report_tells_what_became_of_the_message(status, final, delivered):
    report = pdu.status_report_from(report_pdu("+33612345678", 200, status))
    assert (report.reference, report.final, report.delivered) == (200, final, delivered)


def test_a_real_report_is_read():
    # As a modem handed it on, in a public bug report on python-gsmmodem; the number is changed.
    report = pdu.status_report_from("079119890400202306400C91190000000000511090718384225110907183252200")
    assert (report.reference, report.status) == (64, 0)


@given(st.one_of(st.text(max_size=80), st.binary(max_size=60).map(bytes.hex)))
def test_nonsense_is_refused_and_never_breaks(text):
    with contextlib.suppress(ValueError):
        pdu.status_report_from(text)


def test_every_cut_of_a_report_is_refused():
    whole = report_pdu("+33612345678", 7, 0)
    for length in range(0, len(whole) - 1, 2):
        with pytest.raises(ValueError, match=r"cut short|empty|not an SMS"):
            pdu.status_report_from(whole[:length])
