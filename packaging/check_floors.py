"""Runs the tests with the oldest libraries that setup.cfg allows.

A lower bound that was never installed is a guess. What developers use (ruff, mypy, ...) is pinned
by constraints.txt and has no part in this, except for what the tests themselves import.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from configparser import RawConfigParser
from typing import TYPE_CHECKING

from bootstrap import ROOT, say
from commands import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXTRAS = ("cpu", "dev")
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<floor>[0-9.]+)(,<[0-9.]+)?")


class FloorError(Exception):
    """A requirement without a lower bound, or of a form that is not understood."""


def floors(setup_cfg: Path, extras: tuple[str, ...] = EXTRAS) -> dict[str, str]:
    """Read the lower bound of each direct dependency.

    Args:
        setup_cfg: the file.
        extras: the extras to read beside `install_requires`.

    Raises:
        FloorError: a requirement is not of the form `name>=1.2.3` or `name>=1.2.3,<4`.
    """
    return dict(_floors(setup_cfg, extras))


def _floors(setup_cfg: Path, extras: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    parser = RawConfigParser()
    parser.read(setup_cfg, encoding="utf-8")
    lists = [parser["options"]["install_requires"]]
    lists += [parser["options.extras_require"][extra] for extra in extras]
    for requirement in "\n".join(lists).split("\n"):
        if not requirement:
            continue
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None:
            raise FloorError(f"{setup_cfg}: {requirement!r} should read like numpy>=1.26.0,<3")
        yield match["name"], match["floor"]


def main(arguments: list[str]) -> int:
    """Install the oldest versions in build/floors and run pytest there; return its exit status."""
    folder = ROOT / "build" / "floors"
    constraints = ROOT / "build" / "floors.txt"
    folder.parent.mkdir(exist_ok=True)
    oldest = floors(ROOT / "setup.cfg")
    constraints.write_text("".join(f"{name}=={floor}\n" for name, floor in oldest.items()))
    say(f"installing the oldest libraries of setup.cfg in {folder.relative_to(ROOT)}")
    venv.EnvBuilder(symlinks=True, clear=True).create(folder)
    python = str(folder / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--python", python)
    target = f"{ROOT}[{','.join(EXTRAS)}]"
    try:
        run(*pip, "install", "--constraint", constraints, "--editable", target)
    except CommandError as error:
        print(f"{error}\nposewatch: these versions cannot be installed together", file=sys.stderr)
        return 1
    command = [python, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 -- our own environment's Python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
