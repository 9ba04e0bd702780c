"""What is sent to a server, and what its answers mean."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    FullError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    UnmountedError,
    UnsupportedError,
)
from posewatch.base.requests import Answer, Request
from posewatch.storage.s3_client import S3Client
from posewatch.storage.s3_place import Credentials, S3Place
from posewatch.storage.s3_sure import MisconfiguredError, body_of
from s3.canned import Canned, CannedServer, error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3.servers import Server

ETAG = {"ETag": '"0123"'}


class Scene:
    def __init__(self, server: CannedServer, endpoint: str) -> None:
        self.server = server
        self.counted: Counter[tuple[Request, Answer]] = Counter()
        place = S3Place.parse(
            "s3://videos/in",
            endpoint=endpoint,
            region="eu-central-1",
            credentials=Credentials("AKIA", "very secret"),
        )
        self.client = S3Client(place, self.count)

    def count(self, request: Request, answer: Answer) -> None:
        self.counted[request, answer] += 1

    def answers(self, *answers: Canned) -> None:
        self.server.answers.extend(answers)


@pytest.fixture
def scene() -> Iterator[Scene]:
    server = CannedServer()
    with server.running() as endpoint:
        yield Scene(server, endpoint)


def test_a_write_carries_its_condition_its_digest_and_its_mark(
    scene: Scene, tmp_path: Path
) -> None:
    scene.answers(Canned(headers=ETAG))
    path = tmp_path / "result"
    path.write_bytes(b"from a file")
    body = body_of(path)
    assert scene.client.put("in/a.npz", body, None) == "0123"
    assert scene.client.put("in/a.npz", body, "0122") == "0123"
    scene.client.quoted = False
    assert scene.client.put("in/a.npz", body_of(b"from a file"), "0122") == "0123"
    first, second, third = scene.server.asked
    assert (first.method, first.path, first.body) == ("PUT", "/videos/in/a.npz", b"from a file")
    assert first.headers["If-None-Match"] == "*"
    assert first.headers["Content-MD5"] == "ov+SejXWNflSUIdNJNnsbw=="
    assert first.headers["x-amz-meta-posewatch-write"] == body.mark
    assert second.headers["If-Match"] == '"0122"'
    assert third.headers["If-Match"] == "0122"
    # what Ceph, and others, answer 400 to
    assert not any(
        "checksum" in name.lower() or "trailer" in name.lower() for name in first.headers
    )
    assert scene.counted == {(Request.PUT, Answer.OK): 3}


def test_who_watches_no_bucket_imports_no_botocore() -> None:
    code = "import sys, posewatch.storage.s3_client; sys.exit('botocore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 -- our own words


MISCONFIGURED = [
    (error(403, "InvalidAccessKeyId"), "does not know this access key", "passwd file of s3fs"),
    (error(403, "SignatureDoesNotMatch"), "the secret does not belong", "AWS_SECRET_ACCESS_KEY"),
    (error(400, "ExpiredToken"), "token has expired", "Renew the credentials"),
    (error(403, "RequestTimeTooSkewed"), "the clock of this machine", "timedatectl set-ntp true"),
    (
        error(400, "AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>"),
        "the bucket is in the region eu-north-1, not in eu-central-1",
        'region = "eu-north-1"',
    ),
    (
        error(301, "PermanentRedirect", x_amz_bucket_region="us-west-2"),
        "the bucket is in the region us-west-2, not in eu-central-1",
        'region = "us-west-2"',
    ),
    (error(400, "SomethingNew"), "the server answered 400 SomethingNew (as it says)", ""),
]


@pytest.mark.parametrize(("answer", "message", "hint"), MISCONFIGURED)
def test_a_wrong_setting_is_named(scene: Scene, answer: Canned, message: str, hint: str) -> None:
    scene.answers(answer)
    with pytest.raises(MisconfiguredError, match=re.escape(message)) as caught:
        scene.client.get("in/a", 10)
    assert hint in caught.value.hint
    assert "s3://videos/in" in caught.value.message
    assert "very secret" not in repr(scene.client.place)
    # Botocore would look for the right region by itself, with requests that nobody counts.
    assert scene.counted == {(Request.GET, Answer.DENIED): 1}
    assert len(scene.server.asked) == 1


ANSWERS: list[tuple[Canned, type[StorageError], Answer]] = [
    (error(404, "NoSuchBucket"), UnmountedError, Answer.DENIED),
    (error(403, "AccessDenied"), ReadOnlyError, Answer.DENIED),
    (error(412, "PreconditionFailed"), ExistsError, Answer.REFUSED),
    (error(409, "ConditionalRequestConflict"), UnavailableError, Answer.FAILED),
    (error(503, "SlowDown"), UnavailableError, Answer.THROTTLED),
    (error(429, "TooManyRequests"), UnavailableError, Answer.THROTTLED),
    (error(500, "InternalError"), UnavailableError, Answer.FAILED),
    (Canned(502, b"<html>bad gateway"), UnavailableError, Answer.FAILED),
    (error(403, "QuotaExceeded"), FullError, Answer.FAILED),
    (error(501, "NotImplemented"), UnsupportedError, Answer.FAILED),
]


@pytest.mark.parametrize(("answer", "kind", "counted"), ANSWERS)
def test_what_an_answer_to_a_write_means(
    scene: Scene, answer: Canned, kind: type[StorageError], counted: Answer
) -> None:
    scene.answers(answer)
    with pytest.raises(kind) as caught:
        scene.client.put("in/a", body_of(b"x"), None)
    assert type(caught.value) is kind
    assert scene.counted == {(Request.PUT, counted): 1}


def test_a_write_over_what_is_gone_finds_it_changed(scene: Scene) -> None:
    scene.answers(error(404, "NoSuchKey"))
    with pytest.raises(ChangedError):
        scene.client.put("in/a", body_of(b"x"), "0123")


def test_what_may_not_be_read_is_denied_and_what_may_not_be_listed_is_a_setting(
    scene: Scene,
) -> None:
    scene.answers(error(403, "AccessDenied"))
    for ask in (lambda: scene.client.get("a", 1), lambda: scene.client.head("a")):
        with pytest.raises(DeniedError, match="may not read"):
            ask()
    with pytest.raises(MisconfiguredError, match="may not list"):
        scene.client.list("")
    with pytest.raises(ReadOnlyError, match="may not delete"):
        scene.client.delete("a")


def test_an_answer_without_a_body_is_asked_about(scene: Scene) -> None:
    scene.answers(error(403, "InvalidAccessKeyId"))
    with pytest.raises(MisconfiguredError, match="does not know this access key"):
        scene.client.head("a")
    assert [asked.method for asked in scene.server.asked] == ["HEAD", "GET"]


def test_what_is_not_there_is_none(scene: Scene) -> None:
    scene.answers(error(404, "NoSuchKey"))
    assert scene.client.get("a", 1) is None
    assert scene.client.head("a") is None
    scene.client.delete("a")
    assert {answer for _request, answer in scene.counted} == {Answer.MISSING}


def test_a_part_of_a_body_is_no_content(scene: Scene) -> None:
    scene.answers(Canned(200, b"whole", ETAG, cut=2))
    with pytest.raises(UnavailableError):
        scene.client.get("a", 100)
    assert scene.counted == {(Request.GET, Answer.LOST): 1}


def test_a_part_of_an_error_says_nothing(scene: Scene) -> None:
    scene.answers(replace(error(404, "NoSuchKey"), cut=20, reset=True))
    for ask in (
        lambda client: client.get("a", 100),
        lambda client: next(client.pieces("a", "0123", 0, 10)),
        lambda client: client.put("a", body_of(b"new"), None),
        lambda client: client.list(""),
        lambda client: client.delete("a"),
    ):
        with pytest.raises(UnavailableError):
            ask(scene.client)
    assert {answer for _request, answer in scene.counted} == {Answer.LOST}


def test_a_part_of_a_range_is_told(scene: Scene) -> None:
    scene.answers(Canned(206, b"0123456789", ETAG, cut=2))
    pieces = scene.client.pieces("a", "0123", 0, 10)
    assert next(pieces) == b"01234567"
    with pytest.raises(UnavailableError):
        next(pieces)
    assert scene.counted == {(Request.GET, Answer.LOST): 1}


def test_a_server_that_knows_no_ranges_is_understood(scene: Scene) -> None:
    scene.answers(Canned(200, b"0123456789", ETAG))
    assert b"".join(scene.client.pieces("a", "0123", 3, 4)) == b"3456"
    assert scene.server.asked[0].headers["Range"] == "bytes=3-6"
    assert scene.server.asked[0].headers["If-Match"] == '"0123"'


def test_a_range_of_another_version_is_no_range(scene: Scene) -> None:
    scene.answers(Canned(206, b"3456", {"ETag": '"other"'}))
    with pytest.raises(ChangedError):
        list(scene.client.pieces("a", "0123", 3, 4))
    assert scene.counted == {(Request.GET, Answer.REFUSED): 1}


def test_where_nobody_listens_it_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        place = S3Place("videos", endpoint=endpoint, credentials=Credentials("a", "b"))
        with pytest.raises(UnavailableError, match="Could not connect"):
            S3Client(place).head("a")


def test_no_credentials_are_a_missing_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MisconfiguredError, match="there are no credentials for s3://videos"):
        S3Client(S3Place("videos", endpoint="http://127.0.0.1:9")).head("a")


@pytest.mark.parametrize("name", ["key", "secret"])
def test_a_real_server_names_the_wrong_credentials(ceph_server: Server, name: str) -> None:
    good = ceph_server.shared.place
    assert good.credentials is not None
    wrong = {
        "key": Credentials("AKIAUNKNOWN", good.credentials.secret_key),
        "secret": Credentials(good.credentials.access_key, "wrong"),
    }[name]
    message = {"key": "does not know this access key", "secret": "the secret does not belong"}[name]
    place = S3Place(good.bucket, "", good.endpoint, good.region, good.addressing, wrong)
    with pytest.raises(MisconfiguredError, match=message):
        S3Client(place).head("a")


@pytest.mark.parametrize("server", ["moto_server", "ceph_server"])
def test_a_real_server_has_no_such_bucket(request: pytest.FixtureRequest, server: str) -> None:
    client = request.getfixturevalue(server).client("no-such-bucket")
    for ask in (lambda: client.list(""), lambda: client.put("a", body_of(b"x"), None)):
        with pytest.raises(UnmountedError, match="there is no bucket no-such-bucket"):
            ask()
