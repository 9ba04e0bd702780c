"""Which of several results is shown."""

from __future__ import annotations

import pytest

from posewatch.catalog import Newest, newer
from posewatch.formats.receipt import InputRecord, Receipt, RecipeRecord, ResultRecord, WorkRecord

NEWEST = Newest("2026-01-01T00:00:00Z", "t/a.mp4", "t/a.pose-mediapipe.npz")


def receipt(finished: str, *results: str, outcome: str = "done") -> Receipt:
    return Receipt(
        outcome=outcome,
        input=InputRecord(name="a.mp4", size=1, tag="1"),
        recipe=RecipeRecord(name="m", hash="h"),
        attempt=1,
        nonce="n",
        results=tuple(ResultRecord(name=name, size=5, sha256="") for name in results),
        work=WorkRecord(finished=finished),
    )


def test_which_of_two_results_is_newer() -> None:
    old = newer(None, "t/a.posewatch.json", receipt("2026-01-01T00:00:00Z", "a.pose", "a.npz"))
    assert old == Newest("2026-01-01T00:00:00Z", "t/a.mp4", "t/a.npz")
    assert newer(old, "b.posewatch.json", receipt("2025-01-01T00:00:00Z", "b.npz")) is old
    new = newer(old, "b.posewatch.json", receipt("2027-01-01T00:00:00Z", "b.npz"))
    assert new is not None
    assert new.result == "b.npz"


@pytest.mark.parametrize(
    "other",
    [
        receipt("2027", outcome="failed"),
        receipt("2027", "a.pose"),
        receipt("2027", "../../etc/a.npz"),
    ],
)
def test_what_has_no_poses_is_not_the_newest(other: Receipt) -> None:
    assert newer(NEWEST, "a.posewatch.json", other) is NEWEST
