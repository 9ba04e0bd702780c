"""Networks of reduced precision are pulled only with a report of how far off they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto

import planted
from bench.calibration import compare
from bench.halve import halved
from posewatch.base.errors import ModelError
from posewatch.models.cache import ModelCache
from posewatch.models.cards import TopDownCard, card
from posewatch.models.fold import reduced
from posewatch.models.pull import pull
from posewatch.vision.providers import CPU
from topdown_nets import Graph, card_of, simcc

HERE = Path(__file__).parent
DIGESTS = ("ab" * 32, "cd" * 32)


def test_distances_are_counted_where_both_found_something() -> None:
    first = np.zeros((4, 10, 2))
    second = first + np.array([3.0, 4.0])
    second[0, 0] = (30, 40)
    second[1, :5] = np.nan
    first[2, :5] = second[2, :5] = np.nan
    report = compare([(first[:2], second[:2]), (first[2:], second[2:])], DIGESTS, CPU)
    assert (report.frames, report.median, report.largest) == (4, 5, 50)
    assert report.lost == pytest.approx(5 / 35, abs=1e-4)
    with pytest.raises(SystemExit, match="nobody was found by both"):
        compare([(first * np.nan, second)], DIGESTS, CPU)


def test_reduced_precision_is_noticed(tmp_path: Path) -> None:
    path = simcc(tmp_path / "a.onnx")
    assert reduced(path.read_bytes()) == ""
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.data_type = TensorProto.BFLOAT16
    assert reduced(model.SerializeToString()) == "fp16"
    model = onnx.load(path)
    model.graph.node[0].op_type = "QLinearConv"
    assert reduced(model.SerializeToString()) == "int8"


def test_fp16_is_refused_until_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From published networks to those in fp16 that a recipe can name."""
    monkeypatch.setenv("POSEWATCH_MODELS", str(tmp_path / "models"))
    size = (320, 240)
    planted.film(tmp_path / "figure.mp4", 3, size)
    nets, half = tmp_path / "nets", tmp_path / "half"
    detector, pose = planted.build("yolox_nano", "rtmpose_t", nets)
    full, own = tmp_path / "full.json", half / "full-fp16.json"
    full.write_text(card_of(detector, pose, name="full").model_dump_json())
    pull(str(full), ModelCache(), given=[nets])

    def bench(name: str, *arguments: str | Path) -> None:
        command = [sys.executable, HERE / f"{name}.py", *arguments]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 -- our own file

    bench("halve", "--model", full, "--from", nets, "--into", half)
    with pytest.raises(ModelError, match=r"-fp16\.onnx computes in fp16, .* how far off"):
        pull(str(own), ModelCache(), given=[half])
    arguments = ("--card", own, "--from", half, "--against", full, "--write")
    bench("calibration", *arguments, "--videos", tmp_path / "figure.mp4")
    told = card(str(own))
    assert isinstance(told, TopDownCard)
    assert told.calibration is not None
    report = told.calibration
    assert (report.frames, report.lost, report.provider) == (3, 0, CPU)
    assert report.against == tuple(one.sha256 for one in card_of(detector, pose).networks)
    assert 0 < report.median < 1
    assert pull(str(own), ModelCache(), given=[half]).card == told


def test_a_weight_that_stays_in_float32_for_two_nodes_is_cast_once(tmp_path: Path) -> None:
    graph = Graph()
    floor = graph.weight(0.5)
    raised = graph.add("Max", graph.add("Max", "input", floor), floor)
    graph.add("Neg", raised, output="out")
    path = graph.save(tmp_path / "a.onnx", ("input", ["N", 3]), {"out": ["N", 3]})
    session = ort.InferenceSession(halved(path.read_bytes()), providers=[CPU])
    (out,) = session.run(None, {"input": np.array([[0, 1, 2]], np.float32)})
    np.testing.assert_array_equal(out, [[-0.5, -1, -2]])
