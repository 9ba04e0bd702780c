"""Faults done to real daemons, seen by a real Prometheus: alerts fire, and clear.

Each scenario watches a folder of its own, which is a label of its series. An hour of the rules
lasts a minute here, see `rules.an_hour_lasts_a_minute`, and who has waited for 5 seconds has waited
for too long. Not tried here are a loop that stands still and a GPU that is not used: nothing
outside of a daemon brings these about on any machine. They have their unit tests, as all have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monitoring.prometheus import Prometheus
from monitoring.rules import program
from real.buckets import Bucket, bucket_settings
from real.daemons import finished, put_video, until
from s3.proxy import Fault, Proxy, faithful

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real.daemons import Daemon, Fleet, Settings
    from s3.proxy import Seen
    from s3.servers import Server

pytestmark = pytest.mark.long

LONG = 4000
"""Frames of a video that takes longer than any test waits for it."""

FOUR: Settings = {"claims": {"ttl": 1.0, "max_attempts": 50}, "work": {"videos_in_flight": 4}}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program("prometheus")
    made = Prometheus(tmp_path_factory.mktemp("prometheus"), quick=True)
    alerts = made.folder / "alerts.yml"
    alerts.write_text(alerts.read_text().replace("> 24 * 3600", "> 5"))
    with made:
        yield made


def watched(
    prometheus: Prometheus, fleet: Fleet, folder: Path | str, name: str, settings: Settings
) -> Daemon:
    """A daemon that works, and Prometheus that sees it; nothing is wrong with it."""
    daemon = fleet.daemon(folder, settings, name=name).start()
    prometheus.watch(daemon, folder=name.partition(" ")[0])
    query = f'posewatch_ready{{instance="{name}"}} == 1'
    until(lambda: prometheus.value(query), f"{name} is seen", every=0.3)
    until(lambda: not prometheus.firing(instance=name), "all is well", every=0.3)
    return daemon


def test_a_folder_that_goes_away(folder: Path, fleet: Fleet, prometheus: Prometheus) -> None:
    daemon = watched(prometheus, fleet, folder, "gone", {})
    away = folder.rename(folder.with_name("elsewhere"))
    prometheus.fires("PosewatchFolderGone", "PosewatchNotReady", instance="gone")
    prometheus.fires("PosewatchStorageErrors", instance="gone", kind="unmounted")
    away.rename(folder)
    video = put_video(folder / "a.mp4")
    names = ("PosewatchFolderGone", "PosewatchNotReady", "PosewatchStorageErrors")
    prometheus.clears(*names, folder="gone")
    until(lambda: finished([video]), "work goes on")
    assert daemon.stop() == 0
    prometheus.fires("PosewatchDown", instance="gone")
    prometheus.forget(daemon)
    prometheus.clears("PosewatchDown", instance="gone")


def test_a_daemon_that_stands_still_and_comes_back(
    folder: Path, fleet: Fleet, prometheus: Prometheus
) -> None:
    videos = [put_video(folder / f"{number}.mp4", frames=LONG) for number in range(4)]
    one = watched(prometheus, fleet, folder, "still one", FOUR)
    for video in videos:
        one.says("claimed", video=video.name)
    two = watched(prometheus, fleet, folder, "still two", FOUR)
    one.pause()
    prometheus.fires("PosewatchDown", instance="still one")
    prometheus.fires("PosewatchClaimsTakenOver", folder="still")
    one.go_on()
    prometheus.fires("PosewatchClaimsLost", instance="still one")
    prometheus.clears("PosewatchDown", instance="still one")
    for video in videos:
        video.unlink()
    prometheus.clears("PosewatchClaimsTakenOver", "PosewatchClaimsLost", folder="still")
    for daemon in (one, two):
        daemon.end()
        prometheus.forget(daemon)


def test_a_daemon_that_is_killed_again_and_again(
    folder: Path, fleet: Fleet, prometheus: Prometheus
) -> None:
    video = put_video(folder / "a.mp4", frames=LONG)
    daemon = watched(prometheus, fleet, folder, "killed", FOUR)
    for _ in range(4):
        daemon.says("claimed", video=video.name)
        begun = prometheus.value('process_start_time_seconds{instance="killed"}')
        daemon.kill()
        daemon.start()
        prometheus.watch(daemon, folder="killed")
        # Prometheus has seen the new one.
        query = f'process_start_time_seconds{{instance="killed"}} != {begun}'
        until(lambda query=query: prometheus.value(query), "it is back", every=0.3)
    prometheus.fires("PosewatchRestarting", instance="killed")
    daemon.says("claimed", video=video.name)
    # Seen with work to do before it goes.
    query = 'folder:posewatch_videos_to_do:max{folder="killed"} > 0'
    until(lambda: prometheus.value(query), "there is work", every=0.3)
    daemon.kill()
    prometheus.fires("PosewatchDown", "PosewatchAbandoned", folder="killed")
    daemon.start()
    prometheus.watch(daemon, folder="killed")
    prometheus.clears("PosewatchDown", "PosewatchAbandoned", folder="killed")
    prometheus.clears("PosewatchRestarting", folder="killed")
    daemon.end()
    prometheus.forget(daemon)


def test_videos_that_fail(folder: Path, fleet: Fleet, prometheus: Prometheus) -> None:
    daemon = watched(prometheus, fleet, folder, "failing", {})
    for number in range(6):
        (folder / f"{number}.mp4").write_bytes(b"this is no video")
    prometheus.fires("PosewatchFailuresRising", folder="failing")
    prometheus.clears("PosewatchFailuresRising", folder="failing")
    daemon.end()
    prometheus.forget(daemon)


def test_a_cache_with_too_little_room(
    folder: Path, fleet: Fleet, prometheus: Prometheus, tmp_path: Path
) -> None:
    settings: Settings = {"cache": {"limit_bytes": 1 << 20}}
    daemon = watched(prometheus, fleet, folder, "cache", settings)
    ballast = 800_000
    for name in ("a.mp4", "b.mp4"):
        made = put_video(tmp_path / name, frames=LONG)
        with made.open("ab") as file:  # a box that players skip
            file.write(ballast.to_bytes(4, "big") + b"free" + bytes(ballast - 8))
        made.rename(folder / name)
    prometheus.fires("PosewatchCacheFull", instance="cache")
    for video in folder.glob("*.mp4"):
        video.unlink()
    prometheus.clears("PosewatchCacheFull", instance="cache")
    daemon.end()
    prometheus.forget(daemon)


def test_a_share_of_the_videos_that_is_nobodys(
    folder: Path, fleet: Fleet, prometheus: Prometheus
) -> None:
    for number in range(8):  # none of eight is in the other share once in 256 times
        put_video(folder / f"{number}.mp4")
    first = watched(prometheus, fleet, folder, "share 1", {"folder": {"share": "1/2"}})
    prometheus.fires("PosewatchNoProgress", "PosewatchOldestWaiting", folder="share")
    second = watched(prometheus, fleet, folder, "share 2", {"folder": {"share": "2/2"}})
    until(lambda: finished(folder.glob("*.mp4")), "both shares are done")
    prometheus.clears("PosewatchNoProgress", "PosewatchOldestWaiting", folder="share")
    for daemon in (first, second):
        daemon.end()
        prometheus.forget(daemon)


def test_a_bucket_that_slows_us_down_and_then_fails(
    fleet: Fleet, prometheus: Prometheus, moto_server: Server, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    bucket = Bucket(moto_server, scratch)

    def busy(_seen: Seen) -> Fault | None:
        return Fault.SLOW_DOWN

    def broken(_seen: Seen) -> Fault | None:
        return Fault.ERROR

    with Proxy(moto_server.endpoint) as proxy:
        settings = bucket_settings(proxy.door("it"), tmp_path / "passwd", {})
        daemon = watched(prometheus, fleet, bucket.address, "bucket", settings)
        proxy.plan = busy
        prometheus.fires("PosewatchStorageThrottled", folder="bucket")
        proxy.plan = broken
        prometheus.fires("PosewatchStorageErrors", "PosewatchFolderGone", folder="bucket")
        proxy.plan = faithful
        prometheus.clears(
            *("PosewatchStorageThrottled", "PosewatchStorageErrors", "PosewatchFolderGone"),
            folder="bucket",
        )
        daemon.end()
        prometheus.forget(daemon)
