"""What Prometheus and a person who asks for /health see."""

import itertools
import json
import re
import runpy
from pathlib import Path

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.web.client import Agent, readBody
from twisted.web.http_headers import Headers

from avisiod.calls.call import State
from avisiod.calls.reasons import EndReason
from avisiod.config.settings import Metrics as MetricsConfig
from avisiod.gateway.stats import CallStats, LegStats, RecorderStats, StreamStats
from avisiod.metrics import Metrics
from avisiod.metrics.control import watch_loop
from avisiod.metrics_page import listen
from tests.steered_clock import SteeredClock


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample, named as Prometheus names it."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def stats(call: str = "c1", *, packets: int = 0, queued: int = 0, strangers: int = 0) -> CallStats:
    stream = StreamStats(packets=packets, bytes=packets * 1000, lost=packets // 10, jitter_ms=4.0, keyframes=1)
    leg = LegStats(video_received=stream, round_trip_ms=30.0, dropped_strangers=strangers)
    return CallStats(call=call, phone=leg, outside=LegStats(), recorder=RecorderStats(queued=queued, written_bytes=7))


def test_a_calls_life_moves_through_the_gauge_and_ends_in_the_counter() -> None:
    metrics = Metrics()
    steps = [None, State.DIALLED, State.INVITING, State.WAITING, State.JOINING, State.CONNECTED]
    for before, after in itertools.pairwise(steps):
        assert after is not None
        metrics.calls.moved(before, after)
    assert samples(metrics)['avisiod_calls{state="connected"}'] == 1
    metrics.calls.moved(State.CONNECTED, State.ENDED)
    metrics.calls.ended(EndReason.LIMIT_REACHED, 1199.5)
    found = samples(metrics)
    assert sum(value for name, value in found.items() if name.startswith("avisiod_calls{")) == 0
    assert found['avisiod_calls_ended_total{cause="rule",reason="limit_reached"}'] == 1
    assert found["avisiod_connected_seconds_total"] == 1199.5


def test_every_series_of_a_closed_list_is_there_from_the_start() -> None:
    found = samples(Metrics())
    for reason in EndReason:
        assert found[f'avisiod_calls_ended_total{{cause="{reason.cause}",reason="{reason.value}"}}'] == 0
    assert found['avisiod_worker_restarts_total{kind="sip"}'] == 0
    assert found['avisiod_setup_seconds_count{stage="join"}'] == 0
    assert found['avisiod_sms_total{result="failed"}'] == 0


def test_counters_of_a_call_are_added_once_whatever_is_reported_how_often() -> None:
    metrics = Metrics()
    for packets in (100, 100, 250):
        metrics.media.stats(stats(packets=packets))
    metrics.media.stats(stats("c2", packets=50, strangers=3))
    found = samples(metrics)
    received = 'direction="received",kind="video",leg="phone"'
    assert found[f"avisiod_rtp_packets_total{{{received}}}"] == 300
    assert found[f"avisiod_rtp_bytes_total{{{received}}}"] == 300_000
    assert found[f"avisiod_rtp_lost_packets_total{{{received}}}"] == 30
    assert found[f"avisiod_rtp_jitter_seconds_count{{{received}}}"] == 4
    assert found['avisiod_round_trip_seconds_sum{leg="phone"}'] == pytest.approx(0.12)
    assert found['avisiod_dropped_datagrams_total{leg="phone",why="stranger"}'] == 3
    assert found["avisiod_recorded_bytes_total"] == 14


def test_broken_pictures_and_their_time_are_counted() -> None:
    metrics = Metrics()
    for freezes, frozen_ms in ((1, 500), (3, 1750)):
        stream = StreamStats(freezes=freezes, frozen_ms=frozen_ms)
        leg = LegStats(video_received=stream, pictures_wanted=freezes)
        metrics.media.stats(CallStats(call="c1", phone=LegStats(), outside=leg))
    found = samples(metrics)
    assert found['avisiod_picture_freezes_total{leg="outside"}'] == 3
    assert found['avisiod_picture_frozen_seconds_total{leg="outside"}'] == pytest.approx(1.75)
    assert found['avisiod_pictures_wanted_total{leg="outside"}'] == 3


@given(totals=st.lists(st.integers(0, 10_000), max_size=20))
def test_a_counter_never_goes_back_even_when_a_leg_begins_anew(totals: list[int]) -> None:
    metrics = Metrics()
    labels = {"direction": "received", "kind": "video", "leg": "phone"}
    before = 0.0
    for total in totals:
        metrics.media.stats(stats(packets=total))
        now = metrics.registry.get_sample_value("avisiod_rtp_packets_total", labels) or 0.0
        assert now >= before
        before = now
    assert before >= max(totals, default=0)


def test_the_longest_recorder_queue_is_shown_and_forgotten_with_its_call() -> None:
    metrics = Metrics()
    metrics.media.stats(stats("c1", queued=5))
    metrics.media.stats(stats("c2", queued=90))
    assert samples(metrics)["avisiod_recorder_queue_packets"] == 90
    metrics.media.forget("c2")
    assert samples(metrics)["avisiod_recorder_queue_packets"] == 5
    metrics.media.forget("c1")
    metrics.media.forget("c1")
    assert samples(metrics)["avisiod_recorder_queue_packets"] == 0


def test_no_number_of_calls_adds_a_series() -> None:
    metrics = Metrics()
    metrics.media.stats(stats("first", packets=1))
    before = samples(metrics).keys()
    for number in range(50):
        call = f"call-{number}"
        metrics.media.stats(stats(call, packets=9))
        metrics.media.forget(call)
    assert samples(metrics).keys() == before
    assert "call-1" not in generate_latest(metrics.registry).decode()


def test_the_world_is_told() -> None:
    metrics = Metrics()
    assert samples(metrics)["avisiod_modem_signal_dbm"] != samples(metrics)["avisiod_modem_signal_dbm"]  # NaN
    metrics.sms.modem(usable=True, signal_dbm=-71)
    metrics.sms.sent(2.5)
    metrics.sms.failed()
    metrics.world.disk_free(10**12)
    metrics.world.phones(registered=3, listed=5)
    metrics.workers.up({"sip": 1, "media": 2}, {"sip": 1, "media": 3})
    metrics.workers.restarted("media")
    metrics.doors.refused("portal", "origin", 3)
    metrics.doors.refused("portal", "origin", 5)
    metrics.calls.stage("sms", 2.5)
    metrics.calls.code_tried("wrong")
    metrics.control.store_up(up=True)
    metrics.calls.capacity(20)
    found = samples(metrics)
    expected = {
        "avisiod_modem_usable": 1,
        "avisiod_modem_signal_dbm": -71,
        'avisiod_sms_total{result="sent"}': 1,
        'avisiod_sms_total{result="failed"}': 1,
        "avisiod_sms_seconds_sum": 2.5,
        "avisiod_disk_free_bytes": 10**12,
        'avisiod_phones{registered="yes"}': 3,
        'avisiod_phones{registered="no"}': 2,
        'avisiod_workers_up{kind="media"}': 2,
        'avisiod_workers_wanted{kind="media"}': 3,
        'avisiod_worker_restarts_total{kind="media"}': 1,
        'avisiod_refused_total{door="portal",why="origin"}': 5,
        'avisiod_refused_total{door="sip",why="not_edge"}': 0,
        'avisiod_setup_seconds_count{stage="sms"}': 1,
        'avisiod_codes_tried_total{answer="wrong"}': 1,
        "avisiod_store_up": 1,
        "avisiod_calls_capacity": 20,
    }
    assert {name: found[name] for name in expected} == expected


def test_converted_pictures_are_added_up_over_transcoders_that_start_anew() -> None:
    metrics = Metrics()
    metrics.conversions.looked(2, 3)
    metrics.conversions.looked(1, 4)
    for pictures in (10, 25, 5):  # the last one of a process that was started again
        metrics.conversions.counted(0, {"phone": pictures}, {"awaiting": pictures, "unheard-of": 1})
    metrics.conversions.counted(1, {"phone": 1, "page": 7}, {})
    found = samples(metrics)
    assert found["avisiod_transcoded_calls"] == 1
    assert found["avisiod_transcoding_refused_total"] == 4
    assert found['avisiod_transcoded_pictures_total{towards="phone"}'] == 31
    assert found['avisiod_transcoded_pictures_total{towards="page"}'] == 7
    assert found['avisiod_transcoder_dropped_total{why="awaiting"}'] == 30
    assert not [name for name in found if "unheard" in name]


def test_labels_are_closed_lists() -> None:
    with pytest.raises(ValueError, match="not a stage"):
        Metrics().calls.stage("c1", 1.0)
    with pytest.raises(ValueError, match="not a kind"):
        Metrics().workers.restarted("media-3")


def test_every_metric_is_ours_and_explained() -> None:
    text = generate_latest(Metrics().registry).decode()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert all(name.startswith(("avisiod_", "process_", "python_gc_")) for name in names)
    assert all(re.search(rf"^# HELP {name} \S", text, re.MULTILINE) for name in names)


def test_a_loop_that_was_stuck_is_seen() -> None:
    clock, metrics = SteeredClock(), Metrics()
    stop = watch_loop(clock, metrics.control)
    clock.advance(0.5)
    clock.advance(2.5)
    found = samples(metrics)
    assert found["avisiod_loop_lag_seconds_count"] == 3
    assert found["avisiod_loop_lag_seconds_sum"] == pytest.approx(2.0)
    stop()
    assert clock.due == []


async def get(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    fields = Headers({name: [value] for name, value in headers.items()})
    response = await Agent(reactor).request(b"GET", f"http://127.0.0.1:{port}/{path}".encode(), fields)
    body = await readBody(response)
    return response.code, (response.headers.getRawHeaders("content-type") or [""])[0], body.decode()


@pytest_twisted.ensureDeferred
async def test_the_pages_answer_over_http() -> None:
    problems: list[str] = []
    metrics = Metrics()
    port = listen(reactor, MetricsConfig(port=0), metrics.registry, lambda: problems)
    try:
        number = port.getHost().port
        status, kind, text = await get(number, "metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert 'avisiod_calls{state="connected"} 0.0' in text
        _, kind, text = await get(number, "metrics", accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert text.endswith("# EOF\n")
        assert await get(number, "health") == (200, "application/json", '{"ok":true,"problems":[]}\n')
        problems.append("the disk is full: free space")
        status, _, text = await get(number, "health")
        assert status == 503
        assert json.loads(text) == {"ok": False, "problems": problems}
        assert (await get(number, "secrets"))[0] == 404
        with pytest.raises(CannotListenError):
            listen(reactor, MetricsConfig(port=number), CollectorRegistry(), lambda: ())
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_health_check_that_fails_is_no_good_health() -> None:
    def health() -> list[str]:
        raise RuntimeError("code 123456")

    port = listen(reactor, MetricsConfig(port=0), CollectorRegistry(), health)
    try:
        status, _, text = await get(port.getHost().port, "health")
        assert status == 503
        assert "123456" not in text
    finally:
        await port.stopListening()


def test_the_reference_is_current() -> None:
    root = Path(__file__).resolve().parent.parent
    rendered = runpy.run_path(str(root / "scripts" / "metrics_docs.py"))["render"]()
    written = (root / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert written == rendered, "docs/metrics.md is out of date: run scripts/metrics_docs.py"
