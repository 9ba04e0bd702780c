"""Videos whose frames depend on each other still fill batches, when several are in flight."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bodies import FPS, NAMES, SIZE, Bodies, frame, plans, process
from posewatch.vision.batching import BatchingEngine
from posewatch.vision.topdown import TopDown, TopDownResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from posewatch.vision.engine import Outputs

VIDEOS = 8
PATIENCE = 30.0


class Slow(Bodies):
    """As slow as can be: a run lasts until all other videos in flight wait for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.in_flight = VIDEOS
        self.front: BatchingEngine | None = None

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        assert self.front is not None
        with self.front._changed:
            assert self.front._changed.wait_for(
                lambda: len(self.front._waiting) + len(batch) >= self.in_flight, PATIENCE
            )
        return super().infer(network, batch)

    def ended(self) -> None:
        assert self.front is not None
        with self.front._changed:
            self.in_flight -= 1
            self.front._changed.notify_all()


@pytest.mark.parametrize("every", [10, None])
def test_eight_videos_in_flight_take_less_than_a_third_of_the_runs(every: int | None) -> None:
    videos = [
        [frame((0, 20 + 5 * video + 3 * number)) for number in range(30)] for video in range(VIDEOS)
    ]
    alone = [process(frames, every, step=1) for frames in videos]
    runs = sum(shown.total() for _, shown in alone)
    slow = Slow()
    with BatchingEngine(slow, max_batch=16) as batches, ThreadPoolExecutor(VIDEOS) as pool:
        slow.front = batches

        def work(frames: list[NDArray[np.uint8]]) -> TopDownResult:
            try:
                track = TopDown(batches, *plans(), every=every).start(*SIZE)
                parts = [
                    track.process(picture[None], np.array([number / FPS]))
                    for number, picture in enumerate(frames)
                ]
            finally:
                slow.ended()
            joined = (np.concatenate([getattr(part, name) for part in parts]) for name in NAMES)
            return TopDownResult(*joined)

        together = list(pool.map(work, videos))
    assert len(slow.batches) < runs / 3
    for (expected, _), found in zip(alone, together, strict=True):
        for name in NAMES:
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
