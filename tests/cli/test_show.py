"""`posewatch show`: words, JSON, pictures, and what goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.formats.pose_npz import PoseWriter
from videos import make_video

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.terminal import Ran


@pytest.fixture
def result(tmp_path: Path) -> Path:
    make_video(tmp_path / "talk.mp4", frames=5)
    path = tmp_path / "talk.pose-mediapipe.npz"
    with PoseWriter(path) as writer:
        writer.append(np.full((5, 543, 3), 0.5), np.ones((5, 543)), np.arange(5) / 25)
        writer.close(fps=25.0, size=(96, 64), provenance='{"[bold]evil\\u001b[31m": "[red]x"}')
    return path


def test_a_result_is_told_in_words_that_can_do_nothing(
    result: Path, run: Callable[..., Ran]
) -> None:
    ran = run("show", result)
    assert ran.status == 0
    told = ran.out
    assert "found in 100.0% of the frames" in told
    assert "[bold]evil\\x1b[31m" in told
    assert "[red]x" in told
    assert "\x1b" not in told


def test_a_result_is_told_to_programs(result: Path, run: Callable[..., Ran]) -> None:
    ran = run("show", result, "--json")
    assert ran.status == 0
    assert json.loads(ran.out)["frames"] == 5


@pytest.mark.parametrize("name", ["preview.mp4", "preview.png", "PREVIEW.PNG"])
def test_a_result_is_drawn_over_the_video_beside_it(
    result: Path, run: Callable[..., Ran], name: str
) -> None:
    output = result.parent / "elsewhere" / name
    output.parent.mkdir()
    assert run("show", result, "-o", output).status == 0
    assert output.stat().st_size > 1000
    assert list(output.parent.iterdir()) == [output]


def test_the_video_may_lie_elsewhere(result: Path, run: Callable[..., Ran]) -> None:
    video = (result.parent / "talk.mp4").rename(result.parent / "other.mp4")
    output = result.parent / "preview.png"
    assert run("show", result, "-o", output).status == 2
    assert not output.exists()
    assert run("show", result, "-o", output, "--video", video).status == 0
    assert output.exists()


def test_what_is_no_result_is_one_line(tmp_path: Path, run: Callable[..., Ran]) -> None:
    path = tmp_path / "a.npz"
    for _ in range(2):
        ran = run("show", path)
        assert ran.status == 1
        assert ran.err.startswith("error: a.npz is not a pose file")
        assert "Traceback" not in ran.err
        path.write_bytes(b"PK\5\6" + bytes(18))
