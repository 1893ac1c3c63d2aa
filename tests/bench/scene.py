"""What every figure needs: a phone that dials, the journal's moments, and the lines of a run."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.numbered import NumberedPhone
from tests.e2e.stage import ContactEntry, Stage
from tests.peers.sip_client import SipClient
from tests.peers.waiting import NotSeen, wait_until

OUT = Path(__file__).resolve().parents[2] / "build" / "bench"
ENDED_WITHIN_S = 30.0


def new_folder(name: str) -> Path:
    """For a stage: empty, and kept until the next run, for whoever looks into the logs."""
    folder = OUT / f"scene-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


class Dialled:
    """A call of an exact phone that was answered: it waits for its relative."""

    def __init__(
        self, stage: Stage, phone: NumberedPhone, client: SipClient, id_: str, code: str, dialled_at: float = 0.0
    ) -> None:
        self.stage, self.phone, self.client, self.id, self.code = stage, phone, client, id_, code
        self.dialled_at = dialled_at
        """When the INVITE went out, on the monotonic clock."""

    def journal(self) -> list[dict[str, Any]]:
        return self.stage.journal(self.id)

    def moment(self, event: str) -> float:
        """When it first happened, on the monotonic clock. NotSeen."""
        for row in self.journal():
            if row["event"] == event:
                return float(row["at_monotonic"])
        raise NotSeen(f"the journal has no {event}")

    def connected_at(self) -> float:
        """When the bridge opened, as the journal has it: from here the limit is counted. NotSeen."""
        for row in self.journal():
            if row["state"] == "connected":
                return float(row["at_monotonic"])
        raise NotSeen("the call was never connected")

    def is_connected(self) -> bool:
        return any(row["state"] == "connected" for row in self.journal())

    def hang_up(self) -> None:
        """Harmless when the dialogue is over."""
        self.client.send(self.client.within("BYE").encode())

    def wait_ended(self) -> str:
        """The reason."""
        wait_until(
            lambda: any(row["state"] == "ended" for row in self.journal()), ENDED_WITHIN_S, "the end of the call"
        )
        return next(str(row["details"]["reason"]) for row in self.journal() if row["state"] == "ended")


@contextlib.contextmanager
def dialled(stage: Stage, user: str = "cell1", contact: ContactEntry | None = None) -> Iterator[Dialled]:
    """A phone dials, to the first contact unless another is named; the code has come."""
    entry, contact = stage.phones[user], contact or stage.contacts[0]
    with NumberedPhone() as phone, SipClient(stage.edge.edge, entry.user, entry.password) as client:
        known, sms = {call["id"] for call in stage.calls()}, stage.sms.mark()
        client.register()
        client.new_dialogue()
        dialled_at = time.monotonic()
        answer = client.authenticated("INVITE", f"sip:{contact.dialled}@avisio", phone.offer())
        if answer.status != 200:
            raise NotSeen(f"the call was answered with {answer.status}")
        client.established(answer)
        client.send(client.within("ACK").encode())
        phone.connect(answer.body.decode())
        code = stage.wait_code(contact, since=sms)
        (id_,) = {call["id"] for call in stage.calls()} - known
        call = Dialled(stage, phone, client, id_, code, dialled_at)
        try:
            yield call
        finally:
            call.hang_up()
            call.wait_ended()


def pause_until(moment: float) -> None:
    """Let the calls go on until then, on the monotonic clock."""
    with contextlib.suppress(NotSeen):
        wait_until(lambda: time.monotonic() >= moment, moment - time.monotonic() + 1, "the moment", 0.005)


class Lines:
    """A run's file, line by line in JSON: what a person sees as it goes, what the report is made of."""

    def __init__(self, name: str, out: Path | None) -> None:
        self.path = out or OUT / f"{name}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", encoding="utf-8")

    def add(self, kind: str, **facts: Any) -> None:
        """One line; the load of the machine goes with it."""
        line = {"kind": kind, **facts, "load": round(os.getloadavg()[0], 2)}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
