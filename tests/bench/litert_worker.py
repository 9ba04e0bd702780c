"""Runs TFLite files through LiteRT, one inference at a time, when it is told to.

Started by `networks.py` in an environment that has `ai-edge-litert` (and needs nothing else). It
reads lines from stdin: the name of a TFLite file of those given as arguments, to be run once with
one thread. It answers with the seconds of process CPU time that this took.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main(paths: list[str]) -> None:
    """Answer until stdin ends."""
    interpreters = {}
    for path in paths:
        interpreter = Interpreter(path, num_threads=1)
        interpreter.allocate_tensors()
        picture = interpreter.get_input_details()[0]
        noise = np.random.default_rng(0).random(picture["shape"], np.float32)
        interpreter.set_tensor(picture["index"], noise)
        interpreters[path] = interpreter
    answer("ready")
    for line in sys.stdin:
        interpreter = interpreters[line.rstrip("\n")]
        started = time.process_time()
        interpreter.invoke()
        answer(str(time.process_time() - started))


def answer(line: str) -> None:
    """Tell the benchmark."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
