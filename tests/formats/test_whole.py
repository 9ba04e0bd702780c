"""A file is there as a whole, or as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import PosewatchError
from posewatch.formats.whole import whole_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("replace", [False, True])
def test_a_new_file_is_there_when_it_is_whole(tmp_path: Path, *, replace: bool) -> None:
    output = tmp_path / "a.npz"
    with whole_file(output, replace=replace) as part:
        part.write_bytes(b"whole")
        assert part.name.startswith(".")  # no listing of ours looks at it
        assert not output.exists()
    assert [(path, path.read_bytes()) for path in tmp_path.iterdir()] == [(output, b"whole")]


def test_an_old_file_stays_until_then(tmp_path: Path) -> None:
    output = tmp_path / "a.mp4"
    output.write_bytes(b"old")
    with whole_file(output, replace=True) as part:
        part.write_bytes(b"new")
        assert output.read_bytes() == b"old"
    assert output.read_bytes() == b"new"


def test_what_was_not_written_does_not_come_to_be(tmp_path: Path) -> None:
    output = tmp_path / "a.npz"
    with pytest.raises(FileNotFoundError), whole_file(output, replace=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_must_not_be_replaced_is_not_even_begun(tmp_path: Path) -> None:
    output = tmp_path / "a.npz"
    output.write_bytes(b"old")
    with pytest.raises(PosewatchError, match="is there already"), whole_file(output, replace=False):
        pytest.fail("it was begun")
    assert output.read_bytes() == b"old"


def test_what_came_meanwhile_stays(tmp_path: Path) -> None:
    output = tmp_path / "a.npz"

    def write() -> None:
        with whole_file(output, replace=False) as part:
            part.write_bytes(b"ours")
            output.write_bytes(b"theirs")

    with pytest.raises(PosewatchError, match="is there already"):
        write()
    assert [(path, path.read_bytes()) for path in tmp_path.iterdir()] == [(output, b"theirs")]


@pytest.mark.parametrize("replace", [False, True])
def test_an_error_leaves_nothing(tmp_path: Path, *, replace: bool) -> None:
    def write() -> None:
        with whole_file(tmp_path / "a", replace=replace) as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []
