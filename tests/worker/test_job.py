"""One job from its claim to its release, over a folder in memory and with a toy recipe."""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from posewatch.base.clock import SystemClock
from posewatch.base.errors import (
    DecoderCrashedError,
    DeniedError,
    Fault,
    FullError,
    HardwareFailedError,
    InputError,
    ModelError,
    UnavailableError,
)
from posewatch.base.metrics import Outcome
from posewatch.cache import InputCache
from posewatch.catalog import NOT_REGULAR, Why
from posewatch.claims.claim import Claim
from posewatch.formats import names, receipt
from posewatch.formats.receipt import Foreign
from posewatch.stages.recipe import Made, Progress, RecipeId
from posewatch.storage.contract import Version
from posewatch.vision.decoder import Decoder, DecoderStartError, DecodingCancelledError
from posewatch.vision.video import DecodeLimits
from posewatch.worker.cancel import Stop
from posewatch.worker.decoders import Decoders
from posewatch.worker.job import PAUSE
from videos import make_video
from worker.doubles import PATIENCE, SUFFIX, Scene, ToyRecipe, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.base.errors import StorageError
    from posewatch.storage.faulty import Operation

VIDEO = "talks/a.mp4"
RECEIPT = "talks/a.posewatch.json"
RESULT = f"talks/a{SUFFIX}"
CLEAN = {VIDEO, RECEIPT, RESULT}


def raising(error: Exception) -> Callable[[Callable[[Progress], None]], None]:
    def act(_report: Callable[[Progress], None]) -> None:
        raise error

    return act


def test_results_first_the_receipt_last_and_nothing_else_is_left(scene: Scene) -> None:
    ending = scene.run()
    assert ending.outcome is Outcome.DONE
    assert scene.listed() == CLEAN
    assert scene.memory.read(RESULT) == b"poses of a video"
    assert scene.operations == [
        ("create", f"{VIDEO}.lock"),
        ("fence", VIDEO),
        ("publish", RESULT),
        ("publish", RECEIPT),
        ("sweep", scene.operations[4][1]),
        ("remove", f"{VIDEO}.lock"),
    ]
    entry = scene.memory.stat(RECEIPT)
    assert ending.standing is not None
    assert entry is not None
    assert (ending.standing.key, ending.standing.version) == (RECEIPT, entry.version)
    assert ending.standing.receipt == scene.receipt()
    assert (ending.frames, ending.gone, ending.error, ending.bug) == (4, False, None, None)


def test_the_receipt_tells_all(scene: Scene) -> None:
    scene.clock.advance(5)
    scene.run()
    told, video, result = scene.receipt(), scene.memory.stat(VIDEO), scene.memory.stat(RESULT)
    assert video is not None
    assert video.version is not None
    assert result is not None
    assert result.version is not None
    assert told.outcome == "done"
    assert (told.input.name, told.input.size, told.input.tag) == ("a.mp4", 7, video.version.tag)
    assert told.input.sha256 == hashlib.sha256(b"a video").hexdigest()
    assert (told.recipe.name, told.recipe.hash) == ("toy", scene.recipe.id.hash)
    assert told.recipe.settings == {"revision": 1}
    ((name, size, sha256, tag),) = [(r.name, r.size, r.sha256, r.tag) for r in told.results]
    assert (name, size, tag) == (f"a{SUFFIX}", 16, result.version.tag)
    assert sha256 == hashlib.sha256(b"poses of a video").hexdigest()
    assert (told.attempt, told.nonce) == (1, scene.heart.claims[0].token)
    work = told.work
    assert (work.frames, work.footage_seconds, work.host) == (4, 2.0, "here")
    assert work.timings == {"fetch": work.timings["fetch"], "decode": 0.5, "infer": 1.5}
    assert work.software["toy"] == "1.0"
    assert (work.models, work.provider) == (scene.recipe.models, "ToyProvider")
    assert work.started == work.finished == "2023-11-14T22:13:25Z"
    assert told.failure is None


