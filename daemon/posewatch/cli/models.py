"""`posewatch models`: which models there are, getting one, and what a card says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from posewatch.cli.progress import Bar
from posewatch.models.cache import ModelCache
from posewatch.models.cards import (
    AnyCard,
    DetectorNetwork,
    Input,
    PoseNetwork,
    TfliteNetwork,
    TopDownCard,
    WheelCard,
    card,
    list_cards,
)
from posewatch.models.pull import Stage, pull

app = typer.Typer(no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="As `models list` calls it, or the path of a card (.json)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

_TITLES = {
    Stage.WAIT: "Waiting for another pull",
    Stage.DOWNLOAD: "Downloading",
    Stage.CONVERT: "Preparing the networks",
    Stage.VERIFY: "Verifying the networks",
    Stage.INSTALL: "Installing",
}


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Every model that this version knows, and whether it is on this machine."""
    cache = ModelCache()
    rows = [
        {
            "name": known.name,
            "installed": cache.installed(known.name) is not None,
            "licence": known.licence,
            "title": known.title,
        }
        for known in list_cards()
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Name", "Installed", "Licence", "What it is"):
        table.add_column(column)
    for row in rows:
        installed = "[green]yes[/]" if row["installed"] else "no"
        table.add_row(str(row["name"]), installed, str(row["licence"]), str(row["title"]))
    Console().print(table)


@app.command("pull")
def pull_model(
    name: Name,
    given: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Its files, or a folder with them, on a machine without a way out.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Download a model, make it fit, verify it, and keep it on this machine."""
    cache = ModelCache()
    with Bar("Looking", Console(stderr=True)) as bar:
        model = pull(
            name,
            cache,
            lambda stage, done, total: bar.stage(_TITLES[stage], done, total),
            given=given or (),
        )
    Console(soft_wrap=True).print(Text(f"{name} is ready in {model.folder}"))


@app.command("show")
def show_model(name: Name, as_json: AsJson = False) -> None:
    """Source, licence, digests, inputs and keypoints of a model."""
    shown = card(name)
    installed = ModelCache().installed(name)
    if as_json:
        sys.stdout.write(shown.model_dump_json(indent=2) + "\n")
        return
    console = Console()
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    facts.add_row("name", shown.name)
    facts.add_row("what", shown.title)
    facts.add_row("licence", f"{shown.licence} ({shown.licence_source})")
    for what, value in _source(shown):
        facts.add_row(what, value)
    facts.add_row("installed", Text(str(installed.folder) if installed else "no"))
    parts = ", ".join(f"{part.name} {part.count}" for part in shown.components)
    facts.add_row("keypoints", f"{len(shown.keypoints)}: {parts}")
    if isinstance(shown, TopDownCard) and (off := shown.calibration) is not None:
        told = f"{off.median:g} px in the median, {off.most:g} for 95 %, {off.largest:g} at most"
        told += f"; {off.lost:.2%} found by one only; {off.frames:,} frames"
        facts.add_row("off by", f"{told} on {off.provider}" if off.provider else told)
    console.print(facts)
    networks = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for column in ("Network", "Input", "Range", "Bytes", "sha256"):
        networks.add_column(column, overflow="fold")
    for network in shown.networks:
        looks_at, values = _input(network)
        networks.add_row(network.name, looks_at, values, f"{network.size:,}", network.sha256)
    console.print()
    console.print(networks)
    console.print()
    for part in shown.components:
        names = ", ".join(part.names) if part.names else f"0 to {part.count - 1}, by number"
        console.print(f"[bold]{part.name}[/] ({part.count}): {names}", highlight=False)


def _source(shown: AnyCard) -> list[tuple[str, str]]:
    """Where a model comes from, in words: names and values."""
    if isinstance(shown, WheelCard):
        source = shown.source
        return [
            ("source", f"{source.package} {source.version}: {source.wheel}"),
            ("size", f"{source.size:,} bytes"),
            ("sha256", source.sha256),
        ]
    published = shown.source
    if published is None:
        return [("source", "none: the files have to be given by --from")]
    files = ", ".join(network.member for network in shown.networks)
    return [
        (
            "source",
            f"{published.endpoint}/{published.repository} at {published.revision}: {files}",
        ),
        ("size", f"{sum(network.size for network in shown.networks):,} bytes"),
    ]


def _input(network: TfliteNetwork | DetectorNetwork | PoseNetwork) -> tuple[str, str]:
    """What a network looks at, and in which range of values."""
    picture = network.input
    if isinstance(picture, Input):
        return f"{picture.size}x{picture.size} RGB", f"{picture.low:g}..{picture.high:g}"
    low = min((0 - mean) / std for mean, std in zip(picture.mean, picture.std, strict=True))
    high = max((255 - mean) / std for mean, std in zip(picture.mean, picture.std, strict=True))
    return f"{picture.width}x{picture.height} {picture.channels}", f"{low:.3g}..{high:.3g}"
