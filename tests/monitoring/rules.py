"""The files in packaging/prometheus, for tests; and promtool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from posewatch.base.metric_rows import Kind
from posewatch.base.metrics import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parents[2]
FOLDER = TOP / "packaging" / "prometheus"
RULES = FOLDER / "posewatch.rules.yml"
ALERTS = FOLDER / "posewatch.alerts.yml"
UNIT_TESTS = FOLDER / "posewatch.test.yml"

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(?:(?<=\[)|(?<=: ))(\d+)([smhd])(?=\]|$)", re.MULTILINE)


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("POSEWATCH_REQUIRE_TOOLS"):
            pytest.fail(f"{name} (Debian package prometheus) is not installed")
        pytest.skip(f"{name} (Debian package prometheus) is not installed")
    return found


def promtool(*arguments: str | Path) -> str:
    """What it says; fails the test if it complains."""
    done = subprocess.run(  # noqa: S603 -- looked up on the path
        [program("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules(*files: Path) -> Iterator[dict[str, Any]]:
    """Each rule of these files."""
    for file in files:
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def exposed_names() -> set[str]:
    """The metrics that there are, as Prometheus knows them."""
    names = set()
    for row in TABLE:
        histogram = row.kind == Kind.HISTOGRAM
        names |= {row.name + s for s in (("_bucket", "_sum", "_count") if histogram else ("",))}
    return names


def names_in(query: str) -> set[str]:
    """The metrics of posewatch that a query asks for."""
    unquoted = re.sub(r'"[^"]*"', "", query)
    return set(re.findall(r"(?:\w+:)?posewatch_\w+(?::\w+)?", unquoted))


def an_hour_lasts_a_minute(text: str) -> str:
    """Rules in which time goes sixty times as fast: `for: 15m` is 15 s, `[1h]` a minute.

    This is how the alerts are tried on real daemons in minutes. Nothing but durations is changed.
    """

    def shorter(found: re.Match[str]) -> str:
        return f"{max(1, int(found[1]) * SECONDS[found[2]] // 60)}s"

    return _DURATION.sub(shorter, text)
