"""What stops an idle machine: the world around the decision in `service.idle`.

Threads: the loop calls `turn` and `acted`; the act itself has a thread of its own, which may take
its time, and hands what came of it to `done`. `words` is one reference, for anybody to read.

Several daemons on one machine agree by a lock on a file beside the operator's: each that has
something to do holds it, shared, and the kernel lets go of it when a daemon dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import PosewatchError
from posewatch.base.logs import fields
from posewatch.service.idle import Act, Idling, Limits, Turn
from posewatch.storage.ec2 import stop_this_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics
    from posewatch.config import IdleSettings

log = logging.getLogger(__name__)

STILL_HERE: Final = 600.0
"""Seconds that a machine may take to go down, at least, before it is told again."""

TAKEN_WITHIN: Final = 30.0
"""Seconds in which `posewatch-poweroff.service` takes a request."""

COMMAND_SECONDS: Final = 600.0
"""Seconds that a command may take."""

REQUEST: Final = "poweroff"
"""Name of the request in the runtime directory; `posewatch-poweroff.path` waits for it."""

_SYSTEMCTL: Final = ("systemctl", "--check-inhibitors=yes", "poweroff")


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of the act.

    Attributes:
        error: what is wrong, if it did not work.
    """

    error: PosewatchError | None


class Idler:
    """Warns, looks once more, and acts.

    Args:
        clock: the time.
        metrics: the numbers.
        act: does what the settings say.
        done: takes what came of it; called from another thread.
    """

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        act: Callable[[IdleSettings], None],
        done: Callable[[Acted], None],
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._act = act
        self._done = done
        self._idling = Idling()
        self._awake = _Awake()
        self._kept_on = ""
        self.words = ""

    def turn(self, settings: IdleSettings, busy: str, looked: float) -> bool:
        """The loop made a turn; whether the folder is to be looked at once more, now.

        Args:
            settings: as they are now.
            busy: what there is to do, or why that is not known; empty where there is nothing.
            looked: when the last whole look at the folder began.
        """
        alone = self._awake.alone(settings.stay.with_name("awake"), busy=bool(busy))
        if settings.action == "none":
            self.words = ""
            self._metrics.idle_seconds.set(0)
            return False
        now, limits = self._clock.monotonic(), _limits(settings)
        kept_on = _in_the_way(settings.stay)
        other = "" if alone else "another daemon of this machine has something to do"
        held = kept_on or other
        act = self._idling.turn(Turn(now, busy, held, looked), limits)
        self._metrics.idle_seconds.set(self._idling.seconds(now))
        self._tell(act, settings, busy or held)
        if kept_on != self._kept_on:
            self._kept_on = kept_on
            if kept_on:
                log.info("the machine stays on", extra=fields(reason=kept_on))
        left = self._idling.left(now, limits)
        self.words = "" if left is None or busy else _words(left, held, settings)
        if act is Act.FIRE:
            threading.Thread(
                target=self._run, args=(settings,), name="idle-act", daemon=True
            ).start()
        return act is Act.LOOK

    def acted(self, acted: Acted) -> None:
        """The act has come to its end."""
        if acted.error is None:
            log.info("the machine was told to stop")
            return
        self._idling.failed(self._clock.monotonic())
        log.error("the machine could not be told to stop", exc_info=acted.error)

    def _tell(self, act: Act, settings: IdleSettings, why: str) -> None:
        told = fields(reason=settings.action, seconds=settings.grace)
        if act is Act.WARN:
            log.warning("nothing to do; the machine will be stopped", extra=told)
        elif act is Act.CALL_OFF:
            reason = why or "posewatch itself had stood still"
            log.warning("the machine is not stopped after all", extra=fields(reason=reason))
        elif act is Act.FIRE:
            log.warning("the machine is stopped now", extra=fields(reason=settings.action))

    def _run(self, settings: IdleSettings) -> None:
        error: PosewatchError | None = None
        try:
            self._act(settings)
        except PosewatchError as refusal:
            error = refusal
        self._done(Acted(error))


