"""The messages: whatever comes is read or refused in words, secrets show nowhere, and every message is documented."""

import contextlib
import json
import pathlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.web import messages
from avisiod.web.messages import ALL, FromPage, Malformed, encode, from_page, to_page

CODE = "864209"
CHARTER = {"language": "fr", "version": "1", "digest": "0" * 64}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({name for each in ALL for name in each.__struct_fields__})
TAGS = [each.__struct_config__.tag for each in ALL]
ALMOST = st.fixed_dictionaries(
    {"type": st.sampled_from(TAGS)}, optional={name: JSON | st.text(string.digits) for name in FIELDS}
)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(frame: bytes) -> None:
    with pytest.raises(Malformed):
        from_page(frame)


@given(JSON | ALMOST)
def test_no_shape_does_more_than_be_refused(shape: object) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(from_page(json.dumps(shape).encode()), FromPage)


@pytest.mark.parametrize(
    "shape",
    [
        {"type": CODE},
        {"type": "join", "code": CODE + "1", "charter": CHARTER},
        {"type": "join", "code": CODE, "link": CODE, "charter": CHARTER},
        {"type": "join", "code": CODE, "charter": {**CHARTER, "digest": CODE}},
        {"type": "join", "code": CODE, "charter": {**CHARTER, "language": CODE}},
        {"type": "resume", "token": [CODE]},
        CODE,
        [CODE],
    ],
    ids=str,
)
def test_a_code_in_the_wrong_place_is_not_repeated_in_the_error(shape: object) -> None:
    with pytest.raises(Malformed) as refused:
        from_page(json.dumps(shape).encode())
    assert CODE not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_codes_links_and_tokens_show_in_no_repr() -> None:
    join = from_page(json.dumps({"type": "join", "code": CODE, "link": "k3x7p", "charter": CHARTER}).encode())
    resume = messages.Resume(token=CODE)
    joined = messages.Joined(token=CODE, limit_s=1.0, recorded=True, ice_servers=({"credential": CODE},))
    for message in (join, resume, joined):
        assert CODE not in repr(message)
        assert "k3x7p" not in repr(message)


def test_a_field_of_a_later_version_is_ignored() -> None:
    assert from_page(b'{"type":"hang_up","why":"tea is ready"}') == messages.HangUp()


def test_what_the_portal_says_can_be_read_back() -> None:
    state = messages.State(state="connected", remaining_s=3.5)
    assert to_page(encode(state)) == state


DOCUMENT = (pathlib.Path(__file__).parents[2] / "docs" / "portal-api.md").read_text("utf-8")


@pytest.mark.parametrize("message", ALL, ids=lambda each: str(each.__struct_config__.tag))
def test_each_message_and_each_of_its_fields_is_documented(message: type[messages.Message]) -> None:
    heading = f"### `{message.__struct_config__.tag}`"
    assert heading in DOCUMENT
    section = DOCUMENT.split(heading, 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    for field in message.__struct_fields__:
        assert f"`{field}`" in section


@pytest.mark.parametrize("name", [name for name in dir(messages) if name.startswith("CLOSE_")])
def test_each_close_code_is_documented(name: str) -> None:
    assert f"| {getattr(messages, name)} |" in DOCUMENT
