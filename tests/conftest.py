"""Fixtures for every room's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from posewatch.models.cache import InstalledModel, ModelCache
from posewatch.models.pull import pull


@pytest.fixture(scope="session")
def holistic_model() -> InstalledModel:
    """The embedded model; pulled from the package index once, and kept between runs."""
    root = Path(__file__).parents[1] / "build" / "test-cache" / "models"
    return pull("mediapipe-holistic", ModelCache(root))
