from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

from cli.terminal import Ran
from posewatch.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """What a command sets up for its logs ends with it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs `posewatch` in this process, on a terminal 80 columns wide that has no colours."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "POSEWATCH_MODELS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["posewatch", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        told = capsys.readouterr()
        code = caught.value.code
        assert code is None or isinstance(code, int)
        return Ran(code or 0, told.out, told.err)

    return run
