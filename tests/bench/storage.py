"""Buckets: copying an object, scanning, watching, and the requests of one job.

    make bench BENCH=storage
    make bench BENCH=storage ARGS="--only job --only idle"

Everything is asked of one real S3 server on this machine, Ceph's where its programs are, else
moto's. A copy is compared with `aws s3 cp`, which gets an environment of its own
(`build/bench/awscli-venv`), and with reading through s3fs, each where it can be had, in turn, on
loopback and, for root, over a round trip of 20 ms between two network namespaces.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import storage_worker  # noqa: F401 -- finds the doubles of the tests
from report import RESULTS, Row, report
from rich.progress import track

from posewatch.base.clock import SystemClock
from posewatch.base.metrics import Metrics
from posewatch.cache import InputCache
from posewatch.catalog import Job, Why
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.claims.survey import survey
from posewatch.formats import names, receipt
from posewatch.formats.receipt import InputRecord, Receipt, RecipeRecord, ResultRecord
from posewatch.service.doctor import LIST_PRICE
from posewatch.storage.contract import Version
from posewatch.storage.faulty import HookedObjects, Operation
from posewatch.storage.s3 import S3Storage
from posewatch.watch.scan import FolderReader
from posewatch.worker.cancel import Cancellation
from posewatch.worker.decoders import Decoders
from posewatch.worker.heart import Heart
from posewatch.worker.job import Runner
from s3.distance import distance_missing, far_away
from s3.servers import KEY, SECRET, Server, ceph, ceph_missing, moto
from service.doubles import House
from worker.doubles import SUFFIX, SUFFIXES, ToyDecoder, ToyRecipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WORKER = Path(__file__).with_name("storage_worker.py")
AWS = RESULTS / "awscli-venv"
ROUND_TRIP = 0.02
RATE = 25e6
"""Bytes a second of each connection, where they are limited: a bucket far away, on a busy day."""

VIDEO = "video.mp4"
TINY = "tiny"
GET_PRICE = 0.0004 / 1000
"""US dollars for a GET or HEAD: S3 Standard in us-east-1, November 2026, as `LIST_PRICE`."""


# --- what is there


def fill(server: Server, bucket: str, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write many small objects; the bucket takes them from anybody, so nothing is signed."""
    waiting, lock = iter(contents), threading.Lock()
    failed: list[int] = []

    def write() -> None:
        connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc)
        while not failed:
            with lock:
                one = next(waiting, None)
            if one is None:
                break
            connection.request("PUT", f"/{bucket}/{one[0]}", body=one[1])
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.HTTPStatus.OK:
                failed.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"the server answered {failed[0]} to a PUT")


def open_bucket(server: Server) -> str:
    """A new bucket to which anybody may write."""
    name = f"bench-{secrets.token_hex(6)}"
    server.client(name)._client.create_bucket(Bucket=name, ACL="public-read-write")
    return name


def new_videos(count: int) -> Iterator[tuple[str, bytes]]:
    """So many in folders of 1,000."""
    for number in track(range(count), f"Writing {count:,} objects", transient=True):
        yield f"{number // 1000:04}/{number:06}.mp4", b"%0300d" % number


