#!/usr/bin/env python3
"""Write etc/grafana/avisiod.json, the dashboard, from the table of panels below."""

import json
from pathlib import Path
from typing import Any, NamedTuple

TARGET = Path(__file__).resolve().parent.parent / "etc" / "grafana" / "avisiod.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
BOX = 'instance=~"$instance"'
"""Every query is about the boxes that are chosen above the panels."""
WIDTH = 24


class Panel(NamedTuple):
    """One picture: queries with their legends, `BOX` standing where the chosen boxes go."""

    title: str
    queries: dict[str, str]
    """By legend."""
    unit: str = "short"
    kind: str = "timeseries"
    steps: tuple[tuple[float, str], ...] = ()
    """From these values on, another colour than green; for single values."""
    stacked: bool = False
    description: str = ""


def per(seconds: str, counter: str, by: str, labels: str = "") -> str:
    """The rate of a counter, summed by labels."""
    return f"sum by ({by}) (rate({counter}{{{BOX}{labels}}}[{seconds}]))"


def quantile(share: float, histogram: str, by: str = "", labels: str = "") -> str:
    """Of a histogram, over the interval that fits the picture."""
    labels_by = f"{by}, le" if by else "le"
    rate = f"rate({histogram}_bucket{{{BOX}{labels}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({labels_by}) ({rate}))"


EVERY = "$__rate_interval"
ROWS: dict[str, list[Panel]] = {
    "Now": [
        Panel("Calls", {"calls": f"sum(avisiod_calls{{{BOX}}})"}, kind="stat"),
        Panel(
            "Share of capacity",
            {"share": f"sum(avisiod_calls{{{BOX}}}) / sum(avisiod_calls_capacity{{{BOX}}})"},
            "percentunit",
            "stat",
            ((0.8, "orange"), (0.95, "red")),
        ),
        Panel(
            "Workers missing",
            {"missing": f"sum(avisiod_workers_wanted{{{BOX}}} - avisiod_workers_up{{{BOX}}})"},
            kind="stat",
            steps=((1, "red"),),
        ),
        Panel(
            "Phones not registered",
            {"phones": f'sum(avisiod_phones{{{BOX}, registered="no"}})'},
            kind="stat",
            steps=((1, "orange"),),
        ),
        Panel(
            "Modem signal",
            {"signal": f"min(avisiod_modem_signal_dbm{{{BOX}}})"},
            "dBm",
            "stat",
            ((-200, "red"), (-105, "orange"), (-95, "green")),
        ),
        Panel(
            "Certificate ends in",
            {"{{of}}": f"min by (of) (avisiod_certificate_end_timestamp_seconds{{{BOX}}} - time())"},
            "s",
            "stat",
            ((0, "red"), (86400, "orange"), (14 * 86400, "green")),
        ),
        Panel(
            "Age of the backup",
            {"age": f"max(avisiod_backup_age_seconds{{{BOX}}})"},
            "s",
            "stat",
            ((86400 * 1.5, "orange"), (86400 * 2, "red")),
        ),
        Panel(
            "Alerts firing",
            {"alerts": 'count(ALERTS{alertname=~"Avisiod.*", alertstate="firing"}) or vector(0)'},
            kind="stat",
            steps=((1, "red"),),
        ),
    ],
    "Calls": [
        Panel("Calls by state", {"{{state}}": f"sum by (state) (avisiod_calls{{{BOX}}})"}, stacked=True),
        Panel(
            "Ended in the last hour, by reason",
            {"{{reason}}": f"sum by (reason) (increase(avisiod_calls_ended_total{{{BOX}}}[1h])) > 0"},
            stacked=True,
        ),
        Panel(
            "Ended through our own failure",
            {
                "share": f'sum(rate(avisiod_calls_ended_total{{{BOX}, cause="service"}}[1h]))'
                f" / sum(rate(avisiod_calls_ended_total{{{BOX}}}[1h]))"
            },
            "percentunit",
        ),
        Panel(
            "Setting up, 95 % within",
            {"{{stage}}": quantile(0.95, "avisiod_setup_seconds", "stage")},
            "s",
            description="sms: dialled to accepted by the network; code: to typed; join: to connected.",
        ),
    ],
    "Media": [
        Panel(
            "Bitrate received",
            {
                "{{leg}} {{kind}}": "8 * "
                + per(EVERY, "avisiod_rtp_bytes_total", "leg, kind", ', direction="received"')
            },
            "bps",
        ),
        Panel(
            "Packets lost",
            {
                "{{leg}}": per(EVERY, "avisiod_rtp_lost_packets_total", "leg", ', direction="received"')
                + " / "
                + per(EVERY, "avisiod_rtp_packets_total", "leg", ', direction="received"')
            },
            "percentunit",
        ),
        Panel("Jitter, 95 % below", {"{{leg}}": quantile(0.95, "avisiod_rtp_jitter_seconds", "leg")}, "s"),
        Panel("Round trip, 95 % below", {"{{leg}}": quantile(0.95, "avisiod_round_trip_seconds", "leg")}, "s"),
        Panel("Pictures that broke", {"{{leg}}": per(EVERY, "avisiod_picture_freezes_total", "leg")}, "ops"),
        Panel(
            "Converted pictures",
            {
                "calls": f"sum(avisiod_transcoded_calls{{{BOX}}})",
                "refused in 1 h": f"sum(increase(avisiod_transcoding_refused_total{{{BOX}}}[1h]))",
            },
        ),
    ],
    "Recordings and box": [
        Panel("Free where recordings are", {"free": f"min(avisiod_disk_free_bytes{{{BOX}}})"}, "bytes"),
        Panel("Written", {"recorders": per(EVERY, "avisiod_recorded_bytes_total", "instance")}, "Bps"),
        Panel("Longest recorder queue", {"packets": f"max(avisiod_recorder_queue_packets{{{BOX}}})"}),
        Panel("Lateness of the loop, 99 %", {"lag": quantile(0.99, "avisiod_loop_lag_seconds")}, "s"),
        Panel("Memory of control", {"{{instance}}": f"process_resident_memory_bytes{{{BOX}}}"}, "bytes"),
        Panel(
            "Workers that ended, in 1 h",
            {"{{kind}}": f"sum by (kind) (increase(avisiod_worker_restarts_total{{{BOX}}}[1h]))"},
        ),
    ],
    "SMS and phones": [
        Panel("SMS in 1 h", {"{{result}}": f"sum by (result) (increase(avisiod_sms_total{{{BOX}}}[1h]))"}),
        Panel("SMS accepted, 90 % within", {"seconds": quantile(0.9, "avisiod_sms_seconds")}, "s"),
        Panel("Phones", {"{{state}}": f"sum by (state) (avisiod_phone_states{{{BOX}}})"}, stacked=True),
    ],
    "Turned away": [
        Panel("By us", {"{{door}} {{why}}": per(EVERY, "avisiod_refused_total", "door, why") + " > 0"}, "ops"),
        Panel(
            "By the edge",
            {"{{why}}": "sum by (why) (rate(kamailio_edge_refused_total[$__rate_interval])) > 0"},
            "ops",
        ),
        Panel("Codes typed", {"{{answer}}": per(EVERY, "avisiod_codes_tried_total", "answer")}, "ops"),
    ],
}


