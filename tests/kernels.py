"""Kernels that networks need of onnxruntime, and the networks whose kernels count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

import standins
from bench.halve import halved
from posewatch.models.cards import DetectionsDecode, card
from posewatch.models.fold import fold
from topdown_nets import card_of

if TYPE_CHECKING:
    from posewatch.models.cache import InstalledModel

TABLE = Path(__file__).with_name("cuda_kernels.txt")
"""What CUDA is known to have: written down by `blank_gpu/test_blank_gpu.py`."""


def needed(network: Path) -> set[str]:
    """One line for each kernel: operator, the version of it, types of its inputs."""
    model = onnx.shape_inference.infer_shapes(onnx.load(network), strict_mode=True)
    (opset,) = (it.version for it in model.opset_import if it.domain == "")
    graph = model.graph
    kinds = {one.name: one.data_type for one in graph.initializer}
    for one in (*graph.input, *graph.value_info, *graph.output):
        kinds[one.name] = one.type.tensor_type.elem_type
    lines = set()
    for node in graph.node:
        version = onnx.defs.get_schema(node.op_type, opset).since_version
        # Of a Concat with three inputs of one type, one tells as much.
        types = list(dict.fromkeys(kinds[name] for name in node.input if name))
        names = (onnx.TensorProto.DataType.Name(kind).lower() for kind in types)
        lines.add(" ".join([node.op_type, str(version), *names]))
    return lines


def recorded() -> set[str]:
    """The lines of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def networks(folder: Path, holistic: InstalledModel) -> dict[str, Path]:
    """What posewatch runs: each family of top-down networks, small, rewritten; and Holistic's."""
    rewritten = card("dwpose")
    pose = standins.rtmpose(folder / "pose.onnx", 0.167, 0.25, (96, 128))
    detectors = {
        "yolox": standins.yolox(folder / "yolox.onnx", 0.33, 0.25, 96),
        "yolox-nano": standins.yolox(folder / "yolox-nano.onnx", 0.33, 0.25, 96, apart=True),
        "rtmdet": standins.rtmdet(folder / "rtmdet.onnx", 0.167, 0.25, 96),
    }
    found = {}
    for name, detector in detectors.items():
        rewritten = card_of(detector, pose)
        told = rewritten.detector
        if name == "rtmdet":
            decode = DetectionsDecode(kind="detections", person=0, most=100)
            told = told.model_copy(update={"decode": decode})
        for half in (False, True):
            data = detector.read_bytes()
            key = f"{name}-fp16" if half else name
            found[key] = folder / f"{key}.folded"
            made = fold(halved(data) if half else data, told, loosen=name != "rtmdet")
            found[key].write_bytes(made)
    for key, data in {
        "rtmpose": pose.read_bytes(),
        "rtmpose-fp16": halved(pose.read_bytes()),
    }.items():
        found[key] = folder / f"{key}.folded"
        found[key].write_bytes(fold(data, rewritten.pose, loosen=True))
    return found | {name: holistic.network(name) for name in holistic.digests}
