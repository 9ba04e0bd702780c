"""A rival acts before each single operation of a worker's life, in a real folder or a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from claims import play
from claims.play import (
    KEY,
    MAX_ATTEMPTS,
    MEMORY,
    POSIX,
    S3,
    TTL,
    Worker,
    World,
    result_key,
)
from posewatch.claims.claim import Claim
from posewatch.claims.names import lock_key
from posewatch.formats.names import receipt_key
from storage.folders import ServerBucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.storage.faulty import Operation
    from s3.servers import Server


def fresh(world: World) -> None:
    world.put()


def replaced(world: World) -> None:
    """There are results of an earlier version."""
    world.put()
    Worker(world, "earlier").run(lambda: None)
    world.workers[-1].run(world.workers[-1].work)
    world.put()


def wait_out(world: World, rival: Worker) -> None:
    """See the locks, and once more after a whole ttl."""
    rival.run(rival.sweep)
    world.wait(TTL, asleep=world.asleep)


def watches_the_living(world: World) -> None:
    """The holder's heart beats all the time: nobody may take over."""
    rival = Worker(world, "rival", skew=1e6)
    for _ in range(4):
        rival.run(rival.tend)
        world.wait(TTL / 2, alive=world.workers)
    rival.run(rival.tend)


def tries_at_once(world: World) -> None:
    rival = Worker(world, "rival", skew=1e6)
    rival.run(rival.tend)


def begins_and_stands(world: World) -> None:
    """The rival holds the claim, if that is to be had."""
    rival = Worker(world, "rival")
    rival.start(rival.work)
    rival.step_until(lambda _worker: lock_key(KEY, 1) in world.locks)


def finishes(world: World) -> None:
    rival = Worker(world, "rival", skew=-1e6)
    wait_out(world, rival)
    rival.run(rival.work)


def finishes_and_more(world: World) -> None:
    """The rival finishes; a new version comes, and another rival is in the middle of it."""
    finishes(world)
    world.put()
    third = Worker(world, "third")
    third.start(third.work)
    third.step(45 if world.kind == POSIX else 12)


def takes_over_and_stands(world: World) -> None:
    rival = Worker(world, "rival")
    wait_out(world, rival)
    rival.start(rival.work)
    rival.step(60 if world.kind == POSIX else 14)


def takes_over_and_dies(world: World) -> None:
    takes_over_and_stands(world)
    world.workers[-1].kill()
    finishes(world)


def user_replaces(world: World) -> None:
    world.put()


def user_deletes_the_locks(world: World) -> None:
    world.delete_locks()
    rival = Worker(world, "rival")
    rival.run(rival.tend)


def user_deletes_the_result(world: World) -> None:
    world.delete_result()


RIVALS = [
    watches_the_living,
    begins_and_stands,
    tries_at_once,
    finishes,
    finishes_and_more,
    takes_over_and_stands,
    takes_over_and_dies,
    user_replaces,
    user_deletes_the_locks,
    user_deletes_the_result,
]


ONE_BY_ONE = [POSIX, S3]
"""Where the operations of the contract are made of smaller ones."""


def life(root: Path, *, kind: str, every: bool = False) -> int:
    """How many operations the life of an undisturbed worker has."""
    with World(root, kind, every) as world:
        replaced(world)
        owner = Worker(world, "owner")
        owner.run(owner.tend)
        world.settle(failures=False)
        return owner.steps


@dataclass(frozen=True, slots=True)
class Case:
    """Before each operation of an owner's life `rival` acts; then the owner goes on, or is dead."""

    begin: Callable[[World], None]
    rival: Callable[[World], None]
    kind: str = POSIX
    every: bool = False
    killed: bool = False
    asleep: bool = False
    server: Server | None = None

    def run(self, root: Path) -> None:
        for step in range(life(root / "count", kind=self.kind, every=self.every)):
            with self._world(root / f"{step}") as world:
                try:
                    self._play(world, step)
                except AssertionError as error:
                    raise AssertionError(f"at operation {step} of the owner: {error}") from error

    def _world(self, root: Path) -> World:
        if self.server is None:
            return World(root, self.kind, self.every, self.asleep)
        return World(root, S3, asleep=self.asleep, bucket=ServerBucket(self.server.shared))

    def _play(self, world: World, step: int) -> None:
        self.begin(world)
        owner = Worker(world, "owner")
        owner.start(owner.tend)
        owner.step(step)
        if self.killed:
            owner.kill()
        self.rival(world)
        owner.finish()
        for worker in list(world.workers):
            worker.finish()
        world.settle(failures=False)


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("kind", ONE_BY_ONE)
@pytest.mark.parametrize("begin", [fresh, replaced])
def test_a_rival_before_each_file_operation(
    playground: Path, begin: Callable[[World], None], rival: Callable[[World], None], kind: str
) -> None:
    Case(begin, rival, kind).run(playground)


