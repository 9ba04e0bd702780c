"""What the doctor says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import SystemClock
from posewatch.config import FolderSettings, Settings, load
from posewatch.service.checkup import Finding, Level
from posewatch.service.doctor import examine, folder, monthly_lists
from posewatch.service.folder import find, keys_of
from s3.servers import KEY, SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from s3.servers import Server


def findings(watched: str, **sections: dict[str, object]) -> dict[str, Finding]:
    settings = Settings.model_validate(sections)
    place = find(settings.folder, watched, {})
    return {it.about: it for it in folder(place, settings, {}, SystemClock())}


def all_findings(
    tmp_path: Path, watched: str | None, **sections: dict[str, object]
) -> list[Finding]:
    """With no model on this machine, so that no network is loaded."""
    settings = Settings.model_validate(sections)
    environ = {"HOME": str(tmp_path)}
    return list(examine(lambda: settings, watched, environ, SystemClock()))


def test_a_local_folder_is_well(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    found = findings(str(tmp_path))
    assert list(found) == ["folder", "claims", "listing", "new videos", "inotify"]
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert "2 files" in found["listing"].said
    assert "1 folders of" in found["inotify"].said
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
    passwd.chmod(0o600)
    about = {"endpoint": moto_server.endpoint, "passwd_file": str(passwd)}
    found = findings(f"s3://{bucket}/talks", folder=about, watch={"sqs": "http://q/1/q"})
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert f"s3://{bucket}/talks at {moto_server.endpoint}" in found["folder"].said
    assert "any number of machines" in found["claims"].said
    assert "3 objects; watching them takes 43,200 requests a month" in found["listing"].said
    assert "by events" in found["new videos"].said
    assert len(moto_server.client(bucket).list("").objects) == 3
    gone = findings("s3://nothing-of-that-name", folder=about)
    assert list(gone) == ["folder", "credentials", "claims"]
    assert "there is no bucket nothing-of-that-name" in gone["claims"].said


@pytest.mark.parametrize("promise", [{"single_writer": True}, {"share": "2/5"}])
def test_what_was_promised_is_said_again(tmp_path: Path, promise: dict[str, object]) -> None:
    found = findings(str(tmp_path), folder=promise)
    assert found["claims"].level is Level.WARNING


def test_everything_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    found = all_findings(tmp_path, str(tmp_path / "inbox"))
    of_folder = ["folder", "claims", "listing", "new videos", "inotify"]
    of_machine = ["clock", "networks", "codecs", "cache", "limits", "http", "idle"]
    abouts = [finding.about for finding in found if finding.about != "systemd"]
    assert abouts == [*of_folder, *of_machine]
    networks = next(finding for finding in found if finding.about == "networks")
    assert networks.level is Level.ERROR
    assert "posewatch models pull" in networks.hint


@pytest.mark.parametrize("watched", ["s3://", None])
def test_without_a_folder_the_machine_is_looked_at_all_the_same(
    tmp_path: Path, watched: str | None
) -> None:
    found = all_findings(tmp_path, watched)
    assert (found[0].level, found[0].about) == (Level.ERROR, "folder")
    assert "cache" in {finding.about for finding in found}


def test_the_folder_of_the_settings_will_do(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    found = all_findings(tmp_path, None, folder={"path": str(tmp_path / "inbox")})
    assert (found[0].level, found[0].about) == (Level.OK, "folder")


def test_settings_that_are_wrong_are_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "posewatch.toml"
    file.write_text("[watch]\nnonsense = 1\n")
    (found,) = examine(lambda: load(file), None, {}, SystemClock())
    assert (found.level, found.about) == (Level.ERROR, "settings")
    assert "there is no setting watch.nonsense" in found.said
    assert "docs/settings.md" in found.hint


@pytest.mark.parametrize(
    ("environ", "settings", "source"),
    [
        ({"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}, {}, "usual places (env)"),
        ({}, {"passwd_file": True}, "those of"),
        ({}, {}, ""),
    ],
)
def test_where_the_keys_of_a_bucket_come_from(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    settings: dict[str, object],
    source: str,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if settings:
        passwd = tmp_path / "passwd"
        passwd.write_text("k:s\n")
        passwd.chmod(0o640)
        settings = {"passwd_file": passwd}
    about = Settings.model_validate({"folder": settings}).folder
    keys = keys_of(find(about, "s3://bucket", environ), about, environ)
    assert source in keys.source
    assert bool(keys.source) == bool(source)
    assert (keys.mode & 0o777) == (0o640 if settings else 0)


@pytest.mark.parametrize(
    ("endpoint", "encrypted"),
    [
        ("https://store.lan", True),
        ("http://store.lan", False),
        ("http://127.0.0.1:9000", True),
        ("http://localhost:9000", True),
    ],
)
def test_whether_requests_can_be_read_on_the_way(
    tmp_path: Path, endpoint: str, *, encrypted: bool
) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("k:s\n")
    about = FolderSettings(endpoint=endpoint, passwd_file=passwd)
    assert keys_of(find(about, "s3://bucket", {}), about, {}).encrypted is encrypted


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
    passwd.chmod(0o600)
    about = {"endpoint": moto_server.endpoint, "passwd_file": str(passwd)}
    found = findings(f"s3://{bucket}", folder=about, watch={"idle_interval": 0.5})["listing"]
    assert found.level is Level.WARNING
    assert "sqs" in found.hint
