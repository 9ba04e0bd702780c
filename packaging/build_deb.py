"""Builds the Debian package for the release of Debian or Ubuntu that this runs on.

The program lies in an environment of its own, which belongs to the python3 of the release, so each
release gets its own package. Everything is made in one tree and packed by dpkg-deb; no root and
no debhelper is needed. What dpkg runs on the operator's machine is in `packaging/deb`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from configparser import RawConfigParser
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap import ROOT, constraints, say
from check_wheel import build as build_wheel
from commands import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHON = Path("/usr/bin/python3")
"""Of the release, whatever runs this."""

HERE = ROOT / "packaging" / "deb"
PROGRAM = Path("/opt/posewatch")
GPU = Path("/opt/posewatch-gpu")
MODELS = "var/lib/posewatch/models"
MODEL = "mediapipe-holistic"
COMPLETION = """
from typer.completion import get_completion_script as script
print(script(prog_name="posewatch", complete_var="_POSEWATCH_COMPLETE", shell="bash"))
"""


class Tree:
    """What the package consists of, as it will lie on the operator's machine.

    Args:
        root: an empty folder that stands for `/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.program = root / PROGRAM.relative_to("/")
        self.python = self.program / "bin" / "python"
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self._environ["POSEWATCH_MODELS"] = str(root / MODELS)

    def run(self, *arguments: str | Path) -> str:
        """Run the environment's Python.

        Raises:
            CommandError: it failed.
        """
        return run(self.python, *arguments, env=self._environ)

    @property
    def libraries(self) -> Path:
        """The folder that the environment imports from."""
        (found,) = self.program.glob("lib/python3.*/site-packages")
        return found

    def install(self, wheel: Path) -> None:
        """Make the environment, as if it stood where it will stand.

        Raises:
            CommandError: pip failed, or Python does not like what it installed.
        """
        run(PYTHON, "-m", "venv", "--without-pip", self.program)
        target = ("--python", str(self.python), "install", "--no-compile", "--no-input")
        pinned = ("--constraint", str(constraints(ROOT)))
        run(sys.executable, "-m", "pip", *target, *pinned, f"{wheel}[cpu]")
        # Debian's own, which fits its libsystemd; nothing else of Debian's Python is let in.
        (self.libraries / "systemd").symlink_to("/usr/lib/python3/dist-packages/systemd")
        for told_where in self.libraries.glob("posewatch-*.dist-info/direct_url.json"):
            told_where.unlink()
        for script in (self.program / "bin").iterdir():
            if script.is_symlink():
                continue
            if script.name != "posewatch":
                script.unlink()
                continue
            shebang = f"#!{PROGRAM}/bin/python"
            text = re.sub("#!.*", shebang, script.read_text(encoding="utf-8"), count=1)
            script.write_text(text, encoding="utf-8")
        settings = self.program / "pyvenv.cfg"
        text = settings.read_text(encoding="utf-8").replace(str(self.root), "")
        settings.write_text(text, encoding="utf-8")

    def compile(self) -> None:
        """Write the bytecode: root would else leave its own behind, and nobody else could.

        Raises:
            CommandError: there is a file that cannot be compiled.
        """
        for leftover in self.program.rglob("__pycache__"):
            shutil.rmtree(leftover)
        origin = ("-s", self.root, "-p", "/", "--invalidation-mode", "unchecked-hash")
        self.run("-m", "compileall", "-q", *origin, self.libraries)

    def write(self, name: str, text: str) -> None:
        """Write a file of the package; compressed, where the name says so."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = text.encode()
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file or folder into the package; links are followed."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, path)
        else:
            shutil.copy(source, path)

    def pack(self, package: str, version: str) -> Path:
        """Make the package of the tree, with what `packaging/deb` has for a package of that name.

        Returns:
            The package.

        Raises:
            CommandError: dpkg-deb failed.
        """
        now = formatdate(time.time())
        entry = f"{package} ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n"
        doc = f"usr/share/doc/{package}"
        self.write(f"{doc}/changelog.gz", f"{entry} -- {_maintainer(package)}  {now}\n")
        self.copy(HERE / "copyright", f"{doc}/copyright")
        for path in [self.root, *self.root.rglob("*")]:
            if not path.is_symlink():
                runs = path.is_dir() or os.access(path, os.X_OK)
                path.chmod(0o755 if runs else 0o644)
        files = [p for p in sorted(self.root.rglob("*")) if p.is_file() and not p.is_symlink()]
        minor = python_minor()
        control = _control(package).format(
            version=version,
            architecture=run("dpkg", "--print-architecture").strip(),
            kibibytes=sum(file.stat().st_size for file in files) // 1024,
            python=f"3.{minor}~",
            next_python=f"3.{minor + 1}~",
        )
        sums = "".join(f"{_md5(file)}  {file.relative_to(self.root)}\n" for file in files)
        self.write("DEBIAN/md5sums", sums)
        self.write("DEBIAN/control", control)
        for part in ("conffiles", "prerm", "postinst", "postrm"):
            if (HERE / f"{package}.{part}").exists():
                self.copy(HERE / f"{package}.{part}", f"DEBIAN/{part}")
        out = ROOT / "dist"
        out.mkdir(exist_ok=True)
        # For a tenth more bytes, zstd takes a thirtieth of the time of xz.
        run("dpkg-deb", "--root-owner-group", "-Zzstd", "--build", self.root, out)
        (built,) = out.glob(f"{package}_{version}_*.deb")
        return built


def python_minor() -> int:
    """The 11 of Python 3.11, of the release."""
    return int(run(PYTHON, "-c", "import sys; print(sys.version_info.minor)"))


def _control(package: str) -> str:
    return (HERE / f"{package}.control").read_text(encoding="utf-8")


def _maintainer(package: str) -> str:
    (found,) = re.findall("^Maintainer: (.*)$", _control(package), re.MULTILINE)
    return str(found)


def _md5(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fill(tree: Tree, wheel: Path) -> None:
    """Put everything into the tree of posewatch.

    Raises:
        CommandError: a step failed; the message has what it said.
    """
    tree.install(wheel)
    say(f"making the networks of {MODEL}")
    tree.run("-m", "posewatch", "models", "pull", MODEL)
    for hidden in (tree.root / MODELS).glob(".*"):
        hidden.unlink()
    tree.write("usr/share/man/man1/posewatch.1.gz", tree.run(ROOT / "packaging" / "man_page.py"))
    tree.write("usr/share/bash-completion/completions/posewatch", tree.run("-c", COMPLETION))
    tree.compile()
    (tree.root / "usr/bin").mkdir(parents=True)
    (tree.root / "usr/bin/posewatch").symlink_to(PROGRAM / "bin" / "posewatch")
    for unit in (ROOT / "systemd").glob("posewatch*"):
        if unit.suffix != ".toml":
            tree.copy(unit, f"usr/lib/systemd/system/{unit.name}")
    tree.copy(ROOT / "systemd" / "posewatch.toml", "etc/posewatch/posewatch.toml")
    tree.copy(HERE / "posewatch.sysusers", "usr/lib/sysusers.d/posewatch.conf")
    tree.copy(ROOT / "systemd" / "examples", "usr/share/doc/posewatch/examples")
    for page in [ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]:
        tree.copy(page, f"usr/share/doc/posewatch/{page.name}")
    for observer in ("prometheus", "grafana"):
        if (ROOT / "packaging" / observer).exists():
            tree.copy(ROOT / "packaging" / observer, f"usr/share/posewatch/{observer}")


def fill_gpu(tree: Tree, beside: Tree) -> None:
    """Put what a GPU needs, and posewatch has not, into the tree of posewatch-gpu.

    Args:
        tree: to be filled.
        beside: the tree of posewatch.

    Raises:
        CommandError: a step failed; the message has what it said.
    """
    pip = (sys.executable, "-m", "pip", "--python", beside.python, "install", "--no-input")
    pinned = ("--constraint", constraints(ROOT))
    report = tree.root.with_suffix(".json")
    wanted = gpu_requirements(ROOT / "setup.cfg")
    run(*pip, *pinned, "--dry-run", "--quiet", "--report", report, *wanted)
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    missing = [f"{each['metadata']['name']}=={each['metadata']['version']}" for each in found]
    folder = tree.root / GPU.relative_to("/")
    run(*pip, "--no-compile", "--no-deps", "--target", folder, *missing)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    origin = ("-s", tree.root, "-p", "/", "--invalidation-mode", "unchecked-hash")
    beside.run("-m", "compileall", "-q", *origin, folder)
    # Python reads it at each start; this folder is searched before the program's own.
    hook = beside.libraries.relative_to(beside.root) / "posewatch-gpu.pth"
    tree.write(str(hook), f"import sys; sys.path.insert(0, {str(GPU)!r})\n")


def gpu_requirements(setup_cfg: Path) -> list[str]:
    """What the extra `gpu` of setup.cfg names."""
    parser = RawConfigParser()
    parser.read(setup_cfg, encoding="utf-8")
    lines = parser["options.extras_require"]["gpu"].splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def main(arguments: Sequence[str]) -> int:
    """Build it; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the Debian package for this release.")
    parser.add_argument("--gpu", action="store_true", help="and posewatch-gpu, of 1.4 GiB")
    options = parser.parse_args(arguments)
    release = platform.freedesktop_os_release()
    with tempfile.TemporaryDirectory(prefix="posewatch-deb-") as folder:
        try:
            wheel = build_wheel(Path(folder))
            version = f"{wheel.name.split('-')[1]}~{release['ID']}{release['VERSION_ID']}"
            say(f"making posewatch {version}")
            tree = Tree(Path(folder, "posewatch"))
            fill(tree, wheel)
            built = [tree.pack("posewatch", version)]
            if options.gpu:
                say("making posewatch-gpu")
                gpu = Tree(Path(folder, "posewatch-gpu"))
                fill_gpu(gpu, tree)
                built.append(gpu.pack("posewatch-gpu", version))
        except CommandError as error:
            print(f"{error}\nposewatch: the package was not built", file=sys.stderr)
            return 1
    for package in built:
        say(f"built {package.relative_to(ROOT)}, {package.stat().st_size >> 20} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
