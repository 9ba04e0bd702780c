"""Several workers at random: pauses, deaths, late writes, new inputs, recipes, helpful users."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from claims.play import MEMORY, POSIX, S3, TTL, Worker, World

WORKERS = st.integers(0, 2)
PLACES = st.integers(0, 7)


class Model(RuleBasedStateMachine):
    """Workers are moved some operations at a time; the world judges every change."""

    kind = MEMORY
    places = ("create", "fence", "overwrite", "stage", "add", "publish", "discard", "remove")

    @initialize(again=st.booleans())
    def begin(self, *, again: bool) -> None:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- mkdtemp
        root = Path(tempfile.mkdtemp(prefix="posewatch-test-", dir=memory))
        self.world = World(root, self.kind)
        self.world.put()
        self.trio = [Worker(self.world, f"worker {n}", skew=n * 1e6) for n in range(3)]
        if again:
            self.finish(0)
            self.world.put()

    @rule(number=WORKERS, count=st.integers(1, 40))
    def go_on(self, number: int, count: int) -> None:
        self.trio[number].go_on(count)

    @rule(number=WORKERS, place=PLACES, times=st.integers(1, 3))
    def go_to(self, number: int, place: int, times: int) -> None:
        """Go on to where something is about to be changed."""
        for _ in range(times):
            self.trio[number].go_on(1)
            self.trio[number].step_until(lambda worker: worker.next == self.places[place])

    @rule(number=WORKERS, place=PLACES, times=st.integers(1, 3), asleep=st.booleans())
    def take_over(self, number: int, place: int, times: int, *, asleep: bool) -> None:
        """Look at the others for a whole ttl, while they do nothing; then go to work."""
        self.trio[number].finish()
        self.trio[number].run(self.trio[number].sweep)
        self.world.wait(TTL, asleep=asleep)
        self.go_to(number, place, times)

    @rule(number=WORKERS, place=PLACES, alive=st.sets(WORKERS))
    def watch(self, number: int, place: int, alive: set[int]) -> None:
        """Look at the others for longer than a ttl; some of them are alive."""
        self.trio[number].finish()
        self.trio[number].run(self.trio[number].sweep)
        self.world.wait(1.5 * TTL, alive=[self.trio[other] for other in alive])
        self.go_to(number, place, 1)

    @rule(number=WORKERS)
    def finish(self, number: int) -> None:
        self.trio[number].go_on(sys.maxsize)

    @rule(number=WORKERS)
    def die(self, number: int) -> None:
        self.trio[number].kill()

    @rule(share=st.sampled_from([0.1, 0.5, 1.0]), asleep=st.booleans())
    def wait(self, share: float, *, asleep: bool) -> None:
        self.world.wait(share * TTL, asleep=asleep)

    @rule(what=st.sampled_from(["input", "recipe", "result", "receipt", "locks"]))
    def change(self, what: str) -> None:
        """The user's hands."""
        world = self.world
        if what == "input":
            world.put()
            world.observe(None)
        elif what == "recipe":
            world.change_recipe()
        elif what == "result":
            world.delete_result()
        elif what == "receipt":
            world.retry()
        else:
            world.delete_locks()

    @precondition(lambda self: hasattr(self, "world"))
    @rule()
    def settle(self) -> None:
        """Others finish everything; whoever stands, stands on."""
        self.world.settle()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.world as world:
            world.settle()
            for worker in self.trio:
                worker.finish()
            world.settle()


class PosixModel(Model):
    """The same on a real folder, one file operation at a time."""

    kind = POSIX
    places = ("link", "mkdir", "listdir", "write", "pwrite", "rename", "unlink", "rmdir")


class BucketModel(Model):
    """The same in a bucket, one request at a time."""

    kind = S3
    places = ("put", "delete", "head", "get", "list", "pieces", "put", "put")

    @precondition(lambda self: hasattr(self, "world"))
    @rule(place=st.integers(0, 200))
    def repeat(self, place: int) -> None:
        self.world.repeat(place)


def play(model: type[Model], examples: int, steps: int = 30, *, shrink: bool = True) -> None:
    """Look for a play that breaks a rule; the same plays each time."""
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        ),
    )


def test_any_play_in_memory() -> None:
    play(Model, 100)


def test_any_play_on_a_real_folder() -> None:
    play(PosixModel, 25)


def test_any_play_in_a_bucket() -> None:
    play(BucketModel, 60)


@pytest.mark.long
def test_many_plays() -> None:
    play(BucketModel, 1500, 60)
    play(Model, 1500, 60)
    play(PosixModel, 500, 60)
