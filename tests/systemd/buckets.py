"""A bucket as the watched folder: mounted by s3fs, with credentials that systemd hands over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from container import STORE
from trial import CONFIG, DROP_IN, FOLDER, SETTINGS, UNIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from trial import Trial

MOUNT = "posewatch-s3fs@srv-posewatch.service"
KEY, SECRET = "AKIATESTTESTTEST", "secretsecretsecretsecret"
ENDPOINT = "http://127.0.0.1:9000"
EXAMPLE = "/usr/share/doc/posewatch/examples/bucket.conf"
RULES = "/usr/share/posewatch/prometheus"
BUCKET = f'\n[folder]\nbucket = "s3://videos"\nendpoint = "{ENDPOINT}"\n'
MAKE_BUCKET = f"""
import boto3, sys, time
client = boto3.client("s3", endpoint_url="{ENDPOINT}", region_name="us-east-1",
    aws_access_key_id="{KEY}", aws_secret_access_key="{SECRET}")
for i in range(100):
    try:
        client.create_bucket(Bucket="videos")
        break
    except Exception:
        time.sleep(0.2)
for name in sys.argv[1:]:
    client.upload_file(name, "videos", name.rpartition("/")[2])
"""


def start_store(t: Trial) -> None:
    """Start a server of buckets, and make one."""
    t.run("systemd-run", "--unit=store", f"{STORE}/bin/python", f"{STORE}/moto_locked.py", "9000")


def settings(*lines: str) -> str:
    """The settings for the bucket; `lines` come into its section."""
    others = SETTINGS.replace(f'folder = "{FOLDER}"', "")
    return others + BUCKET + "".join(f"{line}\n" for line in lines)


def mounted(t: Trial) -> None:
    """A mounted bucket: the mount may come late, and come back after s3fs was killed."""
    t.run("sh", "-c", f"umask 077; echo {KEY}:{SECRET} >/etc/posewatch/s3")
    options = f"-o url={ENDPOINT} -o use_path_request_style"
    t.write("/etc/posewatch/s3fs-srv-posewatch.env", f'BUCKET=videos\nOPTIONS="{options}"\n')
    t.write(DROP_IN, t.run("cat", EXAMPLE))
    t.run("systemctl", "daemon-reload")
    t.write(CONFIG, settings(f'path = "{FOLDER}"'))
    t.run("systemctl", "start", "--no-block", UNIT)
    waits = t.until(lambda: int(t.show("NRestarts", MOUNT)) > 0, 60)
    t.check("while the store is down, the mount is tried again", waits is not None, t.mount(MOUNT))
    t.check("and posewatch waits", t.show("ActiveState") == "activating", t.state())
    start_store(t)
    t.run(f"{STORE}/bin/python", "-c", MAKE_BUCKET)
    took = t.until(lambda: t.works("mountpoint", FOLDER), 30)
    t.check("when it is up, the bucket is mounted", took is not None, f"{took} s; {t.mount(MOUNT)}")
    took = t.until(lambda: t.show("ActiveState") == "active", 60)
    t.check("and posewatch begins", took is not None, f"{took} s; {t.state()}")
    if took is None:
        return
    restarts, pid = t.show("NRestarts"), t.show("MainPID")

    t.put("short", "talks")
    took = t.until(lambda: t.done("talks"), 60)
    t.check(
        "a video copied into the mount gets results", took is not None, f"{took} s; {t.files()}"
    )
    t.put("medium", "medium")
    t.until(lambda: t.metric("frames_total") > 60, 30)
    t.run("systemctl", "kill", "--signal=KILL", MOUNT)
    took = t.until(lambda: t.works("ls", FOLDER) and t.works("mountpoint", FOLDER), 30)
    t.check("s3fs is killed: mounted again", took is not None, f"{took} s; {t.mount(MOUNT)}")
    took = t.until(lambda: t.done("medium"), 60)
    t.check("the video that was worked on is finished", took is not None, f"{took} s")
    t.check("by the same attempt", (t.receipt("medium") or {}).get("attempt") == 1)
    t.put("short", "again")
    took = t.until(lambda: t.done("again"), 60)
    t.check("and a later one is worked on", took is not None, f"{took} s; {t.state()}")
    same = (t.show("NRestarts"), t.show("MainPID")) == (restarts, pid)
    t.check("posewatch itself went on", same, t.state())
    t.check("the key is in no log", not t.run("journalctl", "-q", "--no-pager", "--grep", SECRET))
    t.run("systemctl", "stop", UNIT, MOUNT)
    t.check("it stops, and unmounts", not t.works("mountpoint", FOLDER), t.mount(MOUNT))
    t.run("systemctl", "stop", "store")
    t.run("rm", "/etc/posewatch/s3")


def unmounted(t: Trial) -> None:
    """A bucket without a mount, with AWS's file of credentials."""
    start_store(t)
    t.run(f"{STORE}/bin/python", "-c", MAKE_BUCKET, "/var/lib/test-videos/short.mp4")
    aws = f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    t.write("/etc/posewatch/aws", aws)
    t.run("chmod", "600", "/etc/posewatch/aws")
    lines = t.run("cat", EXAMPLE).replace("#LoadCredential=aws", "LoadCredential=aws")
    lines = lines.replace("#Environment=", "Environment=").replace("LoadCredential=s3", "#")
    t.write(DROP_IN, lines.replace("Wants=", "#").replace("After=", "#"))
    t.run("systemctl", "daemon-reload")
    t.write(CONFIG, settings())
    t.check("it starts", t.start(), t.state())
    took = t.until(lambda: t.metric('videos{state="done"}') == 1, 60)
    t.check("and works", took is not None, f"{took} s; {t.state()}")
    t.check("no mount was made", not t.works("mountpoint", FOLDER))
    t.run("systemctl", "stop", UNIT, "store")
    t.run("rm", "/etc/posewatch/aws")


