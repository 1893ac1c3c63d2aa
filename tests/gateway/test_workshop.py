"""What the calls of a media worker share."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from avisiod.gateway.settings import MediaWorkerSettings
from avisiod.gateway.workshop import Workshop

SETTINGS = MediaWorkerSettings(
    worker=0,
    phone_address="127.0.0.1",
    phone_ports=(40000, 40010),
    outside_address="127.0.0.1",
    outside_announced="127.0.0.1",
    outside_ports=(40100, 40110),
    phone_silent_s=10.0,
    phone_muted_s=60.0,
    outside_silent_s=5.0,
    behind_nat=False,
    audio_codecs=("PCMA",),
    encryption="never",
    keys_need_tls=True,
    prompts_folder="",
    keep_free_bytes=0,
    log_level="INFO",
)


class _Prompts:
    """Tells in which thread it was asked, and how urgent that is."""

    def prepare(self, *_: Any) -> None:
        self.thread, self.nice = threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0)


def test_prompts_are_prepared_beside_the_loop_by_a_thread_that_gives_the_interpreter_back_as_soon_as_any() -> None:
    """A thread that comes after all others holds the interpreter, and with it the relay, while it waits to run."""
    shop = Workshop(SETTINGS)
    prompts = _Prompts()
    shop.prompts = prompts  # type: ignore[assignment]
    with ThreadPoolExecutor(1) as apart:  # the tests' own loop runs in this thread
        loops = apart.submit(threading.get_native_id).result()
        apart.submit(lambda: asyncio.run(shop.prepare("fr", []))).result()
    assert prompts.thread != loops
    assert prompts.nice == os.getpriority(os.PRIO_PROCESS, 0)
