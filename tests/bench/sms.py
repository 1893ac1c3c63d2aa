"""From dialling to the moment at which a provider has the code, by what the first route does."""

from collections.abc import Callable
from typing import Any

from tests.bench.scene import Lines, dialled, new_folder
from tests.e2e.stage import Stage
from tests.peers.sms_provider import SmsProvider, settings
from tests.peers.waiting import NotSeen


def _sound(_first: SmsProvider) -> None:
    """It works."""


def _refuses(first: SmsProvider) -> None:
    first.close()


def _silent(first: SmsProvider) -> None:
    first.fault = "hold"


STATES: dict[str, Callable[[SmsProvider], None]] = {"healthy": _sound, "refused": _refuses, "silent": _silent}
"""What becomes of the first route before the first call."""


def measure(lines: Lines, calls: int) -> None:
    """So many calls for each state of the first route; with a daemon of its own each."""
    for state, make in STATES.items():
        folder = new_folder(f"sms-{state}")
        with SmsProvider("ovh") as first, SmsProvider("twilio") as second:
            routes = [settings(each, folder) for each in (first, second)]
            with Stage(folder, settings={"sms": {"routes": routes}}) as stage:
                for each in (first, second):
                    each.on_taken = stage.sms.add
                make(first)
                for number in range(calls):
                    try:
                        lines.add("call", state=state, number=number, **_call(stage, (first, second)))
                    except (NotSeen, OSError, RuntimeError, ValueError) as error:
                        lines.add("failed", state=state, number=number, why=str(error).partition("\n")[0])
            first.released.set()


def _call(stage: Stage, providers: tuple[SmsProvider, ...]) -> dict[str, Any]:
    before = [len(each.taken.items()) for each in providers]
    with dialled(stage) as call:
        taken = [
            (each.kind, one)
            for each, count in zip(providers, before, strict=True)
            for one in each.taken.items()[count:]
        ]
        kind, one = min(taken, key=lambda each: each[1].at)
        return {"s": round(one.at - call.dialled_at, 3), "route": kind, "right": call.code in one.text}
