"""Each alert fires for its fault and alone, none while all is well; what they ask for exists, as does their entry."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from avisiod.metrics import Metrics

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "etc" / "prometheus" / "avisiod.rules.yml"
DASHBOARD = ROOT / "etc" / "grafana" / "avisiod.json"
MINUTES = 120


def stepped(minutes_ago: int) -> str:
    """A counter that has counted one thing, so long before the end."""
    return f"0x{MINUTES - minutes_ago} 1"


QUIET = {
    'up{job="avisiod-edge"}': "1",
    "up": "1",
    "avisiod_edge_readable": "1",
    'avisiod_workers_up{kind="sip"}': "6",
    'avisiod_workers_up{kind="media"}': "2",
    'avisiod_workers_up{kind="transcode"}': "0",
    'avisiod_workers_wanted{kind="sip"}': "6",
    'avisiod_workers_wanted{kind="media"}': "2",
    'avisiod_workers_wanted{kind="transcode"}': "0",
    'avisiod_worker_restarts_total{kind="media"}': "0",
    'avisiod_loop_lag_seconds_bucket{le="0.05"}': "0+120",
    'avisiod_loop_lag_seconds_bucket{le="1"}': "0+120",
    'avisiod_loop_lag_seconds_bucket{le="+Inf"}': "0+120",
    "process_resident_memory_bytes": "120e6",
    'avisiod_config_reloads_total{result="refused"}': "0",
    'avisiod_config_reloads_total{result="taken"}': "0+1",
    'avisiod_build_info{hot_path="compiled"}': "1",
    'avisiod_calls_ended_total{cause="detainee",reason="detainee_hung_up"}': "0+1",
    'avisiod_calls_ended_total{cause="service",reason="sip_failed"}': "0",
    'avisiod_calls_ended_total{cause="service",reason="no_capacity"}': "0",
    'avisiod_calls_ended_total{cause="network",reason="join_failed"}': "0",
    "avisiod_calls_unpriced_total": "0",
    'avisiod_rtp_packets_total{leg="phone",kind="video",direction="received"}': "0+6000",
    'avisiod_rtp_lost_packets_total{leg="phone",kind="video",direction="received"}': "0+10",
    "avisiod_transcoding_refused_total": "0",
    "avisiod_recordings_writable": "1",
    "avisiod_disk_free_bytes": "500e9",
    "avisiod_recorded_bytes_total": "0+10e6",
    "avisiod_recording_gaps_total": "0",
    "avisiod_store_up": "1",
    "avisiod_backup_age_seconds": "3600",
    "avisiod_backup_good": "1",
    "avisiod_retention_age_seconds": "3600",
    "avisiod_retention_good": "1",
    "avisiod_modem_usable": "1",
    "avisiod_modem_listed": "1",
    "avisiod_modem_signal_dbm": "-71",
    'avisiod_emergency_key{board="guard",key="post",state="fault"}': "0",
    "avisiod_sms_routes_usable": "2",
    'avisiod_sms_route_usable{route="ovh"}': "1",
    'avisiod_sms_route_usable{route="modem"}': "1",
    'avisiod_sms_total{result="failed"}': "0",
    'avisiod_sms_seconds_bucket{le="5"}': "0+1",
    'avisiod_sms_seconds_bucket{le="60"}': "0+1",
    'avisiod_sms_seconds_bucket{le="+Inf"}': "0+1",
    'avisiod_phones{registered="yes"}': "95",
    'avisiod_phones{registered="no"}': "5",
    'avisiod_phone_states{state="tampered"}': "0",
    'avisiod_certificate_end_timestamp_seconds{of="portal"}': "9e6",
    'avisiod_codes_tried_total{answer="right"}': "0+1",
    'avisiod_codes_tried_total{answer="wrong"}': "0",
    'avisiod_pins_tried_total{answer="locked"}': "0",
    'avisiod_refused_total{door="portal",why="origin"}': "0+1",
    'avisiod_refused_total{door="counter",why="denied"}': "0",
    'kamailio_edge_refused_total{job="avisiod-edge",why="login"}': "0+1",
}
"""Every series of a box that is well, from minute to minute; `0+1` grows by one."""


class Fault(NamedTuple):
    """What is different, and who else complains."""

    series: dict[str, str]
    also: tuple[str, ...] = ()


FAULTS = {
    "AvisiodDown": Fault({"up": "0"}),
    "AvisiodEdgeDown": Fault({'up{job="avisiod-edge"}': "0"}),
    "AvisiodEdgeUnreadable": Fault({"avisiod_edge_readable": "0"}),
    "AvisiodNoWorkers": Fault({'avisiod_workers_up{kind="sip"}': "0"}, ("AvisiodWorkersMissing",)),
    "AvisiodWorkersMissing": Fault({'avisiod_workers_up{kind="media"}': "1"}),
    "AvisiodWorkersDie": Fault({'avisiod_worker_restarts_total{kind="media"}': "0+1"}),
    "AvisiodLoopSlow": Fault({'avisiod_loop_lag_seconds_bucket{le="0.05"}': "0+60"}),
    "AvisiodMemoryHigh": Fault({"process_resident_memory_bytes": "700e6"}),
    "AvisiodReloadRefused": Fault({'avisiod_config_reloads_total{result="refused"}': stepped(20)}),
    "AvisiodHotPathPlain": Fault({'avisiod_build_info{hot_path="plain"}': "1"}),
    "AvisiodCallsFail": Fault({'avisiod_calls_ended_total{cause="service",reason="sip_failed"}': "0+0.5"}),
    "AvisiodJoinsFail": Fault({'avisiod_calls_ended_total{cause="network",reason="join_failed"}': "0+0.2"}),
    "AvisiodCapacityReached": Fault(
        {'avisiod_calls_ended_total{cause="service",reason="no_capacity"}': stepped(5)},
    ),
    "AvisiodCallsUnpriced": Fault({"avisiod_calls_unpriced_total": stepped(20)}),
    "AvisiodPicturesLossy": Fault(
        {'avisiod_rtp_lost_packets_total{leg="phone",kind="video",direction="received"}': "0+600"}
    ),
    "AvisiodTranscodingRefused": Fault({"avisiod_transcoding_refused_total": stepped(20)}),
    "AvisiodRecordingsUnwritable": Fault({"avisiod_recordings_writable": "0"}),
    "AvisiodDiskFullSoon": Fault({"avisiod_disk_free_bytes": "5e9"}),
    "AvisiodRecordingGaps": Fault({"avisiod_recording_gaps_total": stepped(10)}),
    "AvisiodStoreDown": Fault({"avisiod_store_up": "0"}),
    "AvisiodBackupOld": Fault({"avisiod_backup_age_seconds": "200000"}),
    "AvisiodBackupFailed": Fault({"avisiod_backup_good": "0"}),
    "AvisiodRetentionOld": Fault({"avisiod_retention_age_seconds": "200000"}),
    "AvisiodRetentionFailed": Fault({"avisiod_retention_good": "0"}),
    "AvisiodModemUnusable": Fault({"avisiod_modem_usable": "0"}),
    "AvisiodModemSignalWeak": Fault({"avisiod_modem_signal_dbm": "-110"}),
    "AvisiodSmsFail": Fault({'avisiod_sms_total{result="failed"}': "0+1"}),
    "AvisiodEmergencyKeyFault": Fault({'avisiod_emergency_key{board="guard",key="post",state="fault"}': "1"}),
    "AvisiodSmsLastRoute": Fault({"avisiod_sms_routes_usable": "1"}),
    "AvisiodSmsSlow": Fault({'avisiod_sms_seconds_bucket{le="5"}': "0+0.5"}),
    "AvisiodPhonesGone": Fault({'avisiod_phones{registered="yes"}': "70", 'avisiod_phones{registered="no"}': "30"}),
    "AvisiodPhoneTampered": Fault({'avisiod_phone_states{state="tampered"}': "1"}),
    "AvisiodCertificateEnds": Fault({'avisiod_certificate_end_timestamp_seconds{of="portal"}': "1e6"}),
    "AvisiodCertificateEnded": Fault(
        {'avisiod_certificate_end_timestamp_seconds{of="portal"}': "0"}, ("AvisiodCertificateEnds",)
    ),
    "AvisiodCodesGuessed": Fault({'avisiod_codes_tried_total{answer="wrong"}': "0+10"}),
    "AvisiodPinsGuessed": Fault({'avisiod_pins_tried_total{answer="locked"}': "0+1"}),
    "AvisiodRefusing": Fault({'avisiod_refused_total{door="portal",why="origin"}': "0+90"}),
    "AvisiodEdgeRefusing": Fault({'kamailio_edge_refused_total{job="avisiod-edge",why="login"}': "0+90"}),
    "AvisiodStaffDenied": Fault({'avisiod_refused_total{door="counter",why="denied"}': stepped(10)}),
}


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def values(written: str) -> str:
    """In promtool's notation, for all MINUTES: a constant, growth, or what is written out already."""
    return f"{written}x{MINUTES}"


