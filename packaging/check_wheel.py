"""Tests the built wheel as a user has it: installed elsewhere, with no sources in reach.

What only works in the checkout is found here: a package or a data file that setup.cfg forgot, a
dependency that only the developers' environment has, an entry point that leads nowhere.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import venv
from pathlib import Path

from bootstrap import ROOT, constraints, say
from commands import CommandError, run

# What the build reads. A file that is missing here makes the build fail.
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "daemon")
PACKAGES = {"posewatch": ROOT / "daemon" / "posewatch"}
# What runs against the installed package.
TESTS = ("tests/test_readme.py",)

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    assert package.__file__.startswith(sys.prefix), f"{name} comes from {package.__file__}"
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
"""


class WheelError(Exception):
    """The wheel lacks something that the tree has."""


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

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run one of its programs, in its folder, and give what it printed.

        Raises:
            CommandError: it failed.
        """
        return run(self.bin / program, *arguments, cwd=self.folder, env=self._environ)

    def pip(self, *arguments: str | Path) -> None:
        """Run the developers' pip on it: it has none of its own yet.

        Raises:
            CommandError: it failed.
        """
        run(sys.executable, "-m", "pip", "--python", self.bin / "python", *arguments)


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
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, copy)
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


def check(folder: Path) -> None:
    """Build, install, and try it out, in an empty folder.

    Raises:
        CommandError: something failed; the message has what it printed.
        WheelError: files are missing.
    """
    say("building the wheel")
    wheel = build(folder)
    say(f"installing {wheel.name} in an environment of its own")
    installed = Installed(folder)
    pinned = ("--constraint", constraints(ROOT))
    installed.pip("install", f"{wheel}[cpu]", *pinned)
    installed.pip("check")
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for package, source in PACKAGES.items():
        missing = sorted(map(str, files(source) - files(site / package)))
        if missing:
            raise WheelError(f"{source} has what the wheel has not: {', '.join(missing)}")
    installed.run("python", "-W", "error", "-c", IMPORT_ALL, *PACKAGES)
    installed.run("posewatch", "--help")
    # Only now: before, the package had to do without them.
    say("running the end-to-end tests on it")
    installed.pip("install", f"{wheel}[cpu,dev]", *pinned)
    shutil.copy(ROOT / "setup.cfg", folder)
    ignored = shutil.ignore_patterns("__pycache__", "packaging")
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
    (folder / "build").symlink_to(ROOT / "build")  # the models that the tests keep there
    print(installed.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS))
    say(f"{wheel.name} works without the sources")


def main() -> int:
    """Check the wheel; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="posewatch-wheel-") as folder:
        try:
            check(Path(folder))
        except (CommandError, WheelError) as error:
            print(f"{error}\nposewatch: the wheel is not as it should be", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
