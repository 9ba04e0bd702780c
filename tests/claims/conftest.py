from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def playground(tmp_path: Path) -> Iterator[Path]:
    """A directory on a real file system, in memory where there is one: worlds come and go fast."""
    memory = Path("/dev/shm")  # noqa: S108 -- mkdtemp makes a private one
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    path = Path(tempfile.mkdtemp(prefix="posewatch-test-", dir=memory))
    yield path
    shutil.rmtree(path)
