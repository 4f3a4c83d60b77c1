"""Rules and dashboards name only metrics that a server has, and are what their programs read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.unit.wire.served import Served, serving

MONITORING = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
METRIC = re.compile(r"\boutlast_[a-z_]+")
_READ = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


async def metrics_of(server: Served) -> set[str]:
    """Return the names that a scrape has, when a run has ended."""
    async with server.client() as client:
        order = {"id": "7", "cents": 5}
        await client.run("tests.unit.wire.served.served_checkout", {"order": order}, id="r")
    text = (await server.request("GET", "/metrics")).body.decode()
    return set(re.findall(r"^(outlast_\w+)", text, re.MULTILINE))


async def test_all_metrics_are_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        known = await metrics_of(server)
    for name in ("alerts.yaml", "grafana.json"):
        used = set(METRIC.findall((MONITORING / name).read_text()))
        assert used
        assert used <= known, name


def test_each_rule_says_what_to_do() -> None:
    text = (MONITORING / "alerts.yaml").read_text()
    done = subprocess.run(
        [sys.executable, "-c", _READ], input=text, capture_output=True, text=True, check=True
    )
    rules = json.loads(done.stdout)["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 8
    for rule in rules:
        assert rule["annotations"]["action"], rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_panel_has_a_query() -> None:
    board = json.loads((MONITORING / "grafana.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
