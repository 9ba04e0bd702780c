"""What is behind a folder, and which storage is right for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import SystemClock
from posewatch.base.errors import SettingsError
from posewatch.config import FolderSettings
from posewatch.service import folder as opening
from posewatch.service.folder import find, open_safely, open_storage, share_of
from posewatch.storage.backing import Backing
from posewatch.storage.mounted import MountedBucket
from posewatch.storage.posix import PosixStorage
from posewatch.storage.s3 import S3Storage
from posewatch.storage.s3_place import Addressing, Credentials

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.storage.s3_place import S3Place

ADDRESS = "s3://clips/talks"
S3FS = MountedBucket("s3fs", "clips", "raw/", endpoint="http://there:8000", path_style=True)


def mounted(monkeypatch: pytest.MonkeyPatch, at: Path, bucket: MountedBucket) -> None:
    monkeypatch.setattr(opening, "backing_of", lambda _path: Backing(str(at), "fuse.s3fs"))
    monkeypatch.setattr(opening, "mounted_bucket", lambda _backing: bucket)


def place_of(settings: FolderSettings, given: str | None = None, **environ: str) -> S3Place:
    place = find(settings, given, environ).place
    assert place is not None
    return place


def test_a_local_folder_is_one(tmp_path: Path) -> None:
    watched = find(FolderSettings(), str(tmp_path), {})
    assert (watched.path, watched.place, watched.name) == (tmp_path, None, str(tmp_path))
    assert isinstance(open_storage(watched, SystemClock()), PosixStorage)
    safe = open_safely(watched, FolderSettings(), SystemClock(), lambda *_: None)
    assert isinstance(safe, PosixStorage)


def test_the_command_line_wins_over_the_settings(tmp_path: Path) -> None:
    settings = FolderSettings(path="/elsewhere")
    assert find(settings, str(tmp_path), {}).path == tmp_path
    assert find(settings, ADDRESS, {}).path is None


def test_nothing_to_watch_is_wrong_usage() -> None:
    with pytest.raises(SettingsError, match="no folder to watch"):
        find(FolderSettings(), None, {})


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        (FolderSettings(), ADDRESS),
        (FolderSettings(path=ADDRESS), None),
        (FolderSettings(bucket=ADDRESS), None),
    ],
)
def test_a_bucket_by_its_address(settings: FolderSettings, given: str | None) -> None:
    watched = find(settings, given, {})
    assert (watched.path, watched.name) == (None, ADDRESS)
    assert watched.place is not None
    assert (watched.place.bucket, watched.place.prefix) == ("clips", "talks/")
    assert isinstance(open_storage(watched, SystemClock()), S3Storage)


def test_a_bucket_behind_a_mount_is_as_the_mount_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(monkeypatch, tmp_path, S3FS)
    sub = tmp_path / "2024"
    sub.mkdir()
    watched = find(FolderSettings(), str(sub), {})
    assert watched.path == sub
    place = watched.place
    assert place is not None
    assert (place.bucket, place.prefix, place.endpoint) == ("clips", "raw/2024/", S3FS.endpoint)
    assert place.addressing is Addressing.PATH


def test_settings_win_over_what_the_mount_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(monkeypatch, tmp_path, S3FS)
    settings = FolderSettings(
        bucket="s3://others/x", endpoint="https://here", region="r", addressing="virtual"
    )
    place = place_of(settings, str(tmp_path))
    assert (place.bucket, place.prefix) == ("others", "x/")
    assert (place.endpoint, place.region) == ("https://here", "r")
    assert place.addressing is Addressing.VIRTUAL


def test_a_mount_that_names_no_bucket_must_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(monkeypatch, tmp_path, MountedBucket("rclone"))
    with pytest.raises(SettingsError, match="rclone shows, and which one") as caught:
        find(FolderSettings(), str(tmp_path), {})
    assert '[folder] bucket = "s3://' in caught.value.hint
    assert place_of(FolderSettings(bucket=ADDRESS), str(tmp_path)).bucket == "clips"


# Credentials


def passwd(path: Path, text: str = "KEY:SECRET\n") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_passwd_file_of_the_settings_wins(tmp_path: Path) -> None:
    settings = FolderSettings(passwd_file=passwd(tmp_path / "keys", "x:y\nclips:A:B\n"))
    place = place_of(settings, ADDRESS, AWS_ACCESS_KEY_ID="other")
    assert place.credentials == Credentials("A", "B")


def test_a_credential_of_systemd(tmp_path: Path) -> None:
    passwd(tmp_path / "s3")
    place = place_of(FolderSettings(), ADDRESS, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert place.credentials == Credentials("KEY", "SECRET")
    place = place_of(FolderSettings(), ADDRESS, CREDENTIALS_DIRECTORY=str(tmp_path / "none"))
    assert place.credentials is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (MountedBucket("s3fs", "clips", passwd_file="?"), Credentials("KEY", "SECRET")),  # noqa: S106
        (MountedBucket("rclone", "clips", keys=("R", "S")), Credentials("R", "S")),
        (MountedBucket("s3fs", "clips", profile="me"), None),
        (MountedBucket("goofys", "clips"), None),
    ],
)
def test_the_keys_of_the_mounting_program(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: MountedBucket,
    expected: Credentials | None,
) -> None:
    if told.passwd_file:
        told = MountedBucket("s3fs", "clips", passwd_file=str(passwd(tmp_path / "keys")))
    mounted(monkeypatch, tmp_path, told)
    place = place_of(FolderSettings(), str(tmp_path))
    assert place.credentials == expected
    assert place.profile == (told.profile or None)
    # Who sets the environment of AWS means it.
    assert place_of(FolderSettings(), str(tmp_path), AWS_ACCESS_KEY_ID="mine").credentials is None


def test_the_usual_file_of_s3fs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(monkeypatch, tmp_path, S3FS)
    usual = (str(tmp_path / "none"), str(tmp_path / "usual"))
    monkeypatch.setattr(opening, "S3FS_PASSWD", usual)
    assert place_of(FolderSettings(), str(tmp_path)).credentials is None
    passwd(tmp_path / "usual")
    assert place_of(FolderSettings(), str(tmp_path)).credentials == Credentials("KEY", "SECRET")


# Shares


def test_a_share_is_of_the_settings() -> None:
    assert str(share_of(FolderSettings())) == "1/1"
    assert str(share_of(FolderSettings(share="2/5"))) == "2/5"
    with pytest.raises(SettingsError, match=r"folder\.share"):
        share_of(FolderSettings(share="5/2"))
