from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.base.errors import Fault
from posewatch.formats.receipt import (
    FailureRecord,
    Foreign,
    InputRecord,
    Receipt,
    RecipeRecord,
    ResultRecord,
    WorkRecord,
    decode,
    encode,
)

DONE = Receipt(
    outcome="done",
    input=InputRecord(name="ä\n\udcff.mp4", size=5, tag="17", sha256="ab"),
    recipe=RecipeRecord(name="mediapipe", hash="0123", settings={"mode": "static", "revision": 1}),
    attempt=2,
    nonce="n",
    results=(ResultRecord(name="ä\n\udcff.pose-mediapipe.npz", size=7, sha256="cd", tag="18"),),
    work=WorkRecord(frames=25, footage_seconds=1.0, timings={"infer": 0.5}, host="here"),
)
FAILED = Receipt(
    outcome="failed",
    input=InputRecord(name="a.mp4", size=0, tag="1"),
    recipe=RecipeRecord(name="mediapipe", hash="0123"),
    attempt=1,
    nonce="n",
    failure=FailureRecord(fault=Fault.EMPTY, message="it is empty", hint="…", readable_frames=0),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("receipt", [DONE, FAILED])
def test_what_is_written_is_read_back(receipt: Receipt) -> None:
    assert decode(encode(receipt)) == receipt


def test_the_file_is_for_people_too() -> None:
    lines = encode(DONE).decode("ascii").splitlines()
    assert lines[:3] == ["{", '  "posewatch": 1,', '  "outcome": "done",']
    assert encode(DONE).endswith(b"}\n")


@given(
    st.text(st.characters(codec=None), max_size=8),
    st.integers(0, 1 << 63),
    st.sampled_from(Fault),
    st.none() | st.integers(0, 9),
)
def test_any_name_and_any_fault_are_read_back(
    name: str, size: int, fault: Fault, frames: int | None
) -> None:
    failure = FailureRecord(fault=fault, message="m", readable_frames=frames)
    record = FAILED.model_copy(
        update={"input": InputRecord(name=name, size=size, tag="t"), "failure": failure}
    )
    assert decode(encode(record)) == record


def test_fields_of_a_later_version_are_ignored() -> None:
    content = json.loads(encode(DONE))
    content["later"] = content["input"]["later"] = content["results"][0]["later"] = {"a": 1}
    assert decode(json.dumps(content).encode()) == DONE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b'{"posewatch": 1',
        b"[" * 100_000,
        b"9" * 5_000,
        encode(DONE)[:-3],
        b'{"posewatch": 1}',
        encode(DONE).replace(b'"posewatch": 1', b'"posewatch": 0'),
        encode(DONE).replace(b'"outcome": "done"', b'"outcome": "perhaps"'),
        encode(DONE).replace(b'"size": 5', b'"size": 1e999'),
        encode(DONE).replace(b'"name": "mediapipe"', b'"name": null'),
        encode(FAILED).replace(b'"a.mp4"', b"5"),
        encode(FAILED).replace(b'"fault": "empty"', b'"fault": "new"'),
    ],
)
def test_what_is_damaged_is_none(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.parametrize("data", [b"null", b"[]", b"{}", b'"posewatch"', b'{"posewatch": "1"}'])
def test_what_others_wrote_is_foreign(data: bytes) -> None:
    assert decode(data) is Foreign.OTHER


def test_a_receipt_of_a_later_format_is_told_from_todays() -> None:
    assert decode(encode(DONE).replace(b'"posewatch": 1', b'"posewatch": 2')) is Foreign.NEWER


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_nothing_makes_the_reader_raise(data: bytes) -> None:
    decode(data)


@given(st.sampled_from(["input", "results", "failure", "work", "attempt", "recipe"]), json_values)
def test_no_value_of_any_field_makes_the_reader_raise(field: str, value: object) -> None:
    content = {**json.loads(encode(DONE)), field: value}
    found = decode(json.dumps(content).encode())
    assert found is None or isinstance(found, Receipt | Foreign)


def test_every_fault_is_documented() -> None:
    document = Path(__file__).parents[2] / "docs" / "formats.md"
    _, _, chapter = document.read_text(encoding="utf-8").partition("| fault | when |\n|---|---|\n")
    rows = chapter.partition("\n\n")[0].splitlines()
    assert [row.split("|")[1].strip() for row in rows] == [f"`{fault}`" for fault in Fault]
