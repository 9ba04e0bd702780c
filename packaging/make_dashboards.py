"""Writes the dashboards for Grafana: packaging/grafana/dashboards, from packaging/dashboards.

make dashboards           write them
make_dashboards.py DIR    write them elsewhere
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.fleet import fleet
from dashboards.machine import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "grafana" / "dashboards"


def written() -> Iterator[tuple[str, str]]:
    """File name and content of each."""
    for board in (fleet().build(), machine().build()):
        for number, panel in enumerate(board.panels or [], start=1):
            panel.id_val = number
        content = json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        yield f"{board.uid}.json", content + "\n"


def main() -> None:
    """Write them."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    folder.mkdir(exist_ok=True)
    for name, content in written():
        folder.joinpath(name).write_text(content, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()