def done_videos(count: int, recipe: str) -> Iterator[tuple[str, bytes]]:
    """A third of them videos, each with its result and its receipt."""
    for number in track(range(count // 3), f"Writing {count:,} objects", transient=True):
        key, data = f"{number // 1000:04}/{number:06}.mp4", b"%0300d" % number
        pose, poses = names.pose_key(key, "mediapipe"), b"poses"
        tag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        name = names.split(pose)[1]
        content = Receipt(
            outcome="done",
            input=InputRecord(name=names.split(key)[1], size=len(data), tag=tag),
            recipe=RecipeRecord(name="mediapipe", hash=recipe),
            attempt=1,
            nonce=f"{number:032x}",
            results=(ResultRecord(name=name, size=len(poses), sha256="0" * 64),),
        )
        yield key, data
        yield pose, poses
        yield names.receipt_key(key), receipt.encode(content)


# --- copying one object


@dataclass(slots=True)
class Copies:
    """What one way to copy took.

    Attributes:
        seconds: of each copy, all that its user waits for.
        cpu: seconds of CPU of each copy, of all processes on this side.
        begins: seconds that a copy of next to nothing takes.
    """

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    begins: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Site:
    """Where copies are made from.

    Attributes:
        server: as it is seen from there.
        enter: what commands begin with.
        bucket: with the objects.
        folder: an empty one for copies.
    """

    server: Server
    enter: tuple[str, ...]
    bucket: str
    folder: Path


def ours(site: Site, copies: Copies) -> None:
    """`S3Storage.fetch`, in a process that runs already, with the sha256 and all checks."""
    target = site.folder / "ours"
    command = [*site.enter, sys.executable, WORKER, "fetch", site.server.name, site.server.endpoint]
    done = run([*command, site.bucket, VIDEO, target])
    figures = json.loads(done)
    copies.seconds.append(figures["seconds"])
    copies.cpu.append(figures["cpu"])
    for path in site.folder.iterdir():
        path.unlink()


def aws(site: Site, copies: Copies) -> None:
    """`aws s3 cp`, with its settings as they come."""
    target = site.folder / "aws"
    program = [*site.enter, AWS / "bin" / "aws", "--endpoint-url", site.server.endpoint]
    for key, into in ((TINY, copies.begins), (VIDEO, copies.seconds)):
        before, begun = os.times(), time.perf_counter()
        run([*program, "s3", "cp", "--quiet", f"s3://{site.bucket}/{key}", target])
        into.append(time.perf_counter() - begun)
        after = os.times()
        target.unlink()
    cpu = after.children_user + after.children_system
    copies.cpu.append(cpu - before.children_user - before.children_system)


def s3fs(site: Site, copies: Copies) -> None:
    """`cp` from a fresh mount."""
    mount, target, keys = site.folder / "mount", site.folder / "s3fs", site.folder / "passwd"
    mount.mkdir()
    keys.write_text(f"{KEY}:{SECRET}\n")
    keys.chmod(0o600)
    options = f"url={site.server.endpoint},passwd_file={keys},use_path_request_style"
    command = [*site.enter, "s3fs", site.bucket, str(mount), "-f", "-o", options]
    process = subprocess.Popen(  # noqa: S603 -- s3fs
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not mount.is_mount():
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit("s3fs does not mount")
            time.sleep(0.05)
        (mount / TINY).read_bytes()
        mounted, before, begun = cpu_of(process.pid), os.times(), time.perf_counter()
        run(["cp", mount / VIDEO, target])
        copies.seconds.append(time.perf_counter() - begun)
        after = os.times()
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        copies.cpu.append(cpu + cpu_of(process.pid) - mounted)
    finally:
        run(["umount", mount])
        process.wait(30)
    target.unlink()
    keys.unlink()
    mount.rmdir()


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(command: list[str | Path]) -> str:
    """What a command prints."""
    environ = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)  # noqa: S603 -- what is compared
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return done.stdout


def aws_missing() -> str:
    """Why there is no `aws` here; installs it where that can be done."""
    program = AWS / "bin" / "aws"
    if program.exists():
        return ""
    sys.stderr.write(f"Installing awscli into {AWS}\n")
    for step in (
        [sys.executable, "-m", "venv", "--clear", AWS],
        [AWS / "bin" / "python", "-m", "pip", "install", "--quiet", "awscli"],
    ):
        done = subprocess.run(step, capture_output=True, text=True, check=False)  # noqa: S603 -- venv and pip
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            return f"awscli could not be installed: {said[-1] if said else step}"
    return ""


def s3fs_missing() -> str:
    """Why nothing is read through s3fs."""
    if shutil.which("s3fs") is None:
        return "there is no s3fs here"
    return "" if os.access("/dev/fuse", os.W_OK) else "there is no /dev/fuse here"


def fetches(server: Server, size: int, runs: int) -> tuple[list[Row], list[str]]:
    """Copies from near and far."""
    bucket = server.bucket()
    client = server.client(bucket)._client
    client.put_object(Bucket=bucket, Key=VIDEO, Body=os.urandom(size))
    client.put_object(Bucket=bucket, Key=TINY, Body=b"x")
    notes = []
    ways: dict[str, Callable[[Site, Copies], None]] = {"ours": ours}
    for name, way, missing in (
        ("aws s3 cp", aws, aws_missing()),
        ("cp from s3fs", s3fs, s3fs_missing()),
    ):
        if missing:
            notes.append(f"Without {name}: {missing}")
        else:
            ways[name] = way
    rows: list[Row] = []
    with ExitStack() as stack:
        # In memory: what a disk can take is not what is asked.
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- mkdtemp below
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=shm)))
        sites = {"": Site(server, (), bucket, folder)}
        away = f", {ROUND_TRIP * 1e3:.0f} ms away"
        if missing := distance_missing():
            notes.append(f"Without what is{away.removeprefix(',')}: {missing}")
        else:
            port = urlsplit(server.endpoint).port or 80
            for name, rate in ((away, None), (f"{away}, {RATE / 1e6:.0f} MB/s a connection", RATE)):
                there = stack.enter_context(far_away(port, ROUND_TRIP, rate))
                far = Server(server.name, there.endpoint)
                sites[name] = Site(far, there.enter, bucket, folder)
        for where, site in sites.items():
            took = {name: Copies() for name in ways}
            for _ in track(range(runs), f"copies{where}", transient=True):
                for name, way in ways.items():
                    way(site, took[name])
            rows += copied(f"{size >> 20} MiB{where}", took)
    return rows, notes


