"""Pictures of the dashboards, for the docs: what their queries found, drawn without Grafana."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import dates
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from monitoring.panels import Series, Target

    Found = tuple[Target, Series]

ROW, COLUMN, GAP = 0.36, 0.7, 0.35
"""Inches of Grafana's grid, and between panels."""

PAPER, PANEL, INK, PALE = "#111217", "#181b1f", "#ccccdc", "#7b7f87"
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#96d98d")
NAMED = {
    "green": "#73bf69",
    "yellow": "#f2cc0c",
    "orange": "#ff9830",
    "red": "#f2495c",
    "blue": "#5794f2",
    "text": INK,
}


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A number as people read it.

    Args:
        value: the number.
        unit: one of those of Grafana that the dashboards use.
        decimals: how many; None for as many as tell something.
    """
    if not math.isfinite(value):
        return "no data"
    if unit == "percentunit":
        return f"{100 * value:.{decimals or 0}f} %"
    if unit == "s":
        return _scaled(value, ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms")))
    if unit in {"bytes", "Bps"}:
        end = "/s" if unit == "Bps" else ""
        steps = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
        return _scaled(value, steps) + end
    end = " req/s" if unit == "reqps" else ""
    if decimals is not None and abs(value) < 10_000:
        return f"{value:.{decimals}f}{end}"
    return _scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "K"), (1, ""))) + end


def _scaled(value: float, steps: Sequence[tuple[float, str]]) -> str:
    size, name = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    return f"{value / size:.3g} {name}".rstrip()


def draw(board: Mapping[str, Any], found: Sequence[Found], path: Path) -> None:
    """Draw a dashboard with what its queries have found."""
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"])
    wide, high = 24 * COLUMN, height * ROW + 0.5
    figure = Figure(figsize=(wide, high), facecolor=PAPER)
    figure.text(GAP / 2 / wide, 1 - 0.25 / high, board["title"], color=INK, size=15, va="center")
    for panel in board["panels"]:
        at = panel["gridPos"]
        left, top = at["x"] * COLUMN, 0.5 + at["y"] * ROW
        box = (
            (left + GAP / 4) / wide,
            1 - (top + at["h"] * ROW - GAP / 4) / high,
            (at["w"] * COLUMN - GAP / 2) / wide,
            (at["h"] * ROW - GAP / 2) / high,
        )
        if panel["type"] == "row":
            middle = 1 - (top + ROW / 2) / high
            figure.text(box[0], middle, panel["title"], color=INK, size=12, va="center")
            continue
        axes = figure.add_axes(box, facecolor=PANEL)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_color(PANEL)
        title = {"color": INK, "size": 9, "ha": "left", "va": "top"}
        inches = (at["w"] * COLUMN - GAP / 2, at["h"] * ROW - GAP / 2)
        axes.text(
            0.08 / inches[0],
            1 - 0.08 / inches[1],
            panel["title"],
            transform=axes.transAxes,
            **title,
        )
        ours = [each for each in found if each[0].panel["id"] == panel["id"]]
        KINDS[panel["type"]](axes, panel, ours, inches)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Few colours make a small file.
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(128).save(path)


def _legend(target: Target, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), target.legend)


def _number(
    axes: Axes, panel: Mapping[str, Any], found: Sequence[Found], _size: tuple[float, float]
) -> None:
    field = panel["fieldConfig"]["defaults"]
    values = [(_legend(t, labels), points[-1][1]) for t, s in found for labels, points in s]
    for number, (name, value) in enumerate(values):
        steps = field["thresholds"]["steps"]
        colour = [s["color"] for s in steps if s["value"] is None or value >= s["value"]][-1]
        x = (number + 0.5) / len(values)
        text = shown(value, field["unit"], field["decimals"])
        put = {"transform": axes.transAxes, "ha": "center", "va": "center"}
        axes.text(x, 0.42, text, color=NAMED[colour], size=21, **put)
        axes.text(x, 0.12, name, color=PALE, size=8, **put)


def _lines(
    axes: Axes, panel: Mapping[str, Any], found: Sequence[Found], size: tuple[float, float]
) -> None:
    wide, high = size
    plot = axes.inset_axes((0.6 / wide, 0.62 / high, 1 - 0.75 / wide, 1 - 1.0 / high))
    plot.set_facecolor(PANEL)
    field = panel["fieldConfig"]["defaults"]
    stacked = field["custom"]["stacking"]["mode"] == "normal"
    series = [(_legend(target, labels), points) for target, s in found for labels, points in s]
    moments = sorted({moment for _, points in series for moment, _ in points})
    below = dict.fromkeys(moments, 0.0)
    fixed = {
        override["matcher"]["options"]: NAMED[override["properties"][0]["value"]["fixedColor"]]
        for override in panel["fieldConfig"]["overrides"]
    }
    for number, (name, points) in enumerate(series):
        colour, known = fixed.get(name, COLOURS[number % len(COLOURS)]), dict(points)
        if stacked:
            upper = {m: below[m] + known.get(m, 0.0) for m in moments}
            ys = (list(below.values()), list(upper.values()))
            plot.fill_between(_days(moments), *ys, color=colour, alpha=0.6, lw=0, label=name)
            below = upper
        else:
            plot.plot(_days(known), list(known.values()), color=colour, lw=1.2, label=name)
    plot.set_ylim(bottom=0)
    plot.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    plot.xaxis.set_major_locator(dates.AutoDateLocator(minticks=2, maxticks=5))
    plot.yaxis.set_major_formatter(lambda value, _place: shown(value, field["unit"]))
    plot.locator_params(axis="y", nbins=4)
    plot.tick_params(colors=PALE, labelsize=7, length=0)
    plot.grid(color="#2c3235", lw=0.5)
    for spine in plot.spines.values():
        spine.set_visible(False)
    if any(name for name, _ in series):
        place = {"loc": "lower left", "bbox_to_anchor": (0.0, -0.01), "frameon": False}
        names, texts = plot.get_legend_handles_labels()
        axes.legend(
            names,
            texts,
            ncols=4,
            fontsize=7,
            labelcolor=INK,
            handlelength=1,
            columnspacing=1,
            **place,
        )


def _days(moments: Mapping[float, float] | Sequence[float]) -> list[float]:
    return [moment / 86_400 for moment in moments]


def _rows(
    axes: Axes, panel: Mapping[str, Any], found: Sequence[Found], size: tuple[float, float]
) -> None:
    options = panel["transformations"][0]["options"]
    hidden, renamed = options["excludeByName"], options["renameByName"]
    rows = [{**labels, "Value": f"{points[-1][1]:g}"} for _, s in found for labels, points in s]
    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name not in hidden]
    for column, name in enumerate(names):
        x = (column + 0.1) / len(names)
        for line, text in enumerate(
            (renamed.get(name, name), *(row.get(name, "") for row in rows))
        ):
            y = 1 - (0.42 + 0.22 * line) / size[1]
            if y > 0.02:
                colour, where = (INK if line else PALE), axes.transAxes
                axes.text(x, y, text, color=colour, size=8, transform=where, va="center")


KINDS: Mapping[str, Callable[[Axes, Mapping[str, Any], Sequence[Found], tuple[float, float]], None]]
KINDS = {"stat": _number, "timeseries": _lines, "table": _rows}
