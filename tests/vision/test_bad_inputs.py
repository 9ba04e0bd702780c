"""Each bad input has one clear outcome, and harms nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import SystemClock
from posewatch.base.errors import Fault, InputError
from posewatch.vision.decoder import Decoder
from posewatch.vision.video import DecodeLimits
from videos import READABLE, bad_inputs, make_video

if TYPE_CHECKING:
    from pathlib import Path


def read(decoder: Decoder, path: Path) -> tuple[int, InputError | None]:
    """Frames that were given, and the fault that was found."""
    frames = 0
    try:
        with decoder.open(path) as video:
            for chunk in video.chunks(16):
                frames += len(chunk.times)
    except InputError as error:
        return frames, error
    return frames, None


@pytest.mark.parametrize("seed", [0, 1])
def test_each_of_more_than_200_bad_inputs_has_one_clear_outcome(tmp_path: Path, seed: int) -> None:
    inputs = bad_inputs(tmp_path / "bad", seed)
    assert len(inputs) >= 200
    good = make_video(tmp_path / "good.mp4", frames=5)
    surprises = []
    with Decoder(limits=DecodeLimits(), stall_seconds=120, clock=SystemClock()) as decoder:
        assert read(decoder, good) == (5, None)
        process = decoder._child
        for number, bad in enumerate(inputs):
            frames, error = read(decoder, bad.path)
            outcome = READABLE if error is None else error.fault
            if outcome not in bad.expected:
                surprises.append((bad.path.name, outcome, str(error), bad.expected))
            if error is None:
                assert frames > 0, bad.path.name
            else:
                assert str(tmp_path) not in str(error)
            if error is not None and error.fault in {Fault.TRUNCATED, Fault.DAMAGED}:
                assert error.readable_frames is not None
                assert error.readable_frames >= frames
            if number % 20 == 0:
                assert read(decoder, good) == (5, None)
        assert not surprises
        assert decoder._child is process, "a bad input cost the process"
