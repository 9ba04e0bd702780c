"""What the README promises, with the installed command, on a real video.

It runs in the checkout and, by `make wheel`, on the built wheel with no sources in reach.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.models.cache import InstalledModel

    Command = Callable[..., subprocess.CompletedProcess[str]]

VIDEO = Path(__file__).parent / "data" / "astronaut.mp4"
FRAMES = 24


@pytest.fixture
def posewatch(tmp_path: Path, holistic_model: InstalledModel) -> Command:
    """Runs the command that the package installs, as somebody with a home of their own."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "POSEWATCH_MODELS": str(holistic_model.folder.parent),
    }

    def run(*arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 -- our own program
            [Path(sys.executable).parent / "posewatch", *arguments],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    return run


def test_a_folder_of_videos_becomes_a_folder_of_poses(tmp_path: Path, posewatch: Command) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    video = shutil.copy(VIDEO, inbox / "talk.mp4")
    posewatch("run", inbox, "--until-idle")

    assert {file.name for file in inbox.iterdir()} == {
        "talk.mp4",
        "talk.pose-mediapipe.npz",
        "talk.posewatch.json",
    }
    assert Path(video).read_bytes() == VIDEO.read_bytes()
    with np.load(inbox / "talk.pose-mediapipe.npz", allow_pickle=False) as poses:
        assert poses["frames"].shape == (FRAMES, 543, 3)
        assert poses["frames"].dtype == np.float32
        assert poses["visibility"].shape == (FRAMES, 543)
        assert len(poses["timestamps"]) == FRAMES
        assert np.isfinite(poses["frames"][:, :33]).any()

    receipt = json.loads((inbox / "talk.posewatch.json").read_text(encoding="utf-8"))
    assert receipt["outcome"] == "done"
    assert [result["name"] for result in receipt["results"]] == ["talk.pose-mediapipe.npz"]

    assert str(FRAMES) in posewatch("show", inbox / "talk.pose-mediapipe.npz").stdout
    preview = tmp_path / "preview.png"
    posewatch("show", inbox / "talk.pose-mediapipe.npz", "-o", preview)
    assert preview.read_bytes().startswith(b"\x89PNG")
    json.loads(posewatch("status", inbox, "--json").stdout)


def test_a_video_that_cannot_be_read_gets_a_failure_and_the_exit_status_says_so(
    tmp_path: Path, posewatch: Command
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "torn.mp4").write_bytes(VIDEO.read_bytes()[:50_000])
    posewatch("run", inbox, "--until-idle", status=1)
    receipt = json.loads((inbox / "torn.posewatch.json").read_text(encoding="utf-8"))
    assert receipt["outcome"] == "failed"
    assert not (inbox / "torn.pose-mediapipe.npz").exists()
    posewatch("retry", inbox)
    assert not (inbox / "torn.posewatch.json").exists()


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path, posewatch: Command) -> None:
    done = posewatch("run", tmp_path / "nowhere", "--until-idle", status=2)
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("--help",), ("models", "list"), ("models", "show", "mediapipe-holistic")],
    ids=" ".join,
)
def test_commands_that_only_tell(posewatch: Command, arguments: tuple[str, ...]) -> None:
    assert posewatch(*arguments).stdout
