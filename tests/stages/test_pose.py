"""The pose stage over real decoding, with an engine that sees the same person everywhere."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.base.errors import Fault, InputError
from posewatch.base.metrics import Stage
from posewatch.formats.pose_npz import PoseWriter, read_provenance
from posewatch.stages.mediapipe import REVISION, SUFFIX, MediaPipePose
from posewatch.stages.pose import Loaded
from posewatch.stages.recipe import Progress, RecipeId
from posewatch.vision.decoder import Chunk
from posewatch.vision.holistic import Holistic, Mode
from posewatch.vision.holistic.fake import FakeEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from posewatch.stages.recipe import Made
    from posewatch.vision.decoder import Decoder


def recipe(mode: Mode = Mode.STATIC, batch: int = 4) -> MediaPipePose:
    return MediaPipePose(
        Holistic(FakeEngine(), mode),
        Loaded(
            models={"pose": "ab" * 32},
            software={"numpy": "1"},
            provider="FakeProvider",
            batch=batch,
        ),
    )


def work(
    made_by: MediaPipePose, video: Path, decoder: Decoder, name: str = "out"
) -> tuple[Made, list[Progress]]:
    folder = video.parent / name
    folder.mkdir()
    told: list[Progress] = []
    return made_by.run(video, "cd" * 32, folder, decoder, told.append), told


@pytest.mark.parametrize("mode", Mode)
def test_every_frame_of_a_video_becomes_poses(video: Path, decoder: Decoder, mode: Mode) -> None:
    made, told = work(recipe(mode), video, decoder)
    assert (made.frames, list(made.results)) == (10, [SUFFIX])
    assert told == [Progress(4, 10), Progress(8, 10), Progress(10, 10)]
    with np.load(made.results[SUFFIX], allow_pickle=False) as poses:
        assert poses["frames"].shape == (10, 543, 3)
        assert poses["visibility"].shape == (10, 543)
        times = poses["timestamps"]
        assert made.seconds == times[-1]
        assert len(times) == 10
    assert set(made.timings) == {"decode", "infer", "write"} <= {stage.value for stage in Stage}
    assert all(seconds >= 0 for seconds in made.timings.values())


class Joined:
    """A decoder of a recording whose second half counts its time from earlier on."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    @contextmanager
    def open(self, path: Path) -> Iterator[SimpleNamespace]:
        with self._decoder.open(path) as video:

            def chunks(frames: int) -> Iterator[Chunk]:
                for number, chunk in enumerate(video.chunks(frames)):
                    yield Chunk(chunk.images, chunk.times - (30 if number else 0))

            yield SimpleNamespace(info=video.info, chunks=chunks)


def test_where_time_steps_back_a_video_is_no_shorter_than_it_was(
    video: Path, decoder: Decoder
) -> None:
    made, _ = work(recipe(), video, Joined(decoder))  # type: ignore[arg-type]
    with np.load(made.results[SUFFIX], allow_pickle=False) as poses:
        assert poses["timestamps"].min() < -29
        assert made.seconds == poses["timestamps"].max() > 0


def test_the_same_video_gives_the_same_bytes(video: Path, decoder: Decoder) -> None:
    contents = set()
    for number, batch in enumerate((1, 4, 4, 32)):
        made, _ = work(recipe(batch=batch), video, decoder, f"out{number}")
        contents.add(made.results[SUFFIX].read_bytes())
    assert len(contents) == 1


def test_the_result_tells_how_it_came_to_be(video: Path, decoder: Decoder) -> None:
    made_by = recipe()
    made, _ = work(made_by, video, decoder)
    told = json.loads(read_provenance(made.results[SUFFIX]))
    assert told["producer"] == "posewatch"
    assert told["recipe"] == {
        "name": "mediapipe",
        "hash": made_by.id.hash,
        "mode": "static",
        "revision": REVISION,
    }
    assert (told["input_sha256"], told["models"]) == ("cd" * 32, {"pose": "ab" * 32})
    assert (told["software"], told["provider"]) == ({"numpy": "1"}, "FakeProvider")
    assert made_by.ours(made.results[SUFFIX])


def test_recipes_differ_by_what_changes_results() -> None:
    static, tracking = recipe(Mode.STATIC).id, recipe(Mode.TRACKING).id
    assert static == recipe(batch=9).id
    assert len({static.hash, tracking.hash, RecipeId("mediapipe", {"mode": "static"}).hash}) == 3
    assert static.hash == RecipeId("mediapipe", {"revision": REVISION, "mode": "static"}).hash
    assert len(static.hash) == 16
    assert int(static.hash, 16)


def test_a_video_that_ends_early_is_at_fault(video: Path, decoder: Decoder) -> None:
    broken = video.with_name("broken.mp4")
    broken.write_bytes(video.read_bytes()[:-200])
    with pytest.raises(InputError):
        work(recipe(), broken, decoder)


def test_a_video_without_frames_is_at_fault(video: Path) -> None:
    class Empty:
        info = type("Info", (), {"width": 64, "height": 48, "frames": None, "fps": 25.0})

        def chunks(self, _count: int) -> list[SimpleNamespace]:
            return []

        @contextmanager
        def open(self, _path: Path) -> Iterator[Empty]:
            yield self

    with pytest.raises(InputError) as caught:
        work(recipe(), video, Empty())  # type: ignore[arg-type]
    assert (caught.value.fault, caught.value.readable_frames) == (Fault.NO_FRAMES, 0)


def test_whoever_listens_to_the_progress_may_stop_it(video: Path, decoder: Decoder) -> None:
    def stop(_progress: Progress) -> None:
        raise KeyboardInterrupt

    folder = video.parent / "out"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        recipe().run(video, "cd" * 32, folder, decoder, stop)
    assert work(recipe(), video, decoder, "again")[0].frames == 10


@pytest.mark.parametrize(
    "provenance", ["", "[]", "no json", '{"producer": "somebody"}', "[" * 100_000]
)
def test_files_of_others_are_not_ours(tmp_path: Path, provenance: str) -> None:
    path = tmp_path / "theirs.npz"
    with PoseWriter(path) as writer:
        writer.append(np.zeros((1, 543, 3)), np.zeros((1, 543)), np.zeros(1))
        writer.close(fps=25.0, size=(64, 48), provenance=provenance)
    assert not recipe().ours(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"some text", None])
def test_what_is_no_pose_file_is_not_ours(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "theirs.npz"
    if content is not None:
        path.write_bytes(content)
    assert not recipe().ours(path)
