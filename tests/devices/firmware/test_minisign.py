"""A file is what was signed, or refused: minisign's own signature, and every way to break one."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.devices.firmware.minisign import SignatureRefused, public_key, verify
from tests.peers.signer import Signer

MINISIGN_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
HASHED = (
    "untrusted comment: signature from minisign secret key\n"
    "RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n"
    "trusted comment: timestamp:1633700835\tfile:test\tprehashed\n"
    "wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n"
)
LEGACY = (
    "untrusted comment: signature from minisign secret key\n"
    "RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n"
    "trusted comment: timestamp:1555779966\tfile:test\n"
    "QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n"
)
SIGNER = Signer()
DATA = b"firmware" * 1000


def check(data: bytes, signature: str, key: str = "") -> str:
    return verify(io.BytesIO(data), signature, [public_key(key or SIGNER.public)]).comment


def test_a_signature_that_minisign_made_is_good() -> None:
    checked = verify(io.BytesIO(b"test"), HASHED, [public_key(MINISIGN_KEY)])
    assert checked.comment == "timestamp:1633700835\tfile:test\tprehashed"
    assert checked.size == 4
    assert checked.sha256 == "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    assert checked.key == "E7620F1842B4E81F"


def test_a_key_may_be_given_as_its_whole_file() -> None:
    public_key(f"untrusted comment: minisign public key\n{MINISIGN_KEY}\n")


def broken(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("data", "signature", "key", "problem"),
    [
        (DATA[:-1], SIGNER.sign(DATA), "", "changed, or cut short"),
        (b"", SIGNER.sign(DATA), "", "changed, or cut short"),
        (DATA + b"x", SIGNER.sign(DATA), "", "changed, or cut short"),
        (DATA, broken(SIGNER.sign(DATA), "file:x", "file:y"), "", "changed, or cut short"),
        (DATA, SIGNER.sign(DATA), MINISIGN_KEY, "who may not"),
        (DATA, Signer(SIGNER.id).sign(DATA), "", "changed, or cut short"),
        (b"test", LEGACY, MINISIGN_KEY, "old kind"),
        (DATA, "", "", "no signature"),
        (DATA, "\n".join(SIGNER.sign(DATA).splitlines()[:3]), "", "no signature"),
        (DATA, broken(SIGNER.sign(DATA), "trusted comment: t", "comment: t"), "", "no signature"),
        (DATA, "a\nb\ntrusted comment: c\nd", "", "no signature"),
    ],
)
def test_anything_else_is_refused_in_words(data: bytes, signature: str, key: str, problem: str) -> None:
    with pytest.raises(SignatureRefused, match=problem):
        check(data, signature, key)


@pytest.mark.parametrize("text", ["", "nonsense", "RWQ=", HASHED.splitlines()[1]])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(SignatureRefused, match="public key"):
        public_key(text)


@given(st.text(max_size=400))
def test_any_text_is_a_signature_or_refused(text: str) -> None:
    with pytest.raises(SignatureRefused):
        check(DATA, text)


@given(st.integers(0, len(DATA) - 1))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(SignatureRefused):
        check(DATA[:length], SIGNER.sign(DATA))
