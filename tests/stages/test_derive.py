"""Who comes first in a result: at the end of a video, and again from the result alone."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bodies import FPS, KEYPOINTS, SIZE, Bodies, frame, plans
from posewatch.base.errors import PosewatchError
from posewatch.formats.pose_npz import PoseFileError, PoseWriter, read_pose, read_provenance
from posewatch.stages.derive import choose, derive
from posewatch.stages.dwpose import SUFFIX, DWPose, followed
from posewatch.stages.files import Files
from posewatch.stages.pose import Loaded
from posewatch.vision.encode import VideoWriter
from posewatch.vision.topdown import Rule, TopDown

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.formats.pose_npz import PoseFile
    from posewatch.vision.decoder import Decoder

COUNT = 30


@pytest.fixture
def meeting(tmp_path: Path) -> Path:
    """A large one on the left; from the sixth frame on a small one on the right, who moves."""
    path = tmp_path / "talk.mp4"
    with VideoWriter(path, SIZE, FPS, quality=1) as writer:
        for number in range(COUNT):
            people: list[tuple[float, ...]] = [(0, 20, 40, 1.6)]
            if number > 5:
                people.append((1, 200, 80, 1.0 + 0.1 * (number % 2)))
            writer.write(frame(*people), number / FPS)
        writer.finish()
    return path


def made(
    video: Path, decoder: Decoder, rule: Rule, people: int, files: Files | None = None
) -> Path:
    top_down = TopDown(Bodies(), *plans(), rule=rule, people=followed(rule, people))
    loaded = Loaded(models={}, software={}, provider="FakeProvider", batch=8)
    wished = {} if files is None else {"files": files}
    recipe = DWPose(top_down, "some", loaded, people=people, **wished)
    folder = video.parent / f"{rule}-{people}{'-compact' * (files is not None)}"
    folder.mkdir()
    results = recipe.run(video, "cd" * 32, folder, decoder, lambda _progress: None).results
    assert list(folder.iterdir()) == [results[SUFFIX]], "what was only needed on the way is gone"
    return results[SUFFIX]


def firsts(pose: PoseFile) -> list[float]:
    """Where the first person is in each frame: left of the box, in pixels."""
    return (pose.rows.others["boxes"][:, 0, 0] * SIZE[0]).round().tolist()


def test_who_comes_first_is_decided_at_the_end_of_a_video(meeting: Path, decoder: Decoder) -> None:
    left, right = 20 - 4, 200 - 4
    largest = read_pose(made(meeting, decoder, Rule.LARGEST, 2))
    assert firsts(largest) == pytest.approx([left] * COUNT, abs=2)
    moving = read_pose(made(meeting, decoder, Rule.MOST_MOTION, 1))
    assert firsts(moving) == pytest.approx([left] * 6 + [right] * (COUNT - 6), abs=2)
    assert moving.head.points == (1, KEYPOINTS, 2)
    assert moving.rows.others["track_ids"][:, 0].tolist() == [0] * 6 + [1] * (COUNT - 6)


@pytest.mark.parametrize("rule", [Rule.MOST_MOTION, Rule.CENTRAL, Rule.FIRST])
def test_what_is_derived_is_what_the_recipe_would_have_made(
    meeting: Path, decoder: Decoder, tmp_path: Path, rule: Rule
) -> None:
    source, output = made(meeting, decoder, Rule.LARGEST, 2), tmp_path / "derived.npz"
    derive(source, output, rule, None, lambda: None)
    derived, direct = read_pose(output), read_pose(made(meeting, decoder, rule, 2))
    np.testing.assert_array_equal(derived.rows.frames, direct.rows.frames)
    np.testing.assert_array_equal(derived.rows.confidences, direct.rows.confidences)
    np.testing.assert_array_equal(derived.rows.timestamps, direct.rows.timestamps)
    for name, array in direct.rows.others.items():
        np.testing.assert_array_equal(derived.rows.others[name], array)


def test_small_integers_stay_as_they_are(meeting: Path, decoder: Decoder, tmp_path: Path) -> None:
    source = made(meeting, decoder, Rule.LARGEST, 2, Files(compact=True))
    output = tmp_path / "derived.npz"
    derive(source, output, Rule.LARGEST, None, lambda: None)
    with np.load(source) as before, np.load(output) as after:
        assert before["frames"].dtype == np.int16
        for name in before.files:
            if name != "provenance":
                np.testing.assert_array_equal(before[name], after[name])


def test_a_derived_result_tells_what_it_was_made_from(
    meeting: Path, decoder: Decoder, tmp_path: Path
) -> None:
    source, output = made(meeting, decoder, Rule.LARGEST, 2), tmp_path / "derived.npz"
    content = source.read_bytes()
    derive(source, output, Rule.MOST_MOTION, 1, lambda: None)
    assert source.read_bytes() == content
    told = json.loads(read_provenance(output))
    assert told.pop("derived") == {
        "from": hashlib.sha256(content).hexdigest(),
        "people": 1,
        "signer": "most-motion",
    }
    assert told == json.loads(read_provenance(source))


def test_a_file_that_is_there_stays(meeting: Path, decoder: Decoder, tmp_path: Path) -> None:
    source = made(meeting, decoder, Rule.LARGEST, 2)
    content = source.read_bytes()
    with pytest.raises(PosewatchError, match="is there already"):
        derive(source, source, Rule.FIRST, None, lambda: None)
    late = tmp_path / "late.npz"
    with pytest.raises(PosewatchError, match="is there already"):
        derive(source, late, Rule.FIRST, None, lambda: late.write_bytes(b"mine") and None)
    assert (source.read_bytes(), late.read_bytes()) == (content, b"mine")
    assert not list(tmp_path.glob("*.part"))
    assert not list(tmp_path.glob(".*"))


def written(
    path: Path, people: int, blocks: int, provenance: str = "{}", **others: tuple[int, ...]
) -> Path:
    """A result whose people stand still, 256 frames in each block."""
    shape = (256, people, 134, 2)
    arrays = {name: np.zeros((256, *row)) for name, row in others.items()}
    if "track_ids" in arrays:
        arrays["track_ids"] += np.arange(people)
    with PoseWriter(path, points=shape[1:], confidences="confidences", others=others) as writer:
        for block in range(blocks):
            times = (np.arange(256) + 256 * block) / FPS
            writer.append(np.full(shape, 0.5), np.ones(shape[:-1]), times, arrays)
        writer.close(fps=FPS, size=SIZE, provenance=provenance)
    return path


def told_apart(people: int) -> dict[str, tuple[int, ...]]:
    return {"boxes": (people, 4), "box_scores": (people,), "track_ids": (people,)}


@pytest.mark.parametrize(
    ("others", "people", "match"),
    [
        ({"boxes": (2, 4)}, None, "does not tell people apart"),
        (told_apart(2), 3, "holds 2 people at most, not 3"),
    ],
)
def test_results_that_hold_too_little_are_refused(
    tmp_path: Path, others: dict[str, Any], people: int | None, match: str
) -> None:
    source = written(tmp_path / "a.npz", 2, 1, **others)
    with pytest.raises(PosewatchError, match=match):
        derive(source, tmp_path / "b.npz", Rule.FIRST, people, lambda: None)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_provenance_that_is_none_is_left_out(tmp_path: Path) -> None:
    source = written(tmp_path / "a.npz", 2, 1, provenance="[", **told_apart(2))
    derive(source, tmp_path / "b.npz", Rule.FIRST, None, lambda: None)
    assert set(json.loads(read_provenance(tmp_path / "b.npz"))) == {"derived"}


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no")
    with pytest.raises(PoseFileError):
        derive(tmp_path / "a.npz", tmp_path / "b.npz", Rule.FIRST, None, lambda: None)


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    peaks = []
    for blocks in (2, 12):
        source = written(tmp_path / f"{blocks}.npz", 3, blocks, **told_apart(3))
        tracemalloc.start()
        choose(source, tmp_path / "out.npz", Rule.MOST_MOTION, 2, alive=lambda: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
