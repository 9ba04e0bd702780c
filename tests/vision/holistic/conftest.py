"""The networks, loaded once for this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.vision.engine import OnnxEngine

if TYPE_CHECKING:
    from posewatch.models.cache import InstalledModel


@pytest.fixture(scope="session")
def engine(holistic_model: InstalledModel) -> OnnxEngine:
    return OnnxEngine({name: holistic_model.network(name) for name in holistic_model.digests})
