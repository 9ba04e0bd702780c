"""Pulls a model in a process of its own that can be led step by step, and killed.

    python pulling.py CACHE CARDS

takes the cards in the folder CARDS for those of posewatch. It says a line at each step, goes on for
each line that it hears, and says the digests of the model at the end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from posewatch.models import cards
from posewatch.models.cache import ModelCache
from posewatch.models.pull import pull

if TYPE_CHECKING:
    from posewatch.models.pull import Stage


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def step(stage: Stage, done: int, total: int) -> None:
    say(f"{stage} {done}/{total}")
    sys.stdin.readline()


if __name__ == "__main__":
    cards._folder = lambda: Path(sys.argv[2])
    model = pull("small", ModelCache(Path(sys.argv[1])), step)
    say(json.dumps(dict(model.digests)))