def test_what_is_counted(scene: Scene) -> None:
    scene.run()
    shown = scene.metrics.expose().decode()
    for line in (
        'posewatch_claims_total{outcome="acquired"} 1.0',
        'posewatch_videos_finished_total{outcome="done"} 1.0',
        'posewatch_frames_total{recipe="toy"} 4.0',
        "posewatch_video_seconds_total 2.0",
        "posewatch_fetched_bytes_total 7.0",
        "posewatch_published_bytes_total 16.0",
        "posewatch_claim_latency_seconds_sum 2.0",
        'posewatch_stage_duration_seconds_sum{stage="infer"} 1.5',
        'posewatch_stage_duration_seconds_count{stage="publish"} 1.0',
    ):
        assert line in shown


def test_the_latency_counts_from_the_close_where_that_was_seen(scene: Scene) -> None:
    scene.run(scene.job(closed_at=scene.clock.monotonic() - 0.5))
    assert "posewatch_claim_latency_seconds_sum 0.5" in scene.metrics.expose().decode()


# Looking again after the claim


def test_a_job_that_was_done_in_between_is_not_done_again(scene: Scene) -> None:
    job = scene.job()
    first = scene.run(job)
    ending = scene.run(job)
    assert (ending.outcome, ending.standing) == (None, first.standing)
    assert scene.recipe.runs == 1
    assert scene.listed() == CLEAN
    assert 'outcome="already_done"} 1.0' in scene.metrics.expose().decode()


def test_a_job_that_failed_in_between_is_not_done_again(scene: Scene) -> None:
    job = scene.job()
    scene.recipe.acts = [raising(InputError(Fault.TRUNCATED, "short", readable_frames=2))]
    failed = scene.run(job)
    assert failed.outcome is Outcome.FAILED
    assert scene.run(job).outcome is None
    assert scene.recipe.runs == 1


@pytest.mark.parametrize("what", ["result gone", "result of another size", "recipe", "receipt"])
def test_a_job_is_done_again_where_something_differs(scene: Scene, what: str) -> None:
    job = scene.job()
    scene.run(job)
    if what == "result gone":
        scene.memory.delete(RESULT)
    elif what == "result of another size":
        scene.memory.put(RESULT, b"poses of")
    elif what == "recipe":
        scene.recipe.id = RecipeId("toy", {"revision": 2})
    else:
        scene.memory.put(RECEIPT, b"no receipt at all")
    assert scene.run(job).outcome is Outcome.DONE
    assert scene.recipe.runs == 2
    assert scene.listed() == CLEAN
    assert scene.receipt().recipe.hash == scene.recipe.id.hash


def test_a_new_video_of_the_same_name_replaces_the_results(scene: Scene) -> None:
    scene.run()
    scene.memory.put(VIDEO, b"another video")
    assert scene.run().outcome is Outcome.DONE
    assert scene.memory.read(RESULT) == b"poses of another video"
    assert scene.receipt().input.size == 13
    assert scene.listed() == CLEAN


def test_a_video_that_was_only_touched_keeps_its_results(scene: Scene) -> None:
    scene.run()
    before, first = scene.memory.stat(RESULT), scene.receipt()
    scene.memory.put(VIDEO, b"a video")
    ending = scene.run()
    assert (ending.outcome, scene.recipe.runs) == (Outcome.DONE, 1)
    assert scene.memory.stat(RESULT) == before
    assert scene.receipt().input.tag != first.input.tag
    assert (scene.receipt().results, scene.receipt().work) == (first.results, first.work)
    assert scene.receipt().nonce != first.nonce


@pytest.mark.parametrize("how", ["other bytes", "vanishes", "changes", "unreadable", "a folder"])
def test_a_touched_video_whose_results_are_not_intact_is_done_again(scene: Scene, how: str) -> None:
    scene.run()
    scene.memory.put(VIDEO, b"a video")
    if how == "other bytes":
        scene.memory.put(RESULT, b"poses of A VIDEO")
    elif how == "a folder":
        scene.memory.put(RESULT, b"x" * 16, regular=False)

    def hook(operation: Operation) -> None:
        if (operation.name, operation.target, operation.after) == ("fetch", RESULT, False):
            scene.hook = lambda _operation: None
            if how == "vanishes":
                scene.memory.delete(RESULT)
            elif how == "changes":
                scene.memory.put(RESULT, b"poses of A VIDEO")
            elif how == "unreadable":
                raise DeniedError("could not read it")

    scene.hook = hook
    ending = scene.run()
    if how == "a folder":
        assert scene.receipt().failure is not None
        assert scene.receipt().failure.fault is Fault.NAME_TAKEN
    else:
        assert (ending.outcome, scene.recipe.runs) == (Outcome.DONE, 2)
        assert scene.memory.read(RESULT) == b"poses of a video"


