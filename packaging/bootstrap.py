"""Sets up the virtual environment that `make` works in.

It needs python3 and a package index, nothing else: Debian's and Ubuntu's python3 comes without pip
and without ensurepip (they are in python3-venv), so the environment is made without pip, and pip
comes from the package index as a pinned wheel.

Run it as often as you like: it does something only when there is something to do. An attempt that
was interrupted is started afresh.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import sys
import time
import venv
from configparser import RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands import CommandError, run
from package_index import BootstrapError, Wheel, default_sources, download

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
PIP = Wheel(
    project="pip",
    filename="pip-26.3-py3-none-any.whl",
    sha256="f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13",
)
CPLUSPLUS = "libstdc++.so.6"
# The two builds of onnxruntime install the same files: an environment holds one of them.
RUNTIMES = ("cpu", "gpu")


def say(message: str) -> None:
    """Tell the person at the terminal what is going on."""
    print(f"posewatch: {message}", flush=True)


def constraints(root: Path) -> Path:
    """Name the file with the exact versions that are installed for work in the checkout."""
    return root / "packaging" / "constraints.txt"


def fingerprint(root: Path) -> str:
    """Digest all that an installed environment depends on: if it changes, setup runs again."""
    setup_cfg = RawConfigParser()
    setup_cfg.read(root / "setup.cfg", encoding="utf-8")
    depends = {
        section: dict(setup_cfg[section])
        for section in setup_cfg.sections()
        if section == "metadata" or section.startswith("options")
    }
    parts = [
        json.dumps(depends, sort_keys=True),
        (root / "pyproject.toml").read_text(encoding="utf-8"),
        constraints(root).read_text(encoding="utf-8"),
        PIP.sha256,
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Environment:
    """A virtual environment with posewatch in it, in editable form.

    Args:
        folder: where it is, or shall be.
        root: the checkout.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.root = root
        self.python = folder / "bin" / "python"
        self._stamp_file = folder / "posewatch-setup.json"
        self._unfinished = folder / "posewatch-setup.unfinished"

    def remembered(self) -> frozenset[str]:
        """Give the extras of the last set-up that was finished, even if it is out of date."""
        return frozenset(self._stamp().get("extras", ()))

    def installed(self) -> frozenset[str]:
        """Give the extras that are set up and up to date; empty where nothing is."""
        current = self.usable() and self._stamp().get("fingerprint") == fingerprint(self.root)
        return self.remembered() if current else frozenset()

    def usable(self) -> bool:
        """Tell whether it can be built upon, or has to be made anew."""
        if self._unfinished.exists() or not self.python.exists():
            return False
        # Without a stamp somebody made it by hand, and knows why.
        made = self._stamp().get("made", self._circumstances())
        return bool(made == self._circumstances())

    def create(self) -> None:
        """Make it anew, with pip and nothing else in it."""
        venv.EnvBuilder(with_pip=False, symlinks=True, clear=True).create(self.folder)
        self._unfinished.touch()

    def has_pip(self) -> bool:
        """Tell whether its pip runs."""
        try:
            self._run("-m", "pip", "--version")
        except CommandError:
            return False
        return True

    def install_pip(self) -> None:
        """Install the pinned pip; or, where no index gives it, the one that Python brings along.

        Raises:
            BootstrapError: neither is to be had.
        """
        try:
            content = download(PIP, default_sources())
        except BootstrapError:
            # Only some Pythons have it. It knows ways to a package index that we do not (keyring).
            with contextlib.suppress(CommandError):
                self._run("-m", "ensurepip")
                return
            raise
        wheel = self.folder / PIP.filename
        wheel.write_bytes(content)
        # A wheel is a zip file, and Python runs what is in it.
        self._run(f"{wheel}/pip", "install", "--no-index", "--no-deps", str(wheel))
        wheel.unlink()

    def install(self, extras: frozenset[str]) -> None:
        """Install posewatch and what it needs.

        Raises:
            CommandError: pip failed; the message has what it said.
        """
        self._unfinished.touch()
        target = f"{self.root}[{','.join(sorted(extras))}]"
        pinned = ("--constraint", str(constraints(self.root)))
        try:
            self._run("-m", "pip", "install", "--no-input", "--editable", target, *pinned)
        except CommandError as error:
            if error.status > 0:  # pip ended by itself, and left nothing half done
                self._unfinished.unlink()
            raise
        self._unfinished.unlink()
        stamp = {
            "fingerprint": fingerprint(self.root),
            "made": self._circumstances(),
            "extras": sorted(extras),
        }
        fresh = self._stamp_file.with_suffix(".new")
        fresh.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        fresh.replace(self._stamp_file)

    def _circumstances(self) -> dict[str, str]:
        # An environment survives neither another Python nor being moved.
        return {"python": sys.version, "folder": str(self.folder), "root": str(self.root)}

    def _stamp(self) -> dict[str, Any]:
        try:
            stamp = json.loads(self._stamp_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def _run(self, *arguments: str) -> None:
        settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
        run(self.python, *arguments, env={**os.environ, **settings})


def wanted_extras(asked: Sequence[str], before: frozenset[str]) -> frozenset[str]:
    """Decide which extras the environment shall have.

    What was installed stays, but a runtime that is asked for replaces the other one.

    Args:
        asked: on the command line; may name a runtime.
        before: what the environment had.
    """
    runtime = next((extra for extra in asked if extra in RUNTIMES), None)
    if runtime is None:
        runtime = next((extra for extra in RUNTIMES if extra in before), RUNTIMES[0])
    return (before | frozenset(asked)) - frozenset(RUNTIMES) | {runtime}


def check_system(library: str = CPLUSPLUS) -> None:
    """See that this is there: all wheels with compiled code take it from the system.

    Whatever has apt has it; an image that was cut down to the bone may not.

    Raises:
        BootstrapError: it is not.
    """
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise BootstrapError(
            f"this system has no {library}, which numpy, OpenCV and onnxruntime need;"
            " on Debian and Ubuntu: apt-get install libstdc++6"
        ) from error


def set_up(environment: Environment, asked: Sequence[str]) -> None:
    """Bring the environment to what is asked; do nothing where that is so already.

    Raises:
        BootstrapError: it could not be done; the message says why.
        CommandError: a command for it failed; the message has what it said.
    """
    before = environment.remembered()
    wanted = wanted_extras(asked, before)
    if environment.installed() >= wanted:
        return
    check_system()
    started = time.monotonic()
    version = ".".join(map(str, sys.version_info[:3]))
    replaced = before & frozenset(RUNTIMES) - wanted
    if replaced or not environment.usable():
        say(f"making {environment.folder.name} with Python {version}")
        environment.create()
    if not environment.has_pip():
        environment.install_pip()
    say("installing the libraries that posewatch needs; the first time takes a minute or two")
    environment.install(wanted)
    say(f"set up in {time.monotonic() - started:.0f} s")


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Wait until no other set-up of this checkout runs."""
    build = root / "build"
    build.mkdir(exist_ok=True)
    with (build / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str]) -> int:
    """Set up; return the exit status."""
    if sys.version_info < OLDEST_PYTHON:
        print(
            f"posewatch needs Python 3.11 or newer, and {sys.executable} is"
            f" {sys.version.split()[0]}.\nWhere a newer one is installed: make PYTHON=python3.12 …",
            file=sys.stderr,
        )
        return 1
    parser = argparse.ArgumentParser(description="Set up the environment that make works in.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="default: %(default)s")
    parser.add_argument("--extra", action="append", default=[], help="cpu, gpu, systemd or dev")
    options = parser.parse_args(arguments)
    try:
        with only_one(ROOT):
            set_up(Environment(options.venv.absolute(), ROOT), options.extra)
    except BootstrapError as error:
        print(f"posewatch: {error}", file=sys.stderr)
        return 1
    except CommandError as error:
        print(f"{error}\nposewatch: the set-up failed; the reason is above", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"posewatch: no permission to write {error.filename}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nposewatch: stopped; the same command starts again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
