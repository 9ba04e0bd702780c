"""A bucket that cannot be used as it is set: what a user is told, at start and later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.requests import Request
from real.buckets import Bucket, bucket_settings, requests_of
from real.daemons import assert_whole, leftovers, until, write_settings
from s3.canned import Canned, error
from s3.proxy import Fault, Proxy, faithful
from s3.servers import KEY, SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from real.daemons import Fleet, Settings
    from s3.proxy import Seen
    from s3.servers import Server

SETTINGS: Settings = {"watch": {"scan_interval": 0.5}, "claims": {"ttl": 3.0}}


@pytest.fixture
def bucket(moto_server: Server, tmp_path: Path) -> Bucket:
    return Bucket(moto_server, tmp_path)


@pytest.fixture
def proxy(moto_server: Server) -> Iterator[Proxy]:
    with Proxy(moto_server.endpoint) as made:
        yield made


def refused(fleet: Fleet, address: str, settings: Settings, *arguments: str) -> tuple[str, str]:
    """Start a daemon that must not run; what it tells: the cause, and what to do."""
    file = fleet.home.path / "refused.toml"
    write_settings(file, settings, fleet.home.path / "cache")
    done = fleet.home.command("run", address, "--config", file, *arguments)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    begin = next(number for number, line in enumerate(lines) if line.startswith("error: "))
    message, *hint = lines[begin:]
    return message.removeprefix("error: "), " ".join(hint)


# Wrong from the start


def only(request: Request, canned: Canned) -> Callable[[Seen], Canned | None]:
    """A plan that answers one kind of requests."""
    return lambda seen: canned if seen.request is request else None


EVERY = {
    "secret": (
        error(403, "SignatureDoesNotMatch"),
        "the secret does not belong to the access key",
        "[folder] passwd_file",
    ),
    "key": (
        error(403, "InvalidAccessKeyId"),
        "the server does not know this access key",
        "[folder] passwd_file",
    ),
    "region": (
        error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-3"),
        "the bucket is in the region eu-west-3, not in us-east-1",
        'region = "eu-west-3"',
    ),
    "region in the signature": (
        error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>"),
        "the bucket is in the region eu-west-3, not in us-east-1",
        "[folder] region",
    ),
    "clock": (
        error(403, "RequestTimeTooSkewed"),
        "the clock of this machine differs too much",
        "Set the clock",
    ),
    "token": (
        error(400, "ExpiredToken"),
        "the session's token has expired",
        "Renew the credentials",
    ),
}


@pytest.mark.parametrize("wrong", EVERY)
def test_what_the_server_refuses_everywhere(
    fleet: Fleet, bucket: Bucket, proxy: Proxy, tmp_path: Path, wrong: str
) -> None:
    canned, cause, setting = EVERY[wrong]
    proxy.plan = lambda _seen: canned
    settings = bucket_settings(proxy.door("it"), tmp_path / "passwd")
    message, hint = refused(fleet, bucket.address, settings)
    assert cause in message
    assert bucket.name in message
    assert setting in hint
    # It is told at once: to ask again would be of no use.
    assert proxy.counted("it").total() <= 4
    assert bucket.keys() == []


@pytest.mark.parametrize(
    ("request_", "allow"),
    [
        (Request.PUT, "s3:PutObject"),
        (Request.DELETE, "s3:DeleteObject"),
        (Request.LIST, "s3:ListBucket"),
        (Request.HEAD, "s3:GetObject"),
    ],
)
def test_credentials_that_may_not_do_everything(
    *,
    fleet: Fleet,
    bucket: Bucket,
    proxy: Proxy,
    tmp_path: Path,
    request_: Request,
    allow: str,
) -> None:
    denied = error(403, "AccessDenied")
    reads = {Request.HEAD, Request.GET}
    kinds = reads if request_ in reads else {request_}
    proxy.plan = lambda seen: denied if seen.request in kinds else None
    settings = bucket_settings(proxy.door("it"), tmp_path / "passwd")
    message, hint = refused(fleet, bucket.address, settings)
    assert "these credentials may not" in message
    assert allow in hint


def test_a_bucket_that_is_not_there(fleet: Fleet, proxy: Proxy, tmp_path: Path) -> None:
    settings = bucket_settings(proxy.door("it"), tmp_path / "passwd")
    message, hint = refused(fleet, "s3://nowhere/in", settings)
    assert "there is no bucket nowhere" in message
    assert "[folder] bucket" in hint
    assert "endpoint" in hint


def test_keys_that_a_real_server_refuses(fleet: Fleet, ceph_server: Server, tmp_path: Path) -> None:
    bucket = Bucket(ceph_server, tmp_path)
    passwd = tmp_path / "passwd"
    settings = bucket_settings(ceph_server.endpoint, passwd)
    passwd.write_text(f"{KEY}:wrong\n")
    assert "the secret does not belong" in refused(fleet, bucket.address, settings)[0]
    passwd.write_text(f"UNKNOWN:{SECRET}\n")
    assert "does not know this access key" in refused(fleet, bucket.address, settings)[0]
    passwd.write_text(f"{KEY}:{SECRET}\n")
    assert "no bucket nowhere" in refused(fleet, "s3://nowhere", settings)[0]


def test_settings_that_name_no_keys(fleet: Fleet, bucket: Bucket, tmp_path: Path) -> None:
    passwd = tmp_path / "passwd"
    good = bucket_settings("http://127.0.0.1:9", passwd)
    passwd.write_text(f"another-bucket:{KEY}:{SECRET}\n")
    message, hint = refused(fleet, bucket.address, good)
    assert message == f"{passwd} has no credentials for the bucket {bucket.name!r}"
    assert "BUCKET:KEY:SECRET" in hint
    passwd.unlink()
    assert f"the credentials in {passwd} cannot be read" in refused(fleet, bucket.address, good)[0]
    folder = {"endpoint": "http://127.0.0.1:9", "profile": "nobody"}
    message, hint = refused(fleet, bucket.address, {"folder": folder})
    assert message == "there is no profile 'nobody' in the AWS configuration"
    assert "[folder] profile" in hint


def test_no_keys_at_all(fleet: Fleet, bucket: Bucket, proxy: Proxy) -> None:
    settings: Settings = {"folder": {"endpoint": proxy.door("it")}}
    message, hint = refused(fleet, bucket.address, settings)
    assert message == f"there are no credentials for {bucket.address}"
    assert "[folder] passwd_file" in hint
    assert "AWS_ACCESS_KEY_ID" in hint
    assert proxy.counted("it").total() == 0


def test_a_server_that_does_not_answer_is_waited_for(
    fleet: Fleet, bucket: Bucket, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.plan = lambda _seen: Fault.RESET
    settings = bucket_settings(proxy.door("it"), tmp_path / "passwd", SETTINGS)
    # Who works a folder off does not want to wait,
    message, _ = refused(fleet, bucket.address, settings, "--until-idle")
    assert bucket.address in message
    assert "Connection was closed" in message
    bucket.put_video("a.mp4")
    # and a service is started before the network is up.
    daemon = fleet.daemon(bucket.address, settings).start()
    daemon.says("the folder cannot be used yet")
    daemon.is_not_ready(f"start: waiting for {bucket.address}")
    proxy.plan = faithful
    daemon.says("the folder can be used now")
    until(lambda: bucket.receipt("a.mp4"), "it works")
    assert daemon.stop() == 0


# Wrong later


TOKEN, DENIED = error(400, "ExpiredToken"), error(403, "AccessDenied")

QUICK = {"token", "server"}

LATER = {
    "token": (
        lambda _seen: TOKEN,
        "folder: unavailable. Renew the credentials",
        "denied",
        "token has expired",
    ),
    "permission": (
        only(Request.PUT, DENIED),
        "folder: read only. Allow s3:PutObject",
        "denied",
        "may not write",
    ),
    "server": (lambda _seen: Fault.RESET, "folder: unavailable", "lost", "Connection was closed"),
    "bucket": (
        lambda _seen: error(404, "NoSuchBucket"),
        "folder: unmounted. Check the bucket's name",
        "denied",
        "there is no bucket",
    ),
}


@pytest.mark.parametrize(
    "wrong",
    [pytest.param(w, marks=() if w in QUICK else pytest.mark.long) for w in LATER],
)
def test_what_goes_wrong_later_is_waited_for(
    fleet: Fleet, bucket: Bucket, proxy: Proxy, tmp_path: Path, wrong: str
) -> None:
    plan, why, outcome, cause = LATER[wrong]
    bucket.put_video("a.mp4")
    settings = bucket_settings(proxy.door("it"), tmp_path / "passwd", SETTINGS)
    daemon = fleet.daemon(bucket.address, settings).start().ready()
    until(lambda: bucket.receipt("a.mp4"), "all is well at first")
    bucket.put_video("long.mp4", 40, 1)
    daemon.says("claimed", video="long.mp4")
    proxy.plan = plan
    bucket.put_video("b.mp4", 3, 2)
    assert cause in daemon.says("the folder is in trouble")["message"]
    daemon.is_not_ready(why)
    told = requests_of([daemon])
    assert sum(n for (_, answer), n in told.items() if answer == outcome) > 0
    if wrong != "permission":  # the listing works
        until(lambda: daemon.metric("posewatch_folder_available") == 0, "a scan fails")
    assert bucket.receipt("b.mp4") is None
    proxy.plan = faithful
    daemon.says("the folder works again")
    until(lambda: daemon.get("/readyz")[0] == 200, "it is ready again", every=0.2)
    until(lambda: bucket.receipt("b.mp4") and bucket.receipt("long.mp4"), "work goes on")
    until(lambda: daemon.metric("posewatch_folder_available") == 1, "a scan works")
    assert len(daemon.said("the folder is in trouble")) == 1, "told once"
    assert not daemon.said("failed")
    until(lambda: not leftovers(bucket.copy()), "leftovers go", every=0.3)
    copy = bucket.copy()
    # On a busy machine its claim may be over before work goes on.
    assert assert_whole(copy / "long.mp4", 40).attempt in {1, 2}
    assert daemon.stop() == 0


@pytest.mark.long
def test_a_server_that_falls_silent_is_told_of(
    fleet: Fleet, bucket: Bucket, proxy: Proxy, tmp_path: Path
) -> None:
    settings = bucket_settings(proxy.door("it"), tmp_path / "passwd", SETTINGS)
    daemon = fleet.daemon(bucket.address, settings).start().ready()
    until(lambda: daemon.get("/readyz")[0] == 200, "it is ready", every=0.2)
    proxy.plan = lambda _seen: Fault.HANG
    # Two tries of 20 s each, and the time until the next scan.
    line = daemon.says("the folder is in trouble", seconds=75)
    assert "Read timeout" in line["message"]
    daemon.is_not_ready("folder: unavailable")
    proxy.plan = faithful
    bucket.put_video("a.mp4")
    daemon.says("the folder works again", seconds=75)
    until(lambda: bucket.receipt("a.mp4"), "work goes on")
    assert daemon.stop() == 0
