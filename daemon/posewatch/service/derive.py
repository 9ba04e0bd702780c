"""`posewatch derive`: who comes first in results, chosen again from what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posewatch.base.errors import SettingsError
from posewatch.stages import derive as stage
from posewatch.vision.topdown import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from posewatch.config import SignerRule


def names(files: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Each result, and the file that is to be made of it.

    Args:
        files: the results.
        output: a folder that is there, for files of the same names; else the name of one file.

    Raises:
        SettingsError: several results would go into one file.
    """
    if output.is_dir():
        made = [(file, output / file.name) for file in files]
    elif len(files) == 1:
        made = [(files[0], output)]
    else:
        raise SettingsError(
            f"{output} is no folder, and there are {len(files)} results",
            hint="Make the folder first",
        )
    if len({path for _, path in made}) < len(made):
        raise SettingsError("two of the results have one name", hint="Give them one by one")
    return made


def derive(
    source: Path,
    output: Path,
    signer: SignerRule,
    people: int | None,
    alive: Callable[[], None],
) -> None:
    """See `stages.derive.derive`."""
    stage.derive(source, output, Rule(signer.value), people, alive)
