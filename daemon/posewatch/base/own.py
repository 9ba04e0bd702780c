"""The JSON files that posewatch leaves beside videos, told from those of other programs."""

from __future__ import annotations

import json
from typing import Any, Final

OURS: Final = "posewatch"
"""The field that ours have: the version of their format, a whole number."""


def fields_of(data: bytes) -> dict[str, Any] | None:
    """What one of our files says; None where another program wrote it.

    Raises:
        ValueError: it is no JSON. What is damaged may be ours.
    """
    try:
        content = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if isinstance(content, dict) and isinstance(content.get(OURS), int):
        return content
    return None
