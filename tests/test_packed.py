"""`posewatch.catalog.packed`: a dict in all but its memory."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from posewatch.catalog.packed import Packed

KEYS = st.one_of(
    st.sampled_from(["", "a", "aa", "a.mp4", "t/a.mp4", "a\0", "\0", "\udcff", "\ud800", "ä", "𝄞"]),
    st.text(max_size=3),
)
VALUES = st.one_of(
    st.tuples(st.integers(), st.text(max_size=40)),
    st.tuples(st.none(), st.binary(max_size=20), st.floats(allow_nan=False), st.booleans()),
)


def new() -> Packed[tuple[object, ...]]:
    return Packed(lambda value: value, lambda *value: value)


class Twins(RuleBasedStateMachine):
    """What is done to a dict is done to a `Packed`."""

    def __init__(self) -> None:
        super().__init__()
        self.plain: dict[str, tuple[object, ...]] = {}
        self.packed = new()

    @rule(key=KEYS, value=VALUES)
    def put(self, key: str, value: tuple[object, ...]) -> None:
        self.plain[key] = self.packed[key] = value

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        assert self.packed.pop(key, None) == self.plain.pop(key, None)

    @rule(count=st.integers(1, 40), value=VALUES)
    def put_many(self, count: int, value: tuple[object, ...]) -> None:
        for number in range(count):
            self.put(f"{number}", value)

    @rule(count=st.integers(1, 40))
    def remove_many(self, count: int) -> None:
        for number in range(count):
            self.remove(f"{number}")

    @rule()
    def tidy(self) -> None:
        self.packed.tidy()

    @rule(key=KEYS)
    def ask(self, key: str) -> None:
        assert (key in self.packed) is (key in self.plain)
        assert self.packed.get(key) == self.plain.get(key)
        if key not in self.plain:
            with pytest.raises(KeyError):
                self.packed[key]
            with pytest.raises(KeyError):
                del self.packed[key]

    @invariant()
    def they_are_the_same(self) -> None:
        assert list(self.packed) == list(self.plain)
        assert list(self.packed.items()) == list(self.plain.items())
        assert self.packed == self.plain
        assert len(self.packed) == len(self.plain)


Twins.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestTwins = Twins.TestCase


def test_it_may_be_changed_while_it_is_iterated_over() -> None:
    packed = new()
    packed.update({f"{number}": (number,) for number in range(5)})
    seen = []
    for key in packed:
        seen.append(key)
        if key == "1":
            del packed["0"], packed["1"], packed["3"]
            packed["2"] = ("longer than before",)
            packed.update({f"new {number}": (number,) for number in range(20)})
    assert seen == ["0", "1", "2", "4", *(f"new {number}" for number in range(20))]


def test_what_is_replaced_and_removed_is_given_back() -> None:
    packed = new()
    tracemalloc.start()
    try:
        for turn in range(50):
            packed.update({f"{turn} {number}": (number, "x" * turn) for number in range(200)})
            for key in [key for key in packed if not key.startswith(f"{turn} ")]:
                del packed[key]
            packed.tidy()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(packed) == 200
    assert kept < 200 * 150
