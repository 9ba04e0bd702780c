"""What is in the cache is whole, and is the version that was asked for."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import ModelError
from posewatch.models import cache as module
from posewatch.models.cache import MANIFEST, ModelCache, default_root, require
from posewatch.models.cards import card

if TYPE_CHECKING:
    from posewatch.models.cache import InstalledModel

NAME = "mediapipe-holistic"


@pytest.fixture
def copied(holistic_model: InstalledModel, tmp_path: Path) -> ModelCache:
    """A cache with the model in it, to be damaged."""
    shutil.copytree(holistic_model.folder, tmp_path / holistic_model.folder.name)
    return ModelCache(tmp_path)


def model_in(cache: ModelCache) -> InstalledModel:
    model = cache.installed(NAME)
    assert model is not None
    return model


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"POSEWATCH_MODELS": "/models", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/models"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/posewatch/models"),
        ({"HOME": "/h"}, "/h/.cache/posewatch/models"),
        (
            {"POSEWATCH_MODELS": "", "XDG_CACHE_HOME": "", "HOME": "/"},
            "/.cache/posewatch/models",
        ),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/posewatch/models"),
    ],
)
def test_where_models_are_kept(environ: dict[str, str], root: str) -> None:
    assert default_root(environ) == Path(root)


def test_a_relative_folder_is_meant_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_root({"POSEWATCH_MODELS": "mine"}) == tmp_path / "mine"


def test_without_home_it_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    found = default_root({})
    assert found.is_absolute()
    assert found.parts[-3:] == (".cache", "posewatch", "models")

    def nobody(_user: int) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr(module.pwd, "getpwuid", nobody)
    with pytest.raises(ModelError, match="no home") as caught:
        default_root({})
    assert "POSEWATCH_MODELS" in caught.value.hint


def test_a_model_that_is_not_there_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POSEWATCH_MODELS", str(tmp_path / "none"))
    assert ModelCache().installed(NAME) is None
    with pytest.raises(ModelError) as caught:
        require(NAME)
    none = tmp_path / "none"
    assert caught.value.hint == f"Run: POSEWATCH_MODELS={none} posewatch models pull {NAME}"
    assert not none.exists()


def test_an_installed_model_gives_its_files_and_their_digests(copied: ModelCache) -> None:
    model = copied.require(NAME)
    model.verify()
    assert set(model.digests) == {network.name for network in model.card.networks}
    assert all(model.network(name).is_file() for name in model.digests)
    with pytest.raises(ModelError, match="no network 'nose'"):
        model.network("nose")


def test_a_missing_or_short_file_or_manifest_is_no_model(copied: ModelCache) -> None:
    model = model_in(copied)
    path = model.network("hand_recrop")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert copied.installed(NAME) is None
    path.unlink()
    assert copied.installed(NAME) is None
    path.write_bytes(whole)
    assert copied.installed(NAME) == model
    manifest = model.folder / MANIFEST
    text = manifest.read_text(encoding="utf-8")
    for damaged in ("", "{}", text[:-20], text.replace('"hand_recrop"', '"hand"')):
        manifest.write_text(damaged, encoding="utf-8")
        assert copied.installed(NAME) is None
    manifest.unlink()
    assert copied.installed(NAME) is None


def test_a_changed_file_is_found_by_its_digest(copied: ModelCache) -> None:
    model = model_in(copied)
    path = model.network("hand_recrop")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="was changed") as caught:
        model_in(copied).verify()
    assert "models pull" in caught.value.hint
    path.unlink()
    with pytest.raises(ModelError, match="Cannot read"):
        model.verify()


def test_another_converter_or_card_asks_for_another_folder(
    copied: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = card(NAME)
    here = copied.folder(wanted)
    assert copied.folder(wanted.model_copy(update={"title": "newer"})) != here
    monkeypatch.setattr(module, "CONVERTER_VERSION", module.CONVERTER_VERSION + 1)
    assert copied.folder(wanted) != here
    assert copied.installed(NAME) is None


def test_what_was_damaged_is_replaced(copied: ModelCache) -> None:
    model = model_in(copied)
    model.network("hand_recrop").write_bytes(b"")
    with copied.building(lambda: None) as folder:
        built = folder / "model"
        shutil.copytree(model.folder, built)
        (built / "hand_recrop.onnx").write_bytes(b"new")
        copied.install(model.card, built)
    assert model.network("hand_recrop").read_bytes() == b"new"
    assert not list(copied.root.glob(".pull-*"))


def test_leftovers_are_swept_and_nothing_else(copied: ModelCache) -> None:
    leftover = copied.root / ".pull-0123"
    (leftover / "download").mkdir(parents=True)
    (leftover / "download" / "half.whl").write_bytes(b"half")
    (copied.root / "notes.txt").write_text("mine", encoding="utf-8")
    with copied.building(lambda: None) as folder:
        assert list(folder.iterdir()) == []
        assert not leftover.exists()
    assert copied.installed(NAME) is not None
    names = {path.name for path in copied.root.iterdir()}
    assert names == {".lock", "notes.txt", model_in(copied).folder.name}


def test_tidying_leaves_alone_what_somebody_builds(copied: ModelCache) -> None:
    with copied.building(lambda: None) as folder:
        copied.tidy()
        assert folder.exists()
    (copied.root / ".pull-0123").mkdir()
    copied.tidy()
    assert not list(copied.root.glob(".pull-*"))
    ModelCache(copied.root / "nowhere").tidy()
    assert not (copied.root / "nowhere").exists()


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with ModelCache(tmp_path / "models").building(lambda: None) as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    finally:
        os.umask(before)


def test_only_one_process_builds_and_its_end_lets_the_next_one(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from posewatch.models.cache import ModelCache\n"
        "say = lambda word: print(word, flush=True)\n"
        "with ModelCache(Path(sys.argv[1])).building(lambda: say('waiting')):\n"
        "    say('building'); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:  # noqa: S603 - ourselves
        heard = {process: process.stdout.readline() for process in (first, second)}
        assert sorted(heard.values()) == ["building\n", "waiting\n"]
        holder, waiter = sorted(heard, key=lambda process: heard[process])
        holder.kill()
        assert waiter.stdout.readline() == "building\n"
        waiter.communicate("")
        assert waiter.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
