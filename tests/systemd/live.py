"""Tries the package and its units on a real systemd, in a container; see container.py.

sudo python3 tests/systemd/live.py             everything
sudo python3 tests/systemd/live.py stop crash  some scenarios, by the names of the functions
SUITE=trixie sudo -E python3 …                 on trixie or noble, not on bookworm

Prints each check with what was seen; the exit status is 1 if one failed.
"""

# ruff: noqa: T201 -- it talks to the person at the terminal
from __future__ import annotations

import os
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import buckets
import idle
import packages
import rented
import services
from container import (
    CLOUD,
    PACKAGE,
    ROOT,
    TOP,
    UPGRADE,
    Container,
    ContainerError,
    build,
    prepare,
    upgrade_of,
)
from trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USER_DATA = ROOT / "packaging" / "cloud-init.yaml"

GROUPS = (
    (
        *(*packages.FIRST, *services.SCENARIOS, *buckets.SCENARIOS),
        *(*packages.LAST, *idle.SCENARIOS),
    ),
    rented.SCENARIOS,
)
"""Each has a container of its own, which its last scenario may switch off."""


def play(scenarios: Sequence[Callable[[Trial], None]], container: Container) -> list[str]:
    """Run some scenarios; return what failed."""
    trial = Trial(container)
    print(trial.run("systemctl", "--version").splitlines()[0])
    for scenario in scenarios:
        print(f"\n{scenario.__name__}: {scenario.__doc__}")
        trial.fresh()
        before = len(trial.failed)
        scenario(trial)
        if len(trial.failed) > before:
            log = trial.run("journalctl", "-o", "short-precise", "--no-pager")
            (TOP / f"{scenario.__name__}.log").write_text(log + "\n", encoding="utf-8")
            print(f"        its journal: {TOP / scenario.__name__}.log")
    return trial.failed


def main(names: Sequence[str]) -> int:
    """Run the scenarios; return the exit status."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        print("it needs root, and Debian's mmdebstrap", file=sys.stderr)
        return 2
    known = [scenario.__name__ for group in GROUPS for scenario in group]
    if not set(names) <= set(known):
        print("scenarios:", *known, file=sys.stderr)
        return 2
    suite, failed = os.environ.get("SUITE", "bookworm"), []
    try:
        package = build(suite)
        base = prepare(suite)
        files = {PACKAGE: package, UPGRADE: upgrade_of(package), CLOUD: USER_DATA}
        for group in GROUPS:
            wanted = [each for each in group if not names or each.__name__ in names]
            if not wanted:
                continue
            if group is GROUPS[0] and packages.install not in wanted:
                wanted.insert(0, packages.install)  # nothing there goes without
            with closing(Container(base, files)) as container:
                failed += play(wanted, container)
    except ContainerError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\nfailed: {failed}" if failed else "\nall is well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
