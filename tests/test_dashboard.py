"""Grafana's own models know every key of the dashboard, its queries parse, and what they ask for exists."""

import json
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.test_alerts import DASHBOARD, NAME, ROOT, known


def read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def lost(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """What of `ours` is not in `theirs`: keys that the schema does not know, values that it reads otherwise."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs.get(key), f"{path}.{key}") if key in theirs else [f"{path}.{key}"]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for at, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{path}[{at}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} is not {theirs!r}"


def through_the_schema(dashboard: dict[str, Any]) -> list[str]:
    """Read it into Grafana's models and write it again; what did not come back."""
    plugins.register_default_plugins()
    return list(lost(dashboard, json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))))


def test_grafanas_models_know_every_key() -> None:
    assert through_the_schema(read()) == []


@pytest.mark.parametrize("where", ["options", "fieldConfig", "gridPos"])
def test_a_key_that_grafana_does_not_know_would_be_found(where: str) -> None:
    dashboard = read()
    dashboard["panels"][1][where]["wdth"] = 1
    assert through_the_schema(dashboard) == [f".panels[1].{where}.wdth"]


def drawn() -> list[dict[str, Any]]:
    """Panels but the headings of rows."""
    return [panel for panel in read()["panels"] if panel["type"] != "row"]


def test_panels_stand_apart_and_have_numbers_of_their_own() -> None:
    panels = read()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def queries() -> list[str]:
    dashboard = read()
    found = [target["expr"] for panel in drawn() for target in panel["targets"]]
    return found + [each["expr"] for each in dashboard["annotations"]["list"]]


def test_every_metric_that_is_drawn_exists() -> None:
    for query in queries():
        assert set(NAME.findall(query)) <= known(), query
    assert read()["templating"]["list"][1]["query"].split("(")[1].split(",")[0] in known()


@pytest.mark.peer
def test_promtool_parses_every_query(tmp_path: Path) -> None:
    plain = [query.replace("$__rate_interval", "5m").replace("$instance", ".*") for query in queries()]
    rules = [{"record": f"query_{at}", "expr": query} for at, query in enumerate(plain)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", tmp_path / "queries.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(plain)} rules found" in checked.stdout


def test_the_file_is_what_its_script_writes() -> None:
    render = runpy.run_path(str(ROOT / "scripts" / "grafana_dashboard.py"))["render"]
    assert DASHBOARD.read_text(encoding="utf-8") == render(), "run scripts/grafana_dashboard.py"
