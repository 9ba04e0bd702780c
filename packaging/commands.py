"""Commands that talk only when they fail."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHOWN_LINES = 60


class CommandError(Exception):
    """A command failed; the message is the end of what it printed.

    Attributes:
        status: its exit status; negative where a signal ended it.
    """

    def __init__(self, command: tuple[str, ...], status: int, output: str) -> None:
        end = "\n".join(output.splitlines()[-SHOWN_LINES:])
        super().__init__(f"{end}\n{' '.join(command)} ended with status {status}")
        self.status = status


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command and give what it printed, output and errors together.

    Args:
        command: the program and its arguments.
        cwd: where it runs; as given or here.
        env: its whole environment; as given or ours.

    Raises:
        CommandError: it failed.
    """
    words = tuple(map(str, command))
    done = subprocess.run(  # noqa: S603 -- the programs of the environments that we make
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(words, done.returncode, done.stdout)
    return done.stdout
