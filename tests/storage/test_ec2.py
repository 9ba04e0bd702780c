"""Stopping the instance that this runs on: moto's EC2, and a metadata service as strict as AWS's.

The double answers only who has fetched a token, as IMDSv2 does, and gives out the credentials of a
role; they are the only ones there are, so the whole chain is tried.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from botocore.session import Session

from posewatch.base.errors import PosewatchError
from posewatch.storage.ec2 import stop_this_instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3.servers import Server

TOKEN = "a token"  # noqa: S105 -- of the double
REGION = "eu-central-1"
IMAGE = "ami-12c6146b"  # one that moto knows
ROLE = {
    "Code": "Success",
    "Type": "AWS-HMAC",
    "AccessKeyId": "AKIAROLE",
    "SecretAccessKey": "secret",
    "Token": "session",
    "LastUpdated": "2026-01-01T00:00:00Z",
    "Expiration": "2099-01-01T00:00:00Z",
}


class _Metadata(BaseHTTPRequestHandler):
    pages: dict[str, str]

    def do_PUT(self) -> None:
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        right = self.path == "/latest/api/token" and ttl.isdigit() and 1 <= int(ttl) <= 21_600
        self._say(200 if right else 400, TOKEN if right else "")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._say(401, "")
        else:
            page = self.pages.get(self.path)
            self._say(404 if page is None else 200, page or "")

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def metadata(pages: dict[str, str]) -> Iterator[str]:
    handler = type("Metadata", (_Metadata,), {"pages": pages})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def identity(instance: str) -> dict[str, str]:
    role = "/latest/meta-data/iam/security-credentials/"
    return {
        "/latest/dynamic/instance-identity/document": json.dumps(
            {"instanceId": instance, "region": REGION}
        ),
        role: "posewatch",
        f"{role}posewatch": json.dumps(ROLE),
    }


@pytest.fixture
def ec2(moto_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:  # noqa: ANN401 -- botocore has no types
    """Moto's EC2 for the test, and for posewatch; no credentials but those of the role."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", moto_server.endpoint)
    session = Session()
    session.set_credentials("test", "test")
    return session.create_client("ec2", region_name=REGION)


def instances(ec2: Any, count: int) -> list[str]:  # noqa: ANN401 -- see above
    made = ec2.run_instances(ImageId=IMAGE, MinCount=count, MaxCount=count)
    return [instance["InstanceId"] for instance in made["Instances"]]


def state(ec2: Any, instance: str) -> str:  # noqa: ANN401 -- see above
    found = ec2.describe_instances(InstanceIds=[instance])
    return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])


def stop(monkeypatch: pytest.MonkeyPatch, endpoint: str, *, terminate: bool = False) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
    stop_this_instance(terminate=terminate)


@pytest.mark.parametrize(("terminate", "wanted"), [(False, "stopped"), (True, "terminated")])
def test_this_instance_is_stopped_and_no_other(
    ec2: Any,  # noqa: ANN401 -- see above
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    *,
    terminate: bool,
) -> None:
    this, other = instances(ec2, 2)
    with metadata(identity(this)) as endpoint:
        stop(monkeypatch, endpoint, terminate=terminate)
    assert (state(ec2, this), state(ec2, other)) == (wanted, "running")


@pytest.mark.usefixtures("ec2")
def test_a_refusal_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        metadata(identity("i-0123456789abcdef0")) as endpoint,
        pytest.raises(PosewatchError, match="EC2 refuses to stop i-0123456789abcdef0") as told,
    ):
        stop(monkeypatch, endpoint)
    assert "ec2:StopInstances" in told.value.hint


@pytest.mark.usefixtures("ec2")
def test_an_instance_without_a_role_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = identity("i-0123456789abcdef0")
    only = {path: page for path, page in pages.items() if "security-credentials" not in path}
    with (
        metadata(only) as endpoint,
        pytest.raises(PosewatchError, match="Unable to locate credentials") as told,
    ):
        stop(monkeypatch, endpoint)
    assert "a role" in told.value.hint


@pytest.mark.parametrize(
    "document", [None, "", "[]", "{}", '{"instanceId": 1, "region": "eu-central-1"}', "[" * 60_000]
)
def test_a_machine_that_is_no_instance_is_left_alone(
    document: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {} if document is None else {"/latest/dynamic/instance-identity/document": document}
    with (
        metadata(pages) as endpoint,
        pytest.raises(PosewatchError, match="does not tell which instance"),
    ):
        stop(monkeypatch, endpoint)


def test_where_nobody_answers_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PosewatchError, match="does not tell which instance"):
        stop(monkeypatch, "http://127.0.0.1:9")