@pytest.mark.parametrize("rival", [finishes, finishes_and_more, takes_over_and_stands])
@pytest.mark.parametrize("kind", ONE_BY_ONE)
@pytest.mark.parametrize("begin", [fresh, replaced])
def test_a_rival_while_the_machine_is_suspended(
    playground: Path, begin: Callable[[World], None], rival: Callable[[World], None], kind: str
) -> None:
    Case(begin, rival, kind, asleep=True).run(playground)


@pytest.mark.parametrize("rival", [finishes, finishes_and_more, takes_over_and_stands])
@pytest.mark.parametrize("kind", ONE_BY_ONE)
@pytest.mark.parametrize("begin", [fresh, replaced])
def test_a_worker_that_sees_no_newer_locks_does_no_harm(
    playground: Path,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[World], None],
    rival: Callable[[World], None],
    kind: str,
) -> None:
    monkeypatch.setattr(Claim, "find_higher", lambda _self: None)
    monkeypatch.setattr(play, "watch", lambda _world, _claim: None)
    Case(begin, rival, kind, asleep=True).run(playground)


@pytest.mark.slow
@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("kind", ONE_BY_ONE)
@pytest.mark.parametrize("begin", [fresh, replaced])
def test_a_rival_before_every_system_call(
    playground: Path, begin: Callable[[World], None], rival: Callable[[World], None], kind: str
) -> None:
    Case(begin, rival, kind, every=True).run(playground)


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("begin", [fresh, replaced])
def test_a_rival_before_each_operation_of_the_contract(
    playground: Path, begin: Callable[[World], None], rival: Callable[[World], None]
) -> None:
    Case(begin, rival, kind=MEMORY).run(playground)


@pytest.mark.long
@pytest.mark.parametrize("rival", [finishes, takes_over_and_stands])
@pytest.mark.parametrize("name", ["moto", "ceph"])
def test_a_rival_before_each_request_to_a_real_server(
    playground: Path, request: pytest.FixtureRequest, name: str, rival: Callable[[World], None]
) -> None:
    server = request.getfixturevalue(f"{name}_server")
    Case(replaced, rival, S3, server=server).run(playground)


@pytest.mark.parametrize("kind", ONE_BY_ONE)
@pytest.mark.parametrize("begin", [fresh, replaced])
def test_a_death_before_each_file_operation(
    playground: Path, begin: Callable[[World], None], kind: str
) -> None:
    Case(begin, finishes, kind, killed=True).run(playground)


def test_a_foreign_result_is_never_overwritten(playground: Path) -> None:
    for step in range(life(playground / "count", kind=POSIX)):
        with World(playground / f"{step}", kind=POSIX) as world:
            world.put()
            owner = Worker(world, "owner")
            owner.start(owner.tend)
            owner.step(step)
            before = world.peek(result_key(KEY))
            if before is None:
                world.write(result_key(KEY), b"somebody's own work")
            owner.finish()
            if before is None:
                assert world.peek(result_key(KEY)) == b"somebody's own work"
                world.settle()


def test_a_job_that_kills_its_workers_ends_as_a_failure(playground: Path) -> None:
    with World(playground / "world", kind=POSIX) as world:
        world.put()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            victim = Worker(world, f"victim {attempt}")
            wait_out(world, victim)
            victim.start(victim.work)
            victim.step_until(lambda _worker, attempt=attempt: len(world.locks) == attempt)
            victim.step(20)
            victim.kill()
            assert world.locks.keys() == {lock_key(KEY, n) for n in range(1, attempt + 1)}
        world.settle()
        found = world.standing(KEY)
        assert found is not None
        assert found.failure is not None
        assert found.attempt == MAX_ATTEMPTS + 1
        assert world.listed() == {KEY, "talks/a.posewatch.json"}


def test_the_order_of_publishing(playground: Path) -> None:
    """Everything is staged, then the claim is checked, then the receipt comes last."""
    with World(playground / "world", kind=MEMORY) as world:
        world.put()
        owner, order = Worker(world, "owner"), list[tuple[str, str]]()
        stand = owner.storage.hook

        def hook(operation: Operation) -> None:
            if not operation.after:
                order.append((operation.name, operation.target))
            stand(operation)

        owner.storage.hook = hook
        owner.run(owner.work)
        receipt = receipt_key(KEY)
        begin = order.index(("add", result_key(KEY)))
        end = order.index(("publish", receipt))
        assert order[begin : end + 1] == [
            ("add", result_key(KEY)),
            ("add", receipt),
            ("overwrite", lock_key(KEY, 1)),
            ("stat", lock_key(KEY, 2)),
            ("publish", result_key(KEY)),
            ("publish", receipt),
        ]
        assert not any(name in {"add", "publish"} for name, _target in order[end + 1 :])
