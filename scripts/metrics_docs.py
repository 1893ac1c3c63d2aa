#!/usr/bin/env python3
"""Write docs/metrics.md from the metrics' own descriptions in avisiod/metrics/."""

from pathlib import Path

from avisiod.metrics import Metrics

TARGET = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
NOTES = """# Metrics

`http://127.0.0.1:9464/metrics` for Prometheus (`metrics.address` and `metrics.port`), `/health` for people and load
balancers: 200 and `{"ok":true,"problems":[]}`, or 503 and what is wrong in sentences. Neither names a call, a
telephone number or a person, so neither needs a password on a network that only administrators reach.

Counters of media are added up over all calls. Some questions, and what to ask Prometheus:

| question | query |
|---|---|
| calls that failed through us, of all | `sum(rate(avisiod_calls_ended_total{cause="service"}[1h])) / sum(rate(avisiod_calls_ended_total[1h]))` |
| 95 % of calls are joined within | `histogram_quantile(0.95, sum by (le) (rate(avisiod_setup_seconds_bucket{stage="join"}[1d])))` |
| bitrate of the relatives' picture, bit/s | `8 * rate(avisiod_rtp_bytes_total{leg="outside",kind="video",direction="received"}[1m])` |
| share of packets lost | `rate(avisiod_rtp_lost_packets_total[5m]) / rate(avisiod_rtp_packets_total[5m])` |
| hours until the disk is full | `avisiod_disk_free_bytes / rate(avisiod_recorded_bytes_total[1d]) / 3600` |
| no SMS can be sent | `avisiod_sms_routes_usable == 0` |
| one more failure and no SMS can be sent | `avisiod_sms_routes_usable == 1 and count(avisiod_sms_route_usable) > 1` |
| a route accepts SMS and does not deliver them | `rate(avisiod_sms_route_reports_total{result!="delivered"}[1h]) > 0.3 * rate(avisiod_sms_route_messages_total{result="accepted"}[1h])` |
| somebody lies about deliveries | `increase(avisiod_sms_reports_total{result="denied"}[1h]) > 0` |
| somebody guesses codes | `rate(avisiod_codes_tried_total{answer!="right"}[10m]) > 0.1` |
| somebody knocks where nobody should | `rate(avisiod_refused_total[10m]) > 1`, `rate(kamailio_edge_refused_total[10m]) > 1` |
| workers die | `increase(avisiod_worker_restarts_total[1h]) > 0` |

The edge has metrics of its own, on port 9465. What it turns away is in `kamailio_edge_refused_total`, by `why`:

| why | what |
|---|---|
| `banned`, `flood` | a source that is not heard for a while; the request that brought it there |
| `scanner`, `too_large`, `malformed`, `hops`, `method`, `body` | messages that no phone of ours sends |
| `login`, `identity` | wrong credentials; another name in From or To than in them |
| `unregistered`, `elsewhere` | calls without a registration, or from another address than it came from |
| `dialogue`, `reply` | requests within, or replies to, what is not there |
| `inner`, `http` | whoever knocks at the socket for workers, or asks for another page than the metrics |
| `ask`, `absent` | a request to a phone without the key that avisiod gave; one of its own to a phone that is not registered |
| `no_worker`, `worker_timeout`, `busy` | no SIP worker is up; one did not answer in 2 s; the phone heard 503 |
"""  # noqa: E501 - a row of a Markdown table is one line


def render() -> str:
    """The whole page."""
    lines = [NOTES, "| metric | type | labels | meaning |", "|---|---|---|---|"]
    for collector, names in Metrics().registry._collector_to_names.items():
        family = next(iter(collector.describe()), None) if hasattr(collector, "describe") else None
        if family is None or not names or not family.name.startswith("avisiod_"):
            continue
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
        lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join([*lines, "", "Beside these, `process_*` and `python_gc_*` of the control process.", ""])


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
