"""Gets a model onto this machine: download, unpack, convert or rewrite, verify, install.

Nothing of it is seen in the cache before all of it is there. A pull that is killed, at whatever
moment, leaves at most a hidden folder that the next one sweeps; parallel pulls do the work once.
"""

from __future__ import annotations

import errno
import math
from enum import StrEnum
from importlib import metadata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from posewatch import __version__
from posewatch.base.digest import sha256_of
from posewatch.base.errors import ModelError
from posewatch.models.cache import (
    MANIFEST,
    InstalledModel,
    Manifest,
    ManifestFile,
    file_name,
    maker_version,
)
from posewatch.models.cards import TopDownCard, WheelCard, card
from posewatch.models.check import check_file
from posewatch.models.download import download
from posewatch.models.repository import fetch
from posewatch.models.wheel import check_wheel, read_networks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from posewatch.models.cache import ModelCache
    from posewatch.models.cards import AnyCard, DetectorNetwork, PoseNetwork


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
    name: str, cache: ModelCache, progress: Progress = _silent, *, given: Sequence[Path] = ()
) -> InstalledModel:
    """Install a model, unless it is there and undamaged.

    Args:
        name: of its card, or the path of a card of the user's own.
        cache: where to install it.
        progress: told how far it is.
        given: the card's files, or folders with them, where they are on this machine already; else
            they are downloaded.

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
            downloads, built = folder / "download", folder / "model"
            downloads.mkdir()
            built.mkdir()
            if isinstance(wanted, WheelCard):
                wheel = _wheel(wanted, given, downloads, progress)
                _convert(wanted, read_networks(wheel, wanted), built, progress)
            else:
                files = _published(wanted, given, downloads, progress)
                _rewrite(wanted, files, built, progress)
            _write_manifest(wanted, built)
            progress(Stage.INSTALL, 0, 1)
            cache.install(wanted, built)
            progress(Stage.INSTALL, 1, 1)
    except OSError as error:
        raise _disk_error(wanted, cache.root, error) from error
    return cache.require(name)


def _wheel(card: WheelCard, given: Sequence[Path], folder: Path, progress: Progress) -> Path:
    """The card's wheel, checked."""
    if given:
        wheel = _among(given, card.source.wheel, only=True)
        check_wheel(wheel, card)
        return wheel
    progress(Stage.DOWNLOAD, 0, card.source.size)
    return download(card, folder, lambda done, total: progress(Stage.DOWNLOAD, done, total))


def _published(
    card: TopDownCard, given: Sequence[Path], folder: Path, progress: Progress
) -> dict[str, Path]:
    """The published file of each network, checked."""
    if not given:
        progress(Stage.DOWNLOAD, 0, sum(network.size for network in card.networks))
        return fetch(card, folder, lambda done, total: progress(Stage.DOWNLOAD, done, total))
    files = {}
    for network in card.networks:
        path = files[network.name] = _among(given, network.member)
        check_file(path, network.size, network.sha256, hint="It is another file of that name.")
    return files


def _among(given: Sequence[Path], member: str, *, only: bool = False) -> Path:
    """A file of a card among files and folders.

    Args:
        given: what the user named.
        member: as the card calls the file, perhaps with folders before its name.
        only: it is the only file of its card, so that a single file may have any name.

    Raises:
        ModelError: it is not among them.
    """
    if only and len(given) == 1 and not given[0].is_dir():
        return given[0]
    name = PurePosixPath(member).name
    for path in given:
        for inside in (path / member, path / name):
            if inside.is_file():
                return inside
        if path.name == name and not path.is_dir():
            return path
    looked = ", ".join(str(path) for path in given)
    raise ModelError(f"There is no {name} in {looked}", hint="`models show` lists the files.")


def _undamaged(name: str, cache: ModelCache) -> InstalledModel | None:
    model = cache.installed(name)
    if model is None:
        return None
    try:
        model.verify()
    except ModelError:
        return None
    return model


def _convert(card: WheelCard, files: dict[str, bytes], folder: Path, progress: Progress) -> None:
    """Convert and verify every network of a wheel into `folder`."""
    # Only here: the packages that convert are large, and a daemon never needs them.
    from posewatch.models.convert import convert  # noqa: PLC0415 - see above
    from posewatch.models.mend import mend  # noqa: PLC0415 - see above
    from posewatch.models.tflite_reader import read_graph  # noqa: PLC0415 - see above
    from posewatch.models.verify import verify_network  # noqa: PLC0415 - see above

    total = len(card.networks)
    for done, network in enumerate(card.networks):
        progress(Stage.CONVERT, done, total)
        net = convert(read_graph(files[network.name]), network)
        mend(net)
        data = net.to_onnx().SerializeToString(deterministic=True)
        (folder / file_name(network.name)).write_bytes(data)
    progress(Stage.CONVERT, total, total)
    for done, network in enumerate(card.networks):
        progress(Stage.VERIFY, done, total)
        verify_network(folder / file_name(network.name), network)
    progress(Stage.VERIFY, total, total)


def _rewrite(card: TopDownCard, files: dict[str, Path], folder: Path, progress: Progress) -> None:
    """Rewrite and verify every published network into `folder`."""
    # Only here, as above.
    from posewatch.models.fold import fold, reduced  # noqa: PLC0415 - see above
    from posewatch.models.verify_fold import verify_fold  # noqa: PLC0415 - see above

    networks: tuple[DetectorNetwork | PoseNetwork, ...] = card.networks
    total = len(networks)
    for done, network in enumerate(networks):
        progress(Stage.CONVERT, done, total)
        published, made = files[network.name], folder / file_name(network.name)
        kind = reduced(published.read_bytes())
        if kind and card.calibration is None:
            raise ModelError(
                f"{network.member} computes in {kind}, and its card does not say how far off it is",
                hint='docs/models.md, "Reduced precision", tells how that is measured',
            )
        try:
            made.write_bytes(fold(published.read_bytes(), network, loosen=True))
            verify_fold(published, made, network)
        except ModelError:
            # Its batch may be more deeply in it than can be seen; as it is, it works all the same.
            made.write_bytes(fold(published.read_bytes(), network, loosen=False))
            verify_fold(published, made, network)
    progress(Stage.CONVERT, total, total)


def _write_manifest(card: AnyCard, folder: Path) -> None:
    networks = {}
    for network in card.networks:
        made = folder / file_name(network.name)
        networks[network.name] = ManifestFile(sha256=sha256_of(made), size=made.stat().st_size)
    manifest = Manifest(
        card=card.digest,
        converter=maker_version(card),
        made_with={"posewatch": __version__}
        | {package: metadata.version(package) for package in ("onnx", "numpy")},
        networks=networks,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _disk_error(card: AnyCard, root: Path, error: OSError) -> ModelError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ModelError(
            f"No space is left for models in {root}",
            hint=f"About {_space(card)} MB are needed; POSEWATCH_MODELS can name another folder.",
        )
    return ModelError(
        f"Cannot keep models in {root}: {error.strerror or error}",
        hint="POSEWATCH_MODELS can name another folder.",
    )


def _space(card: AnyCard) -> int:
    """Megabytes that a pull takes at its largest, rounded up."""
    if isinstance(card, WheelCard):
        return 150  # the wheel, pip's copy of it, what is unpacked and what is made
    return 10 * math.ceil(2 * sum(network.size for network in card.networks) / 1e7)
