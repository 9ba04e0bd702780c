"""Arrays in `.npz` archives that anybody may have written.

What is wrong raises one of many errors, of which `pose_npz` makes one. Nothing is unpickled, and
nothing is unpacked before it is known how much it is.
"""

from __future__ import annotations

import ast
import math
import os
import re
import stat
import struct
import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_TEXT_BYTES = 4 << 20
_DIRECTORY_BYTES = 64 << 10
_HEADER_BYTES = 4096
_SIMPLE_TYPE = re.compile(r"[<>|=]?[a-zA-Z][0-9]{0,9}")


@contextmanager
def members(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose table of contents is small enough to look at."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold us up
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        tail = os.pread(fd, 22, max(0, status.st_size - 22))
        # APPNOTE.TXT 4.3.16, the end of the central directory; 12: its size
        if len(tail) < 22 or tail[:4] != b"PK\5\6":
            raise ValueError("it is no archive")
        if struct.unpack_from("<I", tail, 12)[0] > _DIRECTORY_BYTES:
            raise ValueError("its table of contents is too large")
        with os.fdopen(fd, "rb", closefd=False) as file, zipfile.ZipFile(file) as archive:
            yield archive
    finally:
        os.close(fd)


def header_of(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, from the header of the NPY format (NumPy enhancement 1).

    (NumPy's own reader runs Python's tokenizer over what it does not understand.)
    """
    start = _exactly(member, 10)
    if start[:8] != b"\x93NUMPY\1\0":
        raise ValueError("a member is no array of format version 1.0")
    (length,) = struct.unpack_from("<H", start, 8)
    if length > _HEADER_BYTES:
        raise ValueError("the header of an array is too long")
    header = ast.literal_eval(_exactly(member, length).decode("latin1"))
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("the header of an array has not the three keys that it should")
    shape, descr = header["shape"], header["descr"]
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array has the shape {shape}")
    if not isinstance(descr, str) or not _SIMPLE_TYPE.fullmatch(descr):
        raise ValueError(f"an array has the type {descr}")
    if header["fortran_order"] and len(shape) > 1:
        raise ValueError("an array is stored column by column")
    return shape, np.dtype(descr)


def shape_of(archive: zipfile.ZipFile, name: str, dtype: str) -> tuple[int, ...]:
    """Shape of an array of a known type, its length compared with what the archive holds."""
    with archive.open(f"{name}.npy") as member:
        shape, found = header_of(member)
        if found != np.dtype(dtype):
            raise ValueError(f"{name} has the type {found}, not {np.dtype(dtype)}")
        held = archive.getinfo(f"{name}.npy").file_size - member.tell()
        if held != math.prod(shape) * found.itemsize:
            raise ValueError(f"{name} has the shape {shape}, and {held} bytes")
    return shape


def has_rows(archive: zipfile.ZipFile, name: str, count: int) -> bool:
    """Whether a member is an array of float32 with a row for each frame."""
    with archive.open(f"{name}.npy") as member:
        shape, dtype = header_of(member)
    return dtype == np.dtype("<f4") and shape[:1] == (count,)


def small_array(
    archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    """An array of a known type and shape."""
    found = shape_of(archive, name, dtype)
    if found != shape:
        raise ValueError(f"{name} has the shape {found}, not {shape}")
    with archive.open(f"{name}.npy") as member:
        return next_array(member, header_of(member)[1], shape)


def text_of(archive: zipfile.ZipFile, name: str) -> str:
    """A text, as NumPy keeps it: in an array without dimensions."""
    with archive.open(f"{name}.npy") as member:
        shape, dtype = header_of(member)
        if shape != () or dtype.kind != "U" or dtype.itemsize > _TEXT_BYTES:
            raise ValueError(f"{name} is no text, or a long one: {dtype} {shape}")
        return (
            _exactly(member, dtype.itemsize)
            .decode("utf-32-be" if dtype.byteorder == ">" else "utf-32-le")
            .rstrip("\0")
        )  # as NumPy does: shorter texts are padded


def next_array(member: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """What comes next in a member whose header was read: as many numbers as the shape has."""
    return np.frombuffer(_exactly(member, math.prod(shape) * dtype.itemsize), dtype).reshape(shape)


def _exactly(member: IO[bytes], count: int) -> bytes:
    data = member.read(count)
    if len(data) != count:
        raise EOFError("an array ends too early")
    return data
