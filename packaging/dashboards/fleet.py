"""The dashboard of all machines: is it working, how far, how fast, what is stuck, what it costs."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards.panels import (
    BLUE,
    GREEN,
    RED,
    WIDTH,
    YELLOW,
    choice,
    lines,
    number,
    price,
    rows,
    start,
)

FOLDER = 'folder=~"$folder"'

MONTH = 30 * 24 * 3600
"""Seconds."""

TOTAL = f"sum(folder:posewatch_videos:max{{{FOLDER}}})"
UNFINISHED = f"{TOTAL} - sum(folder:posewatch_videos_finished:max{{{FOLDER}}})"

# One sample for each minute, also while the number of machines changes.
MACHINE_HOURS = f"sum(sum_over_time(folder:posewatch_daemons:count{{{FOLDER}}}[$__range:1m])) / 60"
GPU_HOURS = f"sum(sum_over_time(folder:posewatch_gpus_used:sum{{{FOLDER}}}[$__range:1m])) / 60"
VIDEO_HOURS = f"sum(increase(posewatch_video_seconds_total{{{FOLDER}}}[$__range])) / 3600"


def requests_a_month(operations: str) -> str:
    """Requests of these kinds in 30 days, at the pace of the chosen time."""
    series = f'posewatch_storage_requests_total{{{FOLDER}, operation=~"{operations}"}}'
    return f"sum(rate({series}[$__range])) * {MONTH}"


def fleet() -> Dashboard:
    """The dashboard."""
    board = (
        start("posewatch-fleet", "posewatch: fleet", "Every machine that works on the folders.")
        .with_variable(
            choice("folder", "Folder", "label_values(posewatch_ready, folder)", several=True)
        )
        .with_variable(price("machine_price", "Price of a machine and hour", "1.00"))
        .with_variable(price("write_price", "of 1,000 PUT, LIST", "0.005"))
        .with_variable(price("read_price", "of 1,000 GET, HEAD", "0.0004"))
    )
    return cost(stuck(fast(far(working(board)))))


def working(board: Dashboard) -> Dashboard:
    """Is it working?"""
    return (
        board.with_row(Row("Is it working?"))
        .with_panel(
            number(
                "Machines that are ready",
                "Daemons that can work on videos now, and those that run.",
                {
                    "ready": f"sum(posewatch_ready{{{FOLDER}}})",
                    "running": f"sum(folder:posewatch_daemons:count{{{FOLDER}}})",
                },
                width=6,
                colours=[(None, RED), (1, GREEN)],
            )
        )
        .with_panel(
            number(
                "Alerts",
                "Alerts of posewatch that fire now; docs/operations.md says what to do.",
                'count(ALERTS{alertname=~"Posewatch.+", alertstate="firing"}) or vector(0)',
                width=4,
                colours=[(None, GREEN), (1, RED)],
            )
        )
        .with_panel(
            number(
                "Machines without their folder",
                "Daemons that do not reach the watched folder.",
                f"count(posewatch_folder_available{{{FOLDER}}} == 0) or vector(0)",
                width=5,
                colours=[(None, GREEN), (1, RED)],
            )
        )
        .with_panel(
            number(
                "GPUs",
                "GPUs that networks run on, and machines that want one or more.",
                {
                    "used": f"sum(folder:posewatch_gpus_used:sum{{{FOLDER}}})",
                    "wanted": f"sum(posewatch_gpu_wanted{{{FOLDER}}})",
                },
                width=5,
            )
        )
        .with_panel(
            number(
                "Main loop silent for",
                "The longest time that a main loop has shown no progress.",
                f"max(time() - posewatch_loop_last_progress_timestamp_seconds{{{FOLDER}}})",
                width=4,
                unit="s",
                decimals=1,
                colours=[(None, GREEN), (30, YELLOW), (120, RED)],
            )
        )
        .with_panel(
            rows(
                "Machines",
                "What runs where. Versions should be the same.",
                f"posewatch_build_info{{{FOLDER}}} * on (job, instance) group_left ()"
                " posewatch_ready",
                hidden=("job", "python"),
                value="ready",
                width=WIDTH * 2 // 3,
            )
        )
        .with_panel(
            rows(
                "Alerts that fire",
                "See docs/operations.md, under the name of the alert.",
                'ALERTS{alertname=~"Posewatch.+", alertstate="firing"}',
                hidden=("job", "alertstate"),
                width=WIDTH // 3,
            )
        )
    )


def far(board: Dashboard) -> Dashboard:
    """How far is it?"""
    pace = f"sum(folder:posewatch_videos_finished:rate1h{{{FOLDER}}} > 0)"
    return (
        board.with_row(Row("How far is it?"))
        .with_panel(
            number(
                "Finished",
                "Share of the videos in the folders that are done or failed.",
                f"sum(folder:posewatch_videos_finished:max{{{FOLDER}}}) / {TOTAL}",
                width=4,
                height=7,
                unit="percentunit",
                decimals=1,
            )
        )
        .with_panel(
            number(
                "Left", "Videos that are neither done nor failed.", UNFINISHED, width=4, height=7
            )
        )
        .with_panel(
            number(
                "Time left",
                "Until all is finished, at the pace of the last hour.",
                f"({UNFINISHED}) / {pace}",
                width=4,
                height=7,
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Videos",
                "Where the videos stand. Work adds to done; a new delivery adds to waiting.",
                {
                    "{{state}}": f"sum by (state) (folder_state:posewatch_videos:max{{{FOLDER}}})",
                    "in work": f"sum(folder:posewatch_videos_in_work:max{{{FOLDER}}})",
                },
                width=WIDTH // 2,
                stacked=True,
                colours={
                    "done": GREEN,
                    "failed": RED,
                    "waiting": YELLOW,
                    "settling": "orange",
                    "in work": BLUE,
                },
            )
        )
    )


def fast(board: Dashboard) -> Dashboard:
    """How fast is it?"""
    latency = f"sum by (le) (rate(posewatch_claim_latency_seconds_bucket{{{FOLDER}}}[1h]))"
    return (
        board.with_row(Row("How fast is it?"))
        .with_panel(
            lines(
                "Frames per second",
                "Video frames that went through the networks, by machine.",
                {
                    "{{instance}}": "sum by (instance) ("
                    f"rate(posewatch_frames_total{{{FOLDER}}}[$__rate_interval]))"
                },
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Videos per hour",
                "Done or failed, over an hour.",
                {
                    "finished": f"3600 * sum(folder:posewatch_videos_finished:rate1h{{{FOLDER}}})",
                    "of these, failed": "3600 * sum("
                    f"folder:posewatch_videos_failed:rate1h{{{FOLDER}}})",
                },
            )
        )
        .with_panel(
            lines(
                "From the last write to the claim",
                "With free machines a second on a local disk, or two scans. More is the queue.",
                {
                    "half of them": f"histogram_quantile(0.5, {latency})",
                    "95 %": f"histogram_quantile(0.95, {latency})",
                },
                unit="s",
            )
        )
    )


def stuck(board: Dashboard) -> Dashboard:
    """What is stuck?"""
    return (
        board.with_row(Row("What is stuck?"))
        .with_panel(
            lines(
                "Longest waiting",
                "How long the longest waiting video has been unfinished.",
                {"{{folder}}": f"max by (folder) (posewatch_oldest_waiting_seconds{{{FOLDER}}})"},
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Failures by fault",
                "Videos recorded as failed in an hour; posewatch status names them.",
                {
                    "{{fault}}": "sum by (fault) (increase("
                    f"posewatch_video_faults_total{{{FOLDER}}}[1h])) > 0"
                },
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Claims in trouble",
                "In an hour: videos taken over from silent daemons, and work thrown away.",
                {
                    "taken over": "sum(increase("
                    f'posewatch_claims_total{{{FOLDER}, outcome="taken"}}[1h]))',
                    "lost": f"sum(increase(posewatch_claims_lost_total{{{FOLDER}}}[1h]))",
                },
            )
        )
        .with_panel(
            lines(
                "Storage errors",
                "Per second, without those kinds that are part of normal life.",
                {
                    "{{kind}}": "sum by (kind) (rate(posewatch_storage_errors_total{"
                    f'{FOLDER}, kind!~"missing|exists|changed|fenced"}}[$__rate_interval]))'
                },
                width=WIDTH // 2,
            )
        )
        .with_panel(
            lines(
                "Requests that the bucket slowed down or refused",
                "Per second; throttled ones are tried again, so they cost time only.",
                {
                    "{{outcome}}": "sum by (outcome) (rate(posewatch_storage_requests_total{"
                    f'{FOLDER}, outcome=~"throttled|failed|lost|denied"}}[$__rate_interval]))'
                },
                width=WIDTH // 2,
            )
        )
    )


def cost(board: Dashboard) -> Dashboard:
    """What does it cost?"""
    writes, reads = requests_a_month("put|list"), requests_a_month("get|head")
    return (
        board.with_row(Row("What does it cost?"))
        .with_panel(
            number(
                "GPU hours per hour of video",
                "Hours that GPUs were held, busy or not, for an hour of footage.",
                f"{GPU_HOURS} / ({VIDEO_HOURS} > 0)",
                width=4,
                decimals=2,
            )
        )
        .with_panel(
            number(
                "Machine hours per hour of video",
                "Hours that daemons ran, busy or not, for an hour of footage.",
                f"{MACHINE_HOURS} / ({VIDEO_HOURS} > 0)",
                width=4,
                decimals=2,
            )
        )
        .with_panel(
            number(
                "Price of an hour of video",
                "Machine hours at the price that you fill in above.",
                f"$machine_price * {MACHINE_HOURS} / ({VIDEO_HOURS} > 0)",
                width=4,
                decimals=2,
            )
        )
        .with_panel(
            number(
                "Requests in a month",
                "To the bucket, at the pace of the chosen time. Deleting costs nothing.",
                {"PUT, LIST": writes, "GET, HEAD": reads},
                width=6,
            )
        )
        .with_panel(
            number(
                "Price of these requests",
                "At the prices that you fill in above; S3's are there to begin with.",
                f"($write_price * {writes} + $read_price * {reads}) / 1000",
                width=6,
                decimals=2,
            )
        )
        .with_panel(
            lines(
                "Inference for a second of video",
                "Seconds that a GPU (or CPU cores) ran the networks, by recipe. Far below the hours"
                " above: machines wait for something else.",
                {
                    "{{recipe}}": "sum by (recipe) ("
                    "recipe:posewatch_inference_seconds_per_video_second:ratio_rate1h"
                    f"{{{FOLDER}}})"
                },
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Requests to the bucket",
                "Per second, by what they ask for.",
                {
                    "{{operation}}": "sum by (operation) ("
                    f"folder_operation:posewatch_storage_requests:rate5m{{{FOLDER}}})"
                },
                unit="reqps",
            )
        )
        .with_panel(
            lines(
                "Traffic",
                "Inputs copied from the folder, results put into it.",
                {
                    "fetched": "sum(rate("
                    f"posewatch_fetched_bytes_total{{{FOLDER}}}[$__rate_interval]))",
                    "published": "sum(rate("
                    f"posewatch_published_bytes_total{{{FOLDER}}}[$__rate_interval]))",
                },
                unit="Bps",
            )
        )
    )
