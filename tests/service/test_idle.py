"""When a machine with nothing to do may stop."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.service.idle import GAP, Act, Idling, Limits, Turn

LIMITS = Limits(idle=100.0, grace=20.0, again=None)


@dataclass
class Loop:
    """Turns once a second, and looks at the folder every so many turns."""

    limits: Limits = LIMITS
    now: float = 1000.0
    looked: float = 0.0

    def __post_init__(self) -> None:
        self.idling = Idling()

    def turn(self, seconds: float = 1.0, *, busy: str = "", held: str = "") -> Act:
        self.now += seconds
        return self.idling.turn(Turn(self.now, busy, held, self.looked), self.limits)

    def turns(self, count: int, *, busy: str = "", held: str = "") -> list[Act]:
        """What came of so many turns, but for nothing."""
        acts = (self.turn(busy=busy, held=held) for _ in range(count))
        return [act for act in acts if act is not Act.NOTHING]

    def look(self) -> None:
        self.looked = self.now


def test_it_warns_looks_once_more_and_acts_once() -> None:
    loop = Loop()
    assert loop.turns(100) == []
    assert loop.turn() is Act.WARN
    assert loop.turns(19) == []
    assert loop.turn() is Act.LOOK
    assert loop.turn() is Act.LOOK
    loop.look()
    assert loop.turn() is Act.FIRE
    assert loop.turns(10_000) == []


def test_a_look_before_the_warning_does_not_count() -> None:
    loop = Loop()
    loop.turns(100)
    loop.look()
    assert loop.turn() is Act.WARN
    assert set(loop.turns(50)) == {Act.LOOK}


def test_something_to_do_calls_it_off_and_begins_the_time_anew() -> None:
    loop = Loop()
    loop.turns(101)
    assert loop.turn(busy="a video waits") is Act.CALL_OFF
    assert loop.turns(100) == []
    assert loop.turn() is Act.WARN


def test_who_is_in_its_way_calls_it_off_and_gets_the_whole_grace_afterwards() -> None:
    loop = Loop()
    loop.turns(110)
    assert loop.turn(held="a file") is Act.CALL_OFF
    assert loop.turns(1000, held="a file") == []
    assert loop.turn() is Act.WARN
    loop.look()
    assert loop.turns(19) == []


@pytest.mark.parametrize("asleep", [GAP + 1, 1e6])
def test_time_in_which_the_process_stood_still_does_not_count(asleep: float) -> None:
    loop = Loop()
    loop.turns(105)
    loop.look()
    assert loop.turn(asleep) is Act.CALL_OFF
    assert loop.turns(100) == [Act.WARN]


def test_after_work_it_may_act_again() -> None:
    loop = Loop()
    for _ in range(3):
        loop.turns(110)
        loop.look()
        assert loop.turns(1000) == [Act.FIRE]
        loop.turn(busy="a video waits")


def test_what_failed_is_tried_again_after_as_long() -> None:
    loop = Loop()
    loop.turns(110)
    loop.look()
    assert loop.turns(15) == [Act.FIRE]
    loop.idling.failed(loop.now)
    assert loop.turns(99) == []
    assert loop.turn() is Act.WARN


def test_a_machine_that_runs_on_is_tried_again() -> None:
    loop = Loop(Limits(idle=100.0, grace=20.0, again=600.0))
    loop.turns(110)
    loop.look()
    assert loop.turns(12) == [Act.FIRE]
    assert loop.turns(600) == []
    assert loop.turns(101) == [Act.WARN]


def test_it_tells_how_long_it_takes() -> None:
    loop = Loop()
    assert loop.idling.left(loop.now, LIMITS) is None
    assert loop.idling.seconds(loop.now) == 0.0
    loop.turns(31)
    assert loop.idling.seconds(loop.now) == 30.0
    assert loop.idling.left(loop.now, LIMITS) == 90.0
    loop.turns(75)
    assert loop.idling.left(loop.now, LIMITS) == 15.0
    loop.look()
    loop.turns(100)
    assert loop.idling.left(loop.now, LIMITS) is None


turns = st.lists(
    st.tuples(
        st.sampled_from([1.0, 1.0, 1.0, 5.0, 30.0, GAP, GAP + 0.5, 1e5]),
        st.sampled_from(["", "", "", "", "", "", "", "busy"]),
        st.sampled_from(["", "", "", "", "", "", "held"]),
        st.booleans(),
    ),
    max_size=120,
)


@given(turns, st.sampled_from([0.0, 3.0, 40.0, 100.0]), st.sampled_from([0.0, 2.0, 20.0]))
def test_it_never_acts_unless_every_rule_allows_it(
    story: list[tuple[float, str, str, bool]], idle: float, grace: float
) -> None:
    limits = Limits(idle, grace, again=None)
    loop = Loop(limits)
    told: list[tuple[float, float, str, str, Act]] = []  # now, since the last turn, busy, held
    fired_at: float | None = None
    for seconds, busy, held, looks in story:
        act = loop.turn(seconds, busy=busy, held=held)
        told.append((loop.now, seconds, busy, held, act))
        if looks:
            loop.look()
        if act is not Act.FIRE:
            continue
        warned = max(now for now, *_, it in told if it is Act.WARN)
        assert not any(now > warned and (b or h) for now, _, b, h, _ in told)
        assert loop.now - warned >= grace
        assert loop.looked >= warned
        quiet = [(now, gap) for now, gap, *_ in told if loop.now - now <= idle + grace]
        assert all(gap <= GAP for now, gap in quiet[1:])
        assert not any(b for now, _, b, *_ in told if warned - idle <= now)
        if fired_at is not None:
            assert any(now > fired_at and b for now, _, b, *_ in told)
        fired_at = loop.now
