"""Gets a model onto this machine: download, unpack, convert, verify, install.

Nothing of it is seen in the cache before all of it is there. A pull that is killed, at whatever
moment, leaves at most a hidden folder that the next one sweeps; parallel pulls do the work once.
"""

from __future__ import annotations

import errno
import hashlib
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING, Protocol

from posewatch import __version__
from posewatch.base.errors import ModelError
from posewatch.models.cache import (
    CONVERTER_VERSION,
    MANIFEST,
    InstalledModel,
    Manifest,
    ManifestFile,
    file_name,
)
from posewatch.models.cards import Card, card
from posewatch.models.download import download
from posewatch.models.wheel import check_wheel, read_networks

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.models.cache import ModelCache


class Stage(StrEnum):
    """What a pull is doing."""

    WAIT = "wait"  # for another pull on this machine
    DOWNLOAD = "download"  # in bytes
    CONVERT = "convert"  # in networks
    VERIFY = "verify"  # in networks
    INSTALL = "install"


class Progress(Protocol):
    """Where a pull tells how far it is."""

    def __call__(self, stage: Stage, done: int, total: int) -> None:
        """`done` of `total`, in the stage's unit."""


def _silent(stage: Stage, done: int, total: int) -> None:
    """The progress that nobody looks at."""


def pull(
    name: str, cache: ModelCache, progress: Progress = _silent, *, wheel: Path | None = None
) -> InstalledModel:
    """Install a model, unless it is there and undamaged.

    Args:
        name: of its card.
        cache: where to install it.
        progress: told how far it is.
        wheel: the card's wheel, where it is on this machine already; else it is downloaded.

    Raises:
        ModelError: whatever went wrong. The cache is as it was.
    """
    wanted = card(name)
    if model := _undamaged(name, cache):
        cache.tidy()
        return model
    try:
        with cache.building(lambda: progress(Stage.WAIT, 0, 1)) as folder:
            if model := _undamaged(name, cache):  # somebody else was quicker
                return model
            if wheel is None:
                downloads = folder / "download"
                downloads.mkdir()
                progress(Stage.DOWNLOAD, 0, wanted.source.size)
                wheel = download(
                    wanted, downloads, lambda done, total: progress(Stage.DOWNLOAD, done, total)
                )
            else:
                check_wheel(wheel, wanted)
            built = folder / "model"
            built.mkdir()
            _build(wanted, read_networks(wheel, wanted), built, progress)
            progress(Stage.INSTALL, 0, 1)
            cache.install(wanted, built)
            progress(Stage.INSTALL, 1, 1)
    except OSError as error:
        raise _disk_error(cache.root, error) from error
    return cache.require(name)


def _undamaged(name: str, cache: ModelCache) -> InstalledModel | None:
    model = cache.installed(name)
    if model is None:
        return None
    try:
        model.verify()
    except ModelError:
        return None
    return model


def _build(card: Card, files: dict[str, bytes], folder: Path, progress: Progress) -> None:
    """Convert and verify every network into `folder`, and write its manifest."""
    # Only here: the packages that convert are large, and a daemon never needs them.
    from posewatch.models.convert import convert  # noqa: PLC0415 - see above
    from posewatch.models.mend import mend  # noqa: PLC0415 - see above
    from posewatch.models.tflite_reader import read_graph  # noqa: PLC0415 - see above
    from posewatch.models.verify import verify_network  # noqa: PLC0415 - see above

    total = len(card.networks)
    made: dict[str, ManifestFile] = {}
    for done, network in enumerate(card.networks):
        progress(Stage.CONVERT, done, total)
        net = convert(read_graph(files[network.name]), network)
        mend(net)
        data = net.to_onnx().SerializeToString(deterministic=True)
        (folder / file_name(network.name)).write_bytes(data)
        made[network.name] = ManifestFile(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    progress(Stage.CONVERT, total, total)
    for done, network in enumerate(card.networks):
        progress(Stage.VERIFY, done, total)
        verify_network(folder / file_name(network.name), network)
    progress(Stage.VERIFY, total, total)
    manifest = Manifest(
        card=card.digest,
        converter=CONVERTER_VERSION,
        made_with={"posewatch": __version__}
        | {package: metadata.version(package) for package in ("onnx", "numpy")},
        networks=made,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _disk_error(root: Path, error: OSError) -> ModelError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ModelError(
            f"No space is left for models in {root}",
            hint="About 150 MB are needed; POSEWATCH_MODELS can name another folder.",
        )
    return ModelError(
        f"Cannot keep models in {root}: {error.strerror or error}",
        hint="POSEWATCH_MODELS can name another folder.",
    )