def named(series: str) -> str:
    """With the labels that a scrape adds."""
    name, _, labels = series.rstrip("}").partition("{")
    job = "" if 'job="' in labels else ',job="avisiod"'
    return f'{name}{{{labels}{"," if labels else ""}instance="box"{job}}}'


def judged(folder: Path, series: dict[str, str], firing: list[str]) -> subprocess.CompletedProcess[str]:
    """Let promtool say whether exactly these alerts fire at the end."""
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in firing]
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": named(name), "values": values(each)} for name, each in series.items()],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{MINUTES - 1}m",
                        "exp_samples": samples,
                    }
                ],
            }
        ],
    }
    (folder / "tests.yml").write_text(yaml.safe_dump(tests))
    return subprocess.run(["promtool", "test", "rules", folder / "tests.yml"], capture_output=True, text=True)


@pytest.mark.peer
def test_promtool_finds_the_rules_and_the_settings_good() -> None:
    for arguments in (["rules", RULES], ["config", ROOT / "etc" / "prometheus" / "prometheus.yml"]):
        checked = subprocess.run(["promtool", "check", *arguments], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.peer
def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    done = judged(tmp_path, QUIET, [])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.peer
@pytest.mark.parametrize("alert", FAULTS)
def test_an_alert_fires_for_its_fault(tmp_path: Path, alert: str) -> None:
    fault = FAULTS[alert]
    done = judged(tmp_path, QUIET | fault.series, sorted([alert, *fault.also]))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_fault_here() -> None:
    assert {rule["alert"] for rule in rules()} == set(FAULTS)


def sections_of(page: Path) -> dict[str, str]:
    """The text below each heading of the second level, by its anchor as GitHub makes it."""
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-"): text
        for head, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_every_alert_has_its_entry_in_the_runbook_and_the_runbook_no_other() -> None:
    entries = sections_of(ROOT / "docs" / "runbook.md")
    for rule in rules():
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (page, anchor) == ("docs/runbook.md", rule["alert"].lower())
        assert anchor in entries, rule["alert"]
        for part in ("**Means.**", "**Do.**"):
            assert part in entries[anchor], f"{rule['alert']}: {part}"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert {entry for entry in entries if entry.startswith("avisiod")} == {rule["alert"].lower() for rule in rules()}


NAME = re.compile(r"\b(?:avisiod|kamailio|process|python_gc)_\w+")


def known() -> set[str]:
    """Names of the samples of the daemon's registry, and of the edge's configuration."""
    samples = {
        sample.name + suffix
        for family in Metrics().registry.collect()
        for sample in family.samples
        for suffix in ("", "_bucket")
    }
    families = {
        f"{family.name}{suffix}"
        for family in Metrics().registry.collect()
        for suffix in {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
    }
    edge = re.findall(r'"prom_counter", "name=(\w+)', (ROOT / "etc" / "kamailio" / "kamailio.cfg").read_text())
    return samples | families | {f"kamailio_{name}" for name in edge}


def test_every_metric_that_an_alert_asks_for_exists() -> None:
    for rule in rules():
        found = set(NAME.findall(str(rule["expr"]))) - {"avisiod_edge"}
        assert found or "up{" in rule["expr"]
        assert found <= known(), rule["alert"]
    assert {re.split(r"[{ ]", name)[0] for name in QUIET} - {"up"} <= known()
