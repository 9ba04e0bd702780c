"""The one table of metrics, and the object that carries their numbers.

Names follow Prometheus' conventions: base units, `_total` on counters, `_seconds`, `_bytes`,
`_ratio`, `_info`. No label ever holds a file name: each is a closed vocabulary whose series all
exist from the start (so that the first event already shows in a rate), or an open one of known
small size (see `metric_rows.Named`). Changing a name or a meaning here is a change for everybody
who has a dashboard: say it in the change log.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, ProcessCollector, generate_latest

from posewatch.base import errors
from posewatch.base.metric_rows import (
    Registry,
    Row,
    counter,
    counter_grid,
    counters,
    gauge,
    gauges,
    histogram,
    histograms,
    info,
    named_counters,
    named_histograms,
)
from posewatch.base.requests import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `Metrics.expose` returns."""


class VideoState(StrEnum):
    """Where a video stands, as the last scan saw it."""

    SETTLING = "settling"  # still being written
    WAITING = "waiting"  # ready, and nobody works on it
    CLAIMED = "claimed"  # by this daemon
    ELSEWHERE = "elsewhere"  # claimed by another daemon
    DONE = "done"
    FAILED = "failed"


class Outcome(StrEnum):
    """How this daemon's work on a claimed video ended."""

    DONE = "done"
    FAILED = "failed"  # a failure is recorded beside the input
    LOST = "lost"  # the claim went to somebody else in between
    GIVEN_BACK = "given_back"  # released unfinished, because this daemon stops
    RETRIED = "retried"  # released after an error that may pass


class Stage(StrEnum):
    """A part of the work on one video."""

    FETCH = "fetch"
    DECODE = "decode"
    INFER = "infer"
    WRITE = "write"
    PUBLISH = "publish"


class ClaimOutcome(StrEnum):
    """How an attempt to claim a video ended."""

    ACQUIRED = "acquired"  # as the first attempt
    TAKEN = "taken"  # over, from an attempt that was found dead
    BUSY = "busy"  # somebody else holds it
    ALREADY_DONE = "already_done"  # it was finished in between


class LossReason(StrEnum):
    """Why a claim that this daemon held is no longer its own."""

    EXPIRED = "expired"  # it could not be beaten for most of its lease
    SUPERSEDED = "superseded"  # a higher attempt exists
    REMOVED = "removed"  # the lock file is gone
    CHANGED = "changed"  # the lock file has another content


class Success(StrEnum):
    """Whether something worked."""

    OK = "ok"
    FAILED = "failed"


class HintSource(StrEnum):
    """Who said that a file may have changed."""

    INOTIFY = "inotify"
    EVENT = "event"  # of the bucket
    SCAN = "scan"


class StorageFault(StrEnum):
    """The subclasses of `StorageError`, one value each."""

    MISSING = "missing"
    EXISTS = "exists"
    CHANGED = "changed"
    FENCED = "fenced"
    FULL = "full"
    READ_ONLY = "read_only"
    DENIED = "denied"
    UNMOUNTED = "unmounted"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"

    @classmethod
    def of(cls, error: errors.StorageError) -> StorageFault:
        """Which of them `error` is; an unknown one counts as unavailable."""
        for kind in type(error).__mro__:
            if kind in _FAULTS:
                return _FAULTS[kind]
        return cls.UNAVAILABLE


_FAULTS: Mapping[type, StorageFault] = MappingProxyType(
    {
        errors.MissingError: StorageFault.MISSING,
        errors.ExistsError: StorageFault.EXISTS,
        errors.ChangedError: StorageFault.CHANGED,
        errors.FencedError: StorageFault.FENCED,
        errors.FullError: StorageFault.FULL,
        errors.ReadOnlyError: StorageFault.READ_ONLY,
        errors.DeniedError: StorageFault.DENIED,
        errors.UnmountedError: StorageFault.UNMOUNTED,
        errors.UnsupportedError: StorageFault.UNSUPPORTED,
        errors.UnavailableError: StorageFault.UNAVAILABLE,
    }
)

_WORK_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 7200)
"""10 ms (fetching a short local clip) to 2 h (a long recording on a slow machine)."""

_LATENCY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600)
"""1 s is promised with inotify, two scan intervals without; the rest is waiting for a free slot."""

_SCAN_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 180, 600)
"""A few files on a local disk to a million over a network."""

_INFERENCE_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
"""One small crop on a GPU to a full batch on a laptop's CPU."""