def scraped(t: Trial) -> None:
    """Debian's Prometheus, with the package's files, watches it work on a mounted bucket."""
    t.run("sh", "-c", f"umask 077; echo {KEY}:{SECRET} >/etc/posewatch/s3")
    t.write(DROP_IN, t.run("cat", EXAMPLE))
    t.run("systemctl", "daemon-reload")
    t.write(CONFIG, settings(f'path = "{FOLDER}"'))
    # As they are installed, but for times: what takes minutes takes seconds here.
    for name in ("posewatch.rules.yml", "posewatch.alerts.yml"):
        text = t.run("cat", f"{RULES}/{name}").replace("for: 5m", "for: 3s")
        t.write(f"/etc/prometheus/{name}", text)
    text = t.run("cat", f"{RULES}/prometheus.yml").replace("15s", "1s")
    t.write("/etc/prometheus/prometheus.yml", text.replace(RULES, "/etc/prometheus"))
    t.run("systemctl", "restart", "prometheus")

    start_store(t)
    t.run(f"{STORE}/bin/python", "-c", MAKE_BUCKET)
    t.check("it starts", t.start(), t.state())
    t.put("short", "talks")
    took = t.until(lambda: t.done("talks"), 60)
    t.check("a video copied into the mount gets results", took is not None, f"{took} s")
    frames = 'posewatch_frames_total{job="posewatch"}'
    took = t.until(lambda: _asked(t, frames) == [20.0], 30)
    t.check("Prometheus knows its frames", took is not None, f"{took} s; {_asked(t, frames)}")
    gone = 'ALERTS{alertname="PosewatchFolderGone", alertstate="firing"}'
    t.check("no alert", _asked(t, 'ALERTS{alertstate="firing"}') == [])
    t.run("systemctl", "stop", "store")
    took = t.until(lambda: _asked(t, gone), 60)
    t.check("the store stops: the alert fires", took is not None, f"{took} s")
    start_store(t)
    t.run(f"{STORE}/bin/python", "-c", MAKE_BUCKET)
    took = t.until(lambda: _asked(t, gone) == [], 60)
    t.check("it is back: the alert clears", took is not None, f"{took} s; {t.state()}")
    t.run("systemctl", "stop", UNIT, MOUNT, "store", "prometheus")
    t.run("rm", "/etc/posewatch/s3")


def _asked(t: Trial, query: str) -> list[float]:
    """What Prometheus answers: the value of each series."""
    url = "http://127.0.0.1:9090/api/v1/query"
    answer = t.run("curl", "-sG", url, "--data-urlencode", f"query={query}")
    try:
        return [float(each["value"][1]) for each in json.loads(answer)["data"]["result"]]
    except (ValueError, KeyError):  # it is just starting
        return []


SCENARIOS: tuple[Callable[[Trial], None], ...] = (mounted, scraped, unmounted)
