"""TFLite's sparse constants, filled with their zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from posewatch.base.errors import ModelError
from posewatch.models.densify import Level, densify


def compressed(matrix: np.ndarray[Any, Any], block: int) -> tuple[list[float], dict[str, Any]]:
    """A matrix as rows of blocks of so many columns, where blocks of zeros are left out."""
    rows, columns = matrix.shape
    values: list[float] = []
    segments, indices = [0], []
    for row in matrix:
        for place in range(columns // block):
            part = row[place * block : (place + 1) * block]
            if part.any():
                indices.append(place)
                values.extend(part.tolist())
        segments.append(len(indices))
    return values, {
        "order": (0, 1, 2),
        "block_map": (1,),
        "levels": [Level(size=rows), Level(None, tuple(segments), tuple(indices)), Level(block)],
    }


@given(
    matrix=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.sampled_from([4, 8, 12])),
        elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0]),
    ),
    block=st.sampled_from([1, 2, 4]),
)
@settings(deadline=None)
def test_a_block_sparse_matrix_comes_back(matrix: np.ndarray[Any, Any], block: int) -> None:
    values, encoding = compressed(matrix, block)
    dense = densify(np.array(values, np.float32), matrix.shape, **encoding)
    np.testing.assert_array_equal(dense, matrix)


def test_the_example_of_the_tflite_schema() -> None:
    """Blocks of 2 x 2, columns of blocks first: every dimension plays another part."""
    # In blocks: [[A, 0], [B, C]]; traversed by block column, then block row, rows within a block.
    matrix = np.array([[1, 2, 0, 0], [3, 4, 0, 0], [5, 6, 9, 10], [7, 8, 11, 12]], np.float32)
    dense = densify(
        np.arange(1, 13, dtype=np.float32),
        (4, 4),
        order=(1, 0, 2, 3),
        block_map=(0, 1),
        levels=[Level(2), Level(None, (0, 2, 3), (0, 1, 1)), Level(2), Level(2)],
    )
    np.testing.assert_array_equal(dense, matrix)


def test_too_few_values_or_places_outside_are_refused() -> None:
    _, encoding = compressed(np.eye(4, dtype=np.float32), 1)
    with pytest.raises(ModelError, match="has 3 values; expected 4"):
        densify(np.ones(3), (4, 4), **encoding)
    with pytest.raises(ModelError, match="outside of its shape"):
        densify(np.ones(4), (4, 3), **encoding)
