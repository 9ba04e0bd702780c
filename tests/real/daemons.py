"""Real daemons for tests: processes that are started, killed, paused and listened to.

Nothing here sleeps for luck: every wait polls a condition until a deadline, and says then what it
had waited for.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from watchdog.events import FileCreatedEvent, FileMovedEvent, FileSystemEventHandler
from watchdog.observers import Observer

import posewatch
from posewatch.claims.names import input_of_lock
from posewatch.formats import names, receipt
from posewatch.storage.contract import is_hidden
from videos import make_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from watchdog.events import FileSystemEvent

    from posewatch.formats.receipt import Receipt
    from posewatch.models.cache import InstalledModel

T = TypeVar("T")

Settings = dict[str, dict[str, Any]]

POLL = 0.02
"""Seconds between two looks at a condition."""

PATIENCE = 60.0
"""Seconds until a condition is given up. None should come near; a busy machine gets time."""

PROGRAM = (sys.executable, "-P", "-c", "from posewatch.cli.main import main; main()")

WITHOUT_POWERS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Starts a program to which permissions mean something, even if it is root's."""


def until(
    condition: Callable[[], T],
    what: str | Callable[[], str],
    seconds: float = PATIENCE,
    every: float = POLL,
) -> T:
    """Poll until the condition gives something true, and return that.

    Args:
        condition: is tried again and again.
        what: it means, in words.
        seconds: after which to give up.
        every: so many seconds it is tried.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {seconds:g} s in vain: {told}")
        time.sleep(every)
    return found


@dataclass(frozen=True, slots=True)
class Home:
    """Where the daemons of one test keep their own things.

    Attributes:
        path: a folder for settings, logs and caches.
        models: the cache that holds the model.
        starter: a program that starts them.
    """

    path: Path
    models: Path
    starter: tuple[str, ...] = ()

    def environ(self) -> dict[str, str]:
        """Nothing of the caller's settings, and the sources or the installed package."""
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "LC_ALL", "TMPDIR"}}
        return {
            **kept,
            "HOME": os.fspath(self.path),
            "POSEWATCH_MODELS": os.fspath(self.models),
            "PYTHONPATH": os.fspath(Path(posewatch.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `posewatch` to its end."""
        return subprocess.run(  # noqa: S603 -- our own program
            [*self.starter, *PROGRAM, *(os.fspath(argument) for argument in arguments)],
            env=self.environ(),
            cwd=self.path,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=2 * PATIENCE,
            check=False,
        )


def write_settings(path: Path, settings: Settings, cache: Path) -> None:
    """Settings for tests: quick scans, a short lease, a cache of one's own, any free port."""
    merged: Settings = {
        "watch": {"scan_interval": 0.25, "settle": 0.05},
        "claims": {"ttl": 3.0},
        "work": {"videos_in_flight": 2, "device": "cpu", "grace": 20.0},
        "cache": {"path": os.fspath(cache)},
        "http": {"port": 0},
        "log": {"style": "json", "level": "debug"},
    }
    for section, values in settings.items():
        merged[section] = {**merged.get(section, {}), **values}
    # JSON's strings, numbers, booleans and arrays are TOML's, too.
    lines = [
        f"[{section}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items())
        for section, values in merged.items()
    ]
    path.write_text("\n".join(lines))


class Daemon:
    """One `posewatch run`, which may be started again after its end.

    Args:
        folder: what it watches; or the address of a bucket.
        home: where it keeps its things.
        name: tells it from the others.
        settings: those that differ from `write_settings`.
        arguments: for the command line.
    """

    def __init__(
        self,
        folder: Path | str,
        home: Home,
        name: str,
        settings: Settings | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.name = name
        self.settings_file = home.path / f"{name}.toml"
        self.starts = 0
        self._home = home
        self._cache = home.path / f"{name}-cache"
        self._log_file = home.path / f"{name}.log"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: list[dict[str, Any]] = []
        self._read = 0
        self._start_line = 0
        self.configure(settings or {})

    def configure(self, settings: Settings) -> None:
        """Write the settings file anew; a running daemon reads it at SIGHUP."""
        write_settings(self.settings_file, settings, self._cache)

    # Its life

    def start(self) -> Self:
        """Start it; `ready` tells when it works."""
        assert self._process is None, f"{self.name} runs already"
        self.starts += 1
        self._start_line = len(self.log())
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own program
                [
                    *(*self._home.starter, *PROGRAM, "run", os.fspath(self.folder)),
                    *("--config", os.fspath(self.settings_file), *self._arguments),
                ],
                env=self._home.environ(),
                cwd=self._home.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # a terminal's Ctrl-C is for the tests
            )
        return self

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; its exit status."""
        assert self._process is not None
        until(lambda: not self.runs, lambda: f"{self.name} ends\n{self.told()}", seconds)
        status = self._process.wait()
        self._process = None
        return status

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.send(signal.SIGKILL)
        self.ended()

    def stop(self, seconds: float = PATIENCE) -> int:
        """SIGTERM, and wait for the end; its exit status."""
        self.send(signal.SIGTERM)
        return self.ended(seconds)

    def pause(self) -> None:
        """SIGSTOP; returns when it stands."""
        self.send(signal.SIGSTOP)
        stat = Path(f"/proc/{self.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it stands")

    def go_on(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def end(self) -> None:
        """Whatever it does, it is gone afterwards."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def decoders(self) -> list[int]:
        """Its decoder processes; not those that are only about to become one."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
                command = process.joinpath("cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if int(parent) == self.pid and b"decoder_process" in command:
                found.append(int(process.name))
        return found

    # What it says

    def log(self) -> list[dict[str, Any]]:
        """Every line that it ever logged, over all its lives."""
        if self._log_file.exists():
            with self._log_file.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            new = new[: new.rfind(b"\n") + 1]
            self._read += len(new)
            self._lines += [_parsed(line) for line in new.splitlines()]
        return self._lines

    def said(self, message: str, **wanted: object) -> list[dict[str, Any]]:
        """The lines of its present or last life that begin with this message and have these fields.

        A killed daemon may leave half a line; that has no message.
        """
        return [
            line
            for line in self.log()[self._start_line :]
            if line["message"].startswith(message)
            and all(line.get(name) == value for name, value in wanted.items())
        ]

    def says(self, message: str, seconds: float = PATIENCE, **wanted: object) -> dict[str, Any]:
        """Wait until it says so; the first such line."""
        assert self._process is not None

        def found() -> list[dict[str, Any]]:
            lines = self.said(message, **wanted)
            assert lines or self.runs, f"{self.name} ended; waited for {message!r}\n{self.told()}"
            return lines

        wish = f"{self.name} says {message!r} {wanted or ''}"
        return until(found, lambda: f"{wish}\n{self.told()}", seconds)[0]

    def told(self, lines: int = 30) -> str:
        """The end of its log, for the message of a failed assertion."""
        return "\n".join(f"    {line}" for line in self.log()[-lines:])

    def ready(self) -> Self:
        """Wait until it watches."""
        self.says("watching")
        return self

    # What it serves

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages."""
        url = self.says("metrics and health are served")["address"]
        try:
            with urllib.request.urlopen(f"{url.rstrip('/')}{path}", timeout=10) as answer:  # noqa: S310 -- loopback
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()

    def is_ready(self) -> None:
        """Wait until it says so."""
        until(lambda: self.get("/readyz")[0] == 200, "it is ready again", every=0.2)

    def is_not_ready(self, why: str) -> None:
        """Wait until it says that it is not ready, and why; it lives all the same."""

        def refuses() -> bool:
            status, text = self.get("/readyz")
            return status == 503 and why in text

        until(refuses, lambda: f"{why!r}: {self.get('/readyz')}\n{self.told()}", every=0.2)
        assert self.get("/healthz")[0] == 200

    def metric(self, name: str, **labels: str) -> float:
        """The value of one metric; 0 where no such series has begun yet."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for line in self.get("/metrics")[1].splitlines():
            series, _, value = line.rpartition(" ")
            found, _, rest = series.partition("{")
            if found == name and wanted <= set(rest.rstrip("}").split(",")):
                return float(value)
        return 0.0


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {"message": f"(no JSON: {line.decode(errors='replace')})"}
    assert isinstance(found, dict)
    return found


@dataclass(slots=True)
class Fleet:
    """The daemons of one test; all are gone when it is over.

    Attributes:
        home: where they keep their things.
        daemons: all of them.
    """

    home: Home
    daemons: list[Daemon] = field(default_factory=list)

    @classmethod
    def at(cls, path: Path, model: InstalledModel, starter: tuple[str, ...] = ()) -> Self:
        """One that keeps its things in `path`."""
        return cls(Home(path, model.folder.parent, starter))

    def daemon(
        self,
        folder: Path | str,
        settings: Settings | None = None,
        *arguments: str,
        name: str = "",
    ) -> Daemon:
        """Another daemon, not yet started."""
        name = name or f"daemon-{len(self.daemons)}"
        made = Daemon(folder, self.home, name, settings, arguments)
        self.daemons.append(made)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for daemon in self.daemons:
            daemon.end()


# -- the folder -------------------------------------------------------------------------------


def put_video(path: Path, *, frames: int = 4, **wanted: Any) -> Path:  # noqa: ANN401 -- as it takes
    """A video that is there whole at once, under the eyes of daemons; see `make_video`."""
    hidden = path.with_name(f".{path.name}")
    return make_video(hidden, frames=frames, **wanted).rename(path)


def digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of each video below a folder that we may read, by its key."""
    return {
        os.fspath(path.relative_to(folder)): digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and os.access(path, os.R_OK)
        and names.is_input(path.name, (".mp4", ".mov", ".mkv", ".webm"))
    }


def receipt_of(video: Path) -> Receipt | None:
    """The receipt beside a video, or None."""
    try:
        return receipt.decode(Path(names.receipt_key(os.fspath(video))).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def failure_of(video: Path) -> receipt.FailureRecord | None:
    """The failure beside a video, or None."""
    found = receipt_of(video)
    return found.failure if found is not None else None


def finished(videos: Iterable[Path]) -> bool:
    """Whether each has a receipt for what it is now."""
    for video in videos:
        found = receipt_of(video)
        if found is None or found.input.tag != str(video.stat().st_mtime_ns):
            return False
    return True


def assert_whole(video: Path, frames: int | None = None) -> Receipt:
    """The receipt of a video tells of results, and those are there, whole, and can be read."""
    found = receipt_of(video)
    assert found is not None, f"{video} has no receipt"
    assert found.failure is None, f"{video} failed: {found.failure}"
    assert found.outcome == "done"
    assert found.input.name == video.name
    assert found.input.sha256 == digest(video)
    assert found.results
    for result in found.results:
        path = video.with_name(result.name)
        assert path.stat().st_size == result.size
        assert digest(path) == result.sha256
        with np.load(path, allow_pickle=False) as content:
            count = len(content["timestamps"])
            assert content["frames"].shape == (count, 543, 3)
            assert content["visibility"].shape == (count, 543)
        assert count == found.work.frames
        assert frames in {None, count}
    return found


def leftovers(folder: Path) -> list[str]:
    """Lock files and hidden files below a folder: what must not be there when all is done."""
    # Path.rglob does not bear that a folder goes while it is listed.
    keys = [
        os.path.relpath(os.path.join(path, name), folder)  # noqa: PTH118 -- as os.walk gives it
        for path, folders, files in os.walk(folder)
        for name in (*folders, *files)
    ]
    return sorted(filter(is_leftover, keys))


def is_leftover(key: str) -> bool:
    """Whether it is a lock or hidden."""
    return is_hidden(key) or input_of_lock(key) is not None


class Commits(FileSystemEventHandler):
    """Counts how often each receipt got its name, by `link` or `rename`: the commits.

    Listens to the kernel, so that one that is replaced at once is counted, too.

    Args:
        folders: where; sub-folders must be named, too.
    """

    def __init__(self, *folders: Path) -> None:
        self.counts: Counter[str] = Counter()
        self._observer = Observer()
        wanted: list[type[FileSystemEvent]] = [FileCreatedEvent, FileMovedEvent]
        # Not recursive: watchdog's thread trips over staging directories that come and go.
        for folder in folders:
            self._observer.schedule(self, os.fspath(folder), event_filter=wanted)

    def on_created(self, event: FileSystemEvent) -> None:
        """A file was created, or linked."""
        self._count(event.src_path)

    def on_moved(self, event: FileSystemEvent) -> None:
        """A file was renamed."""
        self._count(event.dest_path)

    def _count(self, path: bytes | str) -> None:
        name = os.fsdecode(path)
        if name.endswith(names.RECEIPT_SUFFIX):
            self.counts[Path(name).name] += 1

    def __enter__(self) -> Mapping[str, int]:
        self._observer.start()
        return self.counts

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._observer.stop()
        self._observer.join()
