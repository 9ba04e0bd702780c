"""The loop, turn by turn, with a folder in memory and time that is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.errors import (
    DeniedError,
    FullError,
    MissingError,
    ModelError,
    ReadOnlyError,
    SettingsError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.base.metrics import Outcome
from posewatch.catalog import Job, Why
from posewatch.claims.claim import Claim
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.service.daemon import ABANDON
from posewatch.service.inbox import Ask, Hint, Trouble
from posewatch.service.schedule import OVERDUE
from posewatch.stages.recipe import Progress
from posewatch.storage.contract import Skipped
from posewatch.worker.cancel import Stop
from posewatch.worker.job import PAUSE
from service.doubles import House, RunnerDouble

if TYPE_CHECKING:
    from posewatch.config import Settings


@pytest.fixture
def house(caplog: pytest.LogCaptureFixture) -> House:
    caplog.set_level(logging.INFO)
    return House()


# Noticing


def test_a_file_that_was_written_here_is_handed_out_after_its_rest(house: House) -> None:
    house.write("a.mp4")
    house.turn()
    assert house.working == []
    house.turn(0.29)
    assert house.working == []
    house.turn(0.02)
    assert house.working == ["a.mp4"]
    assert house.metric('posewatch_hints_total{source="inotify"}') == 1


def test_the_loop_sleeps_no_longer_than_until_then(house: House) -> None:
    house.turn()
    house.write("a.mp4")
    house.turn(0.5)
    house.daemon._sleep()
    assert house.inbox.slept == [pytest.approx(0.3)]
    house.turn()
    assert house.working == ["a.mp4"]


def test_a_file_that_goes_on_growing_rests_anew(house: House) -> None:
    house.write("a.mp4")
    house.turn()
    for _ in range(5):  # nobody tells
        house.put("a.mp4", data=b"more")
        house.turn(0.3)
        assert house.working == []
    house.turn(0.3)
    assert house.working == ["a.mp4"]


def test_a_file_that_vanishes_while_it_rests_is_forgotten(house: House) -> None:
    house.write("a.mp4")
    house.turn()
    house.memory.delete("a.mp4")
    house.turn(0.3)
    assert house.working == []
    assert house.daemon._catalog.open == 0


def test_hints_about_other_files_and_vanished_ones_are_nothing(house: House) -> None:
    house.write("a.mp4.part", "notes.txt", "a.posewatch.json")
    house.inbox.put(Hint("gone.mp4"))
    house.turn()
    assert len(house.daemon._catalog) == 0
    assert house.metric('posewatch_hints_total{source="inotify"}') == 1


def test_a_tree_of_videos_moved_into_a_slow_folder_leaves_the_loop_alive(house: House) -> None:
    """A hundred thousand looks at a slow mount take minutes; the watchdog waits for half of one."""
    house.turn()
    keys = [f"{number}.mp4" for number in range(20)]
    for key in keys:
        house.acts["stat", key] = lambda: house.clock.advance(0.25)
    house.write(*keys)
    began = house.clock.monotonic()
    house.turn()
    assert house.clock.monotonic() - began <= 2.0  # not the five that all looks take
    for _ in keys:
        house.daemon._sleep()
        house.turn()
    assert len(house.daemon._catalog) == len(keys)


def test_a_folder_that_fails_a_hint_is_in_trouble_until_a_scan(house: House) -> None:
    house.fail("stat", "a.mp4", UnavailableError("no answer"))
    house.write("a.mp4")
    house.turn()
    assert not house.daemon.readiness().checks[0].ok
    house.acts.clear()
    house.settle()
    assert house.daemon.readiness().checks[0].ok
    house.turn(60)
    assert house.working == ["a.mp4"]


def test_readiness_tells_what_is_wrong_and_names_no_file(house: House) -> None:
    """Anybody who reaches the port may ask."""
    error = FullError("could not stage 'secret.mp4': No space left", hint="Make room")
    house.inbox.put(Trouble("secret.mp4", error))
    house.turn()
    check = house.daemon.readiness().checks[0]
    assert (check.ok, check.detail) == (False, "full. Make room")


def test_a_folder_that_fails_when_the_rest_is_over_is_asked_again(house: House) -> None:
    house.write("a.mp4")
    house.turn()
    house.fail("stat", "a.mp4", UnavailableError("no answer"))
    house.turn(0.3)
    assert house.working == []
    house.acts.clear()
    house.turn(2)
    assert house.working == ["a.mp4"]


def test_what_two_scans_have_seen_is_handed_out(house: House) -> None:
    house.put("a.mp4", "talks/b.mp4")
    house.scan()
    house.turn(1)
    assert house.working == []
    assert house.metric('posewatch_videos{state="settling"}') == 2
    house.scan()
    house.turn(1)
    assert house.working == ["a.mp4", "talks/b.mp4"]
    assert house.metric("posewatch_scan_files") == 2
    assert house.metric('posewatch_scans_total{outcome="ok"}') == 2


def test_scans_come_at_their_interval_and_one_at_a_time(house: House) -> None:
    house.turn()
    assert house.requests == [1000]
    house.turn(50)
    assert house.requests == [1000], "the first is not back yet"
    house.scan()
    house.turn()
    house.turn(9.9)
    assert len(house.requests) == 1
    house.turn(0.1)
    assert house.requests[1:] == [1060]


def test_files_to_be_seen_again_bring_the_next_scan_a_little_sooner(house: House) -> None:
    house.turn()
    house.put("a.mp4")
    house.scan()
    house.turn()
    house.turn(9.0)
    assert house.requests == [1000, 1009]


def test_a_scan_that_takes_long_is_followed_by_a_rest_as_long(house: House) -> None:
    house.turn()
    house.acts["scan", ""] = lambda: house.clock.advance(30)
    house.scan()
    house.turn()
    house.turn(29.9)
    assert house.requests == [1000]
    house.turn(0.1)
    assert house.requests == [1000, 1060]


# Handing out


def test_no_more_than_allowed_are_handed_out_and_the_next_follows(house: House) -> None:
    house.put(*(f"{name}.mp4" for name in "abcde"))
    house.settle()
    assert house.working == ["a.mp4", "b.mp4", "c.mp4"]
    house.finish("b.mp4")
    house.turn()
    assert house.working == ["a.mp4", "c.mp4", "d.mp4"]


def test_done_and_failed_videos_are_not_handed_out_again(house: House) -> None:
    house.put("a.mp4", "b.mp4")
    house.settle()
    house.finish("a.mp4")
    house.finish("b.mp4", failed=True)
    house.turn()
    house.settle()
    house.settle()
    assert house.workshop.started == ["a.mp4", "b.mp4"]
    assert house.metric('posewatch_videos{state="done"}') == 1
    assert house.metric('posewatch_videos{state="failed"}') == 1


def test_a_video_that_somebody_else_was_quicker_with_waits_for_the_next_scan(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    house.end("a.mp4", None)
    house.turn(100)
    assert house.working == []
    house.scan()
    house.turn()
    assert house.working == ["a.mp4"]


def test_a_video_with_a_live_lock_is_left_alone_until_that_is_stale(house: House) -> None:
    Claims(house.memory, house.clock, Owner("there", 1, ""), 60.0, Observer()).acquire("a.mp4", "j")
    house.put("a.mp4")
    house.settle()
    assert house.working == []
    assert house.metric('posewatch_videos{state="elsewhere"}') == 1
    house.clock.advance(60)
    house.scan()
    house.turn()
    assert house.working == ["a.mp4"]


def test_a_video_that_somebody_else_did_is_done(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    house.end("a.mp4", None, standing=house.publish("a.mp4"))
    house.turn()
    assert house.daemon._catalog.open == 0


def test_a_video_that_is_to_be_retried_waits_first(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    house.end("a.mp4", Outcome.RETRIED, wait=PAUSE)
    house.turn()
    house.turn(PAUSE - 1)
    assert house.working == []
    house.turn(1)
    assert house.working == ["a.mp4"]


def test_bugs_are_counted_for_the_next_try(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    house.end("a.mp4", Outcome.RETRIED, bug=ZeroDivisionError())
    house.turn()
    assert house.workshop.jobs["a.mp4"][0].bugs == 1


def test_a_video_that_is_gone_is_forgotten_until_it_is_seen_again(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    house.end("a.mp4", Outcome.RETRIED, gone=True)
    house.turn()
    assert house.working == []
    house.settle()
    assert house.working == ["a.mp4"]


def test_a_video_that_was_replaced_while_it_was_worked_on_is_done_again(house: House) -> None:
    house.write("a.mp4")
    house.turn()
    house.turn(1)
    house.write("a.mp4", data=b"another")
    house.turn(1)
    house.finish("a.mp4")
    house.turn()
    assert house.working == []
    house.turn(0.3)
    assert house.working == ["a.mp4"]
    assert house.workshop.jobs["a.mp4"][0].version.size == 7


def test_a_video_that_changed_while_its_hint_was_already_there_is_kept(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    house.write("a.mp4", data=b"another")
    house.turn()
    house.end("a.mp4", Outcome.RETRIED, gone=True)
    house.turn(0.3)
    assert house.working == ["a.mp4"]


def test_what_could_not_be_listed_is_not_gone(house: House) -> None:
    house.put("talks/a.mp4")
    house.settle()
    house.end("talks/a.mp4", Outcome.RETRIED, wait=PAUSE)
    house.turn()
    house.memory.delete("talks/a.mp4")
    scan = house.reader.scan()
    scan.skipped.append(Skipped("talks/", DeniedError("no permission")))
    house.inbox.put(scan)
    house.turn(PAUSE)
    assert house.working == ["talks/a.mp4"]


# Trouble


@pytest.mark.parametrize("error", [FullError, UnmountedError, UnavailableError])
def test_trouble_of_the_folder_holds_everything_up_and_is_told_once(
    house: House, caplog: pytest.LogCaptureFixture, error: type[StorageError]
) -> None:
    house.put("a.mp4", "talks/b.mp4", "talks/c.mp4", "talks/d.mp4")
    house.settle()
    for _ in range(3):
        house.inbox.put(Trouble("a.mp4", error("trouble")))
    house.end("a.mp4", None, error=error("trouble"), wait=PAUSE)
    house.turn()
    assert len(house.working) == 2
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.exc_info is not None
    checks = house.daemon.readiness().checks
    assert [(check.name, check.ok) for check in checks] == [
        ("folder", False),
        ("scan", True),
        ("running", True),
        ("machine", True),
    ]
    assert house.metric("posewatch_folder_available") == (0 if error is UnmountedError else 1)
    house.inbox.put(Trouble("a.mp4", None))
    house.turn()
    assert len(house.working) == 3
    assert house.daemon.readiness().checks[0].ok
    assert caplog.messages[-1] == "the folder works again"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ModelError("no GPU")])
def test_trouble_of_the_machine_holds_everything_up_until_it_has_made_something(
    house: House, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.INFO)
    house.put(*(f"{name}.mp4" for name in "abcdef"))
    house.settle()
    for key in list(house.working):
        house.end(key, Outcome.RETRIED, error=error, wait=PAUSE)
    house.turn()
    assert house.working == []
    check = house.daemon.readiness().checks[-1]
    assert (check.name, check.ok) == ("machine", False)
    assert check.detail == (error.strerror if isinstance(error, OSError) else "no GPU")
    assert house.daemon.readiness().checks[0].ok, "it is not the folder"
    house.turn(5)
    assert house.working == ["d.mp4", "e.mp4", "f.mp4"], "others are tried first"
    house.end("e.mp4", Outcome.FAILED)
    house.turn()
    assert not house.daemon.readiness().ok, "a failure needs nothing of the machine"
    house.finish("d.mp4")
    house.turn()
    assert house.daemon.readiness().ok
    told = [r.getMessage() for r in caplog.records if "machine" in r.getMessage()]
    assert told == [
        f"this machine is in trouble; work goes on when it has passed: {error}",
        "this machine works again",
    ]


def test_what_others_do_in_the_folder_is_no_trouble(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.put("gone/a.mp4", "b.mp4", "c.mp4")
    house.settle()
    house.end(house.working[0], None, error=MissingError("its folder is gone"), wait=PAUSE)
    house.turn()
    assert house.daemon.readiness().ok
    assert len(house.working) == 2
    assert not caplog.records


@pytest.mark.parametrize("failed", [True, False])
def test_a_video_that_ends_shows_that_the_trouble_is_over(house: House, *, failed: bool) -> None:
    house.put("a.mp4")
    house.settle()
    house.inbox.put(Trouble("a.mp4", FullError("no space")))
    house.turn()
    assert not house.daemon.readiness().checks[0].ok
    house.finish("a.mp4", failed=failed)
    house.turn()
    assert house.daemon.readiness().checks[0].ok


@pytest.mark.parametrize("error", [DeniedError, ReadOnlyError])
def test_what_may_not_be_written_holds_up_its_own_folder_only(
    house: House, error: type[StorageError]
) -> None:
    house.put(*(f"theirs/{n}.mp4" for n in range(9)), *(f"x-ours/{n}.mp4" for n in range(9)))
    house.workshop.then = lambda key: (
        house.end(key, None, error=error("no"), wait=PAUSE)
        if key.startswith("theirs")
        else house.finish(key)
    )
    house.settle()
    for _ in range(30):
        house.turn(0.1)
    assert {f"x-ours/{n}.mp4" for n in range(9)} <= set(house.workshop.started)
    assert not house.daemon.readiness().checks[0].ok
    tried = [key for key in house.workshop.started if key.startswith("theirs")]
    assert len(tried) < 30, "it is not tried in each turn"
    house.workshop.then = house.finish
    for _ in range(40):
        house.turn(10)
    house.settle()
    assert house.daemon._catalog.open == 0
    assert house.daemon.readiness().checks[0].ok


@pytest.mark.parametrize("error", [UnmountedError, UnavailableError])
def test_a_scan_that_fails_is_tried_again_and_tells_when_it_works(
    house: House, caplog: pytest.LogCaptureFixture, error: type[StorageError]
) -> None:
    house.turn()
    house.inbox.put(error("the folder is not there"))
    house.turn()
    assert house.metric('posewatch_scans_total{outcome="failed"}') == 1
    assert house.metric("posewatch_folder_available") == 0
    assert not house.daemon.readiness().checks[0].ok
    assert house.notifier.lines[-1] != "the folder is not there"
    house.turn(9.9)
    assert house.requests == [1000]
    house.turn(0.1)
    assert house.requests == [1000, 1010]
    assert house.notifier.lines[-1] == "the folder is not there"
    house.scan()
    house.turn()
    assert house.metric("posewatch_folder_available") == 1
    assert house.daemon.readiness().checks[0].ok
    assert "the folder works again" in caplog.messages


def test_what_is_left_out_is_told_once_until_it_is_there_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    link = Skipped("link.mp4", None)
    secret = Skipped("secret/", DeniedError("no permission"))

    def scan(*skipped: Skipped) -> list[str]:
        caplog.clear()
        found = house.reader.scan()
        found.skipped.extend(skipped)
        house.inbox.put(found)
        house.turn(10)
        return caplog.messages

    assert len(scan(link, secret)) == 2
    assert caplog.messages == ["ignored: it is no file of this folder", "it cannot be looked at"]
    assert scan(link, secret) == []
    assert house.shown[-1].unlisted == 1
    assert scan(link) == []
    assert len(scan(link, secret)) == 1
    assert caplog.messages == ["it cannot be looked at"]


def test_a_name_that_is_too_long_is_told_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    name = "x" * 240 + ".mp4"
    house.put(name)
    house.settle()
    house.settle()
    assert (house.working, caplog.messages) == ([], ["failed"])
    assert house.metric('posewatch_video_faults_total{fault="name-too-long"}') == 1
    house.memory.delete(name)
    house.scan()
    house.turn()
    house.put(name)
    house.scan()
    house.turn()
    assert caplog.messages == ["failed"] * 2


def test_before_the_first_scan_it_is_not_ready(house: House) -> None:
    house.turn()
    checks = {check.name: check for check in house.daemon.readiness().checks}
    assert (checks["scan"].ok, checks["scan"].detail) == (False, "the first one is not done yet")


def test_a_scan_that_hangs_makes_it_unready_and_its_end_ready_again(house: House) -> None:
    house.settle()
    house.on_request = lambda: None
    house.turn(60)
    house.turn(OVERDUE)
    assert house.daemon.readiness().ok
    house.turn(1)
    (scan,) = [c for c in house.daemon.readiness().checks if not c.ok]
    assert (scan.name, scan.detail) == ("scan", "one lasts for 301 s")
    house.scan()
    house.turn()
    assert house.daemon.readiness().ok


# Buckets


def test_a_daemon_works_on_its_share_only() -> None:
    keys = [f"{number}.mp4" for number in range(12)]
    houses = [House(share=f"{number}/3", work={"videos_in_flight": 12}) for number in (1, 2, 3)]
    for house in houses:
        house.put(*keys)
        house.settle()
    assert all(house.working for house in houses)
    assert sorted(key for house in houses for key in house.working) == sorted(keys)


def test_working_a_share_off_ends_when_that_is_done() -> None:
    house = House(share="1/3", until_idle=True, work={"videos_in_flight": 12})
    house.put(*(f"{number}.mp4" for number in range(12)))
    house.on_request = house.scan
    for _ in range(5):
        house.turn(1)
    assert not house.daemon._over()
    for key in list(house.working):
        house.finish(key)
    for _ in range(5):
        house.turn(1)
    house.turn()
    assert house.daemon._catalog.open > 0
    assert house.daemon._over()


def interval(house: House) -> float:
    """Seconds to the next scan after a scan of now."""
    house.requests.clear()
    began = house.clock.monotonic()
    house.daemon._schedule.at(began)
    house.turn()
    house.scan()
    house.turn()
    for _ in range(1000):
        if len(house.requests) == 2:
            break
        house.turn(1)
    house.scan()
    house.turn()
    return house.requests[1] - began


def test_a_bucket_for_which_there_is_nothing_to_do_is_scanned_less_and_less() -> None:
    house = House(scans_cost=True)
    house.put("a.mp4")
    house.settle()
    assert [interval(house) for _ in range(2)] == [10, 10]
    house.finish("a.mp4")
    house.turn()
    assert [interval(house) for _ in range(3)] == [20, 60, 60]
    house.write("b.mp4")
    house.turn()
    due = house.daemon._schedule.next
    assert due is not None
    assert due <= house.clock.monotonic() + 10


def test_a_folder_is_always_scanned_as_often() -> None:
    house = House()
    house.settle()
    assert [interval(house) for _ in range(3)] == [10, 10, 10]


# Sweeping


def dead_lock(house: House, key: str) -> str:
    clock = ManualClock()
    Claims(house.memory, clock, Owner("there", 1, ""), 60.0, Observer()).acquire(key, "job")
    return f"{key}.lock"


def test_locks_of_the_dead_are_swept_when_nobody_needs_them(house: House) -> None:
    house.put("done.mp4", "open.mp4")
    house.settle()
    house.finish("done.mp4")
    house.turn()
    locks = {dead_lock(house, key) for key in ("done.mp4", "gone.mp4", "open.mp4")}

    def left() -> set[str]:
        return locks & {entry.key for entry in house.memory.scan(lambda _key: False)}

    house.scan()
    house.turn(59)
    house.scan()
    house.turn()
    assert left() == locks
    house.clock.advance(1)
    house.scan()
    house.turn()
    assert left() == {"open.mp4.lock"}


def test_leftovers_are_swept_unless_their_video_is_held(house: House) -> None:
    house.put("a.mp4", "b.mp4")
    house.memory.stage("dead", "gone.mp4")
    house.memory.stage("alive", "a.mp4")
    house.memory.put(".posewatch-new-1", b"half a lock")
    house.settle()
    house.finish("b.mp4")
    house.turn(60)
    house.scan()
    house.turn()
    assert house.working == ["a.mp4"]
    hidden = {e.key for e in house.memory.scan(lambda _key: False) if "posewatch-" in e.key}
    assert len(hidden) == 1


def test_nothing_is_swept_when_a_folder_could_not_be_listed(house: House) -> None:
    lock = dead_lock(house, "gone.mp4")
    for _ in range(2):
        scan = house.reader.scan()
        scan.skipped.append(Skipped("secret/", DeniedError("no")))
        house.inbox.put(scan)
        house.turn(61)
    assert house.memory.stat(lock) is not None


def test_what_cannot_be_swept_keeps_nothing_else_from_it(house: House) -> None:
    locks = [dead_lock(house, key) for key in ("a.mp4", "b.mp4")]
    house.memory.put(".posewatch-new-1", b"half a lock")
    house.fail("remove", locks[0], DeniedError("no"))
    for _ in range(2):
        house.scan()
        house.turn(61)
    assert {entry.key for entry in house.memory.scan(lambda _key: False)} == {locks[0]}


# Stopping


def test_a_stop_gives_back_what_has_not_begun_and_waits_for_the_rest(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    house.inbox.put(Ask.STOP)
    house.turn()
    assert house.workshop.given_back == [(Stop.SHUTDOWN, False)]
    assert house.notifier.told == ["stopping", "extend 30"]
    house.put("b.mp4")
    house.settle()
    assert house.working == ["a.mp4"], "nothing is begun any more"
    assert house.daemon.readiness().checks[2].detail == "stopping"
    assert not house.daemon._over()
    house.finish("a.mp4")
    house.turn()
    assert house.daemon._over()


def test_after_the_grace_everything_is_given_back(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    house.inbox.put(Ask.STOP)
    house.turn()
    house.turn(19.9)
    assert house.workshop.given_back == [(Stop.SHUTDOWN, False)]
    house.turn(0.1)
    assert house.workshop.given_back[-1] == (Stop.SHUTDOWN, True)
    house.end("a.mp4", Outcome.GIVEN_BACK)
    house.turn()
    assert house.daemon._over()


def test_who_asks_to_stop_waits_for_no_hints(house: House) -> None:
    house.settle()
    keys = [f"{number}.mp4" for number in range(20)]
    for key in keys:
        house.acts["stat", key] = lambda: house.clock.advance(2.0)
    house.write(*keys)
    house.inbox.put(Ask.STOP)
    house.turn()
    assert house.notifier.told[:1] == ["stopping"]


def test_a_second_stop_does_not_wait(house: House) -> None:
    house.put("a.mp4")
    house.settle()
    for _ in range(2):
        house.inbox.put(Ask.STOP)
    house.turn()
    assert house.workshop.given_back == [(Stop.SHUTDOWN, False), (Stop.SHUTDOWN, True)]


def test_a_job_that_hangs_is_left_behind(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.put("a.mp4")
    house.settle()
    house.inbox.put(Ask.STOP)
    house.turn()
    house.turn(20 + ABANDON - 0.1)
    assert not house.daemon._over()
    house.turn(0.1)
    assert house.daemon._over()
    assert "hang" in caplog.messages[-1]


def test_a_stop_with_nothing_to_do_is_the_end(house: House) -> None:
    house.inbox.put(Ask.STOP)
    assert house.daemon.run().interrupted
    assert house.inbox.slept == []


def test_run_goes_on_until_it_is_stopped(house: House) -> None:
    house.put("a.mp4")
    house.on_request = lambda: house.inbox.put(house.reader.scan())
    house.workshop.then = house.finish
    stop_at = house.clock.monotonic() + 100

    def show() -> None:
        if house.clock.monotonic() >= stop_at:
            house.inbox.put(Ask.STOP)

    house.on_show = show
    overview = house.daemon.run()
    assert (overview.done, overview.frames) == (1, 10)
    assert len(house.requests) == 11
    assert max(house.inbox.slept) <= 1.0


# Reading the settings again


def test_a_reload_counts_for_the_next_videos(house: House) -> None:
    house.put(*(f"{name}.mp4" for name in "abcde"))
    house.settle()
    old = house.workshop.jobs["a.mp4"][1]
    new = RunnerDouble("next")
    wanted = house.settings.model_copy(
        update={"work": house.settings.work.model_copy(update={"videos_in_flight": 4})}
    )
    house.reloaded = lambda now: (wanted, new) if now is house.settings else (now, old)
    house.inbox.put(Ask.RELOAD)
    house.turn()
    assert house.notifier.told == ["reloading", "ready"]
    assert house.working == [f"{name}.mp4" for name in "abcde"]
    assert house.workshop.jobs["a.mp4"][1] is old
    assert house.workshop.jobs["e.mp4"][1] is new
    # What was made by the old recipe is outdated now.
    house.finish("a.mp4")
    house.turn()
    assert house.workshop.jobs["a.mp4"][1] is new


def test_wrong_settings_change_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(_now: Settings) -> tuple[Settings, RunnerDouble]:
        raise SettingsError("there is no setting x")

    house.reloaded = wrong
    house.inbox.put(Ask.RELOAD)
    house.turn()
    assert house.notifier.told == ["reloading", "ready"]
    assert caplog.messages == ["the settings stay as they were"]
    house.write("a.mp4")
    house.turn()
    house.turn(1)
    assert house.working == ["a.mp4"]


def test_a_shorter_interval_counts_at_once(house: House) -> None:
    house.turn()
    house.scan()
    house.turn()
    watch = house.settings.watch.model_copy(update={"scan_interval": 2.0})
    wanted = house.settings.model_copy(update={"watch": watch})
    house.reloaded = lambda _now: (wanted, RunnerDouble())
    house.inbox.put(Ask.RELOAD)
    house.turn()
    house.turn(2)
    assert house.requests == [1000, 1002]


def test_who_is_stopping_does_not_read_settings_any_more(house: House) -> None:
    house.inbox.put(Ask.STOP)
    house.inbox.put(Ask.RELOAD)
    house.turn()
    assert house.notifier.told == ["stopping", "extend 30"]


# Telling


def test_how_far_it_is_is_told_every_second(house: House) -> None:
    house.put("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    house.settle()
    house.finish("a.mp4", frames=30)
    house.heart.running = {"b.mp4": Progress(10, 20), "c.mp4": None, "d.mp4": Progress(5, None)}
    house.turn(10)
    now = house.shown[-1]
    assert (now.videos, now.done, now.failed, now.in_flight, now.waiting) == (4, 1, 0, 3, 0)
    assert (now.frames, now.frames_per_second) == (45, 4.5)
    assert now.seconds_left == pytest.approx((3 - 0.5) * 10 / 1.5)
    assert house.notifier.lines[-1] == "3 in flight, 0 waiting, 1 done, 0 failed, 4.5 frames/s"
    assert house.daemon.overview == now
    assert house.metric("posewatch_videos_in_flight") == 3
    shown = len(house.shown)
    house.turn(0.5)
    assert len(house.shown) == shown
    house.turn(0.5)
    assert len(house.shown) == shown + 1


def test_each_turn_shows_that_the_loop_lives(house: House) -> None:
    for _ in range(3):
        house.turn(29)
        assert house.progress.health().silent_seconds == 0


# Until idle


def idle_house(*videos: str) -> House:
    """A loop that ends when all is done; scans and jobs happen at once."""
    house = House(until_idle=True)
    house.put(*videos)
    house.on_request = house.scan
    house.workshop.then = house.finish
    return house


def test_an_empty_folder_is_idle_after_one_scan() -> None:
    house = idle_house()
    overview = house.daemon.run()
    assert (overview.videos, overview.interrupted, len(house.requests)) == (0, False, 1)


def test_all_is_done_when_a_scan_after_the_last_ending_says_so() -> None:
    house = idle_house(*(f"{n}.mp4" for n in range(7)))
    overview = house.daemon.run()
    assert (overview.done, overview.failed, overview.frames) == (7, 0, 70)
    assert house.clock.monotonic() < 1004, "somebody waits: it scans each second"


def test_failures_are_finished_too() -> None:
    house = idle_house("a.mp4", "b.mp4")
    house.workshop.then = lambda key: house.finish(key, failed=key == "a.mp4")
    overview = house.daemon.run()
    assert (overview.done, overview.failed) == (1, 1)


def test_what_comes_meanwhile_is_done_too() -> None:
    house = idle_house("a.mp4")

    def then(key: str) -> None:
        house.finish(key)
        if key == "a.mp4":
            house.put("late.mp4")

    house.workshop.then = then
    assert house.daemon.run().done == 2


def test_what_others_work_on_is_waited_for() -> None:
    house = idle_house("a.mp4")
    theirs = House()
    theirs.memory = house.memory
    claims = Claims(house.memory, house.clock, Owner("there", 1, ""), 1e4, Observer())
    claim = claims.acquire("a.mp4", "job")
    assert isinstance(claim, Claim)

    def scan() -> None:
        if len(house.requests) == 20:
            entry = house.memory.stat("a.mp4")
            assert entry is not None
            assert entry.version is not None
            job = Job("a.mp4", entry.version, Why.NEW, "a.posewatch.json", None, 0.0, None)
            theirs.workshop.jobs["a.mp4"] = job, RunnerDouble()
            theirs.publish("a.mp4")
            claim.release()
        house.scan()

    house.on_request = scan
    overview = house.daemon.run()
    assert (overview.done, house.workshop.started) == (1, [])
    assert len(house.requests) >= 20


def test_a_scan_that_fails_is_no_proof_that_all_is_done() -> None:
    house = idle_house("a.mp4")
    failing = 3

    def scan() -> None:
        nonlocal failing
        done = bool(house.workshop.started)
        if done and failing:
            failing -= 1
            house.put("late.mp4")
            house.inbox.put(UnmountedError("gone"))
        else:
            house.scan()

    house.on_request = scan
    assert house.daemon.run().done == 2


def test_a_scan_from_before_the_last_ending_is_no_proof_either() -> None:
    house = House(until_idle=True)
    house.put("a.mp4")
    house.settle()
    house.turn(1)
    stale = house.reader.scan()
    house.put("late.mp4")
    house.finish("a.mp4")
    house.turn()
    house.inbox.put(stale)
    house.turn()
    assert not house.daemon._over()
    house.settle()
    assert house.working == ["late.mp4"]


def test_it_ends_although_something_may_not_be_written_and_says_so() -> None:
    house = idle_house("theirs/a.mp4", "theirs/b.mp4", "ours.mp4")
    house.workshop.then = lambda key: (
        house.end(key, None, error=DeniedError("no"), wait=PAUSE)
        if key.startswith("theirs")
        else house.finish(key)
    )
    overview = house.daemon.run()
    assert (overview.done, overview.failed, overview.refused) == (1, 0, 2)
    assert len([key for key in house.workshop.started if key.startswith("theirs")]) >= 3


def test_a_full_disk_is_waited_for() -> None:
    house = idle_house("a.mp4")

    def then(key: str) -> None:
        if len(house.workshop.started) < 5:
            house.end(key, None, error=FullError("no space"), wait=PAUSE)
        else:
            house.finish(key)

    house.workshop.then = then
    assert house.daemon.run().done == 1
    assert len(house.workshop.started) == 5


def test_it_can_be_interrupted() -> None:
    house = idle_house("a.mp4")
    house.workshop.then = lambda _key: house.inbox.put(Ask.STOP)
    given_back = house.workshop.give_back

    def give_back(why: Stop, detail: str, *, begun: bool) -> None:
        given_back(why, detail, begun=begun)
        house.end("a.mp4", Outcome.GIVEN_BACK)

    house.workshop.give_back = give_back  # type: ignore[method-assign]
    overview = house.daemon.run()
    assert (overview.interrupted, overview.done, overview.waiting) == (True, 0, 1)