def test_where_tags_tell_of_a_change_only_what_is_not_intact_is_done_again(scene: Scene) -> None:
    scene.memory.tags_stay = True
    scene.run()
    before = scene.receipt()
    version = scene.memory.put(RESULT, b"poses of a video")  # copied
    assert scene.run().outcome is Outcome.DONE
    assert scene.recipe.runs == 1
    after = scene.receipt()
    assert [result.tag for result in after.results] == [version.tag]
    assert after.results[0].sha256 == before.results[0].sha256
    assert scene.run().outcome is None
    scene.memory.put(RESULT, b"poses of A VIDEO")
    assert scene.run().outcome is Outcome.DONE
    assert scene.recipe.runs == 2
    assert scene.memory.read(RESULT) == b"poses of a video"


# The claim


def test_a_video_that_somebody_else_holds_is_left_to_them(scene: Scene) -> None:
    scene.claims_of("there").acquire(VIDEO, "job")
    ending = scene.run()
    assert (ending.outcome, ending.standing, ending.error) == (None, None, None)
    assert scene.listed() == {VIDEO, f"{VIDEO}.lock"}
    assert 'posewatch_claims_total{outcome="busy"} 1.0' in scene.metrics.expose().decode()


@pytest.mark.parametrize(
    ("error", "wait"), [(FullError("no space"), 0.0), (DeniedError("not you"), PAUSE)]
)
def test_a_claim_that_the_folder_refuses_is_tried_later(
    scene: Scene, error: StorageError, wait: float
) -> None:
    scene.fails("create", f"{VIDEO}.lock", error, times=1, after=False)
    ending = scene.run()
    # For a full disk all videos wait, so this one need not.
    assert (ending.outcome, ending.wait) == (None, wait)
    assert ending.error is error
    assert scene.listed() == {VIDEO}


def die(scene: Scene, host: str, job: str) -> None:
    """A worker of another machine claims the video and is never heard of again."""
    claims = scene.claims_of(host)
    claims.acquire(VIDEO, job)
    scene.clock.advance(scene.ttl + 1)
    claims.acquire(VIDEO, job)
    scene.claims.acquire(VIDEO, job)  # our observer has seen the lock
    scene.clock.advance(scene.ttl + 1)


def test_a_video_is_taken_over_from_the_dead(scene: Scene) -> None:
    job = scene.job()
    named = f"{job.version.size} {job.version.tag} {scene.recipe.id.hash}"
    die(scene, "there", named)
    ending = scene.run(job)
    assert ending.outcome is Outcome.DONE
    assert scene.receipt().attempt == 2
    assert scene.listed() == CLEAN
    assert 'posewatch_claims_total{outcome="taken"} 1.0' in scene.metrics.expose().decode()


@pytest.mark.parametrize("same", [True, False])
def test_after_too_many_deaths_at_the_same_job_the_video_has_failed(
    scene: Scene, *, same: bool
) -> None:
    job = scene.job()
    named = f"{job.version.size} {job.version.tag} {scene.recipe.id.hash}" if same else "other"
    observer = scene.claims._observer
    for number in range(3):
        claims = scene.claims_of(f"there-{number}")
        claims._observer = observer  # type: ignore[misc]
        if not isinstance(claims.acquire(VIDEO, named), Claim):
            scene.clock.advance(scene.ttl + 1)
            assert isinstance(claims.acquire(VIDEO, named), Claim)
    scene.run(job)
    scene.clock.advance(scene.ttl + 1)
    ending = scene.run(job)
    assert scene.listed() - {RESULT} == {VIDEO, RECEIPT}
    if same:
        assert ending.outcome is Outcome.FAILED
        failure = scene.receipt().failure
        assert failure is not None
        assert failure.fault is Fault.CRASHED
        assert "3 workers died" in failure.message
        assert "retry" in failure.hint
        assert scene.recipe.runs == 0
    else:
        assert ending.outcome is Outcome.DONE


