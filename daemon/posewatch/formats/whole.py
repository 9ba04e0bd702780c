"""Local files that get their name only when they are whole."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from posewatch.base.errors import PosewatchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole_file(output: Path, *, replace: bool) -> Iterator[Path]:
    """A hidden name beside `output` to write to, which becomes `output` at the end.

    What an error has left there is removed, and `output` is as it was.

    Args:
        output: the name in the end.
        replace: whether what is there is replaced; else it stays, also when it has come meanwhile.

    Raises:
        PosewatchError: `output` is there, and stays.
    """
    taken = PosewatchError(f"{output} is there already", hint="Choose another name")
    if not replace and output.exists():
        raise taken
    part = output.with_name(f".{output.name}.part")
    try:
        yield part
        if not replace:
            try:
                output.touch(exist_ok=False)  # a rename alone would replace what came meanwhile
            except FileExistsError as error:
                raise taken from error
        try:
            part.replace(output)
        except BaseException:
            if not replace:
                output.unlink(missing_ok=True)
            raise
    finally:
        part.unlink(missing_ok=True)
