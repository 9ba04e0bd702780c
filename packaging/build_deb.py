"""Builds the Debian package for the release of Debian or Ubuntu that this runs on.

The program lies in an environment of its own, which belongs to the python3 of the release, so each
release gets its own package. Everything is made in one tree and packed by dpkg-deb; no root and
no debhelper is needed. What dpkg runs on the operator's machine is in `packaging/deb`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

from bootstrap import ROOT, constraints, say
from check_wheel import build as build_wheel
from commands import CommandError, run

PYTHON = Path("/usr/bin/python3")
"""Of the release, whatever runs this."""

HERE = ROOT / "packaging" / "deb"
PROGRAM = Path("/opt/posewatch")
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

    def finish(self, package: str, version: str, conffiles: tuple[str, ...] = ()) -> Path:
        """Pack it.

        Args:
            package: its name; also of its control file.
            version: of the package.
            conffiles: what an upgrade must not overwrite.

        Returns:
            The package.
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
        minor = sys_python_minor()
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
        if conffiles:
            self.write("DEBIAN/conffiles", "".join(f"{name}\n" for name in conffiles))
        if package == "posewatch":
            for script in ("prerm", "postinst", "postrm"):
                self.copy(HERE / script, f"DEBIAN/{script}")
        out = ROOT / "dist"
        out.mkdir(exist_ok=True)
        # zstd: a hundredth of the time of xz, for a tenth more bytes.
        run("dpkg-deb", "--root-owner-group", "-Zzstd", "--build", self.root, out)
        (built,) = out.glob(f"{package}_{version}_*.deb")
        return built


def sys_python_minor() -> int:
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
    tree.copy(HERE / "sysusers.conf", "usr/lib/sysusers.d/posewatch.conf")
    tree.copy(ROOT / "systemd" / "examples", "usr/share/doc/posewatch/examples")
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]:
        tree.copy(page, f"usr/share/doc/posewatch/{page.name}")
    for observer in ("prometheus", "grafana"):
        if (ROOT / "packaging" / observer).exists():
            tree.copy(ROOT / "packaging" / observer, f"usr/share/posewatch/{observer}")


def main() -> int:
    """Build it; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the Debian package for this release.")
    parser.parse_args()
    release = platform.freedesktop_os_release()
    with tempfile.TemporaryDirectory(prefix="posewatch-deb-") as folder:
        try:
            wheel = build_wheel(Path(folder))
            version = f"{wheel.name.split('-')[1]}~{release['ID']}{release['VERSION_ID']}"
            say(f"making posewatch {version}")
            tree = Tree(Path(folder, "posewatch"))
            fill(tree, wheel)
            built = tree.finish("posewatch", version, ("/etc/posewatch/posewatch.toml",))
        except CommandError as error:
            print(f"{error}\nposewatch: the package was not built", file=sys.stderr)
            return 1
    say(f"built {built.relative_to(ROOT)}, {built.stat().st_size >> 20} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
