"""What a GPU leaves to the CPU, out of the profile that onnxruntime writes of its runs.

onnxruntime gives each node to the first provider that has a kernel for it: of this operator, in the
version of the network's opset, for these types. What CUDA does not know, such as MaxPool of opset
22, the CPU does, in the middle of a batch: the GPU waits for its data to go there and back. That is
told nowhere else: a session calls itself one of CUDA as long as CUDA could be loaded.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from posewatch.vision.providers import CPU

_SHAPES = 1024
"""Bytes that a node may read and write without being told of.

onnxruntime computes shapes on the CPU on purpose: some integers, for which no GPU has to wait.
"""


def left_to_cpu(profile: bytes) -> str:
    """Which operators of a network the CPU worked on, such as `MaxPool 3, Resize 2`.

    Args:
        profile: JSON in Chrome's trace event format, as `InferenceSession.end_profiling` leaves it.

    Returns:
        Operators and how many nodes of each, most frequent first; empty where it had but shapes.
    """
    events: list[dict[str, Any]] = json.loads(profile)
    nodes = {
        event["name"]: str(event["args"]["op_name"])
        for event in events
        if event.get("cat") == "Node"
        and event.get("args", {}).get("provider") == CPU
        and "op_name" in event["args"]
        and max(_bytes(event, "activation_size"), _bytes(event, "output_size")) > _SHAPES
    }
    return ", ".join(f"{kind} {count}" for kind, count in Counter(nodes.values()).most_common())


def _bytes(event: dict[str, Any], size: str) -> int:
    return int(event["args"].get(size, 0))
