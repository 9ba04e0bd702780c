"""Tests the built wheel as a user has it: installed elsewhere, with no sources in reach.

What only works in the checkout is found here: a package or a data file that setup.cfg forgot, a
dependency that only the developers' environment has, an entry point that leads nowhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from bootstrap import ROOT, constraints, say

# What the build reads. A file that is missing here makes the build fail.
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "daemon")
PACKAGES = {"posewatch": ROOT / "daemon" / "posewatch"}
# Run against the installed package.
TESTS: tuple[str, ...] = ()

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    assert package.__file__.startswith(sys.prefix), f"{name} comes from {package.__file__}"
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
"""


class Installed:
    """An environment of its own, outside of the checkout.

    Args:
        folder: an empty folder; everything happens in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        # Neither the checkout nor what the caller's shell adds is in reach.
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        venv.EnvBuilder(symlinks=True).create(folder / "venv")

    def run(self, *command: str | Path) -> str:
        """Run a command in the folder and give what it printed.

        Raises:
            SystemExit: it failed; what it printed is shown.
        """
        done = subprocess.run(  # noqa: S603 -- commands of this file
            [str(part) for part in command],
            cwd=self.folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"{done.stdout}\nposewatch: failed on the wheel: {' '.join(done.args)}")
        return done.stdout

    def pip(self, *arguments: str | Path) -> str:
        """Run the developers' pip on this environment."""
        pip = (sys.executable, "-m", "pip", "--python", self.bin / "python")
        return self.run(*pip, *arguments)


def build(folder: Path) -> Path:
    """Build the wheel from a copy of the sources, which is gone afterwards.

    In the checkout, setuptools would also pack what an earlier build left behind.
    """
    copy = folder / "sources"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    subprocess.run(  # noqa: S603 -- our own environment's pip
        [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", str(folder), str(copy)],
        check=True,
    )
    shutil.rmtree(copy)
    (wheel,) = folder.glob("*.whl")
    return wheel


def files(folder: Path) -> set[Path]:
    """List the files below a folder that belong into a wheel."""
    return {
        file.relative_to(folder)
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def main() -> None:
    """Build, install, and try it out.

    Raises:
        SystemExit: something is wrong with the wheel; the message says what.
    """
    with tempfile.TemporaryDirectory(prefix="posewatch-wheel-") as name:
        folder = Path(name)
        say("building the wheel")
        wheel = build(folder)
        say(f"installing {wheel.name} in an environment of its own")
        installed = Installed(folder)
        python = installed.bin / "python"
        pinned = ("--constraint", constraints(ROOT))
        installed.pip("install", "-qq", f"{wheel}[cpu]", *pinned)
        installed.pip("check")
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        for package, source in PACKAGES.items():
            missing = sorted(map(str, files(source) - files(site / package)))
            if missing:
                sys.exit(f"posewatch: not in the wheel, though in {source}: {', '.join(missing)}")
        installed.run(python, "-W", "error", "-c", IMPORT_ALL, *PACKAGES)
        installed.run(installed.bin / "posewatch", "--help")
        if TESTS:
            # Only now, so that the package was imported without them.
            installed.pip("install", "-qq", f"{wheel}[cpu,dev]", *pinned)
            shutil.copy(ROOT / "setup.cfg", folder)
            ignored = shutil.ignore_patterns("__pycache__", "packaging")
            shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
            print(installed.run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS))
        say(f"{wheel.name} works without the sources")


if __name__ == "__main__":
    main()
