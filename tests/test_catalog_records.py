"""What is remembered of files comes out of its packing as it went in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import Fault
from posewatch.catalog.records import Video, receipts, tellings, versions, videos
from posewatch.catalog.verdict import ReceiptFacts, State
from posewatch.formats.receipt import FailureRecord, Foreign
from posewatch.storage.contract import Version

if TYPE_CHECKING:
    from posewatch.catalog.records import Told

MD5 = "0123456789abcdef" * 2
VIDEO = Video(Version(5, MD5), first_seen=1.5, looked_at=1.5, mine=True)
DONE = ReceiptFacts(
    version=Version(9, MD5),
    done=True,
    input_name="a.mp4",
    input_version=Version(5, "1"),
    recipe_hash="now",
    results=(("a.pose-mediapipe.npz", Version(7, MD5.upper())), ("a.pose", Version(8, "x" * 32))),
    redoable=True,
    frames=250,
    footage_seconds=10.01,
)


@pytest.mark.parametrize("tag", [MD5, MD5.upper(), " " + MD5[1:], f"{MD5}-2", "", "\udcff"])
def test_any_version(tag: str) -> None:
    assert versions([("a", Version(2**40, tag))])["a"] == Version(2**40, tag)


@pytest.mark.parametrize(
    "video",
    [
        VIDEO,
        replace(VIDEO, looked_at=2.5, mine=False, scans=3, state=State.FAILED),
        replace(VIDEO, closed_at=1.0),
        replace(VIDEO, not_before=9.5, bugs=2),
        replace(VIDEO, reopened=3.0),
    ],
)
def test_any_video(video: Video) -> None:
    packed = videos()
    packed["a.mp4"] = video
    assert packed["a.mp4"] == video


@pytest.mark.parametrize(
    "failure",
    [
        None,
        FailureRecord(fault=Fault.EMPTY, message="no bytes"),
        FailureRecord(
            fault=Fault.TRUNCATED, message="cut\noff", hint="copy it again", readable_frames=0
        ),
    ],
)
def test_any_receipt(failure: FailureRecord | None) -> None:
    facts = replace(DONE, done=failure is None, failure=failure)
    packed = receipts()
    packed["a.posewatch.json"] = facts
    assert packed["a.posewatch.json"] == facts


@pytest.mark.parametrize("told", [DONE, *Foreign, None])
def test_anything_under_the_name_of_a_receipt(told: Told) -> None:
    packed = tellings()
    packed["a.posewatch.json"] = told
    assert packed["a.posewatch.json"] == told
