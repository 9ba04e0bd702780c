"""A real systemd to try the package on: built in one fresh Debian, it is put into another.

It needs root, mmdebstrap, util-linux and a package index; PID 1 of this machine may be anything.
Everything lies in build/systemd; mounts are in a namespace that ends with the container, which has
a network of its own without a way out. `systemd-nspawn` is the one of the installed system, so
nothing is installed on this machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

from package_index import PYPI, default_sources  # noqa: E402 -- found by the line above

TOP = ROOT / "build" / "systemd"
# What the package needs at work and at being built, what the tests need, and what boots.
PACKAGES = (
    "python3,python3-systemd,make,python3-venv,s3fs,cloud-init,curl,prometheus"
    ",systemd,systemd-container,dbus,procps"
)
# Debian does not package Ubuntu's archive key; what is made of it is thrown away.
UBUNTU = "deb [trusted=yes] http://archive.ubuntu.com/ubuntu noble main universe"
BOOT_SECONDS = 60.0

PACKAGE = "/root/posewatch.deb"
UPGRADE = "/root/posewatch-upgrade.deb"
CLOUD = "/root/cloud-init.yaml"
VIDEOS = "/var/lib/test-videos"
STORE = "/opt/store"

# A mount namespace: nspawn wants /run to be a tmpfs, and the overlay vanishes with it. A cgroup:
# nspawn makes "payload" and "supervisor" in the one that it is started in.
START = r"""
set -e
name=$1 lower=$2 run=$3; shift 3
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -f "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$name"
    echo $$ >"$hierarchy/$name/cgroup.procs"
