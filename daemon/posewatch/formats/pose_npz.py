"""Pose files: `.npz` archives that `numpy.load(path, allow_pickle=False)` reads.

What is in them is written down in docs/formats.md. Writing needs a few megabytes whatever the
length of the video, and gives the same bytes for the same numbers. Reading trusts nothing: every
file that is not ours, or is broken, is a `PoseFileError`.
"""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib import format as npy

from posewatch.base.errors import PosewatchError
from posewatch.formats.compact import Compact, pack_confidences, unpack_confidences
from posewatch.formats.npz_members import (
    has_rows,
    header_of,
    members,
    next_array,
    shape_of,
    small_array,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

COMPRESSION_LEVEL = 1
"""Of deflate. Coordinates are nearly noise: level 9 saves 0.5 % more and takes a fifth longer."""

_PIECE = 1 << 20
_ZIP64_FROM = 1 << 30  # bytes of a member; below, the archive is readable by the simplest readers

_FRAMES, _TIMES, _FPS, _SIZE, _PROVENANCE = "frames", "timestamps", "fps", "size", "provenance"
_CONFIDENCES = ("visibility", "confidences")
_SCALE, _OFFSET = "scale", "offset"
_OWN = (_FRAMES, _TIMES, _FPS, _SIZE, _PROVENANCE, _SCALE, _OFFSET)


class PoseFileError(PosewatchError):
    """A file is not a pose file, or is a broken one."""


class PoseWriter:
    """Writes one pose file, piece by piece.

    Rows are collected in nameless files in the folder of `path`, which vanish with the process,
    and become an archive in `close`. Without `close`, or when it fails, nothing is left behind.

    Args:
        path: of the archive; its folder should be a local disk.
        points: shape of one frame: (K, C), or (P, K, C) for several people.
        confidences: name of the array of confidences, one for each point.
        others: further arrays of float32 with a row for each frame: the shape of a row, by name.
        compact: how to keep coordinates and confidences as small integers; None: as float32.
    """

    def __init__(
        self,
        path: Path,
        *,
        points: tuple[int, ...] = (543, 3),
        confidences: str = "visibility",
        others: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
        compact: Compact | None = None,
    ) -> None:
        if confidences not in _CONFIDENCES:
            raise ValueError(f"the confidences are called one of {_CONFIDENCES}")
        if taken := others.keys() & {*_CONFIDENCES, *_OWN}:
            raise ValueError(f"names of further arrays are taken: {sorted(taken)}")
        self._path = path
        self._count = 0
        self._compact = compact
        kinds = ("<f4", "<f4") if compact is None else ("<i2", "|u1")
        self._spools = {
            _FRAMES: _Spool(path.parent, np.dtype(kinds[0]), points),
            confidences: _Spool(path.parent, np.dtype(kinds[1]), points[:-1]),
            _TIMES: _Spool(path.parent, np.dtype("<f8"), ()),
            **{
                name: _Spool(path.parent, np.dtype("<f4"), row)
                for name, row in sorted(others.items())
            },
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    @property
    def count(self) -> int:
        """Frames appended so far."""
        return self._count

    def append(
        self,
        frames: ArrayLike,
        confidences: ArrayLike,
        timestamps: ArrayLike,
        others: Mapping[str, ArrayLike] = MappingProxyType({}),
    ) -> None:
        """Add n frames.

        Args:
            frames: (n, *points) float32; NaN where a point was not found.
            confidences: (n, *points without the last axis) float32.
            timestamps: (n,) float64, seconds since the first frame.
            others: (n, *row) float32 of each further array, by name.

        Raises:
            ValueError: the shapes, or the names of others, do not fit; nothing was added.
            OSError: the disk is full, say.
        """
        names = list(self._spools)[3:]
        if sorted(others) != names:
            raise ValueError(f"the further arrays are {names}, not {sorted(others)}")
        further = [others[name] for name in names]
        if self._compact is not None:
            frames, confidences = self._compact.pack(frames), pack_confidences(confidences)
        arrays = [
            spool.checked(name, values)
            for (name, spool), values in zip(
                self._spools.items(), (frames, confidences, timestamps, *further), strict=True
            )
        ]
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1:
            raise ValueError(f"numbers of frames differ: {[array.shape for array in arrays]}")
        for spool, array in zip(self._spools.values(), arrays, strict=True):
            spool.write(array)
        self._count += lengths.pop()

    def close(self, *, fps: float, size: tuple[int, int], provenance: str) -> None:
        """Write the archive.

        Args:
            fps: frames per second on average.
            size: width and height of the pictures as shown, in pixels.
            provenance: how the file came to be, in JSON. The same input and recipe must give the
                same text, or the bytes of the file differ.

        Raises:
            OSError: the disk is full, say.
        """
        scalars: dict[str, NDArray[Any]] = {
            _FPS: np.array(fps, "<f8"),
            _SIZE: np.array(size, "<i4").reshape(2),
            _PROVENANCE: np.array(provenance, "<U"),
        }
        if self._compact is not None:
            scalars |= {_SCALE: self._compact.scale, _OFFSET: self._compact.offset}
        try:
            # A member that is opened by name gets the fixed date 1980-01-01.
            with zipfile.ZipFile(
                self._path, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL
            ) as archive:
                for name, spool in self._spools.items():
                    large = spool.size > _ZIP64_FROM
                    with archive.open(f"{name}.npy", "w", force_zip64=large) as member:
                        spool.copy_into(member, self._count)
                for name, array in scalars.items():
                    with archive.open(f"{name}.npy", "w") as member:
                        npy.write_array(member, array, version=(1, 0), allow_pickle=False)
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Drop what was collected; harmless after `close`."""
        for spool in self._spools.values():
            spool.close()


class _Spool:
    """The rows of one array, raw, in a file without a name."""

    def __init__(self, folder: Path, dtype: np.dtype[np.generic], row: tuple[int, ...]) -> None:
        self._dtype = dtype
        self._row = row
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by `close`
        self.size = 0

    def checked(self, name: str, values: ArrayLike) -> NDArray[np.generic]:
        array = np.ascontiguousarray(values, self._dtype)
        if array.ndim == 0 or array.shape[1:] != self._row:
            wanted = ", ".join(str(length) for length in ("n", *self._row))
            raise ValueError(f"{name} must have the shape ({wanted}), not {np.shape(values)}")
        return array

    def write(self, array: NDArray[np.generic]) -> None:
        self._file.write(array.data)
        self.size += array.nbytes

    def copy_into(self, member: IO[bytes], count: int) -> None:
        shape = (count, *self._row)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(member, header)
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            member.write(piece)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class PoseHead:
    """All of a pose file but its rows.

    Attributes:
        count: number of frames.
        points: shape of one frame.
        confidences: name of the array of confidences.
        fps: frames per second on average; NaN where it is not known.
        size: width and height in pixels.
        provenance: JSON text; not checked.
        others: further arrays of float32 with a row for each frame: the shape of a row, by name.
    """

    count: int
    points: tuple[int, ...]
    confidences: str
    fps: float
    size: tuple[int, int]
    provenance: str
    others: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoseRows:
    """Some frames in a row.

    Attributes:
        frames: (n, *points) float32.
        confidences: (n, *points without the last axis) float32.
        timestamps: (n,) float64.
        others: (n, *row) float32 of each further array, by name.
    """

    frames: NDArray[np.float32]
    confidences: NDArray[np.float32]
    timestamps: NDArray[np.float64]
    others: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoseFile:
    """A whole pose file in memory.

    Attributes:
        head: what describes it.
        rows: all its frames.
    """

    head: PoseHead
    rows: PoseRows


def read_pose(path: Path) -> PoseFile:
    """Read a whole pose file: for short ones; 1,000 frames of 543 points take 9 MB.

    Raises:
        PoseFileError: it is none.
    """
    with open_pose(path) as pose:
        blocks = list(pose.blocks(max(pose.head.count, 1)))
        return PoseFile(pose.head, blocks[0] if blocks else pose.no_rows())


def read_provenance(path: Path) -> str:
    """The provenance of a pose file, and nothing else of it. Safe on any file.

    Raises:
        PoseFileError: it is no pose file.
    """
    with _plain_errors(path), members(path) as archive:
        return text_of(archive, _PROVENANCE)


@contextmanager
def open_pose(path: Path) -> Iterator[OpenPose]:
    """Open a pose file to read it block by block.

    Raises:
        PoseFileError: it is none; also raised by what is read later.
    """
    with ExitStack() as stack:
        with _plain_errors(path):
            archive = stack.enter_context(members(path))
            pose = OpenPose(path, archive)
        yield pose


class OpenPose:
    """A pose file that is being read; made by `open_pose`.

    Attributes:
        head: what describes it.
        compact: how its coordinates are kept as small integers; None if they are not.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        names = set(archive.namelist())
        confidences = next((n for n in _CONFIDENCES if f"{n}.npy" in names), _CONFIDENCES[0])
        compact = f"{_SCALE}.npy" in names
        kinds = ("<i2", "|u1") if compact else ("<f4", "<f4")
        shapes = {
            name: shape_of(archive, name, dtype)
            for name, dtype in ((_FRAMES, kinds[0]), (confidences, kinds[1]), (_TIMES, "<f8"))
        }
        frames = shapes[_FRAMES]
        if len(frames) < 3:
            raise ValueError(f"frames has the shape {frames}, not (T, K, C) or (T, P, K, C)")
        for name, wanted in ((confidences, frames[:-1]), (_TIMES, frames[:1])):
            if shapes[name] != wanted:
                raise ValueError(
                    f"{name} has the shape {shapes[name]}, frames has {frames}: "
                    f"{wanted} was expected"
                )
        self.compact = (
            Compact(*(small_array(archive, n, "<f8", frames[-1:]) for n in (_SCALE, _OFFSET)))
            if compact
            else None
        )
        width, height = small_array(archive, _SIZE, "<i4", (2,))
        self.head = PoseHead(
            count=frames[0],
            points=frames[1:],
            confidences=confidences,
            fps=float(small_array(archive, _FPS, "<f8", ())),
            size=(int(width), int(height)),
            provenance=text_of(archive, _PROVENANCE),
            others={
                name: shape_of(archive, name, "<f4")[1:]
                for name in sorted(path.removesuffix(".npy") for path in names)
                if name not in {*shapes, *_OWN} and has_rows(archive, name, frames[0])
            },
        )

    def no_rows(self) -> PoseRows:
        """Rows of a file that has none."""
        points = self.head.points
        return PoseRows(
            np.empty((0, *points), np.float32),
            np.empty((0, *points[:-1]), np.float32),
            np.empty(0, np.float64),
            {name: np.empty((0, *row), np.float32) for name, row in self.head.others.items()},
        )

    def blocks(self, rows: int) -> Iterator[PoseRows]:
        """All frames in order, `rows` at a time (the last block may have fewer)."""
        points = self.head.points
        shapes = {_FRAMES: points, self.head.confidences: points[:-1], _TIMES: ()}
        shapes |= self.head.others
        with ExitStack() as stack:
            with _plain_errors(self._path):
                members = [stack.enter_context(self._archive.open(f"{n}.npy")) for n in shapes]
                dtypes = [header_of(member)[1] for member in members]
            for start in range(0, self.head.count, rows):
                n = min(rows, self.head.count - start)
                with _plain_errors(self._path):
                    frames, confidences, times, *others = (
                        next_array(member, dtype, (n, *shape))
                        for member, dtype, shape in zip(
                            members, dtypes, shapes.values(), strict=True
                        )
                    )
                if self.compact is not None:
                    frames = self.compact.unpack(frames)
                    confidences = unpack_confidences(confidences)
                further = dict(zip(self.head.others, others, strict=True))
                yield PoseRows(frames, confidences, times, further)


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Turn everything that a broken archive can raise into one kind of error."""
    try:
        yield
    except (
        *(OSError, EOFError, ValueError, KeyError, TypeError, OverflowError, MemoryError),
        *(RuntimeError, SyntaxError, struct.error, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise PoseFileError(f"{path.name} is not a pose file, or a broken one: {error}") from error
