"""What the CPU worked on, by profiles; they are real ones, of a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from posewatch.vision.profiles import left_to_cpu
from posewatch.vision.providers import CPU, CUDA
from topdown_nets import Graph


@pytest.fixture
def profile(tmp_path: Path) -> bytes:
    """Of two runs of a network with shape arithmetic: the batch, taken from a shape, times one."""
    graph = Graph()
    values = graph.add("Relu", graph.add("Neg", "input"))
    batch = graph.add("Gather", graph.add("Shape", values), graph.weight([0], np.int64))
    batch = graph.add("Mul", batch, graph.weight([1], np.int64))
    rows = graph.add("Concat", batch, graph.weight([-1], np.int64), axis=0)
    graph.add("Neg", graph.add("Reshape", values, rows), output="rows")
    path = graph.save(
        tmp_path / "rows.onnx", ("input", ["N", 3, 32, 32]), {"rows": ["N", 3072]}, opset=17
    )
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=[CPU])
    for count in (1, 4):
        session.run(None, {"input": np.zeros((count, 3, 32, 32), np.float32)})
    return Path(session.end_profiling()).read_bytes()


def test_each_node_counts_once_and_arithmetic_with_shapes_not_at_all(profile: bytes) -> None:
    nodes = {event["args"]["op_name"] for event in json.loads(profile) if event["cat"] == "Node"}
    assert {"Shape", "Gather", "Mul", "Concat"} <= nodes
    assert left_to_cpu(profile).split(", ")[0] == "Neg 2"
    assert set(left_to_cpu(profile).split(", ")[1:]) == {"Relu 1", "Reshape 1", "Shape 1"}


def test_what_a_gpu_does_is_not_told(profile: bytes) -> None:
    assert left_to_cpu(profile.replace(CPU.encode(), CUDA.encode())) == ""
    assert left_to_cpu(b"[]") == ""
    assert left_to_cpu(b'[{"cat": "Node", "args": {"provider": "CPUExecutionProvider"}}]') == ""