def _limits(settings: IdleSettings) -> Limits:
    seconds = 60.0 * settings.minutes
    # Only a command may leave the machine running, and be right.
    again = None if settings.action == "command" else max(seconds, STILL_HERE)
    return Limits(idle=seconds, grace=settings.grace, again=again)


def _words(left: float, held: str, settings: IdleSettings) -> str:
    what = "the command of [idle] is run" if settings.action == "command" else "the machine stops"
    if held:
        return f"Nothing to do, but {held}: the machine stays on."
    time = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min"
    return f"Nothing to do: {what} in {time}, unless a video comes or {settings.stay} is made."


def _in_the_way(stay: Path) -> str:
    """Who keeps the machine on; where that cannot be seen, somebody does."""
    try:
        stay.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"{stay} cannot be looked at ({error.strerror})"
    return f"{stay} is there"


class _Awake:
    """The lock that daemons with something to do hold."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: int | None = None

    def alone(self, path: Path, *, busy: bool) -> bool:
        """Hold the lock while busy; while not, whether nobody holds it.

        Args:
            path: of the lock. Where it cannot be made, there are no others.
            busy: whether this daemon has something to do.
        """
        file = self._open(path)
        if file is None:
            return True
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if busy else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:  # somebody else; while busy, somebody who looks whether he is alone
            return False
        if not busy:
            fcntl.flock(file, fcntl.LOCK_UN)
        return True

    def _open(self, path: Path) -> int | None:
        if path != self._path:
            if self._file is not None:
                os.close(self._file)
            self._path, self._file = path, None
        if self._file is None:
            flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                self._file = os.open(path, flags, 0o644)
            except OSError:
                return None
        return self._file


# What is done in the end


def act(settings: IdleSettings, environ: Mapping[str, str], clock: Clock) -> None:
    """Do what the settings say; returns when it is done, or has begun.

    Args:
        settings: of `[idle]`.
        environ: of this process: `RUNTIME_DIRECTORY` tells that it is a service.
        clock: the time.

    Raises:
        PosewatchError: it did not work.
    """
    match settings.action:
        case "command":
            _command(settings.command)
        case "poweroff" if folder := environ.get("RUNTIME_DIRECTORY", "").split(":")[0]:
            _request(Path(folder, REQUEST), clock)
        case "poweroff":
            _command(_SYSTEMCTL)
        case "ec2-stop" | "ec2-terminate":
            stop_this_instance(terminate=settings.action == "ec2-terminate", environ=environ)


def forget_request(environ: Mapping[str, str]) -> None:
    """Remove a request of an earlier life, of which nobody knows any more whether it holds."""
    if folder := environ.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        Path(folder, REQUEST).unlink(missing_ok=True)


def _command(command: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 -- the operator's own command, and no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except OSError as error:
        raise PosewatchError(
            f"{command[0]} cannot be run: {error.strerror}", hint="See [idle] command"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PosewatchError(f"{command[0]} took longer than {COMMAND_SECONDS:g} s") from error
    if done.returncode:
        said = done.stdout.strip().splitlines()[-1:] or ["nothing"]
        raise PosewatchError(f"{command[0]} ended with {done.returncode} and said: {said[0]}")


def _request(path: Path, clock: Clock) -> None:
    """Ask for what only root may do; whoever takes the request removes it."""
    never = threading.Event()
    until = clock.monotonic() + TAKEN_WITHIN
    try:
        path.touch()
        while path.exists():
            if clock.monotonic() >= until:
                path.unlink(missing_ok=True)
                raise PosewatchError(
                    f"nobody has taken the request {path}",
                    hint="systemctl enable --now posewatch-poweroff.path",
                )
            clock.wait(never, 0.5)
    except OSError as error:
        raise PosewatchError(f"{path} cannot be made: {error.strerror}") from error
