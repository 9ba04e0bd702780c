from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.doubles import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    scene.memory.put("talks/a.mp4", b"a video")
    yield scene
    scene.cache.close()