done
mount -t tmpfs tmpfs /run
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$run/upper,workdir=$run/work" "$run/merged"
exec "$@"
"""

CLEAN_ENVIRONMENT = (
    *("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"),
    "SYSTEMD_PAGER=",
)

# Bars that move over noise: nobody is in it, and every frame is different and has to be decoded.
MAKE_VIDEOS = """
import av, numpy, sys
noise = numpy.random.default_rng(1).integers(0, 80, (360, 640, 3), numpy.uint8)
for name, frames in (("short", 20), ("medium", 400), ("long", 4000)):
    with av.open(f"{sys.argv[1]}/{name}.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for i in range(frames):
            image = numpy.roll(noise, 3 * i, axis=1)
            image[:, (5 * i) % 600 : (5 * i) % 600 + 40] += 150
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
"""


class ContainerError(Exception):
    """The container could not be made or started."""


def build(suite: str) -> Path:
    """Build the package of the working tree in a Debian that has only what this needs.

    The first time takes some minutes; without changes in the tree, nothing is done.

    Args:
        suite: the Debian or Ubuntu, such as bookworm.
    """
    base = _base(suite, "build")
    names = _output("git", "-C", ROOT, "ls-files", "-z", "-c", "-o", "--exclude-standard")
    listed = TOP / "files"
    listed.write_text("".join(f"{n}\0" for n in names.split("\0") if (ROOT / n).is_file()))
    source, archive = base / "root" / "posewatch", TOP / "posewatch.tar"
    options = ("--null", f"--files-from={listed}", "--sort=name", "--mtime=2000-01-01")
    _run("tar", "-C", ROOT, "-cf", archive, *options)
    digest, stamp = hashlib.sha256(archive.read_bytes()).hexdigest(), base / "root" / "built"
    if not stamp.exists() or stamp.read_text(encoding="ascii") != digest:
        _say("building the package")
        source.mkdir(exist_ok=True)
        for old in source.iterdir():
            if old.name != ".venv":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        _run("tar", "-C", source, "-xf", archive)
        _inside(base, "make", "-C", "/root/posewatch", "deb")
        stamp.write_text(digest, encoding="ascii")
    (package,) = source.glob("dist/posewatch_*.deb")
    return package


def prepare(suite: str) -> Path:
    """Make the Debian that the package is installed in; return its root."""
    base, maker = _base(suite, "run"), _base(suite, "build")
    python = "/root/posewatch/.venv/bin/python"
    ready = base / "etc" / "posewatch-base-is-ready"
    if not ready.exists():
        _say("making what the tests need")
        _inside(maker, "mkdir", "-p", VIDEOS)
        _inside(maker, python, "-c", MAKE_VIDEOS, VIDEOS)
        shutil.copytree(maker / VIDEOS[1:], base / VIDEOS[1:])
        pins = shutil.copy(ROOT / "packaging" / "constraints.txt", base / "root")
        _inside(base, "python3", "-m", "venv", STORE)
        moto = ("moto", "flask", "flask-cors")
        pip = (f"{STORE}/bin/pip", "install", "--quiet", "-c", f"/root/{Path(pins).name}")
        _inside(base, *pip, *moto)
        # It would look for a cloud at each boot.
        (base / "etc" / "cloud" / "cloud-init.disabled").touch()
        ready.touch()
    shutil.copy(ROOT / "tests" / "s3" / "moto_locked.py", base / STORE[1:])
    return base


def upgrade_of(package: Path) -> Path:
    """Make a later version of a package: other settings come with it, and one more file."""
    tree = TOP / "upgrade"
    made = tree.with_suffix(".deb")
    if made.exists() and made.stat().st_mtime > package.stat().st_mtime:
        return made
    shutil.rmtree(tree, ignore_errors=True)
    _run("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("~", "+later~", 1), encoding="utf-8")
    with (tree / "etc/posewatch/posewatch.toml").open("a") as settings:
        settings.write("\n# A later version tells more.\n")
    (tree / "opt/posewatch/later").touch()
    _run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, made)
    shutil.rmtree(tree)
    return made


def _base(suite: str, purpose: str) -> Path:
    """A fresh system, made from the packages of its distribution."""
    TOP.mkdir(parents=True, exist_ok=True)
    base, image = TOP / f"{suite}-{purpose}", TOP / f"{suite}.tar"
    if not image.exists():
        _say(f"making a fresh {suite}")
        mirror = UBUNTU if suite == "noble" else "http://deb.debian.org/debian"
        made = image.with_suffix(".new.tar")
        _run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", suite, made, mirror)
        made.rename(image)
    if not base.exists():
        fresh = base.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        _run("tar", "-C", fresh, "-xf", image)
        fresh.rename(base)
    return base


class Container:
    """A system, booted; what changes in it is thrown away.

    Args:
        base: from `prepare`.
        files: put into it, by the path that they get.
    """

    def __init__(self, base: Path, files: Mapping[str, Path]) -> None:
        self.name = f"posewatch-test-{os.getpid()}"
        self.run_folder = TOP / self.name
        shutil.rmtree(self.run_folder, ignore_errors=True)
        for name in ("upper", "work", "merged"):
            (self.run_folder / name).mkdir(parents=True)
        for path, source in files.items():
            inside = self.run_folder / "upper" / path[1:]
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, inside)
        self.console = self.run_folder / "console.log"
        nspawn, environment = _nspawn(base)
        with self.console.open("w") as console:
            self._process = subprocess.Popen(  # noqa: S603 -- what stands here
                [
                    *("unshare", "--mount", "--propagation", "private", "bash", "-c", START),
                    *("bash", self.name, base, self.run_folder, *nspawn),
                    *("--directory", self.run_folder / "merged", "--boot", "--private-network"),
                    "--bind=/dev/fuse",
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                start_new_session=True,
            )
        self._leader = 0
        try:
            self._wait_for_boot()
        except BaseException:
            self.close()
            raise

    def _wait_for_boot(self) -> None:
        state, end = "", time.monotonic() + BOOT_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError, IndexError):
                pid = self._process.pid
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
                self._leader = int(children.split()[0])
                state = self.run("systemctl", "is-system-running").stdout.strip()
                if state in {"running", "degraded"}:
                    return
            time.sleep(0.2)
        said = self.console.read_text(encoding="utf-8", errors="replace")
        raise ContainerError(f"it does not boot ({state or 'no state'}):\n{said}")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root; its status is the caller's business."""
        namespaces = ("-m", "-u", "-i", "-n", "-p", "-C")
        return subprocess.run(  # noqa: S603 -- what stands here
            [
                *("nsenter", "-t", str(self._leader), *namespaces, "--"),
                *(*CLEAN_ENVIRONMENT, *command),
            ],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """Switch it off and remove what changed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # nspawn asks systemd to power off
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for hierarchy in ("systemd", "unified", "."):
            group = Path("/sys/fs/cgroup", hierarchy, self.name)
            for folder, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        shutil.rmtree(self.run_folder, ignore_errors=True)


def _nspawn(base: Path) -> tuple[list[str], dict[str, str]]:
    """The command line that starts nspawn out of `base`, and its environment."""
    usr = base / "usr"
    loader = next(usr.glob("lib/*/ld-linux-*.so.*"))
    libraries = f"{loader.parent}:{loader.parent / 'systemd'}"
    command = [str(loader), "--library-path", libraries, str(usr / "bin" / "systemd-nspawn")]
    options = ["--quiet", "--register=no", "--keep-unit", "--console=pipe"]
    return [*command, *options], {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}


def _inside(base: Path, *command: str) -> None:
    """Run a command in the system that is not booted, with this machine's way to the index."""
    sources = default_sources()
    index, *more = sources.indexes or (PYPI,)
    settings = {"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": " ".join(more)}
    settings["PIP_FIND_LINKS"] = " ".join(map(str, sources.folders))
    settings["PIP_PROXY"] = sources.proxy or ""
    bound = [*sources.folders]
    bound += [Path(i.removeprefix("file://")).parent for i in (index, *more) if "file://" in i]
    if sources.cert:
        settings["PIP_CERT"] = "/etc/index-ca.pem"
        shutil.copy(sources.cert, base / "etc" / "index-ca.pem")
    proxies = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    settings |= {name: os.environ[name] for name in proxies if name in os.environ}
    nspawn, environment = _nspawn(base)
    _run(
        *("unshare", "--mount", "--propagation", "private"),
        *("sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"),
        *(*nspawn, "--directory", base, "--as-pid2", "--resolv-conf=copy-host"),
        *(f"--bind-ro={folder}" for folder in bound),
        *(f"--setenv={name}={value}" for name, value in settings.items() if value),
        *command,
        environment=environment,
    )


def _output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 -- called with what stands here


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(  # noqa: S603 -- called with what stands here
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ContainerError(f"{' '.join(map(str, command))}\n{done.stdout}")


def _say(what: str) -> None:
    sys.stdout.write(f"-- {what}\n")
    sys.stdout.flush()
