"""Which result is the newest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posewatch.formats import names

if TYPE_CHECKING:
    from posewatch.formats.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest result that is known.

    Attributes:
        finished: when the work ended (UTC, ISO 8601).
        key: the input.
        result: the pose file.
    """

    finished: str
    key: str
    result: str


def newer(known: Newest | None, receipt_key: str, receipt: Receipt) -> Newest | None:
    """The newer one of what is known and what a receipt tells of.

    Args:
        known: until now.
        receipt_key: where the receipt is.
        receipt: its content.
    """
    result = next((it.name for it in receipt.results if it.name.endswith(".npz")), None)
    if receipt.outcome != "done" or result is None or "/" in result:
        return known
    if known is not None and receipt.work.finished <= known.finished:
        return known
    folder, _ = names.split(receipt_key)
    return Newest(receipt.work.finished, folder + receipt.input.name, folder + result)
