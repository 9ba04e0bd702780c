"""pip is asked rightly, and its complaints are told in our words. It runs for real, offline."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import ModelError
from posewatch.models import download as module
from posewatch.models.cards import WheelCard, card
from posewatch.models.download import download, explain

if TYPE_CHECKING:
    from pathlib import Path

HOLISTIC = card("mediapipe-holistic")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place where pip looks for packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def offered(index: Path) -> WheelCard:
    """A wheel in the index, and a card for it."""
    source = HOLISTIC.source
    wheel = index / source.wheel
    stem = f"{source.package}-{source.version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(
            f"{stem}/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n"
        )
        file.writestr(f"{stem}/WHEEL", "Wheel-Version: 1.0\n")
        file.writestr(f"{stem}/RECORD", "")
        file.writestr("mediapipe/big.bin", bytes(600_000))
    data = wheel.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    source = source.model_copy(update={"size": len(data), "sha256": digest})
    return HOLISTIC.model_copy(update={"source": source})


def test_the_wheel_of_another_python_and_platform_arrives_whole(index: Path, target: Path) -> None:
    wanted = offered(index)
    wheel = download(wanted, target, lambda _done, _total: None)
    assert wheel.read_bytes() == (index / wheel.name).read_bytes()


def test_a_pip_in_the_current_folder_is_not_run(
    index: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('gotcha')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    download(offered(index), target, lambda _done, _total: None)


def test_another_file_of_that_name_is_refused(index: Path, target: Path) -> None:
    wanted = offered(index)
    path = index / wanted.source.wheel
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(ModelError, match="another file than the card names"):
        download(wanted, target, lambda _done, _total: None)
    assert not (target / wanted.source.wheel).exists()


def test_an_index_without_it_is_named_as_the_reason(index: Path, target: Path) -> None:
    assert not list(index.iterdir())
    with pytest.raises(ModelError, match="does not have mediapipe-0") as caught:
        download(HOLISTIC, target, lambda _done, _total: None)
    assert caught.value.hint


def test_an_index_that_does_not_answer_is_named_as_the_reason(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",  # the discard port: nobody listens
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        download(HOLISTIC, target, lambda _done, _total: None)
    assert "--from" in caught.value.hint


def test_a_python_without_pip_is_told_so(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "raise SystemExit('python: No module named pip')"]
    monkeypatch.setattr(module, "_command", lambda *_: command)
    with pytest.raises(ModelError, match="pip is not installed") as caught:
        download(HOLISTIC, target, lambda _done, _total: None)
    assert "ensurepip" in caught.value.hint


def test_a_python_that_does_not_know_where_it_is(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ModelError, match="does not know where it is"):
        download(HOLISTIC, target, lambda _done, _total: None)


def test_a_pip_that_brings_nothing_is_not_believed(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_command", lambda *_: [sys.executable, "-c", ""])
    with pytest.raises(ModelError, match="downloaded no mediapipe"):
        download(HOLISTIC, target, lambda _done, _total: None)


def test_progress_is_read_from_what_pip_says(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Collecting x\nProgress 10 of 40\nnoise\nProgress 40 of 40\n"
    monkeypatch.setattr(
        module, "_command", lambda *_: [sys.executable, "-c", f"print({said!r}); exit(1)"]
    )
    heard: list[tuple[int, int]] = []
    with pytest.raises(ModelError, match="it said: Collecting x / noise"):
        download(HOLISTIC, target, lambda done, total: heard.append((done, total)))
    assert heard == [(10, HOLISTIC.source.size), (40, HOLISTIC.source.size)]


def test_an_interruption_ends_pip(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import signal; print('Progress 1 of 2', flush=True); signal.pause()"
    monkeypatch.setattr(module, "_command", lambda *_: [sys.executable, "-c", program])

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(HOLISTIC, target, interrupt)


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        (["/usr/bin/python3: No module named pip"], "pip is not installed"),
        (
            ["ERROR: Could not install packages: [Errno 28] No space left on device"],
            "No space is left",
        ),
        (["THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."], "another file"),
        (
            [
                "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate')",
                "ERROR: No matching distribution found for mediapipe",
            ],
            "certificate",
        ),
        (
            [
                "WARNING: Retrying after connection broken by 'NewConnectionError(...)'",
                "ERROR: Could not find a version that satisfies the requirement",
            ],
            "cannot be reached",
        ),
        (["ERROR: No matching distribution found for mediapipe==0.10.21"], "does not have"),
        (["option --progress-bar: invalid choice: 'raw' (choose from on, off)"], "too old"),
        (["something new"], "it said: something new"),
        ([], "it said: nothing"),
    ],
)
def test_complaints_are_told_in_our_words(said: list[str], meaning: str) -> None:
    error = explain(HOLISTIC, said)
    assert meaning in error.message
    assert error.hint