def thresholds(panel: Panel) -> dict[str, Any]:
    """The first step has no value: it is what everything below the next is."""
    steps = [(None, "green"), *panel.steps]
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def drawn(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    """A panel as Grafana reads it."""
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": thresholds(panel)}
    if panel.kind == "stat":
        options: dict[str, Any] = {
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "auto",
            "textMode": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
        defaults["color"] = {"mode": "thresholds"}
    else:
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "fillOpacity": 30 if panel.stacked else 5,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for at, (legend, query) in enumerate(panel.queries.items())
        ],
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def panels() -> list[dict[str, Any]]:
    """Every row with its panels, from left to right and from above to below."""
    found: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        found.append(
            {"id": len(found) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        )
        top += 1
        width, height = (WIDTH // 8, 4) if row[0].kind == "stat" else (WIDTH // 2, 8)
        for at, panel in enumerate(row):
            across = WIDTH // width
            place = {"x": at % across * width, "y": top + at // across * height, "w": width, "h": height}
            found.append(drawn(panel, len(found) + 1, place))
        top += -(-len(row) // (WIDTH // width)) * height
    return found


def dashboard() -> dict[str, Any]:
    """The whole of it."""
    variables = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Box",
            "type": "query",
            "datasource": SOURCE,
            "query": "label_values(avisiod_calls_capacity, instance)",
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": "All", "value": "$__all"},
        },
    ]
    alerts = {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Avisiod.*", alertstate="firing"}',
    }
    return {
        "uid": "avisiod",
        "title": "avisiod: video calls",
        "description": "Calls, media, recordings, SMS, phones and what is turned away. docs/watching.md",
        "tags": ["avisiod"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": variables},
        "annotations": {"list": [alerts]},
        "panels": panels(),
    }


def render() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render(), encoding="utf-8")
