"""What following.py measures, and on what."""

from __future__ import annotations

import numpy as np
import pytest

from bench.apart import compared, together
from bench.footage import KINDS, SECONDS, Clip, made

SIZE = (200, 100)
BOX = (30, 40)
"""Of a diagonal of 50 px."""


def test_distances_and_what_is_missing_or_wrong_or_more() -> None:
    points = np.full((6, 5, 2), 0.5, np.float32)
    boxes = np.tile(np.float32([0, 0, BOX[0] / SIZE[0], BOX[1] / SIZE[1]]), (6, 1))
    ours = points.copy()
    points[1] = np.nan
    ours[0, :, 0] += 0.01  # 2 px
    ours[2] = np.nan
    ours[3, :, 1] += 0.2  # 20 px, 40 % of the diagonal
    ours[4] = -1
    ours[5, 0] = -1
    points[5, 1] = -1
    told = compared(ours, (points, boxes), SIZE, looks=2)
    np.testing.assert_allclose(np.sort(told.apart), [0] * 3 + [4] * 5 + [40] * 5, atol=1e-4)
    assert (told.frames, told.looks, told.points, told.gone) == (6, 2, 24, 5 + 5 + 1)
    assert (told.seen, told.missing, told.wrong, told.extra) == (5, 2, 1, 1)
    twice = together([told, told])
    assert (len(twice.apart), twice.seen, twice.wrong) == (26, 10, 2)
    assert str(twice).startswith("4.0 / 40.0 / 40.0 %, looks 33.3 %, keypoints gone 45.8 %, of 10 ")


def test_where_nobody_is_nothing_is_told() -> None:
    nobody = np.full((3, 5, 2), np.nan, np.float32)
    told = compared(nobody, (nobody, np.full((3, 4), np.nan, np.float32)), SIZE, looks=3)
    assert (told.seen, told.missing, told.wrong, told.extra, len(told.apart)) == (0, 0, 0, 0, 0)
    assert str(told).startswith("- %")


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A grey body that goes to the right, on black."""
    frames = []
    for number in range(5):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[16:, 20 + 4 * number : 36 + 4 * number] = 120
        frames.append(frame)
    return Clip(frames, 10.0)


def test_a_seed_makes_the_same_clips_again_and_another_one_others(clip: Clip) -> None:
    first, again, others = (dict(made(clip, clip, (seed, 0))) for seed in (1, 1, 2))
    assert len(first) == len(KINDS) + 2
    alike = set()
    for name, made_of in first.items():
        assert made_of.fps == {"12 frames a second": 12, "50 frames a second": 50}.get(name, 10)
        seconds = len(made_of.frames) / made_of.fps
        assert seconds in {SECONDS / 2, SECONDS, 2 * SECONDS}
        assert {frame.dtype for frame in made_of.frames} == {np.dtype(np.uint8)}
        assert {frame.shape[1::-1] for frame in made_of.frames} == {made_of.size}
        np.testing.assert_array_equal(made_of.frames[-1], again[name].frames[-1])
        if all(map(np.array_equal, made_of.frames, others[name].frames)):
            alike.add(name)
    assert alike == {
        *("half as fast", "twice as fast", "4 times as fast", "mirrored"),
        *("12 frames a second", "50 frames a second"),
    }, "nothing in them is left to chance"


def test_who_passes_hides_or_is_hidden(clip: Clip) -> None:
    """Two bodies of different greys, of which the one stands before the other."""
    other = Clip([np.where(frame > 0, 240, 0).astype(np.uint8) for frame in clip.frames], clip.fps)
    clips = dict(made(clip, other, (1, 0)))
    standing = clip.lasting(SECONDS).frames
    for name, hidden in {"crossed": True, "passed behind": False}.items():
        worst = min(
            (frame[20:, :][still[20:, :] > 0] == 120).mean()
            for frame, still in zip(clips[name].frames, standing, strict=True)
        )
        assert bool(worst < 0.3) is hidden
        assert max((frame > 200).mean() for frame in clips[name].frames) > 0.1, "somebody came"
