"""Fixtures for tests with real daemons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from real.daemons import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from posewatch.models.cache import InstalledModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to watch."""
    made = tmp_path / "inbox"
    made.mkdir()
    return made


@pytest.fixture
def fleet(tmp_path: Path, holistic_model: InstalledModel) -> Iterator[Fleet]:
    """Makes daemons."""
    home = tmp_path / "home"
    home.mkdir()
    with Fleet.at(home, holistic_model) as made:
        yield made
