"""Phones of several kinds, each a real one, through the real edge, in a whole call with a browser."""

from collections.abc import Iterator

import pytest

from demo.recording_report import report
from tests.e2e.connected import connected, wait_ended
from tests.e2e.stage import PhoneEntry, Stage
from tests.peers import assets
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

KINDS = {"opus": ["opus"], "wide": ["PCMA", "G722"]}
"""What each phone's baresip speaks, in its own order of preference."""
RATES = {"audio/opus": (48000, 2), "audio/G722": (16000, 1)}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    phones = [PhoneEntry(kind, cell=f"A {kind}") for kind in KINDS]
    with Stage(tmp_path_factory.mktemp("phones"), phones=phones) as stage:
        yield stage


@pytest.mark.parametrize(
    ("kind", "codec", "recorded"), [("opus", "audio/opus", "opus"), ("wide", "audio/G722", "adpcm_g722")]
)
def test_sound_is_the_best_that_the_phone_speaks_and_is_relayed_as_it_is(
    stage: Stage, kind: str, codec: str, recorded: str
) -> None:
    sound = assets.talk("CELLULE", *RATES[codec])
    phone = stage.phone(kind, codecs=KINDS[kind], sound=sound)
    with connected(stage, phone) as (relative, call):
        assert phone.wait_heard(above_dbfs=-45) < 0
        assert relative.wait_heard(above_dbfs=-50) < 0
        assert relative.heard().codec == codec
        phone.hang_up()
        assert wait_ended(stage, call)["end_reason"] == "detainee_hung_up"
        wait_until(lambda: any(call in path.name for path in stage.recordings()), 10, "the recording is sealed")
    recording = next(path for path in stage.recordings() if call in path.name)
    assert {track.codec for track in report(recording).tracks} == {"h264", recorded}
