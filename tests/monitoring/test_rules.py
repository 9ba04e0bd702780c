"""The rules for Prometheus: each is known to promtool, tested, and explained."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from monitoring.rules import (
    ALERTS,
    FOLDER,
    RULES,
    TOP,
    UNIT_TESTS,
    an_hour_lasts_a_minute,
    exposed_names,
    names_in,
    promtool,
    rules,
)
from posewatch.config import HttpSettings

if TYPE_CHECKING:
    from pathlib import Path

    Rule = dict[str, Any]

OPERATIONS = TOP / "docs" / "operations.md"
RUNBOOK = "https://github.com/posewatch/posewatch/blob/main/docs/operations.md#"
ALL_ALERTS = list(rules(ALERTS))
SCRAPES = ("prometheus.yml", "fleet.yml", "agent.yml")


def test_promtool_takes_the_rules_and_each_fires_and_clears_in_its_unit_test() -> None:
    promtool("check", "rules", RULES, ALERTS)
    assert "SUCCESS" in promtool("test", "rules", UNIT_TESTS)


def test_each_alert_is_unit_tested_both_ways() -> None:
    tested = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]
    assert [test["name"] for test in tested] == [alert["alert"] for alert in ALL_ALERTS]
    for test in tested:
        asked = test["alert_rule_test"]
        assert {each["alertname"] for each in asked} == {test["name"]}
        fired = [bool(each["exp_alerts"]) for each in asked]
        assert fired[-2:] == [True, False], f"{test['name']} should fire, then clear"


@pytest.mark.parametrize("rule", [*rules(RULES), *ALL_ALERTS], ids=lambda rule: str(list(rule)[:2]))
def test_only_metrics_that_there_are_are_asked_for(rule: Rule) -> None:
    recorded = {each["record"] for each in rules(RULES)}
    wanted = names_in(rule["expr"])
    assert wanted <= exposed_names() | recorded
    assert wanted or "process_start_time_seconds" in rule["expr"] or "up{" in rule["expr"]


@pytest.mark.parametrize("alert", ALL_ALERTS, ids=lambda alert: alert["alert"])
def test_each_alert_says_how_bad_it_is_and_where_help_is(alert: Rule) -> None:
    assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    told = alert["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["description"].endswith(".")
    assert not told["summary"].endswith(".")
    assert told["runbook_url"] == RUNBOOK + alert["alert"].lower()


def test_each_alert_has_its_heading_in_the_docs_and_each_heading_its_alert() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    told = re.findall(r"^### (Posewatch\w+)\n\n(.+)", text, re.MULTILINE)
    assert [name for name, _ in told] == [alert["alert"] for alert in ALL_ALERTS]
    for alert, (name, first) in zip(ALL_ALERTS, told, strict=True):
        assert first.startswith(f"*{alert['labels']['severity']}*"), name


@pytest.mark.parametrize("name", SCRAPES)
def test_promtool_takes_the_scrape_configs(tmp_path: Path, name: str) -> None:
    installed = "/usr/share/posewatch/prometheus/"
    for file in (RULES, ALERTS):
        shutil.copy(file, tmp_path)
    config = tmp_path / name
    text = (FOLDER / name).read_text(encoding="utf-8").replace(installed, f"{tmp_path}/")
    targets = "/etc/prometheus/posewatch/*.yml"
    config.write_text(text.replace(targets, str(FOLDER / "targets.yml")), encoding="utf-8")
    agent = ("--agent",) if name == "agent.yml" else ()
    said = promtool("check", "config", *agent, config)
    if not agent:
        assert said.count("rules found") == 2


@pytest.mark.parametrize("name", [*SCRAPES, "targets.yml"])
def test_scrape_configs_name_the_default_port_and_the_job(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    if targets := re.findall(r"targets: \[(.*)\]", text):
        ports = [target.strip(' "').partition(":")[2] for target in ",".join(targets).split(",")]
        assert set(ports) == {str(HttpSettings().port)}
    if name in SCRAPES:
        (job,) = yaml.safe_load(text)["scrape_configs"]
        assert job["job_name"] == "posewatch"


def test_quicker_rules_differ_in_durations_only() -> None:
    assert an_hour_lasts_a_minute("expr: a[1h] > 3600 # 5m\n  for: 15m\n") == (
        "expr: a[60s] > 3600 # 5m\n  for: 15s\n"
    )
    for file in (RULES, ALERTS):
        before = file.read_text(encoding="utf-8")
        after = an_hour_lasts_a_minute(before)
        assert re.sub(r"\d+[smhd]\b", "", after) == re.sub(r"\d+[smhd]\b", "", before)
        durations = {int(seconds) for seconds in re.findall(r"(?:\[|for: )(\d+)s", after)}
        assert durations <= {2, 5, 10, 15, 60, 1440}
        assert not re.findall(r"(?:\[|for: )\d+[mhd]\b", after)
