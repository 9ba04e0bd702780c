"""What can be known of the benchmark for a GPU without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench import dwpose_gpu
from bench.dwpose_gpu import PackError, cut, environment, libraries, unpack
from bench.gpu_made import SMALL, WHOLE, repeated
from bench.gpu_measure import notes, read, table, work_off
from bench.gpu_sides import SideError, Watch
from bench.gpu_steps import MACHINE, Step
from bench.report import RESULTS
from posewatch.vision.decode import VideoReader
from posewatch.vision.video import DecodeLimits
from videos import make_video

if TYPE_CHECKING:
    from collections.abc import Mapping

BENCH = Path(dwpose_gpu.__file__).parent
NVIDIA = ("nvidia/cu13/lib/libcublas.so.13", "nvidia/cudnn/lib/libcudnn.so.9")


def packed(folder: Path) -> bytes:
    """Make pieces of a folder with one file; what is in that."""
    data = os.urandom(100_000)
    (folder / "made").mkdir(parents=True)
    (folder / "made" / "module.py").write_bytes(data)
    with tarfile.open(folder / "whole.tar.xz", "w:xz") as archive:
        archive.add(folder / "made", "site")
    assert cut(folder / "whole.tar.xz", 9_000) == 12
    return data


def test_a_pack_is_whole_again_after_its_way(tmp_path: Path) -> None:
    data = packed(tmp_path)
    site = unpack(tmp_path)
    assert site is not None
    assert (site / "module.py").read_bytes() == data
    (tmp_path / "pack.1-of-12").unlink()
    assert unpack(tmp_path) == site, "once is enough"


def test_a_piece_that_is_missing_is_named(tmp_path: Path) -> None:
    packed(tmp_path)
    (tmp_path / "pack.2-of-12").unlink()
    with pytest.raises(PackError, match=r"pack\.2-of-12 must be put into"):
        unpack(tmp_path)


def test_without_a_pack_there_is_nothing_to_unpack(tmp_path: Path) -> None:
    assert unpack(tmp_path) is None


def test_cuda_is_found_among_nvidia_s_wheels_and_in_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    for name in (*NVIDIA, "torch/lib/libc10.so", "nvidia/__init__.py"):
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    wanted = [str(packages / name) for name in ("nvidia/cu13/lib", "nvidia/cudnn/lib", "torch/lib")]
    assert libraries(["", str(tmp_path / "none"), str(packages)]) == wanted
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    environ = environment([str(packages)], tmp_path / "site")
    assert environ["LD_LIBRARY_PATH"].split(":") == [*wanted, "/before"]
    assert environ["PYTHONPATH"].endswith(str(tmp_path / "site"))


def step(name: str, found: Mapping[str, object], seconds: float = 1) -> Step:
    """One that finds this."""

    def run(limit: float) -> Mapping[str, object]:
        assert limit > 0
        if "failed" in found:
            raise SideError(str(found["failed"]), "why\nand why")
        return found

    return Step(name, seconds, run)


def test_a_step_that_fails_is_told_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [
        step("first", {"failed": "killed"}),
        Step("broken", 1, partial(int, "no number")),
        Step("third", 1, partial(dict, fps=2.0), needs_gpu=True),
        step("last", {"fps": 3.0}),
    ]
    kept = tmp_path / "kept.jsonl"
    assert work_off(steps, "cpu", kept, time.monotonic() + 60) == 0
    found = read(kept)
    assert found["first"] == {"failed": "killed", "said": "why\nand why"}
    assert "broken" in found
    assert found["third"] == {"skipped": "it needs a GPU"}
    assert found["last"] == {"fps": 3.0}
    assert "first: failed: killed, said: and why\n" in capsys.readouterr().out


def test_what_takes_longer_than_is_left_is_left(tmp_path: Path) -> None:
    steps = [step("long", {"fps": 1.0}, 1000), step("short", {"fps": 2.0})]
    kept = tmp_path / "kept.jsonl"
    assert work_off(steps, "cpu", kept, time.monotonic() + 60) == 1
    assert list(read(kept)) == ["short"]


def test_nothing_is_tried_where_the_machine_cannot(tmp_path: Path) -> None:
    steps = [step(MACHINE, {"failed": "no GPU"}), step("other", {})]
    with pytest.raises(SystemExit, match="nothing can be measured here"):
        work_off(steps, "cuda", tmp_path / "kept.jsonl", time.monotonic() + 60)


def test_the_table_is_made_of_what_is_there() -> None:
    known = {
        MACHINE: {"gpu": "NVIDIA H100 80GB HBM3"},
        "always, 16 in flight, batch 16": {"fps": 800.0},
        "always, 32 in flight, batch 32": {"fps": 1000.0},
        "today, processes: 25": {"fps": 250.0},
        "rtmlib 10, processes: 25": {"failed": "killed"},
    }
    rows = {row.against: row for row in table(WHOLE, known)}
    assert rows["today, processes: 25"].ratio == 4.0
    assert rows["today, processes: 25"].case == "always, 32 in flight, batch 32"
    assert set(rows) == {
        "today, processes: 25",
        "40 % of the peak in TF32",
        "40 % of the peak in FP16",
    }
    assert rows["40 % of the peak in TF32"].theirs == pytest.approx(1127, abs=1)
    assert "rtmlib 10, processes: 25: failed: killed" in notes(WHOLE, known)


def test_what_nvidia_smi_says_counts_from_begin_to_end(tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    watch, begun = Watch(), time.time()
    for said in ("40960, 80, 500.5", "41984, 100, 600.5", "[N/A], 0, 0", "no devices were found"):
        smi.write_text(f"#!/bin/sh\necho '{said}'\n")
        smi.chmod(0o755)
        watch.look(str(smi))
    ended = time.time()
    figures = watch.figures(begun, ended, frames=10)
    joules = 550.5 * (ended - begun) / 10
    assert figures == {
        "gpu_mib": 41984,
        "gpu_use_percent": 90,
        "joules_per_frame": pytest.approx(joules),
    }
    assert watch.figures(begun - 2, begun - 1, frames=10) == {}


def test_a_longer_video_is_the_same_one_again(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", frames=10)
    pictures, times = [], []
    with repeated(film, 3).open("rb") as file:
        reader = VideoReader(file.fileno(), DecodeLimits())
        picture = np.empty((reader.info.height, reader.info.width, 3), np.uint8)
        while (at := reader.read_into(picture)) is not None:
            pictures.append(picture.copy())
            times.append(at)
        reader.close()
    assert np.array_equal(pictures, [*pictures[:10]] * 3)
    assert times == pytest.approx(np.arange(30) / 25)


@pytest.mark.long
def test_all_of_it_runs_on_a_cpu() -> None:
    """From networks and videos to a table, with the real daemon."""
    command = [sys.executable, BENCH / "dwpose_gpu.py", "run", "--small"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- our own file
    rows = json.loads((RESULTS / "dwpose-gpu-small.json").read_text())
    assert {(row["case"], row["against"]) for row in rows} >= {
        ("always, 2 in flight, batch 2", "today, processes: 1"),
        ("auto, 2 in flight, batch 2", "today, processes: 2"),
        ("always, 2 in flight, batch 2", "its networks alone, in their best batch"),
        ("auto, 2 in flight, batch 2", "decoding alone"),
        ("8 short videos in flight", "one by one"),
        ("pose alone, fp16", "as the daemon"),
    }
    assert all(row["ours"] > 0 and row["theirs"] > 0 for row in rows)
    known = read(RESULTS / "gpu" / "dwpose-gpu-small.jsonl")
    failed = {name for name, found in known.items() if "failed" in found}
    assert failed <= {f"rtmlib 10, processes: {number}" for number in SMALL.processes}
    for side in (
        "always, 2 in flight, batch 2",
        "auto, 2 in flight, batch 2",
        "today, processes: 2",
    ):
        assert known[side]["px_mean"] < 1, side
        assert known[side]["lost_share"] == 0, side
    assert "a further video takes" in done.stdout