_BATCH_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The numbers of one daemon, in a registry of its own.

    Make one, and hand it down. Safe to use from several threads:

        metrics.claims[ClaimOutcome.BUSY].inc()
        metrics.stage_duration[Stage.DECODE].observe(12.5)
        metrics.frames["mediapipe"].inc(64)

    It also tells about the process (memory, CPU time, open files) and Python's garbage collector,
    under the names that every Python program uses.
    """

    build_info = info(
        "posewatch_build_info",
        ("version", "python", "onnxruntime", "recipe", "device", "provider"),
        "What is running: always 1. `device` is the setting, `provider` what is in use.",
    )
    gpu_wanted = gauge(
        "posewatch_gpu_wanted",
        "1",
        "1 where a GPU is asked for, or could be used by the onnxruntime that is installed.",
    )
    gpus_used = gauge("posewatch_gpus_used", "GPUs", "GPUs that the networks run on; 0 on a CPU.")

    videos = gauges(
        "posewatch_videos",
        "videos",
        ("state", VideoState),
        "Videos in the folder by state, as the last scan saw them.",
    )
    oldest_waiting = gauge(
        "posewatch_oldest_waiting_seconds",
        "seconds",
        "How long the last scan's longest waiting video has been unfinished; 0 where none waits.",
    )
    videos_in_flight = gauge(
        "posewatch_videos_in_flight", "videos", "Videos that this daemon is working on now."
    )
    videos_finished = counters(
        "posewatch_videos_finished_total",
        "videos",
        ("outcome", Outcome),
        "Videos that this daemon had claimed and has let go of, by how it ended.",
    )
    video_faults = counters(
        "posewatch_video_faults_total",
        "videos",
        ("fault", errors.Fault),
        "Inputs that were recorded as failed, by what was wrong with them.",
    )
    video_seconds = counter(
        "posewatch_video_seconds_total",
        "seconds",
        "Footage worked on: playing time of the frames that were inferred.",
    )
    frames = named_counters(
        "posewatch_frames_total",
        "frames",
        "recipe",
        "Video frames that were inferred, by recipe.",
    )
    stage_duration = histograms(
        "posewatch_stage_duration_seconds",
        "seconds",
        ("stage", Stage),
        "Time that one stage took for one video; stages overlap.",
        _WORK_SECONDS,
    )

    claim_latency = histogram(
        "posewatch_claim_latency_seconds",
        "seconds",
        "Time from a file's last write to its claim.",
        _LATENCY_SECONDS,
    )
    claims = counters(
        "posewatch_claims_total",
        "claims",
        ("outcome", ClaimOutcome),
        "Attempts to claim a video, by how they ended.",
    )
    claims_lost = counters(
        "posewatch_claims_lost_total",
        "claims",
        ("reason", LossReason),
        "Claims that were lost while work went on, by reason.",
    )
    beats = counters(
        "posewatch_beats_total",
        "beats",
        ("outcome", Success),
        "Renewals of held claims.",
    )

    scans = counters(
        "posewatch_scans_total", "scans", ("outcome", Success), "Scans of the whole folder."
    )
    scan_duration = histogram(
        "posewatch_scan_duration_seconds",
        "seconds",
        "Time that a scan of the whole folder took.",
        _SCAN_SECONDS,
    )
    scan_files = gauge("posewatch_scan_files", "files", "Files that the last whole scan listed.")
    hints = counters(
        "posewatch_hints_total",
        "hints",
        ("source", HintSource),
        "Hints that a file may be new or changed, by who gave them.",
    )
    storage_errors = counters(
        "posewatch_storage_errors_total",
        "errors",
        ("kind", StorageFault),
        "Failed operations on the watched folder; some kinds are part of normal life.",
    )
    storage_requests = counter_grid(
        "posewatch_storage_requests_total",
        "requests",
        ("operation", Request),
        ("outcome", Answer),
        "Requests sent to the bucket, by what they ask for and what became of them.",
    )
    folder_available = gauge(
        "posewatch_folder_available",
        "1",
        "1 while the watched folder is there, 0 while it is unmounted or fails.",
    )

    cache_bytes = gauge("posewatch_cache_bytes", "bytes", "Size of the local copies of inputs.")
    cache_limit_bytes = gauge(
        "posewatch_cache_limit_bytes", "bytes", "Size that the local copies may reach."
    )
    cache_waiting = gauge(
        "posewatch_cache_waiting_videos",
        "videos",
        "Claimed videos that wait until there is room for their local copy.",
    )
    fetched_bytes = counter(
        "posewatch_fetched_bytes_total", "bytes", "Bytes of inputs copied from the folder."
    )
    published_bytes = counter(
        "posewatch_published_bytes_total", "bytes", "Bytes of results put into the folder."
    )

    decoder_restarts = counter(
        "posewatch_decoder_restarts_total",
        "restarts",
        "Decoder processes started in place of one that died or stalled.",
    )
    decoder_fallbacks = counter(
        "posewatch_decoder_fallbacks_total",
        "videos",
        "Videos that the CPU decoded although a GPU was to.",
    )
    inference_batch_size = histogram(
        "posewatch_inference_batch_size",
        "images",
        "Images that went through a network in one call.",
        _BATCH_IMAGES,
    )
    inference_duration = named_histograms(
        "posewatch_inference_duration_seconds",
        "seconds",
        "network",
        "Time of one call of a network.",
        _INFERENCE_SECONDS,
    )

    ready = gauge(
        "posewatch_ready", "1", "1 when /readyz says that videos can be worked on, else 0."
    )
    idle_seconds = gauge(
        "posewatch_idle_seconds",
        "seconds",
        "Time without anything to do for this machine, if [idle] says to stop it then; else 0.",
    )
    loop_last_progress = gauge(
        "posewatch_loop_last_progress_timestamp_seconds",
        "seconds",
        "Unix time at which the main loop last showed progress.",
    )

    def __init__(self) -> None:
        self._registry = Registry()
        self._built = {row.name: row.build(self._registry) for row in TABLE}
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    @property
    def built(self) -> Mapping[str, object]:
        """What the rows built, by name; for the rows themselves."""
        return self._built

    def describe_build(
        self,
        *,
        version: str,
        python: str,
        onnxruntime: str,
        recipe: str,
        device: str,
        provider: str,
    ) -> None:
        """Say what is running.

        Args:
            version: of posewatch.
            python: its version.
            onnxruntime: its version.
            recipe: what is made of videos.
            device: what the settings ask for.
            provider: onnxruntime's name for what runs the networks.
        """
        self.build_info.info(
            {
                "version": version,
                "python": python,
                "onnxruntime": onnxruntime,
                "recipe": recipe,
                "device": device,
                "provider": provider,
            }
        )
        self.frames[recipe]  # there from the start, like the series of closed vocabularies

    def expose(self) -> bytes:
        """All of it in Prometheus' text format; its type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)


TABLE: tuple[Row[object], ...] = tuple(
    row for row in vars(Metrics).values() if isinstance(row, Row)
)
"""The rows in the order in which they are written above."""
