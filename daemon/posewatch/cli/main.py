"""The command line: arguments in, tables and progress bars out; what is done is done elsewhere.

Exit status: 0 all went well, 1 something failed (some videos, or the command itself), 2 wrong usage
or a wrong setting, 130 interrupted before it was done.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from posewatch import __version__, config
from posewatch.base import logs
from posewatch.base.errors import ModelError, PosewatchError, SettingsError
from posewatch.cli import models, tables
from posewatch.cli.progress import Bar, DrainView
from posewatch.service import build, inspect
from posewatch.service import derive as derived
from posewatch.service import show as results
from posewatch.service.checkup import Level

log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 and the number of the signal."""

app = typer.Typer(
    name="posewatch",
    help="Drop a video into a folder; its pose data appears beside it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(models.app, name="models", help="The models on this machine.")

Folder = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER", help="The watched folder, or s3://BUCKET/PREFIX.", show_default=False
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings in TOML.", show_default=False)
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"posewatch {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def run(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="FOLDER",
            help="The folder to watch, or s3://BUCKET/PREFIX.",
            show_default=False,
        ),
    ] = None,
    *,
    config_file: ConfigFile = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Work the folder off, then exit.")
    ] = False,
    pose: Annotated[
        config.PoseModel | None,
        typer.Option(help="mediapipe, or dwpose once it was pulled.", show_default=False),
    ] = None,
    mode: Annotated[
        config.PoseMode | None,
        typer.Option(
            help="Of mediapipe: static (as published datasets) or tracking (faster).",
            show_default=False,
        ),
    ] = None,
    single_writer: Annotated[
        bool, typer.Option("--single-writer", help="No other daemon watches FOLDER, for sure.")
    ] = False,
    share: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Work on the K-th of N shares of the videos, where claims are not safe.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Watch FOLDER and make pose data of every video in it, until stopped."""
    overrides: dict[str, dict[str, object]] = {"recipe": {}, "folder": {}}
    if pose is not None:
        overrides["recipe"]["pose"] = pose.value
    if mode is not None:
        overrides["recipe"]["mode"] = mode.value
    if single_writer:
        overrides["folder"]["single_writer"] = True
    if share is not None:
        overrides["folder"]["share"] = share

    def settings() -> config.Settings:
        return config.load(config_file, overrides)

    if until_idle:
        with DrainView(Console(stderr=True)) as view:
            summary = build.drain(settings(), folder, view.show)
        tables.print_summary(summary, Console())
        if summary.interrupted:
            raise typer.Exit(INTERRUPTED)
        raise typer.Exit(1 if summary.failed or summary.unlisted or summary.refused else 0)
    build.serve(settings, folder)


@app.command()
def status(
    folder: Folder,
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every video.")] = False,
) -> None:
    """Tell what is waiting, worked on, done and failed in FOLDER; needs no running daemon."""
    storage, settings = build.open_folder(folder, config_file)
    with Bar("Reading the folder", Console(stderr=True)) as bar:
        found = inspect.folder_status(
            storage, settings.watch.suffixes, build.system_clock(), bar.alive
        )
    if as_json:
        # ASCII: a name that is not UTF-8 has no other spelling.
        sys.stdout.write(json.dumps(found.to_json(), indent=2) + "\n")
    else:
        tables.print_status(found, Console(), everything=everything)


@app.command()
def retry(
    folder: Folder,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Videos, as status names them, or paths; default: all failures.",
            show_default=False,
        ),
    ] = None,
    config_file: ConfigFile = None,
) -> None:
    """Forget failures, so that the videos are tried again."""
    storage, _ = build.open_folder(folder, config_file)
    asked = {name: inspect.meant(Path(folder), name, Path.cwd()) for name in names or []}
    forgotten = inspect.forget_failures(storage, asked or None)
    tables.print_forgotten(forgotten.names, Console())
    for error in forgotten.refused:
        _complain(error)
    if forgotten.missing:
        missing = ", ".join(tables.shown(name) for name in forgotten.missing)
        raise PosewatchError(f"no failure is recorded for {missing}")
    if forgotten.refused:
        raise typer.Exit(1)


@app.command()
def doctor(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="FOLDER",
            help="The folder, or s3://BUCKET/PREFIX.",
            show_default=False,
        ),
    ] = None,
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at settings, FOLDER and this machine: what is well, what is not, what to change."""
    with Bar("Looking", Console(stderr=True)) as bar:
        found = list(build.examine(config_file, folder, bar.alive))
    if as_json:
        sys.stdout.write(json.dumps([finding.to_json() for finding in found], indent=2) + "\n")
    else:
        tables.print_findings(found, Console())
    if any(finding.level is Level.ERROR for finding in found):
        raise typer.Exit(1)


@app.command()
def show(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A .npz that posewatch made.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Draw it: a .mp4 or a .png.", show_default=False),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(help="The video, where it is not beside the result.", show_default=False),
    ] = None,
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell in words what RESULT holds, and draw the skeleton over its video."""
    summary = results.summarise(result)
    if as_json:
        sys.stdout.write(json.dumps(summary.to_json(), indent=2) + "\n")
    else:
        tables.print_result(summary, Console())
    if output is not None:
        with Bar("Drawing", Console(stderr=True)) as bar:
            results.render(result, video, output, config.load(config_file), bar.advance)
        if not as_json:
            typer.echo(f"Drawn to {output}")


@app.command()
def derive(
    files: Annotated[
        list[Path], typer.Argument(metavar="RESULT...", help="Results of the recipe dwpose.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="A new file, or (for several results) a folder.",
            show_default=False,
        ),
    ],
    signer: Annotated[
        config.SignerRule, typer.Option(help="Who comes first.")
    ] = config.SignerRule.LARGEST,
    people: Annotated[
        int | None,
        typer.Option(min=1, help="How many to keep. Default: all.", show_default=False),
    ] = None,
) -> None:
    """Choose anew who comes first in RESULT, without inference. RESULT stays as it is."""
    with Bar("Choosing", Console(stderr=True)) as bar:
        for source, made in derived.names(files, output):
            derived.derive(source, made, signer, people, bar.alive)
            typer.echo(f"{tables.shown(os.fspath(source))} -> {tables.shown(os.fspath(made))}")


def main() -> None:
    """The `posewatch` command."""
    try:
        app(prog_name="posewatch")
    except (SettingsError, ModelError) as error:
        _complain(error)
        sys.exit(2)
    except PosewatchError as error:
        _complain(error)
        sys.exit(1)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EIO} or error.filename is not None:
            raise
        # Nothing else writes without a name.
        _complain(PosewatchError(f"could not write the output: {error.strerror}"))
        sys.exit(1)


def _complain(error: PosewatchError) -> None:
    if logs.leads_to_journal(sys.stderr, os.environ):
        logs.configure()
        log.critical("posewatch ends", exc_info=error)
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("[bold red]error:[/] ", end="")
    # Not as a str: rich would make an emoji of `KEY:KEY:SECRET`.
    console.print(Text(tables.shown(error.message)))
    if error.hint:
        console.print(Text(tables.shown(error.hint)))
