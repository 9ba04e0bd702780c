"""TFLite's sparse constants, filled with their zeros.

The format (`SparsityParameters` in the TFLite schema) is a tree with one level for each dimension
in `order`, after which come the dimensions inside of a block. A level is either dense (all its
indices are there) or compressed (the indices of the n-th node of the level above are
`indices[segments[n]:segments[n + 1]]`). The values are those of the leaves, in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from posewatch.base.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the tree: dense with a `size`, else compressed."""

    size: int | None = None
    segments: tuple[int, ...] = ()
    indices: tuple[int, ...] = ()


def densify(
    values: NDArray[Any],
    shape: Sequence[int],
    *,
    order: Sequence[int],
    block_map: Sequence[int],
    levels: Sequence[Level],
) -> NDArray[Any]:
    """The dense array.

    Args:
        values: of the leaves, `(n,)`.
        shape: of the result; `r` dimensions.
        order: which dimension each level stands for; `r + i` is the i-th dimension of the block.
        block_map: which dimension of the result the i-th dimension of the block cuts up.
        levels: one for each entry of `order`.

    Raises:
        ModelError: there are more leaves than values, or fewer, or one lies outside of `shape`.
    """
    rank = len(shape)
    block_size = {
        dimension - rank: level.size or 0
        for dimension, level in zip(order, levels, strict=True)
        if dimension >= rank
    }
    # All nodes of one level at once: the path of each as a row of indices.
    paths = np.zeros((1, 0), np.int64)
    nodes = np.zeros(1, np.int64)
    for level in levels:
        if level.size is not None:
            counts = np.full(len(nodes), level.size)
            children = np.tile(np.arange(level.size), len(nodes))
            places = np.repeat(nodes, counts) * level.size + children
        else:
            starts = np.array(level.segments)[nodes]
            counts = np.array(level.segments)[nodes + 1] - starts
            offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            places = np.repeat(starts, counts) + offsets
            children = np.array(level.indices)[places]
        paths = np.column_stack([np.repeat(paths, counts, axis=0), children])
        nodes = places
    position = np.zeros((len(paths), rank), np.int64)
    for column, dimension in enumerate(order):
        if dimension < rank:
            position[:, dimension] = paths[:, column]
        else:
            cut = block_map[dimension - rank]
            position[:, cut] = position[:, cut] * block_size[dimension - rank] + paths[:, column]
    if len(position) != len(values):
        raise ModelError(f"A sparse constant has {len(values)} values; expected {len(position)}")
    if (position < 0).any() or (position >= np.array(shape)).any():
        raise ModelError(f"A sparse constant reaches outside of its shape {tuple(shape)}")
    dense = np.zeros(tuple(shape), values.dtype)
    dense[tuple(position.T)] = values
    return dense
