"""The dashboard of one machine: is it working, how fast, where the time goes, what is stuck."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards.panels import GREEN, RED, WIDTH, YELLOW, choice, lines, number, rows, start

ME = 'job="posewatch", instance="$instance"'


def machine() -> Dashboard:
    """The dashboard."""
    query = "label_values(posewatch_ready, instance)"
    board = start(
        "posewatch-machine",
        "posewatch: one machine",
        "One daemon, and the machine that it runs on.",
    ).with_variable(choice("instance", "Machine", query, several=False))
    return itself(storage(stuck(time_spent(fast(working(board))))))


def working(board: Dashboard) -> Dashboard:
    """Is it working?"""
    yes = [(None, RED), (1, GREEN)]
    return (
        board.with_row(Row("Is it working?"))
        .with_panel(
            number(
                "Ready",
                "1 while it can work on videos; /readyz says why not.",
                f"posewatch_ready{{{ME}}}",
                width=3,
                colours=yes,
            )
        )
        .with_panel(
            number(
                "Folder there",
                "1 while the watched folder is there.",
                f"posewatch_folder_available{{{ME}}}",
                width=3,
                colours=yes,
            )
        )
        .with_panel(
            number(
                "GPUs",
                "How many the networks run on, and whether they should.",
                {
                    "used": f"posewatch_gpus_used{{{ME}}}",
                    "wanted": f"posewatch_gpu_wanted{{{ME}}}",
                },
                width=4,
            )
        )
        .with_panel(
            number(
                "Videos in flight",
                "Videos that it works on now.",
                f"posewatch_videos_in_flight{{{ME}}}",
                width=3,
            )
        )
        .with_panel(
            number(
                "Main loop silent for",
                "More than a few seconds is a storage that hangs, or a machine that is too busy.",
                f"time() - posewatch_loop_last_progress_timestamp_seconds{{{ME}}}",
                width=4,
                unit="s",
                decimals=1,
                colours=[(None, GREEN), (30, YELLOW), (120, RED)],
            )
        )
        .with_panel(
            number(
                "Running for",
                "Since it was started.",
                f"time() - process_start_time_seconds{{{ME}}}",
                width=4,
                unit="s",
            )
        )
        .with_panel(
            number(
                "Idle for",
                "Where [idle] says that a machine with nothing to do is to be stopped; else 0.",
                f"posewatch_idle_seconds{{{ME}}}",
                width=3,
                unit="s",
            )
        )
        .with_panel(
            rows(
                "What is running",
                "Versions, recipe, the device that was asked for and the provider in use.",
                f"posewatch_build_info{{{ME}}}",
                hidden=("job",),
            )
        )
    )


def fast(board: Dashboard) -> Dashboard:
    """How far, how fast?"""
    return (
        board.with_row(Row("How far, how fast?"))
        .with_panel(
            lines(
                "Frames per second",
                "Video frames that went through the networks, by recipe.",
                {"{{recipe}}": f"rate(posewatch_frames_total{{{ME}}}[$__rate_interval])"},
            )
        )
        .with_panel(
            lines(
                "Videos by how they ended, in an hour",
                "lost and retried should be rare; given_back comes with each restart.",
                {"{{outcome}}": f"increase(posewatch_videos_finished_total{{{ME}}}[1h])"},
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Seconds of video per second",
                "Counted when a video is finished.",
                f"rate(posewatch_video_seconds_total{{{ME}}}[1h])",
            )
        )
    )


def time_spent(board: Dashboard) -> Dashboard:
    """Where does the time go?"""
    stages = f"posewatch_stage_duration_seconds_sum{{{ME}}}"
    calls = f"rate(posewatch_inference_duration_seconds_bucket{{{ME}}}[$__rate_interval])"
    images = f"posewatch_inference_batch_size_sum{{{ME}}}[$__rate_interval]"
    batches = f"posewatch_inference_batch_size_count{{{ME}}}[$__rate_interval]"
    return (
        board.with_row(Row("Where does the time go?"))
        .with_panel(
            lines(
                "Stages",
                "Seconds spent in each second; stages of several videos overlap. Counted when a"
                " stage ends.",
                {"{{stage}}": f"sum by (stage) (rate({stages}[1h]))"},
                width=WIDTH // 4,
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Networks",
                "Seconds that each network ran in each second: 1 is a GPU, or a core, that does"
                " nothing else.",
                {
                    "{{network}}": "rate(posewatch_inference_duration_seconds_sum"
                    f"{{{ME}}}[$__rate_interval])"
                },
                width=WIDTH // 4,
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "One call of a network, 95 %",
                "Grows with the batch, and on a busy machine.",
                {"{{network}}": f"histogram_quantile(0.95, sum by (le, network) ({calls}))"},
                width=WIDTH // 4,
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Images in one call",
                "On a GPU more than 1 pays; work.batch and work.videos_in_flight raise it.",
                f"rate({images}) / (rate({batches}) > 0)",
                width=WIDTH // 4,
            )
        )
    )


def stuck(board: Dashboard) -> Dashboard:
    """What is stuck?"""
    return (
        board.with_row(Row("What is stuck?"))
        .with_panel(
            lines(
                "Local copies",
                "What the videos in flight take, and what they may take.",
                {
                    "used": f"posewatch_cache_bytes{{{ME}}}",
                    "limit": f"posewatch_cache_limit_bytes{{{ME}}}",
                },
                width=WIDTH // 4,
                unit="bytes",
            )
        )
        .with_panel(
            lines(
                "Videos that wait for room",
                "Claimed, and not copied yet, because the cache is full.",
                f"posewatch_cache_waiting_videos{{{ME}}}",
                width=WIDTH // 4,
            )
        )
        .with_panel(
            lines(
                "Claims, in an hour",
                "busy: another daemon was quicker. taken: from a daemon that had died.",
                {"{{outcome}}": f"increase(posewatch_claims_total{{{ME}}}[1h])"},
                width=WIDTH // 4,
            )
        )
        .with_panel(
            lines(
                "What goes wrong, in an hour",
                "Beats that failed, claims that were lost, decoders that died.",
                {
                    "failed beats": "increase("
                    f'posewatch_beats_total{{{ME}, outcome="failed"}}[1h])',
                    "lost claims": f"sum(increase(posewatch_claims_lost_total{{{ME}}}[1h]))",
                    "decoders": f"increase(posewatch_decoder_restarts_total{{{ME}}}[1h])",
                },
                width=WIDTH // 4,
            )
        )
    )


def storage(board: Dashboard) -> Dashboard:
    """How is the folder doing?"""
    scans = f"posewatch_scan_duration_seconds_sum{{{ME}}}[$__rate_interval]"
    count = f"posewatch_scan_duration_seconds_count{{{ME}}}[$__rate_interval]"
    return (
        board.with_row(Row("How is the folder doing?"))
        .with_panel(
            lines(
                "A scan of the folder",
                "Mean duration. A scan that takes long is followed by a rest as long.",
                f"rate({scans}) / (rate({count}) > 0)",
                width=WIDTH // 4,
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Files in the folder",
                "That the last scan listed.",
                f"posewatch_scan_files{{{ME}}}",
                width=WIDTH // 4,
            )
        )
        .with_panel(
            lines(
                "Requests to the bucket",
                "Per second, by what became of them.",
                {
                    "{{outcome}}": "sum by (outcome) ("
                    f"rate(posewatch_storage_requests_total{{{ME}}}[$__rate_interval]))"
                },
                width=WIDTH // 4,
                unit="reqps",
            )
        )
        .with_panel(
            lines(
                "Storage errors",
                "Per second; missing, exists, changed and fenced are part of normal life.",
                {"{{kind}}": f"rate(posewatch_storage_errors_total{{{ME}}}[$__rate_interval])"},
                width=WIDTH // 4,
            )
        )
    )


def itself(board: Dashboard) -> Dashboard:
    """What does the process take?"""
    return (
        board.with_row(Row("What does the process take?"))
        .with_panel(
            lines(
                "Processor",
                "Cores that the daemon keeps busy, without the decoders that it starts.",
                f"rate(process_cpu_seconds_total{{{ME}}}[$__rate_interval])",
            )
        )
        .with_panel(
            lines(
                "Memory",
                "Of the daemon, without the decoders.",
                f"process_resident_memory_bytes{{{ME}}}",
                unit="bytes",
            )
        )
        .with_panel(
            lines(
                "Open files",
                "And how many there may be.",
                {"open": f"process_open_fds{{{ME}}}", "limit": f"process_max_fds{{{ME}}}"},
            )
        )
    )
