"""Tries the package and its units on a real systemd, in a container; see container.py.

sudo python3 tests/systemd/live.py             everything
sudo python3 tests/systemd/live.py stop crash  some scenarios, by the names of the functions
SUITE=trixie sudo -E python3 …                 on another Debian than bookworm

Prints each check with what was seen; the exit status is 1 if one failed.
"""

# ruff: noqa: T201 -- it talks to the person at the terminal
from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import buckets
import idle
import packages
import services
from container import PACKAGE, TOP, UPGRADE, Container, ContainerError, build, prepare, upgrade_of
from trial import Trial

# The last one switches the container off.
SCENARIOS = (
    *(*packages.FIRST, *services.SCENARIOS, *buckets.SCENARIOS),
    *(*packages.LAST, *idle.SCENARIOS),
)


def main(names: list[str]) -> int:
    """Run the scenarios; return the exit status."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        print("it needs root, and Debian's mmdebstrap", file=sys.stderr)
        return 2
    # Nothing goes without the first, which installs the package.
    wanted = [s for s in SCENARIOS if not names or s.__name__ in {"install", *names}]
    if len(wanted) == 1 and names != ["install"]:
        print("scenarios:", *(s.__name__ for s in SCENARIOS), file=sys.stderr)
        return 2
    try:
        suite = os.environ.get("SUITE", "bookworm")
        package = build(suite)
        files = {PACKAGE: package, UPGRADE: upgrade_of(package)}
        container = Container(prepare(suite), files)
    except ContainerError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        trial = Trial(container)
        print(trial.run("systemctl", "--version").splitlines()[0])
        for scenario in wanted:
            print(f"\n{scenario.__name__}: {scenario.__doc__}")
            trial.fresh()
            before = len(trial.failed)
            scenario(trial)
            if len(trial.failed) > before:
                log = trial.run("journalctl", "-o", "short-precise", "--no-pager")
                (TOP / f"{scenario.__name__}.log").write_text(log + "\n", encoding="utf-8")
                print(f"        its journal: {TOP / scenario.__name__}.log")
    finally:
        container.close()
    print(f"\nfailed: {trial.failed}" if trial.failed else "\nall is well")
    return 1 if trial.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
