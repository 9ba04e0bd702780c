"""When scans come; `test_daemon` has the loop that makes them."""

from __future__ import annotations

import pytest

from posewatch.catalog import Listing
from posewatch.config import WatchSettings
from posewatch.service.schedule import CONFIRM, OVERDUE, OVERDUE_TIMES, Schedule
from posewatch.watch.scan import Scan

EVERY = 10.0


def schedule(*, until_idle: bool = False, scans_cost: bool = False) -> Schedule:
    watch = WatchSettings(scan_interval=EVERY, idle_interval=60.0)
    return Schedule(watch, 100.0, until_idle=until_idle, scans_cost=scans_cost)


def scan(made: Schedule, began: float, took: float = 0.0, **about: bool) -> float | None:
    """One scan; when the next one is due."""
    made.at(began)
    assert made.ask(began)
    assert made.next is None
    assert not made.ask(began + 1e6), "one at a time"
    ended = began + took
    told = {"to_do": False, "to_confirm": False} | about
    made.ended(Scan(Listing(), began=began, ended=ended), ended, **told)
    return made.next


def test_the_first_scan_is_due_at_once() -> None:
    made = schedule()
    assert not made.check(100.0).ok
    assert not made.complete
    assert not made.ask(99.9)
    assert scan(made, 100.0) == 100.0 + EVERY
    assert made.check(100.0).ok
    assert (made.complete, made.looked) == (True, 100.0)


def test_files_that_must_be_seen_again_are_looked_for_a_little_earlier() -> None:
    assert scan(schedule(), 100.0, to_confirm=True) == 100.0 + CONFIRM * EVERY


@pytest.mark.parametrize(("took", "due"), [(4.0, 110.0), (30.0, 160.0)])
def test_a_scan_that_takes_long_is_followed_by_a_rest_as_long(took: float, due: float) -> None:
    assert scan(schedule(), 100.0, took) == due


def test_while_somebody_waits_scans_come_each_second() -> None:
    assert scan(schedule(until_idle=True), 100.0) == 101.0


def test_scans_that_cost_come_less_often_while_nothing_happens() -> None:
    made = schedule(scans_cost=True)
    assert [scan(made, 100.0) for _ in range(4)] == [120.0, 140.0, 160.0, 160.0]
    made.stir(100.0)
    assert (made.next, made.complete) == (110.0, False)
    assert scan(made, 100.0, to_do=True) == 110.0


def test_what_happens_while_a_scan_goes_on_is_for_the_next_one() -> None:
    made = schedule()
    assert made.ask(100.0)
    made.stir(100.5)
    made.ended(Scan(Listing(), began=100.0, ended=101.0), 101.0, to_do=False, to_confirm=False)
    assert made.scanned
    assert not made.complete


def test_after_a_failure_comes_another_try() -> None:
    made = schedule()
    assert made.ask(100.0)
    made.failed(103.0)
    assert (made.next, made.scanned, made.complete) == (113.0, False, False)


@pytest.mark.parametrize(("took", "patience"), [(0.0, OVERDUE), (100.0, 100.0 * OVERDUE_TIMES)])
def test_a_scan_is_overdue_by_what_the_last_one_took(took: float, patience: float) -> None:
    made = schedule()
    scan(made, 100.0, took)
    made.at(1000.0)
    assert made.ask(1000.0)
    assert made.check(1000.0 + patience).ok
    late = made.check(1001.0 + patience)
    assert (late.ok, late.detail) == (False, f"one lasts for {patience + 1:.0f} s")
