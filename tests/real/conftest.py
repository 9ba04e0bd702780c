"""Fixtures for tests with real processes."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from real.daemons import WITHOUT_POWERS, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from posewatch.models.cache import InstalledModel


@pytest.fixture
def plain_fleet(tmp_path: Path, holistic_model: InstalledModel) -> Iterator[Fleet]:
    """Makes daemons to whom permissions mean something, also when the tests run as root."""
    starter: tuple[str, ...] = ()
    if os.geteuid() == 0:
        starter = WITHOUT_POWERS
        try:
            subprocess.run([*starter, "true"], check=True, capture_output=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"root's powers cannot be dropped here: {error}")
    home = tmp_path / "home"
    home.mkdir()
    with Fleet.at(home, holistic_model, starter) as made:
        yield made
