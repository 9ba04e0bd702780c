"""Several workers at random: pauses, deaths, late writes, new inputs, recipes, helpful users."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test

from claims.play import TTL, Worker, World

KEYS = ("talks/a.mp4", "talks/b.mp4")
WORKERS = st.integers(0, 2)
ONE = st.sampled_from(KEYS)


class Model(RuleBasedStateMachine):
    """Workers are moved some operations at a time; the world judges every change."""

    posix = False

    @initialize()
    def begin(self) -> None:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- mkdtemp
        root = Path(tempfile.mkdtemp(prefix="posewatch-test-", dir=memory))
        self.world = World(root, self.posix)
        for key in KEYS:
            self.world.put(key)
        self.trio = [Worker(self.world, f"worker {n}", skew=n * 1e6) for n in range(3)]

    @rule(number=WORKERS, count=st.integers(1, 40))
    def go_on(self, number: int, count: int) -> None:
        worker = self.trio[number]
        if worker.idle:
            worker.start(worker.tend)
        worker.step(count)

    @rule(number=WORKERS)
    def finish(self, number: int) -> None:
        worker = self.trio[number]
        if worker.idle:
            worker.start(worker.tend)
        worker.finish()

    @rule(number=WORKERS)
    def die(self, number: int) -> None:
        self.trio[number].kill()

    @rule(share=st.sampled_from([0.1, 0.5, 1.0, 1.5]), alive=st.sets(WORKERS), asleep=st.booleans())
    def wait(self, share: float, alive: set[int], *, asleep: bool) -> None:
        workers = [self.trio[number] for number in alive]
        self.world.wait(share * TTL, alive=() if asleep else workers, asleep=asleep)

    @rule(number=WORKERS, alive=st.sets(WORKERS))
    def watch(self, number: int, alive: set[int]) -> None:
        """One worker looks, the others may be alive meanwhile, and it looks again."""
        self.finish(number)
        self.wait(1.5, alive, asleep=False)
        self.finish(number)

    @rule(key=ONE)
    def replace_the_input(self, key: str) -> None:
        self.world.put(key)
        self.world.observe(None)

    @rule()
    def change_the_recipe(self) -> None:
        self.world.change_recipe()

    @rule(key=ONE)
    def delete_the_result(self, key: str) -> None:
        self.world.delete_result(key)

    @rule(key=ONE)
    def retry(self, key: str) -> None:
        self.world.retry(key)

    @rule(key=ONE)
    def delete_the_locks(self, key: str) -> None:
        self.world.delete_locks(key)

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

    posix = True


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
    play(Model, 60)


def test_any_play_on_a_real_folder() -> None:
    play(PosixModel, 25)


@pytest.mark.slow
def test_many_plays() -> None:
    play(Model, 1500, 60)
    play(PosixModel, 500, 60)
