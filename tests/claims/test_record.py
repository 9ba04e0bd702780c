from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.claims.names import input_of_lock, lock_key, parse_lock
from posewatch.claims.record import (
    BLOCK,
    LockRecord,
    decode,
    encode,
    nonce_of,
    same_claim,
)

NONCE = "0123456789abcdef" * 2
RECORD = LockRecord(
    key="talks/0042.mp4",
    job="12 34 r1",
    attempt=2,
    nonce=NONCE,
    host="gpu-3",
    pid=4711,
    boot="b00t",
    since="2026-01-02T03:04:05.678Z",
    ttl=60.0,
    version="0.1.0",
    beat=3,
    beat_at="2026-01-02T03:05:05.678Z",
    done=10,
    total=250,
)
SURROGATES = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
TEXT = st.text(st.characters(codec="utf-8") | SURROGATES)
COUNT = st.none() | st.integers(0, 2**63)


def test_a_person_can_read_it() -> None:
    text = encode(RECORD).decode("ascii")
    assert text.startswith('{\n  "posewatch": 1,\n  "input": "talks/0042.mp4",\n')
    assert '\n  "host": "gpu-3",\n' in text
    assert text.endswith("\n")
    assert json.loads(text)["frames_total"] == 250


@given(key=TEXT, host=TEXT, beat=st.integers(0, 2**63), done=COUNT, total=COUNT)
def test_what_is_encoded_is_decoded(
    key: str, host: str, beat: int, done: int | None, total: int | None
) -> None:
    record = replace(RECORD, key=key, host=host, beat=beat, done=done, total=total)
    assert decode(encode(record)) == record


@given(key=TEXT, beat=st.integers(0, 2**63), done=COUNT, total=COUNT)
def test_every_beat_has_the_same_length_and_the_same_head(
    key: str, beat: int, done: int | None, total: int | None
) -> None:
    first = replace(RECORD, key=key)
    later = replace(first, beat=beat, beat_at="2026-12-12T03:05:05.678Z", done=done, total=total)
    assert len(encode(first)) == len(encode(later))
    assert len(encode(first)) % BLOCK == 0
    assert encode(later).startswith(first.head())


def test_a_tail_without_room_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no room"):
        encode(replace(RECORD, beat_at="x" * 2000))


def test_fields_of_the_future_are_ignored() -> None:
    fields = json.loads(encode(RECORD)) | {"posewatch": 7, "gpu": {"name": "H100"}}
    assert decode(json.dumps(fields).encode()) == RECORD


def test_missing_and_odd_fields_are_no_trouble() -> None:
    fields = {"nonce": NONCE, "attempt": -3, "pid": "x", "host": 5, "ttl": "long", "beat": None}
    found = decode(json.dumps(fields).encode())
    assert found is not None
    assert (found.attempt, found.pid, found.host, found.ttl, found.beat) == (1, 0, "", 0.0, 0)


@pytest.mark.parametrize("ttl", ["1e999", "-5", "NaN", "Infinity", "1e30", "10" * 200])
def test_an_absurd_ttl_counts_for_nothing(ttl: str) -> None:
    found = decode(b'{"nonce": "%s", "ttl": %s}' % (NONCE.encode(), ttl.encode()))
    assert found is not None
    assert found.ttl == 0.0


@given(st.binary(max_size=300))
def test_whatever_the_bytes_nothing_is_raised(data: bytes) -> None:
    decode(data)
    nonce_of(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"nonce": "../../etc/passwd"}',
        b'{"nonce": 12}',
        b'{"x": {"nonce": "%s"}}' % NONCE.encode(),
        encode(RECORD)[:200],
    ],
)
def test_what_is_no_record(data: bytes) -> None:
    assert decode(data) is None


@given(st.integers(0, 600), st.binary(max_size=100))
def test_a_beat_that_was_written_in_part_still_tells_whose_claim_it_is(
    cut: int, rest: bytes
) -> None:
    before, after = encode(RECORD), encode(replace(RECORD, beat=4, done=11))
    torn = after[:cut] + before[cut:]
    assert same_claim(torn, before)
    assert torn.startswith(RECORD.head())
    head = RECORD.head()
    assert nonce_of(head + rest) == NONCE


def test_two_claims_are_not_the_same() -> None:
    other = encode(replace(RECORD, nonce="f" * 32))
    assert not same_claim(encode(RECORD), other)
    assert not same_claim(encode(RECORD), b"foreign")
    assert not same_claim(b"foreign", b"other")
    assert same_claim(b"foreign", b"foreign")


def test_the_names_of_locks() -> None:
    assert [lock_key("a/x.mp4", n) for n in (1, 2, 10)] == [
        "a/x.mp4.lock",
        "a/x.mp4.lock.2",
        "a/x.mp4.lock.10",
    ]


@given(TEXT.filter(lambda key: key and not key.endswith("/")), st.integers(1, 10**8))
def test_the_name_of_a_lock_tells_input_and_attempt(key: str, attempt: int) -> None:
    assert parse_lock(lock_key(key, attempt)) == (key, attempt)
    assert input_of_lock(lock_key(key, attempt)) == key


@pytest.mark.parametrize(
    "name",
    [
        "x.mp4",
        ".lock",
        "a/.lock",
        "x.lock.1",
        "x.lock.02",
        "x.lock.0",
        "x.lock.x",
        "x.LOCK",
        "x.lock.2\N{ARABIC-INDIC DIGIT THREE}",
    ],
)
def test_what_is_no_lock(name: str) -> None:
    assert parse_lock(name) is None
    assert input_of_lock(name) is None
