"""What the doctor says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import SystemClock
from posewatch.config import Settings
from posewatch.service.doctor import Finding, Level, examine, monthly_lists
from s3.servers import KEY, SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from s3.servers import Server


def findings(watched: str, **sections: dict[str, object]) -> dict[str, Finding]:
    settings = Settings.model_validate(sections)
    return {finding.about: finding for finding in examine(settings, watched, {}, SystemClock())}


def test_a_local_folder_is_well(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    found = findings(str(tmp_path))
    assert list(found) == ["folder", "claims", "listing", "new videos"]
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert "2 files" in found["listing"].said
    assert "within a second" in found["new videos"].said
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "b.mp4"}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = findings(str(tmp_path / "nothing"))
    assert found["claims"].level is Level.ERROR
    assert "is not a folder" in found["claims"].said


def test_a_bucket(tmp_path: Path, moto_server: Server) -> None:
    bucket = moto_server.bucket()
    client = moto_server.client(bucket)._client
    for number in range(3):
        client.put_object(Bucket=bucket, Key=f"talks/{number}.mp4", Body=b"x")
    passwd = tmp_path / "passwd"
    passwd.write_text(f"{KEY}:{SECRET}\n")
    folder = {"endpoint": moto_server.endpoint, "passwd_file": str(passwd)}
    found = findings(f"s3://{bucket}/talks", folder=folder, watch={"sqs": "http://q/1/q"})
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert f"s3://{bucket}/talks at {moto_server.endpoint}" in found["folder"].said
    assert "any number of machines" in found["claims"].said
    assert "3 objects; watching them takes 43,200 requests a month" in found["listing"].said
    assert "by events" in found["new videos"].said
    assert len(moto_server.client(bucket).list("").objects) == 3
    gone = findings("s3://nothing-of-that-name", folder=folder)
    assert list(gone) == ["folder", "claims"]
    assert "there is no bucket nothing-of-that-name" in gone["claims"].said


@pytest.mark.parametrize("promise", [{"single_writer": True}, {"share": "2/5"}])
def test_what_was_promised_is_said_again(tmp_path: Path, promise: dict[str, object]) -> None:
    found = findings(str(tmp_path), folder=promise)
    assert found["claims"].level is Level.WARNING


def test_a_bucket_of_which_too_little_is_known() -> None:
    (found,) = findings("s3://").values()
    assert (found.level, found.about) == (Level.ERROR, "folder")


def test_the_requests_of_a_month() -> None:
    assert monthly_lists(0, 60.0) == monthly_lists(1000, 60.0) == 43_200
    assert monthly_lists(1001, 60.0) == 86_400
    assert monthly_lists(10_000, 10.0) == 2_592_000


def test_a_bucket_that_costs_much_to_watch_is_a_warning(
    tmp_path: Path, moto_server: Server
) -> None:
    bucket = moto_server.bucket()
    passwd = tmp_path / "passwd"
    passwd.write_text(f"{KEY}:{SECRET}\n")
    folder = {"endpoint": moto_server.endpoint, "passwd_file": str(passwd)}
    found = findings(f"s3://{bucket}", folder=folder, watch={"idle_interval": 0.5})["listing"]
    assert found.level is Level.WARNING
    assert "sqs" in found.hint
