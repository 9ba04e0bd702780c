"""Whole stories told to `posewatch.catalog`: what holds whatever happens."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from posewatch.catalog import (
    OPEN,
    Catalog,
    Held,
    Job,
    Listing,
    Rules,
    State,
    Verdict,
    View,
    memory,
    told_by,
)
from posewatch.formats import names
from posewatch.formats.receipt import InputRecord, Receipt, RecipeRecord, ResultRecord
from posewatch.storage.contract import Entry, Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

SUFFIXES = (".mp4", ".mov")
KEYS = ("a.mp4", "a.mov", "a.mp4.mov", "b.mp4", "t/c.mp4", "t/c.mov")


class World:
    """A folder, and what any number of workers write into it."""

    def __init__(self) -> None:
        self.videos: dict[str, Version] = {}
        self.receipts: dict[str, tuple[Version, Receipt]] = {}
        self.results: dict[str, Version] = {}
        self.locks: dict[str, int] = {}
        self.writes = 0
        self.now = 1000.0

    def version(self, size: int = 5) -> Version:
        self.writes += 1
        return Version(size, str(self.writes))

    def listing(self) -> Listing:
        kept = {key: version for key, (version, _) in self.receipts.items()} | self.results
        return Listing(dict(self.videos), kept)

    def publish(self, job: Job, recipe: str, *, well: bool = True) -> None:
        """What a worker does in the end, with the checks of the publisher."""
        name = names.split(job.key)[1]
        done = well and job.taken_by is None
        results = []
        if done:
            key = names.pose_key(job.key, "mediapipe")
            self.results[key] = self.version(7)
            results = [ResultRecord(name=names.split(key)[1], size=7, sha256="")]
        receipt = Receipt(
            outcome="done" if done else "failed",
            input=InputRecord(name=name, size=job.version.size, tag=job.version.tag),
            recipe=RecipeRecord(name="m", hash=recipe),
            attempt=1,
            nonce="n",
            results=tuple(results),
        )
        self.receipts[job.receipt_key] = self.version(9), receipt


class Worker:
    """One process: a catalog, and the jobs that it has taken."""

    def __init__(self, world: World, number: int, recipe: str) -> None:
        self.world = world
        self.number = number
        self.recipe = recipe
        self.catalog = Catalog(Rules(SUFFIXES, recipe, settle=0.5))
        self.jobs: dict[str, Job] = {}
        self.read: dict[str, Version] = {}
        self.worked = 0

    def scan(self) -> None:
        world = self.world
        self.catalog.scanned(world.listing(), world.now)
        for key, (version, content) in world.receipts.items():
            if self.read.get(key) != version:
                self.catalog.receipt_read(key, told_by(key, version, content))
        self.read = {key: version for key, (version, _) in world.receipts.items()}
        held = {
            key: Held.HERE if number == self.number else Held.ELSEWHERE
            for key, number in world.locks.items()
        }
        self.catalog.settle_up(held, world.now)

    def take(self, limit: int) -> None:
        for job in self.catalog.jobs(self.world.now, limit):
            assert job.key not in self.jobs, "handed out while it is taken"
            assert self.catalog.knows(job.key)
            if job.key in self.world.locks:
                self.catalog.held_elsewhere(job.key)
                continue
            self.world.locks[job.key] = self.number
            self.catalog.taken(job.key)
            self.jobs[job.key] = job

    def end(self, key: str, *, well: bool = True, wait: float = 0.0) -> None:
        """A job ends: it looks again, as a worker does, and publishes."""
        job = self.jobs.pop(key)
        del self.world.locks[key]
        standing = self.world.receipts.get(job.receipt_key)
        if self.world.videos.get(key) != job.version:
            self.catalog.let_go(key, self.world.now)
            self.catalog.gone(key, job.version)
            return
        if wait:
            self.catalog.let_go(key, self.world.now, wait=wait)
            return
        folder, name = names.split(key)
        other = folder + standing[1].input.name if standing is not None else key
        if standing is None or other == key or other not in self.world.videos:
            settled = (
                standing is not None
                and standing[1].input.name == name
                and Version(standing[1].input.size, standing[1].input.tag) == job.version
                and standing[1].recipe.hash == self.recipe
                and all(folder + r.name in self.world.results for r in standing[1].results)
            )
            if not settled:
                self.world.publish(job, self.recipe, well=well)
                self.worked += 1
        found = self.world.receipts[job.receipt_key]
        self.catalog.published(job.receipt_key, *found, self.world.now)
        self.catalog.let_go(key, self.world.now)

    def run(self) -> None:
        """Work until nothing is left to do, as far as the catalog knows."""
        self.take(limit=9)
        while self.jobs:
            self.end(next(iter(self.jobs)))
            self.take(limit=9)


class OneWorker(RuleBasedStateMachine):
    """One process, and users who do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.worker = Worker(self.world, 1, "now")

    @initialize(keys=st.sets(st.sampled_from(KEYS)))
    def begin(self, keys: set[str]) -> None:
        self.world.videos = {key: self.world.version() for key in sorted(keys)}

    @rule(key=st.sampled_from(KEYS))
    def write(self, key: str) -> None:
        self.world.videos[key] = self.world.version()

    @rule(key=st.sampled_from(KEYS))
    def write_here(self, key: str) -> None:
        self.world.videos[key] = self.world.version()
        self.worker.catalog.closed(key, Entry(key, self.world.videos[key]), self.world.now)

    @rule(key=st.sampled_from(KEYS))
    def remove(self, key: str) -> None:
        self.world.videos.pop(key, None)

    @rule(key=st.sampled_from(KEYS))
    def lose_results(self, key: str) -> None:
        self.world.results.pop(names.pose_key(key, "mediapipe"), None)

    @rule(key=st.sampled_from(KEYS))
    def forget(self, key: str) -> None:
        self.world.receipts.pop(names.receipt_key(key), None)

    @rule(seconds=st.sampled_from([0.2, 0.6, 10.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def scan(self) -> None:
        self.worker.scan()

    @rule(limit=st.integers(1, 3))
    def take(self, limit: int) -> None:
        self.worker.take(limit)

    @precondition(lambda self: self.worker.jobs)
    @rule(data=st.data(), well=st.booleans(), wait=st.sampled_from([0.0, 5.0]))
    def end(self, data: st.DataObject, *, well: bool, wait: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.worker.jobs)))
        self.worker.end(key, well=well, wait=wait)

    @invariant()
    def nothing_that_is_taken_waits(self) -> None:
        jobs = {job.key for job in self.worker.catalog.jobs(self.world.now, 99)}
        assert not jobs & self.worker.jobs.keys()

    def teardown(self) -> None:
        """In the end everything is done or failed, and stays so."""
        for key in list(self.worker.jobs):
            self.worker.end(key)
        for _ in range(6):
            self.world.now += 10
            self.worker.scan()
            self.worker.run()
        catalog, now = self.worker.catalog, self.world.now
        assert set(catalog.keys()) == set(self.world.videos)
        states = {key: catalog.verdict(key, now).state for key in self.world.videos}
        assert set(states.values()) <= {State.DONE, State.FAILED}, states
        for key in self.world.videos:
            _, told = self.world.receipts[catalog.receipt_key(key)]
            assert (told.input.name, told.input.size, told.input.tag) == (
                names.split(key)[1],
                self.world.videos[key].size,
                self.world.videos[key].tag,
            )
        assert catalog.open == 0
        assert catalog.failed == sum(state is State.FAILED for state in states.values())
        before = dict(self.world.receipts)
        self.world.now += 100
        self.worker.scan()
        self.worker.run()
        assert self.world.receipts == before, "what was finished was done again"


class TwoRecipes(RuleBasedStateMachine):
    """Two processes that want different things of one folder."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.workers = [Worker(self.world, 0, "one"), Worker(self.world, 1, "two")]

    numbers = st.integers(0, 1)

    @rule(key=st.sampled_from(KEYS))
    def write(self, key: str) -> None:
        self.world.videos[key] = self.world.version()

    @rule(number=numbers)
    def scan(self, number: int) -> None:
        self.world.now += 10
        self.workers[number].scan()

    @rule(number=numbers)
    def run(self, number: int) -> None:
        self.workers[number].run()

    @rule(number=numbers)
    def restart(self, number: int) -> None:
        recipe = self.workers[number].recipe
        self.workers[number] = Worker(self.world, number, recipe)

    def teardown(self) -> None:
        """They come to rest, and everything is finished."""
        for _ in range(8):
            for worker in self.workers:
                self.world.now += 10
                worker.scan()
                worker.run()
        before = dict(self.world.receipts)
        for _ in range(4):
            for worker in self.workers:
                self.world.now += 10
                worker.scan()
                worker.run()
        assert self.world.receipts == before, "they take the work from each other"
        for worker in self.workers:
            worker.scan()
            assert worker.catalog.open == 0


OneWorker.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TwoRecipes.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestOneWorker = OneWorker.TestCase
TestTwoRecipes = TwoRecipes.TestCase


# Size


def entries_of(count: int) -> Iterator[Entry]:
    """So many videos, with tags as buckets have them."""
    for number in range(count):
        yield Entry(f"{number // 1000:04}/{number:06}.mp4", Version(1, f"{number:032x}"))


def listing_of(count: int) -> Listing:
    return Listing.of(entries_of(count), SUFFIXES)


def test_a_video_costs_less_than_two_hundred_bytes() -> None:
    count = 10_000
    catalog = Catalog(Rules(SUFFIXES, "now", settle=0.5))
    tracemalloc.start()
    try:
        for moment in (0.0, 10.0):
            listing = Listing.of(entries_of(count), SUFFIXES)
            catalog.scanned(listing, moment)
            catalog.settle_up({}, moment)
            del listing
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(catalog) == catalog.open == count
    assert kept / count < 120
    assert peak / count < 220


def test_between_scans_the_cost_does_not_depend_on_the_number_of_videos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = 100_000
    decide = memory.decide
    decisions = 0

    def counted(view: View, rules: Rules, now: float) -> Verdict:
        nonlocal decisions
        decisions += 1
        return decide(view, rules, now)

    monkeypatch.setattr(memory, "decide", counted)
    catalog = Catalog(Rules(SUFFIXES, "now", settle=0.5, scans=1))
    catalog.scanned(listing_of(count), 10.0)
    catalog.settle_up({}, 10.0)
    assert decisions == count

    decisions = 0
    assert len(catalog.jobs(20.0, 4)) == 4
    catalog.closed("0000/new.mp4", Entry("0000/new.mp4", Version(1, "n")), 20.0)
    assert catalog.next_ready(20.0) == 20.5
    catalog.gone("0000/new.mp4")
    assert catalog.count(OPEN, mine=True) == count
    assert decisions < 20


def test_videos_that_are_settling_are_not_looked_at_in_each_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = Catalog(Rules(SUFFIXES, "now", settle=0.5))
    catalog.scanned(Listing({f"{i}.mp4": Version(1, "1") for i in range(1000)}), 0.0)
    catalog.settle_up({}, 0.0)
    monkeypatch.setattr(memory, "decide", None)
    assert catalog.jobs(0.0, 4) == []
    assert catalog.open == 1000
