"""A listener of control that fails costs one event, not the socket and with it every call of that worker."""

from typing import Any

from twisted.protocols import amp
from twisted.test.iosim import IOPump, connectedServerAndClient

from avisiod.gateway import media_gateway, sip_gateway, wire


class Broken:
    """Fails on every event."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any) -> None:
            raise KeyError(name)

        return fail


class Gateway:
    """What a link needs of its gateway."""

    listener = Broken()

    def begun(self, n: int, sip_call: str) -> str:
        return f"{n}-{sip_call}"


def joined(link: amp.AMP) -> tuple[amp.AMP, IOPump]:
    client, _, pump = connectedServerAndClient(lambda: link, amp.AMP)
    return client, pump


def test_an_event_that_the_listener_fails_on_leaves_a_media_worker_connected() -> None:
    worker, pump = joined(media_gateway._MediaLink(Gateway(), 0))  # type: ignore[arg-type]
    answers: list[object] = []
    for _ in range(2):
        worker.callRemote(wire.PromptOver, call="c", prompt="waiting").addBoth(answers.append)
        pump.flush()
    assert answers == [{}, {}]


def test_a_call_that_the_listener_fails_on_is_refused_and_the_sip_worker_stays_connected() -> None:
    worker, pump = joined(sip_gateway._SipLink(Gateway(), 0))  # type: ignore[arg-type]
    refused: list[Any] = []
    for _ in range(2):
        told = worker.callRemote(wire.Invited, sip_call="a", phone="cell1", number="1", offer="", secure=False)
        told.addBoth(refused.append)
        pump.flush()
    assert [failure.type for failure in refused] == [wire.WorkerError, wire.WorkerError]
