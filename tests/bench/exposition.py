"""What an answer to a scrape costs, beside prometheus-client's own registry of the same metrics.

    make bench BENCH=exposition

CPU time of the whole process: making the text, and serving it over HTTP to a client in another one.
A registry of the library shows one series more for each counter and histogram, see `metric_rows`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from report import Row, report

from posewatch.base.clock import SystemClock
from posewatch.base.metrics import TABLE, Metrics
from posewatch.service.http import HttpServer
from posewatch.service.pages import Pages, Readiness
from posewatch.service.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.base.metric_rows import Named

SCRAPES, RUNS = 100, 7
INTERVAL = 15.0
"""Seconds between two scrapes, as the examples in packaging/prometheus have it."""

NETWORKS = ("pose_detection", "pose_landmark", "hand_recrop", "hand_landmark", "face_landmark")

CLIENT = """
import http.client, sys
for _ in range(int(sys.argv[2])):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    connection.request("GET", "/metrics")
    assert b"posewatch_ready" in connection.getresponse().read()
    connection.close()
"""


def used(metrics: Metrics) -> Metrics:
    """As they are after a video."""
    metrics.describe_build(
        version="1", python="3", onnxruntime="1", recipe="mediapipe", device="auto", provider="CPU"
    )
    for network in NETWORKS:
        metrics.inference_duration[network].observe(0.1)
    return metrics


def library() -> CollectorRegistry:
    """The same metrics in a registry of the library."""
    registry = CollectorRegistry()
    built = {row.name: row.build(registry) for row in TABLE}
    durations: Named[object] = built["posewatch_inference_duration_seconds"]  # type: ignore[assignment]
    for network in NETWORKS:
        _ = durations[network]
    return registry


def milliseconds(scrape: Callable[[], object], scrapes: int = SCRAPES) -> float:
    """CPU time of this process for one scrape."""
    begun = time.process_time()
    for _ in range(scrapes):
        scrape()
    return (time.process_time() - begun) / scrapes * 1000


def served(pages: Pages) -> float:
    """CPU time for one scrape over HTTP."""
    server = HttpServer(pages.answer, "127.0.0.1", 0)
    client = [sys.executable, "-c", CLIENT, str(server.address[1]), str(SCRAPES)]
    try:
        return (
            milliseconds(
                lambda: subprocess.run(client, check=True),  # noqa: S603 -- our own script
                scrapes=1,
            )
            / SCRAPES
        )
    finally:
        server.close()


def main() -> None:
    """Measure in turn, and report."""
    metrics, clock = used(Metrics()), SystemClock()
    pages = Pages(metrics, clock, Progress(clock, 30.0).health, Readiness, dict)
    theirs = library()
    text, http, beside = [], [], []
    for _ in range(RUNS):
        beside.append(milliseconds(lambda: generate_latest(theirs)))
        text.append(milliseconds(lambda: pages.answer("/metrics")))
        http.append(served(pages))
    shown = metrics.expose()
    series = sum(not line.startswith(b"#") for line in shown.splitlines())
    other = statistics.median(beside)
    rows = [
        Row(case, "the library's registry, text", "ms", statistics.median(found), other, RUNS)
        for case, found in (("text", text), ("over HTTP", http))
    ]
    cost = statistics.median(http)
    notes = (
        f"{series} series, {len(shown):,} bytes: {cost / series * 1000:.1f} µs a series over HTTP",
        f"One scrape every {INTERVAL:g} s takes {cost / INTERVAL / 10:.3f} % of a core",
    )
    report("exposition", rows, notes=notes)


if __name__ == "__main__":
    main()
