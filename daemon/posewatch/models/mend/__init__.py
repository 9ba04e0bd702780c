"""Rewrites a converted network so that onnxruntime runs it faster; it computes the same.

"The same" is up to the rounding of float32: sums are taken in another order, and factors are
multiplied into weights beforehand. docs/models.md says what each of these gains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posewatch.models.mend.channels import drop_constant_channels
from posewatch.models.mend.clips import attach_clips
from posewatch.models.mend.inputs import read_interleaved
from posewatch.models.mend.pads import fold_borders, lower_channel_pads
from posewatch.models.mend.prelus import lower_prelus
from posewatch.models.mend.resizes import swap_resizes
from posewatch.models.mend.shuffles import fold_depth_to_space
from posewatch.models.mend.widths import widen_channels

if TYPE_CHECKING:
    from posewatch.models.graph import Net

MENDS = (
    fold_borders,
    read_interleaved,
    fold_depth_to_space,
    drop_constant_channels,
    swap_resizes,
    lower_prelus,
    widen_channels,
    lower_channel_pads,
    attach_clips,
)
"""In the order in which they are made: some only fit after others."""


def mend(net: Net) -> None:
    """Make all mends that fit."""
    for one in MENDS:
        one(net)
    net.prune()
