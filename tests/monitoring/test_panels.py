"""Every query of every panel finds something, on a real Prometheus that watches real daemons.

`make dashboard-pictures` draws what was found, for the docs.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from monitoring.panels import boards, targets
from monitoring.prometheus import Prometheus
from monitoring.rules import TOP, program
from real.buckets import Bucket, bucket_settings
from real.daemons import put_video
from s3.proxy import Chaos, Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from monitoring.panels import Series
    from real.daemons import Fleet
    from s3.servers import Server

pytestmark = pytest.mark.long

LASTS = 150.0
"""Seconds that the daemons are watched; some queries take one sample for each minute."""

VARIABLES = {
    "folder": ".*",
    "instance": "worker-1",
    "machine_price": "1.00",
    "write_price": "0.005",
    "read_price": "0.0004",
    "__rate_interval": "15s",
    "__range": f"{LASTS:.0f}s",
}

ASTRONAUT = TOP / "tests" / "data" / "astronaut.mp4"


def test_every_panel_shows_something(
    folder: Path, fleet: Fleet, moto_server: Server, tmp_path: Path
) -> None:
    program("prometheus")
    (tmp_path / "prometheus").mkdir()
    (tmp_path / "scratch").mkdir()
    bucket = Bucket(moto_server, tmp_path / "scratch")
    began = time.time()
    with (
        Proxy(moto_server.endpoint) as proxy,
        Prometheus(tmp_path / "prometheus", quick=True) as prometheus,
    ):
        proxy.plan = Chaos(seed=1, share=0.03)
        quick = {"claims": {"ttl": 2.0}, "work": {"videos_in_flight": 1}}
        settings = bucket_settings(proxy.door("it"), tmp_path / "passwd", quick)
        one, two, three = (
            fleet.daemon(folder, quick, name="worker-1").start(),
            fleet.daemon(folder, quick, name="worker-2").start(),
            fleet.daemon(bucket.address, settings, name="worker-3").start(),
        )
        prometheus.watch(one, folder="talks")
        prometheus.watch(two, folder="talks")
        prometheus.watch(three, folder="archive")
        # New videos keep coming, faster than they are worked off at first.
        number = 0
        while (since := time.time() - began) < LASTS:
            waiting = 2 if since > LASTS / 2 else 6
            if prometheus.value("sum(folder:posewatch_videos_to_do:max) or vector(0)") < waiting:
                number += 1
                shutil.copyfile(ASTRONAUT, folder / f".a-{number}.mp4")
                folder.joinpath(f".a-{number}.mp4").rename(folder / f"a-{number}.mp4")
                put_video(folder / f"b-{number}.mp4", frames=20)
                bucket.put_video(f"c-{number}.mp4", 12, number % 8)
            if since > LASTS - 40 and not (folder / "bad-0.mp4").exists():
                for bad in range(60):  # an alert fires at the end
                    (folder / f"bad-{bad}.mp4").write_bytes(b"this is no video")
            time.sleep(1.0)
            if number == 6 and one.starts == 1:
                one.kill()
                one.start()
                prometheus.watch(one, folder="talks")
        now = time.time()
        found = [(target, target.series(prometheus, VARIABLES, began, now)) for target in targets()]
        if "POSEWATCH_PICTURES" in os.environ:
            from monitoring.pictures import draw  # noqa: PLC0415 -- needs the extra pictures

            for board in boards():
                path = TOP / os.environ["POSEWATCH_PICTURES"] / f"{board['uid']}.png"
                draw(board, [each for each in found if each[0].board == board["title"]], path)
    assert not [str(target) for target, series in found if not _tells(series)]


def _tells(series: Series) -> bool:
    return any(math.isfinite(value) for _, points in series for _, value in points)
