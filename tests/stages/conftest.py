"""What the recipes are tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import SystemClock
from posewatch.vision.decoder import Decoder
from posewatch.vision.video import DecodeLimits
from videos import make_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """A decoder process, for all tests of a module."""
    with Decoder(limits=DecodeLimits(), stall_seconds=60, clock=SystemClock()) as decoder:
        yield decoder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten frames in which nobody is seen."""
    return make_video(tmp_path / "talk.mp4", frames=10)
