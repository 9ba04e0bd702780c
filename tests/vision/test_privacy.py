from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("module", ["posewatch.vision.engine", "posewatch.models.verify"])
def test_onnxruntime_leaves_no_device_id_and_sends_nothing_home(
    tmp_path: Path, module: str
) -> None:
    # What its telemetry writes when it is imported, its own environment variable apart.
    environ = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environ |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    subprocess.run(  # noqa: S603 -- our own interpreter and code
        [sys.executable, "-c", f"import {module}"],
        env=environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
