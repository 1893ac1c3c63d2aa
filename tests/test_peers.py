"""The peers themselves: what they report can be believed."""

from pathlib import Path

import pytest

from tests.peers.baresip import BaresipPhone

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("codec", ["PCMA", "PCMU", "G722", "opus"])
def test_two_phones_see_and_hear_each_other(tmp_path: Path, codec: str) -> None:
    with (
        BaresipPhone(tmp_path / "bob", user="bob", register=False, codecs=[codec], auto_answer=True) as bob,
        BaresipPhone(tmp_path / "alice", user="alice", register=False, codecs=[codec]) as alice,
    ):
        alice.dial(f"sip:bob@127.0.0.1:{bob.sip_port}")
        alice.wait_established()
        for phone in (alice, bob):
            assert phone.wait_frames(30).width == 640
            assert phone.wait_heard(above_dbfs=-40) < 0
        first, second = alice.snapshot("one"), alice.snapshot("two")
        assert first.read_bytes() != second.read_bytes()
        mark = bob.events.mark()
        alice.hang_up()
        bob.wait_closed(since=mark)
        assert all(stream.received > 20 for stream in bob.packets())
