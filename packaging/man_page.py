"""Writes posewatch(1) out of what `posewatch --help` says, command by command.

Run by a Python that has posewatch; the page goes to standard output.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from posewatch import __version__
from posewatch.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = """\
.SH FILES
.TP
.I /etc/posewatch/posewatch.toml
Settings of posewatch.service; those of an instance are in /etc/posewatch/posewatch@NAME.toml.
.TP
.I /var/lib/posewatch/models
Models of the service (POSEWATCH_MODELS); those of a user are in ~/.cache/posewatch/models.
.TP
.I /usr/share/doc/posewatch
All else that is to be known: settings.md, operations.md, storage.md, formats.md and more.
"""


def escaped(text: str) -> str:
    """Text as roff takes it: no backslash, hyphen or leading dot of it means anything else."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in {".", "'"} else line for line in text.splitlines())


def section(command: Any, name: str, parent: Any = None) -> Iterator[str]:  # noqa: ANN401 -- typer's own kind of click has no public types
    """What the page says about a command and those below it."""
    context = command.context_class(command, info_name=name, parent=parent)
    subcommands = [command.get_command(context, each) for each in _below(command, context)]
    if subcommands and parent is None:
        yield f".SH DESCRIPTION\n{escaped(command.help)}\n.SH COMMANDS\n"
    elif not subcommands:
        usage = " ".join(command.collect_usage_pieces(context))
        yield f".SS {escaped(f'{context.command_path} {usage}')}\n{escaped(command.help or '')}\n"
        for parameter in command.get_params(context):
            if record := parameter.get_help_record(context):
                yield f".TP\n.B {escaped(record[0])}\n{escaped(record[1])}\n"
    for each in subcommands:
        yield from section(each, each.name, context)


def _below(command: Any, context: Any) -> list[str]:  # noqa: ANN401 -- as above
    return command.list_commands(context) if hasattr(command, "list_commands") else []


def page() -> str:
    """The whole page."""
    command = typer.main.get_command(app)
    head = (
        f'.TH POSEWATCH 1 "" "posewatch {__version__}"\n'
        ".SH NAME\nposewatch \\- turn the videos in a folder into pose data\n"
        ".SH SYNOPSIS\n.B posewatch\n.I COMMAND\n[OPTIONS] [ARGUMENTS]\n"
    )
    return head + "".join(section(command, "posewatch")) + FILES


if __name__ == "__main__":
    sys.stdout.write(page())
