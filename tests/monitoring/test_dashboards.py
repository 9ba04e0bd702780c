"""The dashboards for Grafana, without Grafana."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from make_dashboards import written
from monitoring.panels import FILES, FOLDER, boards, targets
from monitoring.rules import RULES, TOP, exposed_names, names_in, rules

if TYPE_CHECKING:
    from monitoring.panels import Target

SCHEMA = "POSEWATCH_GRAFANA_SCHEMA"
"""Variable of the environment: where jsonschema/dashboard.jsonschema.json of the repository
grafana/grafana-foundation-sdk is."""


def test_the_dashboards_are_what_the_programs_write() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in FILES}
    assert committed == dict(written()), "out of date: make dashboards"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_grafana_s_own_types_know_everything_in_them(path: Path) -> None:
    # What they do not know is dropped when it is read.
    plugins.register_default_plugins()
    content = json.loads(path.read_text(encoding="utf-8"))
    assert _as_read(content) == content
    content["panels"][1]["discription"] = "what Grafana calls otherwise"
    assert _as_read(content) != content


def _as_read(content: dict[str, Any]) -> object:
    return json.loads(json.dumps(Dashboard.from_json(content), cls=JSONEncoder))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_follow_grafana_s_schema(path: Path) -> None:
    if SCHEMA not in os.environ:
        pytest.skip(f"{SCHEMA} names no file")
    validators = pytest.importorskip("jsonschema")
    schema = validators.Draft7Validator(json.loads(Path(os.environ[SCHEMA]).read_text()))
    board = json.loads(path.read_text(encoding="utf-8"))
    assert not list(schema.iter_errors(board))
    board["panels"][1]["gridPos"]["w"] = "wide"
    board["refreshed"] = "often"
    assert len(list(schema.iter_errors(board))) == 2, "the schema is a strict one"


@pytest.mark.parametrize("target", list(targets()), ids=str)
def test_only_metrics_that_there_are_are_asked_for(target: Target) -> None:
    recorded = {rule["record"] for rule in rules(RULES)}
    found = names_in(target.query)
    assert found <= exposed_names() | recorded
    assert found or "process_" in target.query or "ALERTS" in target.query


def test_each_panel_says_what_it_means_and_lies_beside_the_others() -> None:
    for board in boards():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not taken & cells, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells
            if panel["type"] != "row":
                assert panel["description"].endswith(".")
                assert panel["datasource"]["uid"] == "${source}"


def test_provisioning_names_what_is_installed() -> None:
    provisioning = FOLDER.parent / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/posewatch.yml").read_text())[
        "providers"
    ]
    relative = Path(provider["options"]["path"]).relative_to("/usr/share/posewatch")
    assert TOP / "packaging" / relative == FOLDER
    (source,) = yaml.safe_load((provisioning / "datasources/posewatch.yml").read_text())[
        "datasources"
    ]
    scrapes = yaml.safe_load((TOP / "packaging/prometheus/prometheus.yml").read_text())
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scrapes["global"]["scrape_interval"]
