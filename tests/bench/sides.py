"""Sides of a benchmark in processes of their own, and environments for those that are not ours."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def run_worker(python: Path, arguments: Sequence[str | Path]) -> dict[str, float]:
    """One run of one side: what it says last, which is JSON."""
    command = [python, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def environment(folder: Path, module: str, *installs: Sequence[str]) -> tuple[Path | None, str]:
    """The interpreter of an environment with a module, or why there is none.

    Args:
        folder: of the environment, which is made on demand.
        module: what must be importable.
        installs: arguments of `pip install`, for each time that it is called.
    """
    python = folder / "bin" / "python"
    check: list[str | Path] = [python, "-c", f"import {module}"]
    if python.exists() and subprocess.run(check, capture_output=True, check=False).returncode == 0:  # noqa: S603 - ours
        return python, ""
    sys.stderr.write(f"Installing {installs[0][-1]} into {folder}\n")
    steps: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", "--clear", folder],
        *([python, "-m", "pip", "install", "--quiet", *wanted] for wanted in installs),
        check,
    ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            return None, f"it could not be installed: {said[-1] if said else step}"
    return python, ""
