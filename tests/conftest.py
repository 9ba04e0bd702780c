"""Fixtures for every room's tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from posewatch.models.cache import InstalledModel, ModelCache
from posewatch.models.pull import pull
from real.daemons import Fleet
from s3.servers import Server, ceph, ceph_missing, moto

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def holistic_model() -> InstalledModel:
    """The embedded model; pulled from the package index once, and kept between runs."""
    root = Path(__file__).parents[1] / "build" / "test-cache" / "models"
    return pull("mediapipe-holistic", ModelCache(root))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to watch."""
    made = tmp_path / "inbox"
    made.mkdir()
    return made


@pytest.fixture
def fleet(tmp_path: Path, holistic_model: InstalledModel) -> Iterator[Fleet]:
    """Makes real daemons."""
    home = tmp_path / "home"
    home.mkdir()
    with Fleet.at(home, holistic_model) as made:
        yield made


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Server]:
    with moto() as server:
        yield server


@pytest.fixture(scope="session")
def ceph_server() -> Iterator[Server]:
    missing = ceph_missing()
    if missing:
        assert "POSEWATCH_REQUIRE_TOOLS" not in os.environ, missing
        pytest.skip(missing)
    # Sockets are made in it, whose paths have little room.
    with tempfile.TemporaryDirectory(prefix="posewatch-ceph-") as folder, ceph(Path(folder)) as it:
        yield it
