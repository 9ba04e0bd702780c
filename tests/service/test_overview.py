from __future__ import annotations

import pytest

from posewatch.service.overview import Overview, Pace
from posewatch.stages.recipe import Progress


def test_in_words() -> None:
    overview = Overview(videos=10, done=3, failed=1, in_flight=2)
    assert (overview.finished, overview.waiting) == (4, 4)
    assert str(overview) == "2 in flight, 4 waiting, 3 done, 1 failed"
    quick = Overview(videos=1, done=1, frames_per_second=12.34)
    assert str(quick).endswith("1 done, 0 failed, 12.3 frames/s")


def test_before_anything_was_begun_there_is_no_pace() -> None:
    pace = Pace()
    assert pace.frames([]) == 0
    assert pace.frames_per_second([], 10.0) == 0.0
    assert pace.seconds_left(5, [], 10.0) is None
    pace.begin(10.0)
    assert pace.frames_per_second([], 10.0) == 0.0
    assert pace.seconds_left(5, [], 20.0) is None, "nothing was finished, not even in part"


def test_the_pace_counts_from_the_first_video() -> None:
    pace = Pace()
    pace.begin(10.0)
    pace.begin(20.0)
    pace.finished(90)
    running = [Progress(10, 40), Progress(5, None)]
    assert pace.frames(running) == 105
    assert pace.frames_per_second(running, 20.0) == 10.5
    # One and a quarter of a video in ten seconds
    assert pace.seconds_left(5, running, 20.0) == pytest.approx(4.75 * 10 / 1.25)


def test_what_is_left_is_never_less_than_nothing() -> None:
    pace = Pace()
    pace.begin(0.0)
    assert pace.seconds_left(1, [Progress(50, 40), Progress(3, 3)], 10.0) == 0.0
