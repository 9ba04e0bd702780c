"""Networks of reduced precision are pulled only with a report of how far off they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import planted
from bench.calibration import compare
from posewatch.base.errors import ModelError
from posewatch.models.cache import ModelCache
from posewatch.models.cards import TopDownCard, card
from posewatch.models.fold import reduced
from posewatch.models.pull import pull
from topdown_nets import card_of, simcc

BENCH = Path(__file__).with_name("calibration.py")
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


def halved(published: Path, path: Path) -> Path:
    """The same network with its weights kept in float16."""
    model = onnx.load(published)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) > 100:
            half = numpy_helper.to_array(weight).astype(np.float16)
            casts.append(
                helper.make_node(
                    "Cast", [f"{weight.name}/half"], [weight.name], to=TensorProto.FLOAT
                )
            )
            weight.CopyFrom(numpy_helper.from_array(half, f"{weight.name}/half"))
    for cast in casts:
        model.graph.node.insert(0, cast)
    onnx.save(model, path)
    return path


def test_fp16_is_refused_until_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSEWATCH_MODELS", str(tmp_path / "models"))
    size = (320, 240)
    planted.film(tmp_path / "figure.mp4", 3, size)
    nets = tmp_path / "nets"
    detector, pose = planted.build("yolox_nano", "rtmpose_t", nets)
    small = halved(pose, nets / "fp16.onnx")
    full, own = tmp_path / "full.json", tmp_path / "fp16.json"
    full.write_text(card_of(detector, pose, name="full").model_dump_json())
    own.write_text(card_of(detector, small, name="fp16").model_dump_json())
    pull(str(full), ModelCache(), given=[nets])
    with pytest.raises(ModelError, match=r"fp16\.onnx computes in fp16, .* how far off"):
        pull(str(own), ModelCache(), given=[nets])
    arguments = ["--card", own, "--from", nets, "--against", full, "--write"]
    subprocess.run(  # noqa: S603 -- our own file
        [sys.executable, BENCH, *arguments, "--videos", tmp_path / "figure.mp4"],
        check=True,
        capture_output=True,
    )
    told = card(str(own))
    assert isinstance(told, TopDownCard)
    assert told.calibration is not None
    assert (told.calibration.frames, told.calibration.lost) == (3, 0)
    assert told.calibration.against == tuple(one.sha256 for one in card_of(detector, pose).networks)
    assert told.calibration.largest < 5
    assert pull(str(own), ModelCache(), given=[nets]).card == told
