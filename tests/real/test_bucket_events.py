"""A bucket's events wake a daemon, from the write of the object to the claim."""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

from posewatch.storage.aws import connect
from real.daemons import put_video, until
from s3.servers import KEY, SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from real.daemons import Fleet
    from s3.servers import Server


def test_what_is_written_to_a_bucket_with_events_is_claimed_within_a_second(
    tmp_path: Path, fleet: Fleet, moto_server: Server
) -> None:
    source = put_video(tmp_path / "source.mp4", frames=2).read_bytes()
    bucket, place = moto_server.bucket(), moto_server.place("any")
    passwd = tmp_path / "passwd"
    passwd.write_text(f"{KEY}:{SECRET}\n")
    sqs = connect("sqs", place, endpoint=moto_server.endpoint)
    url = sqs.create_queue(QueueName=f"posewatch-{secrets.token_hex(8)}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    s3 = connect("s3", place, endpoint=moto_server.endpoint, s3={"addressing_style": "path"})
    wanted = [{"QueueArn": arn["QueueArn"], "Events": ["s3:ObjectCreated:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": wanted}
    )
    settings = {
        "folder": {"endpoint": moto_server.endpoint, "passwd_file": str(passwd)},
        # No scan will help.
        "watch": {"scan_interval": 3600.0, "idle_interval": 3600.0, "settle": 0.3, "sqs": url},
    }
    daemon = fleet.daemon(f"s3://{bucket}/talks", settings).start().ready()
    until(lambda: daemon.get("/readyz")[0] == 200, "the first scan is over")
    latencies = []
    for number in range(5):
        name = f"sub folder/{number} ä+.mp4"
        s3.put_object(Bucket=bucket, Key=f"talks/{name}", Body=source)
        written = time.time()
        line = daemon.says("claimed", video=name)
        latencies.append(datetime.fromisoformat(line["timestamp"]).timestamp() - written)
        daemon.says("done", video=name)
    assert median(latencies) <= 1.0, latencies
    # Its own locks, stamps and results gave events, too.
    assert daemon.metric("posewatch_hints_total", source="event") == 5
    assert daemon.stop() == 0
