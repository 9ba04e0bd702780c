"""What the commands print for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from posewatch.service.checkup import Level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from posewatch.service.checkup import Finding
    from posewatch.service.inspect import FolderStatus
    from posewatch.service.overview import Overview
    from posewatch.stages.preview import Summary

LISTED = 20
"""Rows of one kind that are shown unless all are asked for."""


def shown(text: str) -> str:
    """Text that cannot move the cursor or forge a line: what does not print is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_status(status: FolderStatus, console: Console, *, everything: bool) -> None:
    """Counts, then who works on what, then what failed and why."""
    console.print(
        Text.assemble(
            ("waiting ", "dim"), (f"{len(status.waiting)}   ", "bold"),
            ("claimed ", "dim"), (f"{len(status.claimed)}   ", "bold cyan"),
            ("done ", "dim"), (f"{len(status.done)}   ", "bold green"),
            ("failed ", "dim"), (f"{len(status.failed)}", "bold red" if status.failed else "bold"),
        )
    )  # fmt: skip
    if status.done:
        footage = _span(status.footage_seconds)
        console.print(f"{status.frames:,} frames, {footage} of video are done", style="dim")
    limit = None if everything else LISTED
    if status.claimed:
        table = _table("Claimed", "by", "for", "last sign", "frames")
        for claim in status.claimed[:limit]:
            attempt = f" (attempt {claim.attempt})" if claim.attempt > 1 else ""
            table.add_row(
                Text(shown(claim.name)),
                Text(shown(f"{claim.host}, process {claim.pid}{attempt}")),
                _span(claim.held_seconds),
                f"{_span(claim.beat_seconds)} ago",
                _frames(claim.frames, claim.total),
            )
        _print(table, len(status.claimed), limit, console)
    if status.failed:
        table = _table("Failed", "why")
        for failure in status.failed[:limit]:
            why = Text(shown(failure.message))
            if failure.hint:
                why.append(f"\n{shown(failure.hint)}", style="dim")
            table.add_row(Text(shown(failure.name)), why)
        _print(table, len(status.failed), limit, console)
    lists = {
        "Waiting": status.waiting,
        "Done": status.done if everything else [],
        "Could not be looked at": status.unlisted,
    }
    for title, names in lists.items():
        if names:
            table = _table(title)
            for name in names[:limit]:
                table.add_row(Text(shown(name)))
            _print(table, len(names), limit, console)


def _print(table: Table, count: int, limit: int | None, console: Console) -> None:
    console.print()
    console.print(table)
    if limit is not None and count > limit:
        console.print(f"… and {count - limit} more; --all lists them", style="dim")


def _span(seconds: float) -> str:
    # Clocks of two machines differ: a sign from the future was a moment ago.
    seconds = max(seconds, 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _frames(done: int | None, total: int | None) -> str:
    if done is None:
        return "not begun"
    return f"{done:,} of {total:,}" if total else f"{done:,}"


def print_summary(summary: Overview, console: Console) -> None:
    """The last line of `run --until-idle`."""
    words = f"{summary.done} done, {summary.failed} failed"
    if summary.frames:
        words += f"; {summary.frames:,} frames, {summary.frames_per_second:.1f} a second"
    console.print(words, style="red" if summary.failed else "green", highlight=False)
    if summary.unlisted:
        what = _count(summary.unlisted, "folder or file", "folders or files")
        console.print(f"{what} could not be looked at; the log tells which", style="red")
    if summary.refused:
        what = _count(summary.refused, "video is", "videos are")
        console.print(f"{what} where nothing can be written; the log tells why", style="red")
    if summary.interrupted and summary.waiting:
        what = _count(summary.waiting, "video is", "videos are")
        console.print(f"interrupted; {what} left", style="red")
    if summary.failed:
        console.print("posewatch status tells why; posewatch retry forgets failures", style="dim")


def print_findings(findings: Iterable[Finding], console: Console) -> None:
    """What `doctor` found, as it comes."""
    styles = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}
    for finding in findings:
        style = styles[finding.level]
        line = Text.assemble((f"{finding.level.value:<8}", style), (f"{finding.about}: ", "bold"))
        console.print(line.append(shown(finding.said)), soft_wrap=True)
        if finding.hint:
            console.print(Text(f"{'':8}{shown(finding.hint)}", style="dim"), soft_wrap=True)


def print_forgotten(names: Iterable[str], console: Console) -> None:
    """The answer of `retry`."""
    count = 0
    for count, name in enumerate(names, start=1):  # noqa: B007 -- the count is used after the loop
        console.print(Text(shown(name)))
    what = _count(count, "failure", "failures")
    console.print(f"{what} forgotten", style="green" if count else "dim")


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def print_result(summary: Summary, console: Console) -> None:
    """A pose file in words."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in summary.lines():
        table.add_row(Text(shown(name)), Text(shown(value)))
    console.print(table)
