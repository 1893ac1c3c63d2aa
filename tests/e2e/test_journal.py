"""One call's story in the log: every process tells its part with the call's id, the phone, and at last the reason."""

import re
from pathlib import Path

import pytest

from tests.e2e.stage import Stage
from tests.e2e.talk import talking

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]


def test_every_line_of_a_call_has_its_id_and_phone_and_after_the_end_the_reason(tmp_path: Path) -> None:
    with Stage(tmp_path, settings={"log": {"level": "DEBUG"}}) as stage:
        with talking(stage, "cell1", stage.contacts[0]) as talk:
            call = talk.phone.call
            talk.relative.hang_up()
            assert talk.phone.wait_ended() == ("relative_hung_up", 1)
            talk.phone.wait_hung_up()
        stage.stop_daemon()
        lines = stage.daemon.lines.items()
    story = [line for line in lines if f" call={call} " in line]
    for teller in (r"worker=media-0 ", r"worker=sip-\d ", r"(?!.*worker=)"):
        assert any(re.match(rf"[A-Z]+ {teller}", line) for line in story), teller
    assert [line for line in story if " phone=cell1 " not in line] == []
    end = next(at for at, line in enumerate(story) if "connected -> ended (relative_hung_up)" in line)
    control = [line for line in story[end:] if "worker=" not in line]
    assert [line for line in control if " reason=relative_hung_up " not in line] == []
    for kind in ("media", "sip"):
        assert any(f"worker={kind}" in line and "reason=relative_hung_up" in line for line in story), kind
