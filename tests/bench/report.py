"""How every benchmark tells what it found: a table for people, and rows of JSON for comparing.

Run a benchmark as `python tests/bench/NAME.py`; its rows are in `build/bench/NAME.json` afterwards.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

RESULTS = Path(__file__).parents[2] / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        case: what was measured.
        against: what it is compared with.
        unit: of both figures.
        ours: the median of our runs.
        theirs: the median of the other's runs.
        runs: how many of each.
        more_is_better: True for figures such as frames per second; False for times and memory.
    """

    case: str
    against: str
    unit: str
    ours: float
    theirs: float
    runs: int
    more_is_better: bool = False

    @property
    def ratio(self) -> float:
        """How many times better ours is; below 1 it is worse."""
        better, worse = (
            (self.ours, self.theirs) if self.more_is_better else (self.theirs, self.ours)
        )
        return better / worse if worse else float("inf")


def report(name: str, rows: Iterable[Row], *, notes: Iterable[str] = ()) -> None:
    """Print the rows as a table, with notes below, and write `build/bench/<name>.json`."""
    rows = tuple(rows)
    table = Table(title=name, title_justify="left")
    for heading in ("case", "against"):
        table.add_column(heading)
    for heading in ("ours", "theirs", "unit", "ratio", "runs"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    for row in rows:
        figures = (f"{row.ours:.4g}", f"{row.theirs:.4g}", row.unit, f"{row.ratio:.2f}")
        table.add_row(row.case, row.against, *figures, str(row.runs))
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
    records = [
        {
            "case": row.case,
            "against": row.against,
            "ratio": row.ratio,
            "unit": row.unit,
            "ours": row.ours,
            "theirs": row.theirs,
            "runs": row.runs,
        }
        for row in rows
    ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    console.print(f"Written to {path}", highlight=False, soft_wrap=True)
