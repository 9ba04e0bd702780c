"""`posewatch show`: words, JSON, pictures, and what goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.cli.main import main
from posewatch.formats.pose_npz import PoseWriter
from videos import make_video

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def result(tmp_path: Path) -> Path:
    make_video(tmp_path / "talk.mp4", frames=5)
    path = tmp_path / "talk.pose-mediapipe.npz"
    with PoseWriter(path) as writer:
        writer.append(np.full((5, 543, 3), 0.5), np.ones((5, 543)), np.arange(5) / 25)
        writer.close(fps=25.0, size=(96, 64), provenance='{"[bold]evil\\u001b[31m": "[red]x"}')
    return path


def show(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit status of the command."""
    monkeypatch.setattr("sys.argv", ["posewatch", "show", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_a_result_is_told_in_words_that_can_do_nothing(
    result: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(monkeypatch, result) == 0
    told = capsys.readouterr().out
    assert "found in 100.0% of the frames" in told
    assert "[bold]evil\\x1b[31m" in told
    assert "[red]x" in told
    assert "\x1b" not in told


def test_a_result_is_told_to_programs(
    result: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(monkeypatch, result, "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 5


@pytest.mark.parametrize("name", ["preview.mp4", "preview.png", "PREVIEW.PNG"])
def test_a_result_is_drawn_over_the_video_beside_it(
    result: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    output = result.parent / "elsewhere" / name
    output.parent.mkdir()
    assert show(monkeypatch, result, "-o", output) == 0
    assert output.stat().st_size > 1000
    assert list(output.parent.iterdir()) == [output]


def test_the_video_may_lie_elsewhere(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = (result.parent / "talk.mp4").rename(result.parent / "other.mp4")
    output = result.parent / "preview.png"
    assert show(monkeypatch, result, "-o", output) == 2
    assert not output.exists()
    assert show(monkeypatch, result, "-o", output, "--video", video) == 0
    assert output.exists()


def test_what_is_no_result_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.npz"
    for _ in range(2):
        assert show(monkeypatch, path) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: a.npz is not a pose file")
        assert "Traceback" not in error
        path.write_bytes(b"PK\5\6" + bytes(18))
