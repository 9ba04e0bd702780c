"""The benchmark of DWPose, tried with tiny networks, so that it runs when it is wanted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent
RESULTS = BENCH.parents[1] / "build" / "bench"


def test_dwpose_is_compared_with_today_s_loop_and_the_floor() -> None:
    command = [sys.executable, BENCH / "dwpose.py", "--small", "--frames", "12", "--threads", "1"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 -- our own file
    rows = json.loads((RESULTS / "dwpose-small.json").read_text())
    assert {(row["case"], row["against"]) for row in rows} >= {
        ("always, threads: 1", "today"),
        ("every 10, threads: 1", "floor"),
    }
    assert all(row["ours"] > 0 and row["theirs"] > 0 for row in rows)
