"""The few kinds of panels that the dashboards are made of."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${source}")

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"

WIDTH = 24
"""Columns of a dashboard."""


def number(
    title: str,
    about: str,
    queries: str | Mapping[str, str],
    *,
    width: int,
    height: int = 4,
    unit: str = "short",
    decimals: int = 0,
    colours: Sequence[tuple[float | None, str]] = (),
) -> stat.Panel:
    """How it stands now, in large digits.

    Args:
        title: what it is.
        about: what it means, and what to make of it.
        queries: one, or several by what their series are called: `{{label}}` is a label's value.
        width: in columns.
        height: in Grafana's rows.
        unit: one of Grafana's.
        decimals: how many.
        colours: each from a value on, the first from None.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .span(width)
        .height(height)
        .unit(unit)
        .decimals(decimals)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(colours))
    )
    for target in _targets(queries):
        panel = panel.with_target(target.instant())
    return panel


def lines(
    title: str,
    about: str,
    queries: str | Mapping[str, str],
    *,
    width: int = WIDTH // 3,
    unit: str = "short",
    stacked: bool = False,
    colours: Mapping[str, str] = MappingProxyType({}),
) -> timeseries.Panel:
    """How it went.

    Args:
        title: what it is.
        about: what it means, and what to make of it.
        queries: one, or several by what their series are called: `{{label}}` is a label's value.
        width: in columns.
        unit: one of Grafana's.
        stacked: whether the lines are parts of a whole.
        colours: of lines that mean something good or bad, by their names.
    """
    mode = common.StackingMode.NORMAL if stacked else common.StackingMode.NONE
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .span(width)
        .height(7)
        .unit(unit)
        .min(0)
        .fill_opacity(60 if stacked else 5)
        .stacking(common_builders.StackingConfig().mode(mode).group("A"))
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)  # noqa: FBT003 -- theirs
            .placement(common.LegendPlacement.BOTTOM)
            .display_mode(common.LegendDisplayMode.LIST)
        )
    )
    for target in _targets(queries):
        panel = panel.with_target(target.range())
    for name, colour in colours.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel = panel.override_by_name(name, [dashboard.DynamicConfigValue("color", fixed)])
    return panel


def rows(
    title: str,
    about: str,
    query: str,
    *,
    hidden: Sequence[str] = (),
    width: int = WIDTH,
    value: str = "",
) -> table.Panel:
    """The labels of each series, one row for each.

    Args:
        title: what it is.
        about: what it means, and what to make of it.
        query: the series.
        hidden: labels that tell nothing.
        width: in columns.
        value: what the number is called; hidden if empty.
    """
    hide = dict.fromkeys(("Time", "__name__", *hidden, *(() if value else ("Value",))), True)
    organize = dashboard.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": hide,
            "indexByName": {},
            "renameByName": {"Value": value} if value else {},
        },
    )
    (target,) = _targets(query)
    return (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .span(width)
        .height(6)
        .with_target(target.instant().format(PromQueryFormat.TABLE))
        .with_transformation(organize)
    )


def start(uid: str, title: str, about: str) -> builders.Dashboard:
    """A dashboard with nothing on it, and the choice of where the numbers come from."""
    return (
        builders.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["posewatch"])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(
            builders.DashboardLink("posewatch")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(["posewatch"])
            .keep_time(True)  # noqa: FBT003 -- theirs
        )
        .with_variable(builders.DatasourceVariable("source").label("Prometheus").type("prometheus"))
    )


def choice(name: str, label: str, query: str, *, several: bool) -> builders.QueryVariable:
    """A choice among the values of a label.

    Args:
        name: of the variable.
        label: for people.
        query: `label_values(metric, label)`.
        several: whether all may be chosen, which is the default then.
    """
    variable = (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )
    if several:  # the label need not be there at all
        variable = variable.multi(True).include_all(True).all_value(".*")  # noqa: FBT003 -- theirs
        everything = dashboard.VariableOption(text="All", value="$__all", selected=True)
        variable = variable.current(everything)
    return variable


def price(name: str, label: str, value: str) -> builders.TextBoxVariable:
    """A number that the operator fills in."""
    return (
        builders.TextBoxVariable(name)
        .label(label)
        .default_value(value)
        .current(dashboard.VariableOption(text=value, value=value, selected=True))
    )


def _targets(queries: str | Mapping[str, str]) -> list[prometheus.Dataquery]:
    named = {"": queries} if isinstance(queries, str) else queries
    return [
        prometheus.Dataquery().expr(query).legend_format(name).ref_id(chr(ord("A") + number))
        for number, (name, query) in enumerate(named.items())
    ]


def _thresholds(colours: Sequence[tuple[float | None, str]]) -> builders.ThresholdsConfig:
    steps = [dashboard.Threshold(value=value, color=colour) for value, colour in colours]
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps(steps or [dashboard.Threshold(value=None, color="text")])
    )
