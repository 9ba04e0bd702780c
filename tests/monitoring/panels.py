"""The panels of the dashboards, and their queries as Grafana would send them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitoring.rules import TOP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from monitoring.prometheus import Prometheus

    Series = Sequence[tuple[Mapping[str, str], Sequence[tuple[float, float]]]]

FOLDER = TOP / "packaging" / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel.

    Attributes:
        board: title of the dashboard.
        panel: the panel, as Grafana has it.
        query: with Grafana's variables in it.
        legend: how its series are called.
        instant: whether it is asked for now only.
    """

    board: str
    panel: Mapping[str, Any]
    query: str
    legend: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.board} / {self.panel['title']} / {self.legend or 'one'}"

    def filled(self, variables: Mapping[str, str]) -> str:
        """The query, with values in place of the variables."""
        query = self.query
        for name in sorted(variables, key=len, reverse=True):
            query = query.replace(f"${name}", variables[name])
        assert "$" not in query, query
        return query

    def series(
        self, prometheus: Prometheus, variables: Mapping[str, str], began: float, now: float
    ) -> Series:
        """Labels, and moments with their values, of each series that there is."""
        query = self.filled(variables)
        if self.instant:
            found = prometheus.ask("query", query=query, time=now)["result"]
            return [(s["metric"], [(now, float(s["value"][1]))]) for s in found]
        step = max(1.0, (now - began) / 300)
        ask = {"query": query, "start": began, "end": now, "step": step}
        found = prometheus.ask("query_range", **ask)["result"]
        return [(s["metric"], [(t, float(v)) for t, v in s["values"]]) for s in found]


def boards() -> Iterator[dict[str, Any]]:
    """The dashboards that are committed."""
    for file in FILES:
        yield json.loads(file.read_text(encoding="utf-8"))


def targets() -> Iterator[Target]:
    """Every query of every panel."""
    for board in boards():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Target(
                    board["title"],
                    panel,
                    target["expr"],
                    target.get("legendFormat", ""),
                    target.get("instant", False),
                )
