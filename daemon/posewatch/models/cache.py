"""The models on this machine.

A model is a folder below the cache's root, named after its card and the converter that made it, so
that several versions of posewatch can share a cache. A folder of that name is always whole:
`install` renames it into place when everything in it is on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import pwd
import secrets
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from posewatch.base.digest import sha256_of
from posewatch.base.errors import ModelError
from posewatch.models.cards import AnyCard, Sha256, WheelCard, card

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONVERTER_VERSION = 3
"""Raised whenever the conversion makes other files than before; a test notices when it was not."""

FOLD_VERSION = 2
"""Raised whenever the rewriting of published networks makes other files than before."""

MANIFEST = "manifest.json"
"""Written last: what a model's folder holds."""

_BUILD_PREFIX = ".pull-"
_LOCK = ".lock"


class ManifestFile(BaseModel):
    """An ONNX file of an installed model."""

    model_config = ConfigDict(frozen=True, strict=True)

    sha256: Sha256
    size: int


class Manifest(BaseModel):
    """What an installed model consists of.

    Attributes:
        card: digest of its card.
        converter: see `maker_version`.
        made_with: versions of the packages that converted it, for reports of errors.
        networks: its files, by network.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    card: Sha256
    converter: int
    made_with: dict[str, str]
    networks: dict[str, ManifestFile]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that is ready to be loaded.

    Attributes:
        card: what it is.
        folder: where it is.
        manifest: of what it consists.
    """

    card: AnyCard
    folder: Path
    manifest: Manifest

    @property
    def digests(self) -> Mapping[str, str]:
        """Sha256 of each ONNX file, by network; as recorded when it was installed."""
        return {name: file.sha256 for name, file in self.manifest.networks.items()}

    def network(self, name: str) -> Path:
        """The ONNX file of a network.

        Raises:
            ModelError: the model has no such network.
        """
        return self.folder / file_name(self.card.network(name).name)

    def verify(self) -> None:
        """Read every file and compare it with its digest.

        Raises:
            ModelError: a file is missing or was changed.
        """
        for name, digest in self.digests.items():
            path = self.network(name)
            try:
                found = sha256_of(path)
            except OSError as error:
                raise ModelError(
                    f"Cannot read {path}: {error.strerror}", hint=pull_hint(self.card.name)
                ) from error
            if found != digest:
                raise ModelError(
                    f"{path} was changed after it was made", hint=pull_hint(self.card.name)
                )


def maker_version(card: AnyCard) -> int:
    """Version of what makes the files of this model out of those on its card."""
    return CONVERTER_VERSION if isinstance(card, WheelCard) else FOLD_VERSION


def pull_hint(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """What to do about a model that is not there; it must arrive where this process looks."""
    told = environ.get("POSEWATCH_MODELS")
    where = f"POSEWATCH_MODELS={shlex.quote(told)} " if told else ""
    return f"Run: {where}posewatch models pull {name}"


def file_name(network: str) -> str:
    """Of the ONNX file of a network."""
    return f"{network}.onnx"


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Where models are kept unless it is said otherwise.

    `$POSEWATCH_MODELS`, else `posewatch/models` in `$XDG_CACHE_HOME`, else in `~/.cache`.

    Raises:
        ModelError: the user has no home.
    """
    if told := environ.get("POSEWATCH_MODELS"):
        return Path(told).absolute()
    # "All paths must be absolute. If … relative … consider the path invalid and ignore it" (XDG).
    if (cache_home := Path(environ.get("XDG_CACHE_HOME", ""))).is_absolute():
        return cache_home / "posewatch" / "models"
    home = Path(environ.get("HOME", ""))
    if not home.is_absolute():
        try:
            home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        except KeyError as error:
            raise ModelError(
                "There is no home to keep models in", hint="Set POSEWATCH_MODELS to a folder."
            ) from error
    return home / ".cache" / "posewatch" / "models"


class ModelCache:
    """The models below one folder.

    Args:
        root: the folder; need not exist. None for `default_root()`.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else root

    def folder(self, card: AnyCard) -> Path:
        """Where a model is, or would be: differs with its card and with the converter."""
        key = hashlib.sha256(f"{card.digest} {maker_version(card)}".encode()).hexdigest()
        return self.root / f"{card.name}-{key[:16]}"

    def installed(self, name: str) -> InstalledModel | None:
        """The model, if it is there and its files have the right sizes; see also `verify`.

        Raises:
            ModelError: no model has that name.
        """
        wanted = card(name)
        folder = self.folder(wanted)
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
            sizes = {
                network: (folder / file_name(network)).stat().st_size
                for network in manifest.networks
            }
        except (OSError, ValidationError):
            return None
        as_made = {network: file.size for network, file in manifest.networks.items()}
        complete = set(as_made) == {network.name for network in wanted.networks}
        if not complete or sizes != as_made:
            return None
        return InstalledModel(wanted, folder, manifest)

    def require(self, name: str) -> InstalledModel:
        """The model.

        Raises:
            ModelError: it is not installed; the hint says how to get it.
        """
        if (model := self.installed(name)) is None:
            raise ModelError(f"The model {name} is not in {self.root}", hint=pull_hint(name))
        return model

    @contextlib.contextmanager
    def building(self, waiting: Callable[[], None]) -> Iterator[Path]:
        """The right to install, and an empty folder to build in that vanishes afterwards.

        Only one process has it at a time; it ends with the process, however that ends. What killed
        processes left behind is swept.

        Args:
            waiting: called once if somebody else has it now.

        Raises:
            OSError: the cache cannot be written to.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._sweep()
            # Not mkdtemp: what is built here keeps the permissions that the umask gives.
            folder = self.root / f"{_BUILD_PREFIX}{secrets.token_hex(8)}"
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def tidy(self) -> None:
        """Sweep what killed processes left behind, unless somebody builds or it cannot be done."""
        with contextlib.suppress(OSError), (self.root / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sweep()

    def _sweep(self) -> None:
        for leftover in self.root.glob(f"{_BUILD_PREFIX}*"):
            # A pip that outlived its parent may still write there: the next pull sweeps it.
            shutil.rmtree(leftover, ignore_errors=True)

    def install(self, card: AnyCard, built: Path) -> None:
        """Give a model that was built its place, whole and durably. Only inside of `building`.

        What is there already is replaced: it was damaged, or it would not have been built again.

        Args:
            card: of the model.
            built: a folder with the manifest and every file that it names, on the same disk.

        Raises:
            OSError: the cache cannot be written to.
        """
        for path in built.iterdir():
            _sync(path)
        _sync(built)
        target = self.folder(card)
        try:
            built.rename(target)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                raise
            target.rename(built.with_name(f"damaged-{secrets.token_hex(8)}"))
            built.rename(target)
        _sync(self.root)


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require(name: str) -> InstalledModel:
    """`ModelCache.require`, in the default cache."""
    return ModelCache().require(name)