# The video is at fault


def failure_of(scene: Scene, key: str = RECEIPT) -> tuple[Fault, str, int | None]:
    failure = scene.receipt(key).failure
    assert failure is not None
    return failure.fault, failure.message, failure.readable_frames


def test_a_failure_is_told_beside_the_video(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    error = InputError(Fault.TRUNCATED, "it ends early", hint="Copy it again", readable_frames=2)
    scene.recipe.acts = [raising(error)]
    ending = scene.run()
    assert (ending.outcome, ending.frames) == (Outcome.FAILED, 0)
    assert scene.listed() == {VIDEO, RECEIPT}
    assert failure_of(scene) == (Fault.TRUNCATED, "it ends early", 2)
    told = scene.receipt()
    assert (told.outcome, told.results, told.failure.hint) == ("failed", (), "Copy it again")  # type: ignore[union-attr]
    assert told.input.sha256 == hashlib.sha256(b"a video").hexdigest()
    assert (told.work.frames, told.work.models) == (0, {})
    assert caplog.messages[-1] == "failed"
    assert 'fault="truncated"} 1.0' in scene.metrics.expose().decode()


def test_a_video_that_may_not_be_read_has_failed(scene: Scene) -> None:
    scene.fails("fetch", VIDEO, DeniedError("no"), times=1, after=False)
    assert scene.run().outcome is Outcome.FAILED
    assert failure_of(scene)[0] is Fault.DENIED
    assert scene.receipt().input.sha256 is None


def test_a_video_that_the_cache_can_never_hold_has_failed(scene: Scene) -> None:
    scene.memory.put(VIDEO, b"x" * 1001)
    assert scene.run().outcome is Outcome.FAILED
    assert failure_of(scene)[0] is Fault.TOO_LARGE


def test_what_is_no_file_has_failed_unread(scene: Scene) -> None:
    scene.memory.put("talks/dir.mp4", b"", regular=False)
    job = scene.job("talks/dir.mp4")
    assert job.version == Version(0, NOT_REGULAR)
    assert scene.run(job).outcome is Outcome.FAILED
    assert failure_of(scene, "talks/dir.posewatch.json")[0] is Fault.NOT_A_FILE


def test_a_video_whose_name_is_taken_is_refused_beside_itself(scene: Scene) -> None:
    scene.run()
    before = scene.receipt()
    scene.memory.put("talks/a.mov", b"rival")
    key = names.refusal_key("talks/a.mov")
    job = scene.job("talks/a.mov", taken_by="a.mp4", why=Why.NAME_TAKEN, receipt_key=key)
    assert scene.run(job).outcome is Outcome.FAILED
    assert failure_of(scene, key)[:2] == (
        Fault.NAME_TAKEN,
        "'a.mp4' in the same folder would have results of the same name",
    )
    assert scene.receipt() == before
    assert scene.run(job).outcome is None


@pytest.mark.parametrize("content", [b'{"notes": "mine"}', b'{"posewatch": 2, "outcome": "done"}'])
def test_a_foreign_file_under_the_receipts_name_is_left_alone(scene: Scene, content: bytes) -> None:
    scene.memory.put(RECEIPT, content)
    ending = scene.run()  # nobody had read it yet
    assert ending.outcome is Outcome.RETRIED
    assert ending.standing is not None
    assert isinstance(ending.standing.receipt, Foreign)
    key = names.refusal_key(VIDEO)
    job = scene.job(taken_by="a.posewatch.json", why=Why.NAME_TAKEN, receipt_key=key)
    assert scene.run(job).outcome is Outcome.FAILED
    assert failure_of(scene, key)[:2] == (
        Fault.NAME_TAKEN,
        "there is a 'a.posewatch.json' already that this posewatch did not write",
    )
    assert scene.memory.read(RECEIPT) == content
    assert scene.recipe.runs == 0


def test_a_rival_that_finished_first_is_not_overwritten(scene: Scene) -> None:
    scene.memory.put("talks/a.mov", b"rival")
    rival = scene.job("talks/a.mov")
    scene.recipe.acts = [lambda _report: scene.run(rival) and None]
    decoders = scene.decoders
    decoders.resize(2)
    ending = scene.run(scene.job(VIDEO))
    assert (ending.outcome, ending.wait) == (Outcome.RETRIED, PAUSE)
    assert ending.standing is not None
    assert ending.standing.receipt == scene.receipt()
    assert scene.receipt().input.name == "a.mov"
    assert scene.memory.read(RESULT) == b"poses of rival"
    assert scene.listed() == CLEAN | {"talks/a.mov"}
    # Once more, and it sees that before it works; when the rival is gone, it may.
    assert scene.run(scene.job(VIDEO)).outcome is Outcome.RETRIED
    assert scene.recipe.runs == 2
    scene.memory.delete("talks/a.mov")
    assert scene.run(scene.job(VIDEO)).outcome is Outcome.DONE
    assert scene.memory.read(RESULT) == b"poses of a video"


@pytest.mark.parametrize("name", ["", "..", "a.txt", "b.mp4", "a.npz", "/etc/passwd"])
def test_a_receipt_about_nonsense_is_nobody_s(scene: Scene, name: str) -> None:
    scene.run()
    nonsense = scene.receipt().model_copy(
        update={"input": scene.receipt().input.model_copy(update={"name": name})}
    )
    for key in ("talks/a.txt", "talks/b.mp4", "talks/", "talks/a.npz"):
        scene.memory.put(key, b"something")
    scene.memory.put(RECEIPT, receipt.encode(nonsense))
    assert scene.run().outcome is Outcome.DONE
    assert scene.receipt().input.name == "a.mp4"


# The decoder, the recipe and this machine are at fault


def test_a_decoder_that_crashes_gets_another_try(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    crash = DecoderCrashedError("signal 11")
    scene.recipe.acts = [raising(crash), raising(crash)]
    assert scene.run().outcome is Outcome.DONE
    assert scene.recipe.runs == 3
    assert caplog.messages.count("its decoder crashed") == 2
    shown = scene.metrics.expose().decode()
    assert "posewatch_decoder_restarts_total 2.0" in shown


def test_a_decoder_that_crashes_again_and_again_is_the_video_s_fault(scene: Scene) -> None:
    scene.recipe.acts = [raising(DecoderCrashedError("signal 11"))] * 3
    assert scene.run().outcome is Outcome.FAILED
    fault, message, _ = failure_of(scene)
    assert (fault, message) == (Fault.CRASHED, "the decoder crashed on it 3 times: signal 11")
    assert scene.recipe.runs == 3


class Pictures(ToyRecipe):
    """Its results are digests of the pictures."""

    def run(  # the decoder is a real one
        self,
        video: Path,
        sha256: str,  # noqa: ARG002 -- see `Recipe`
        folder: Path,
        decoder: Any,  # noqa: ANN401
        report: Callable[[Progress], None],
    ) -> Made:
        result = folder / "result"
        lines = []
        with decoder.open(video) as opened:
            for chunk in opened.chunks(4):
                lines += [hashlib.sha256(image.tobytes()).hexdigest() for image in chunk.images]
                report(Progress(len(lines), None))
            about = opened.info
        result.write_text("\n".join(["poses of", *lines]))
        return Made({SUFFIX: result}, len(lines), 1.0, {}, about.decoder.value, about.fallback)


@pytest.mark.parametrize(
    ("gpu", "decoder", "why"),
    [
        ("fake:", "nvdec", ""),
        ("fake:fail@0", "cpu", "the GPU is gone"),
        ("fake:fail@9", "cpu", "the GPU is gone"),
        ("fake:crash@9", "cpu", "SIGABRT"),
    ],
)
def test_whatever_a_gpu_does_the_result_is_that_of_the_cpu(
    scene: Scene, tmp_path: Path, gpu: str, decoder: str, why: str
) -> None:
    scene.recipe = Pictures()
    scene.cache = InputCache(tmp_path / "big", 1 << 20, lambda _used, _waiting: None, scene.clock)
    video = make_video(tmp_path / "v.mp4", frames=20).read_bytes()
    results = []
    for key, hardware in (("talks/x.mp4", ""), ("talks/y.mp4", gpu)):
        make = functools.partial(
            Decoder, limits=DecodeLimits(), stall_seconds=30, clock=SystemClock(), hardware=hardware
        )
        scene.decoders = Decoders(make, 1)
        scene.memory.put(key, video)
        receipt_key = names.receipt_key(key)
        assert scene.run(scene.job(key, receipt_key=receipt_key)).outcome is Outcome.DONE
        scene.decoders.close()
        results.append(scene.memory.read(names.stem(key) + SUFFIX))
    assert results[0] == results[1]
    assert results[0].count(b"\n") == 20
    work = scene.receipt(receipt_key).work
    assert (work.decoder, work.frames) == (decoder, 20)
    assert why in work.decoder_fallback
    assert bool(why) == bool(work.decoder_fallback)


def test_what_failed_on_a_gpu_is_decoded_by_the_cpu_once_more(scene: Scene) -> None:
    asked = []

    class Recipe(ToyRecipe):
        def run(self, *arguments: Any) -> Made:  # noqa: ANN401  # as they come
            asked.append(arguments[3].fallback)
            made = super().run(*arguments)
            return replace(made, decoder="cpu", fallback=asked[-1])

    scene.recipe = Recipe()
    crash = DecoderCrashedError("signal 11")
    scene.recipe.acts = [raising(HardwareFailedError("the GPU is gone")), *[raising(crash)] * 2]
    assert scene.run().outcome is Outcome.DONE
    assert asked == ["", *["the GPU is gone"] * 3]
    work = scene.receipt().work
    assert (work.decoder, work.decoder_fallback) == ("cpu", "the GPU is gone")
    assert "posewatch_decoder_fallbacks_total 1.0" in scene.metrics.expose().decode()
    # the next video begins with the GPU again
    scene.memory.put("talks/b.mp4", b"another video")
    assert scene.run(scene.job("talks/b.mp4", receipt_key="talks/b.posewatch.json")).frames == 4
    assert asked[4:] == [""]
    assert scene.receipt("talks/b.posewatch.json").work.decoder_fallback == ""
    assert "posewatch_decoder_fallbacks_total 1.0" in scene.metrics.expose().decode()


def test_a_bug_costs_one_try_and_is_told(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    bug = ZeroDivisionError("oh")
    scene.recipe.acts = [raising(bug)]
    ending = scene.run()
    assert (ending.outcome, ending.wait, ending.bug) == (Outcome.RETRIED, PAUSE, bug)
    assert scene.listed() == {VIDEO}
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is bug


def test_a_video_on_which_posewatch_fails_again_and_again_has_failed(scene: Scene) -> None:
    assert scene.run(scene.job(bugs=2)).outcome is Outcome.DONE
    scene.memory.put(VIDEO, b"another")
    assert scene.run(scene.job(bugs=3)).outcome is Outcome.FAILED
    assert failure_of(scene)[:2] == (Fault.CRASHED, "posewatch itself failed on it 3 times")


@pytest.mark.parametrize(
    "error", [ModelError("no memory"), DecoderStartError("no process"), OSError(28, "disk full")]
)
def test_what_is_this_machine_s_fault_is_tried_later(
    scene: Scene, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    scene.recipe.acts = [raising(error)]
    ending = scene.run()
    assert (ending.outcome, ending.wait, ending.bug) == (Outcome.RETRIED, PAUSE, None)
    assert ending.error is error
    assert scene.listed() == {VIDEO}
    assert not [r for r in caplog.records if r.exc_info], "the loop tells of it, once"


def test_a_decoder_that_says_cancelled_to_nobody_is_a_bug(scene: Scene) -> None:
    error = DecodingCancelledError("cancelled")
    scene.recipe.acts = [raising(error)]
    assert scene.run().bug is error


# The input goes away


def test_a_video_that_is_gone_is_forgotten(scene: Scene) -> None:
    job = scene.job()
    scene.memory.delete(VIDEO)
    ending = scene.run(job)
    assert (ending.outcome, ending.gone) == (Outcome.GIVEN_BACK, True)
    assert scene.listed() == set()


def test_a_video_that_changed_is_looked_at_again(scene: Scene) -> None:
    job = scene.job()
    scene.memory.put(VIDEO, b"another video")
    ending = scene.run(job)
    assert (ending.outcome, ending.gone) == (Outcome.RETRIED, True)
    assert scene.listed() == {VIDEO}


def test_a_folder_that_fails_while_reading_is_tried_later(scene: Scene) -> None:
    scene.fails("fetch", VIDEO, UnavailableError("no answer"), times=1, after=False)
    ending = scene.run()
    assert (ending.outcome, ending.wait) == (Outcome.RETRIED, PAUSE)
    assert isinstance(ending.error, UnavailableError)
    assert scene.listed() == {VIDEO}


# The claim is lost, or the job is to stop


def test_a_claim_that_is_lost_in_the_middle_publishes_nothing(scene: Scene) -> None:
    lock = f"{VIDEO}.lock"

    def lose(report: Callable[[Progress], None]) -> None:
        scene.memory.delete(lock)
        scene.claims_of("there").acquire(VIDEO, "job")
        lost = scene.heart.claims[0].beat()
        scene.cancellation.cancel(Stop.LOST, str(lost))
        report(Progress(3, 4))

    scene.recipe.acts = [lose]
    ending = scene.run()
    assert (ending.outcome, ending.standing) == (Outcome.LOST, None)
    assert scene.listed() == {VIDEO, lock}
    assert b"there" in scene.memory.read(lock)


@pytest.mark.parametrize("when", ["before the results", "before the receipt"])
def test_a_claim_that_is_taken_over_while_publishing_publishes_no_receipt(
    scene: Scene, when: str
) -> None:
    target = RESULT if when == "before the results" else RECEIPT

    def hook(operation: Operation) -> None:
        if (operation.name, operation.target) == ("publish", target) and not operation.after:
            scene.memory.fence([], VIDEO)

    scene.hook = hook
    ending = scene.run()
    assert ending.outcome is Outcome.LOST
    assert RECEIPT not in scene.listed()
    assert (RESULT in scene.listed()) == (when == "before the receipt")


def test_a_newer_attempt_is_seen_before_anything_is_published(scene: Scene) -> None:
    scene.recipe.acts = [lambda _report: scene.memory.put(f"{VIDEO}.lock.2", b"newer") and None]
    assert scene.run().outcome is Outcome.LOST
    assert not {RECEIPT, RESULT} & scene.listed()


def test_a_stop_before_the_work_gives_the_video_back(scene: Scene) -> None:
    scene.cancellation.cancel(Stop.SHUTDOWN, "it had not begun")
    assert scene.run().outcome is Outcome.GIVEN_BACK
    assert scene.recipe.runs == 0
    assert scene.listed() == {VIDEO}


def test_a_stop_during_the_work_gives_the_video_back(scene: Scene) -> None:
    def stop(_report: Callable[[Progress], None]) -> None:
        scene.cancellation.cancel(Stop.SHUTDOWN, "the time is over")

    scene.recipe.acts = [stop]
    assert scene.run().outcome is Outcome.GIVEN_BACK
    assert scene.listed() == {VIDEO}
    assert scene.cancellation.has_turn


def test_a_decoder_that_is_stopped_says_so_in_its_own_way(scene: Scene) -> None:
    def stop(_report: Callable[[Progress], None]) -> None:
        scene.cancellation.cancel(Stop.SHUTDOWN, "the time is over")
        raise DecodingCancelledError("cancelled")

    scene.recipe.acts = [stop]
    assert scene.run().outcome is Outcome.GIVEN_BACK


def test_a_stop_while_it_waits_for_a_turn_gives_the_video_back(scene: Scene) -> None:
    scene.decoders.resize(0)
    endings = []
    thread = threading.Thread(target=lambda: endings.append(scene.run()))
    thread.start()
    until(lambda: bool(scene.decoders._waiting), "it waits for a turn")
    assert not scene.cancellation.has_turn
    scene.cancellation.cancel(Stop.SHUTDOWN, "it had not begun")
    thread.join(PATIENCE)
    assert [ending.outcome for ending in endings] == [Outcome.GIVEN_BACK]
    assert scene.listed() == {VIDEO}


def test_a_lock_that_cannot_be_removed_changes_nothing_about_the_result(scene: Scene) -> None:
    scene.fails("remove", f"{VIDEO}.lock", UnavailableError("no answer"), times=1, after=False)
    assert scene.run().outcome is Outcome.DONE
    assert scene.listed() == CLEAN | {f"{VIDEO}.lock"}
