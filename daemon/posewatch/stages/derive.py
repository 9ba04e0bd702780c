"""Choosing again who comes first in a result, from what is in it: no network runs."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import numpy as np

from posewatch.base.digest import sha256_of
from posewatch.base.errors import PosewatchError
from posewatch.formats.pose_npz import PoseWriter, open_pose
from posewatch.formats.whole import whole_file
from posewatch.vision.topdown import Census, Clip, Order, Rule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.formats.pose_npz import OpenPose, PoseRows

_ROWS = 256
_NEEDED = frozenset({"boxes", "box_scores", "track_ids"})


def choose(
    source: Path,
    output: Path,
    rule: Rule,
    people: int,
    *,
    alive: Callable[[], None],
    provenance: Callable[[str], str] = str,
) -> None:
    """Write a result again with its people in another order. Needs little memory.

    Args:
        source: a result with track ids.
        output: replaced if it is there.
        rule: who comes first.
        people: how many are kept, at most as many as `source` has.
        alive: called now and then; what it raises, passes.
        provenance: makes that of the output of that of the source.

    Raises:
        PoseFileError: `source` is no pose file, or a broken one.
        PosewatchError: it holds no people that can be told apart, or fewer.
    """
    with ExitStack() as stack:
        pose = stack.enter_context(open_pose(source))
        head = pose.head
        if not head.others.keys() >= _NEEDED or len(head.points) != 3:
            raise PosewatchError(
                f"{source.name} does not tell people apart",
                hint='Results of the recipe "dwpose" do',
            )
        if people > head.points[0]:
            raise PosewatchError(
                f"{source.name} holds {head.points[0]} people at most, not {people}",
                hint="Make it anew with another recipe.people",
            )
        order = Order(_census(pose, alive).worth(rule), people)
        writer = stack.enter_context(
            PoseWriter(
                output,
                points=(people, *head.points[1:]),
                confidences=head.confidences,
                others={name: (people, *row[1:]) for name, row in head.others.items()},
                compact=pose.compact,
            )
        )
        for block in pose.blocks(_ROWS):
            alive()
            _append(writer, block, order)
        writer.close(fps=head.fps, size=head.size, provenance=provenance(head.provenance))


def derive(
    source: Path, output: Path, rule: Rule, people: int | None, alive: Callable[[], None]
) -> None:
    """Choose again in a result that was published, into a file of its own.

    Args:
        source: a result with track ids.
        output: must not be there: a receipt may name it.
        rule: who comes first.
        people: how many are kept; None: as many as there are.
        alive: called now and then; what it raises, passes.

    Raises:
        PosewatchError: as `choose`; or `output` is there already.
    """
    with whole_file(output, replace=False) as part:
        with open_pose(source) as pose:
            count = pose.head.points[0] if people is None else people
        digest = sha256_of(source)

        def provenance(text: str) -> str:
            told: object = {}
            with suppress(ValueError, RecursionError):
                told = json.loads(text)
            derived = {"from": digest, "people": count, "signer": rule.value}
            before = told if isinstance(told, dict) else {}
            return json.dumps({**before, "derived": derived}, sort_keys=True)

        choose(source, part, rule, count, alive=alive, provenance=provenance)


def _census(pose: OpenPose, alive: Callable[[], None]) -> Census:
    census = Census(pose.head.size)
    for block in pose.blocks(_ROWS):
        alive()
        others = block.others
        census.count(Clip(block.frames, others["boxes"], others["box_scores"], others["track_ids"]))
    return census


def _append(writer: PoseWriter, block: PoseRows, order: Order) -> None:
    """A block of rows with its people in new columns."""
    columns = order.columns(block.others["track_ids"], block.timestamps)
    rows = np.arange(len(columns))[:, None]

    def taken(array: np.ndarray) -> np.ndarray:
        picked = array[rows, columns]
        picked[columns < 0] = np.nan
        return picked

    writer.append(
        taken(block.frames),
        taken(block.confidences),
        block.timestamps,
        {name: taken(array) for name, array in block.others.items()},
    )
