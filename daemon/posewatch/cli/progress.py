"""Progress bars. Off a terminal they say a line now and then, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

    from posewatch.service.overview import Overview


class _Shown:
    """Bars that are there for as long as the work lasts."""

    _progress: Progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


class Bar(_Shown):
    """One bar for one piece of work; gone when it is done.

    Args:
        title: what is being done.
        console: where to show it.
    """

    def __init__(self, title: str, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=None)

    def alive(self) -> None:
        """It goes on."""
        self._progress.update(self._task)

    def advance(self, done: int, total: int | None) -> None:
        """So much of it is done."""
        self._progress.update(self._task, completed=done, total=total)

    def stage(self, title: str, done: int, total: int | None) -> None:
        """Another part of it, and how much of that is done."""
        self._progress.update(self._task, description=title, completed=done, total=total)


class DrainView(_Shown):
    """Videos done, frames a second and time left of `run --until-idle`.

    Args:
        console: where to show it. Log lines that go to the same stream stay above the bar.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("videos"),
            TextColumn("[cyan]{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("Working", total=None, rate="", left="?")

    def show(self, now: Overview) -> None:
        """Bring it up to date."""
        self._progress.update(
            self._task,
            completed=now.finished,
            total=now.videos or None,
            description=f"[red]{now.failed} failed[/]" if now.failed else "Working",
            rate=f"{now.frames_per_second:.1f} frames/s" if now.frames_per_second else "",
            left=_duration(now.seconds_left),
        )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