def copied(case: str, took: dict[str, Copies]) -> Iterator[Row]:
    """Ours beside each of the others."""
    mine = took.pop("ours")
    runs, median = len(mine.seconds), statistics.median
    if not took:
        yield Row(case, "nothing", "s", median(mine.seconds), 0.0, runs)
    for name, theirs in took.items():
        yield Row(case, name, "s", median(mine.seconds), median(theirs.seconds), runs)
        if theirs.begins:
            alone = median(theirs.seconds) - median(theirs.begins)
            yield Row(case, f"{name}, less its start", "s", median(mine.seconds), alone, runs)
        yield Row(case, name, "CPU s", median(mine.cpu), median(theirs.cpu), runs)


# --- scanning


def scans(server: Server, objects: int, runs: int) -> list[Row]:
    """A bucket of new videos."""
    bucket = open_bucket(server)
    fill(server, bucket, new_videos(objects))

    def measure(way: str) -> dict[str, float]:
        command = [sys.executable, WORKER, way, server.name, server.endpoint, bucket]
        found: dict[str, float] = json.loads(run(command))
        return found

    taken = [(measure("scan"), measure("boto3")) for _ in range(runs)]
    mine, theirs = ([side["cpu"] for side in sides] for sides in zip(*taken, strict=True))
    lists = taken[0][0].get("list", 0)
    others = sum(taken[0][0].get(kind, 0) for kind in ("get", "head", "put", "delete"))
    kept = measure("memory")
    case = f"a scan of {objects:,} objects"
    goal = "the goal"
    return [
        Row(case, "a page of 1,000 keys", "requests", lists + others, -(-objects // 1000), 1),
        Row(case, goal, "CPU s", statistics.median(mine), 3.0, runs),
        Row(case, "boto3's list alone", "CPU s", *map(statistics.median, (mine, theirs)), runs),
        Row(case, goal, "bytes an object, kept", kept["kept"], 200.0, 1),
        Row(case, goal, "bytes an object, at most", kept["peak"], 200.0, 1),
    ]


# --- watching


def idle(server: Server, objects: int) -> tuple[list[Row], list[str]]:
    """An hour of the real loop, by a clock that is told, in which nothing happens."""
    house = House(scans_cost=True)
    bucket = open_bucket(server)
    recipe = house.daemon._runner.recipe.id.hash
    fill(server, bucket, done_videos(objects, recipe))
    requests = Counter[str]()
    client = server.client(bucket, "", lambda request, _answer: requests.update([request.value]))
    storage = S3Storage(client, "", house.clock, names.receipt_key)
    reader = FolderReader(storage, house.settings.watch.suffixes, house.clock)

    def scan() -> None:
        house.requests.append(house.clock.monotonic())
        house.inbox.put(reader.scan())

    house.on_request = scan
    began = house.clock.monotonic()
    while len(house.requests) < 2:  # the first reads every receipt
        house.turn(1.0)
    house.inbox._looks = 0
    requests.clear()
    house.requests.clear()
    began = house.clock.monotonic()
    while house.clock.monotonic() < began + 3600:
        house.turn(1.0)
        house.inbox._looks = 0
    if house.daemon.overview.done != objects // 3:
        raise SystemExit(f"not everything is done: {house.daemon.overview}")
    rounds = len(house.requests) // 2
    heads = rounds * (objects + -(-objects // 1000))
    month = 24 * 30
    dollars = requests["list"] * LIST_PRICE * month
    others = (rounds * -(-objects // 1000) * LIST_PRICE + rounds * objects * GET_PRICE) * month
    case = f"an idle hour, {objects:,} objects"
    rows = [
        Row(case, "a HEAD for each object", "requests", requests.total(), heads, 1),
        Row(f"{case}, as a month", "a HEAD for each object", "US dollars", dollars, others, 1),
    ]
    return rows, [f"{case}: {rounds} scans; {dict(requests)}"]


# --- one job


def one_job(server: Server) -> tuple[list[Row], list[str]]:
    """The requests from the claim to the release of a video with one result."""
    bucket = server.bucket()
    client = server.client(bucket)
    sent: list[str] = []

    def note(operation: Operation) -> None:
        if not operation.after:
            sent.append(f"{operation.name} {operation.target}")

    clock, metrics = SystemClock(), Metrics()
    storage = S3Storage(HookedObjects(client, note), "", clock, names.receipt_key)
    data = os.urandom(1 << 20)
    client._client.put_object(Bucket=bucket, Key=VIDEO, Body=data)
    observer, now = Observer(), clock.monotonic()
    survey(observer, {}, began=now, ended=now, ttl=60.0)  # as after a scan
    tag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    key = names.receipt_key(VIDEO)
    job = Job(VIDEO, Version(len(data), tag), Why.NEW, key, None, clock.monotonic(), None)
    heart, decoders = Heart(clock, metrics), Decoders(ToyDecoder, 1)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        cache = InputCache(Path(folder), 1 << 30, lambda _used, _waiting: None, clock)
        runner = Runner(
            storage=storage,
            folder=bucket,
            claims=Claims(storage, clock, Owner("here", 1, ""), 60.0, observer),
            heart=heart,
            cache=cache,
            decoders=decoders,
            recipe=ToyRecipe(),  # type: ignore[arg-type]
            max_attempts=3,
            clock=clock,
            metrics=metrics,
            host="here",
            troubled=lambda _key, _error: None,
            suffixes=SUFFIXES,
        )
        ending = runner.run(job, Cancellation())
    for part in (heart, decoders, cache):
        part.close()
    if ending.standing is None:
        raise SystemExit(f"the job failed: {ending}")
    result = names.stem(VIDEO) + SUFFIX
    besides = [one for one in sent if one not in {f"pieces {VIDEO}", f"put {result}"}]
    row = Row("claim, publish, release", "the goal", "requests", len(besides), 6, 1)
    return [row], [f"One job: {', '.join(sent)}"]


# --- all of it


@contextmanager
def any_server() -> Iterator[Server]:
    """The best one that starts here."""
    if ceph_missing():
        with moto() as server:
            yield server
    else:
        # Sockets are made in it, whose paths have little room.
        folder = tempfile.TemporaryDirectory(prefix="posewatch-ceph-")
        with folder as path, ceph(Path(path)) as server:
            yield server


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("fetch", "scan", "idle", "job")
    parser.add_argument("--only", choices=parts, action="append", default=[])
    parser.add_argument("--size", type=int, default=256, help="of the object, in MiB")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    rows: list[Row] = []
    with any_server() as server:
        notes = [f"Server: {server.name}, on the same {os.cpu_count()} cores"]
        for part in options.only or parts:
            found: tuple[list[Row], list[str]]
            match part:
                case "fetch":
                    found = fetches(server, options.size << 20, options.runs)
                case "scan":
                    found = scans(server, options.objects, options.runs), []
                case "idle":
                    found = idle(server, options.objects // 10)
                case _:
                    found = one_job(server)
            rows += found[0]
            notes += found[1]
    report("storage", rows, notes=notes)


if __name__ == "__main__":
    main()
