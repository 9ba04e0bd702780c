from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from itertools import product
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from posewatch.base import errors
from posewatch.base.metric_rows import NAMES_LIMIT, OTHER, Kind, Named, Row
from posewatch.base.metrics import TABLE, ClaimOutcome, Metrics, Stage, StorageFault

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def exposed(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.expose().decode())
        for sample in family.samples
    }


def busy_metrics() -> Metrics:
    """Metrics in which every kind of series exists."""
    metrics = Metrics()
    metrics.describe_build(
        version="0.1",
        python="3.11",
        onnxruntime="1.20",
        recipe="mediapipe",
        device="auto",
        provider="CPUExecutionProvider",
    )
    metrics.frames["mediapipe"].inc(64)
    metrics.inference_duration["face"].observe(0.1)
    return metrics


def test_what_is_counted_is_shown() -> None:
    metrics = busy_metrics()
    metrics.claims[ClaimOutcome.BUSY].inc()
    metrics.stage_duration[Stage.DECODE].observe(12.5)
    shown = exposed(metrics)
    assert shown["posewatch_claims_total", frozenset({("outcome", "busy")})] == 1
    assert shown["posewatch_frames_total", frozenset({("recipe", "mediapipe")})] == 64
    decode = frozenset({("stage", "decode")})
    assert shown["posewatch_stage_duration_seconds_sum", decode] == 12.5
    assert shown["posewatch_stage_duration_seconds_bucket", decode | {("le", "10.0")}] == 0
    assert shown["posewatch_stage_duration_seconds_bucket", decode | {("le", "30.0")}] == 1
    build = {"version": "0.1", "python": "3.11", "onnxruntime": "1.20", "recipe": "mediapipe"}
    build |= {"device": "auto", "provider": "CPUExecutionProvider"}
    assert shown["posewatch_build_info", frozenset(build.items())] == 1


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_closed_vocabularies_are_there_from_the_start(row: Row[object]) -> None:
    shown = exposed(Metrics())
    suffix = "_count" if row.kind == Kind.HISTOGRAM else ""
    pairs = [[(label, value) for value in values] for label, values in row.labels.items()]
    for labels in product(*pairs):
        assert shown[row.name + suffix, frozenset(labels)] == 0


def test_no_series_but_those_of_the_table_and_of_the_process() -> None:
    names = tuple(row.name for row in TABLE)
    for name, labels in exposed(busy_metrics()):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert base in names or name.startswith(("process_", "python_gc_")), (name, labels)


def test_two_daemons_in_one_process_do_not_share_numbers() -> None:
    one, other = Metrics(), Metrics()
    one.fetched_bytes.inc(5)
    assert exposed(other)["posewatch_fetched_bytes_total", frozenset()] == 0
    assert not [n for n in REGISTRY._names_to_collectors if n.startswith("posewatch")]


def test_names_end_in_their_base_unit() -> None:
    units = {"seconds": "seconds", "bytes": "bytes"}
    for row in TABLE:
        name = row.name.removeprefix("posewatch_")
        assert name != row.name
        assert name.endswith("_total") == (row.kind == Kind.COUNTER), row.name
        assert name.endswith("_info") == (row.kind == Kind.INFO), row.name
        if row.unit in units:
            assert re.search(rf"(^|_){units[row.unit]}(_total)?$", name), row.name
        assert row.meaning.endswith("."), row.name


def test_an_open_label_is_bounded() -> None:
    made: list[str] = []

    def make(name: str) -> list[str]:
        made.append(name)
        return made

    named = Named(make)
    for i in range(NAMES_LIMIT + 50):
        assert named[f"n{i}"] is made
    assert named["n0"] is made
    assert made == [f"n{i}" for i in range(NAMES_LIMIT)] + [OTHER]


def test_an_open_label_can_be_used_by_many_threads() -> None:
    metrics = Metrics()
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(500):
            metrics.frames["mediapipe"].inc()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert exposed(metrics)["posewatch_frames_total", frozenset({("recipe", "mediapipe")})] == 2000


def test_every_storage_error_has_its_own_kind() -> None:
    kinds = [
        StorageFault.of(error("x"))
        for error in vars(errors).values()
        if isinstance(error, type)
        and issubclass(error, errors.StorageError)
        and error is not errors.StorageError
    ]
    assert sorted(kinds) == sorted(StorageFault)


def test_other_storage_errors_count_as_the_nearest_kind() -> None:
    class QuotaError(errors.FullError):
        pass

    assert StorageFault.of(QuotaError("x")) == StorageFault.FULL
    assert StorageFault.of(errors.StorageError("x")) == StorageFault.UNAVAILABLE


def test_the_documented_table_is_the_one_in_the_code() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    begin, end = "<!-- metrics -->\n", "<!-- end of metrics -->\n"
    assert text[text.index(begin) + len(begin) : text.index(end)] == documented()


def documented() -> str:
    lines = ["| Name | Kind | Unit | Labels | Meaning |", "|---|---|---|---|---|"]
    for row in TABLE:
        labels = "; ".join(
            f"`{label}`: {', '.join(values)}" if values else f"`{label}`"
            for label, values in row.labels.items()
        )
        lines.append(f"| `{row.name}` | {row.kind} | {row.unit} | {labels} | {row.meaning} |")
    return "\n".join(lines) + "\n"


def test_promtool_finds_nothing_to_complain_about() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("POSEWATCH_REQUIRE_TOOLS"):
            pytest.fail("promtool (Debian package prometheus) is not installed")
        pytest.skip("promtool is not installed")
    shown = busy_metrics().expose()
    done = subprocess.run(  # noqa: S603 -- its path is looked up just above
        [promtool, "check", "metrics"], input=shown, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
