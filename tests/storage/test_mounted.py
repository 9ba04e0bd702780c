"""Which bucket a mount shows, from what stands in /proc and in the program's configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from posewatch.storage.backing import Backing
from posewatch.storage.mounted import MountedBucket, below, mounted_bucket

if TYPE_CHECKING:
    from pathlib import Path

MNT = "/mnt/videos"


def backing(fstype: str, source: str = "", owner: int | None = None) -> Backing:
    owner = os.getuid() if owner is None else owner
    return Backing(MNT, fstype, source, options=frozenset({"rw", f"user_id={owner}"}))


def found(
    tmp_path: Path, fstype: str, *commands: list[str], source: str = ""
) -> MountedBucket | None:
    for number, command in enumerate(commands, start=7):
        process = tmp_path / str(number)
        process.mkdir()
        (process / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in command))
    (tmp_path / "self").mkdir()
    (tmp_path / "9999").mkdir()  # it ended just now
    return mounted_bucket(backing(fstype, source), tmp_path)


@pytest.mark.parametrize("fstype", ["ext4", "nfs4", "fuse.sshfs", "fuse.s3"])
def test_other_mounts_show_no_bucket(tmp_path: Path, fstype: str) -> None:
    assert found(tmp_path, fstype, ["s3fs", "clips", MNT]) is None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["s3fs", "clips", MNT], MountedBucket("s3fs", "clips")),
        (["/usr/bin/s3fs", MNT, "-o", "bucket=clips"], MountedBucket("s3fs", "clips")),
        (["s3fs", "clips:/raw/2024", MNT + "/"], MountedBucket("s3fs", "clips", "raw/2024/")),
        (["s3fs", "-f", "clips", "mnt/videos"], MountedBucket("s3fs", "clips")),
        (
            ["s3fs", "clips", MNT, "-o", "url=https://s3.amazonaws.com/,endpoint=eu-west-1"],
            MountedBucket("s3fs", "clips", region="eu-west-1"),
        ),
        (
            [
                *("s3fs", "clips", MNT, "-ourl=http://127.0.0.1:8000,use_path_request_style"),
                *("-o", "passwd_file=/etc/keys,profile=me", "-d"),
            ],
            MountedBucket(
                "s3fs",
                "clips",
                endpoint="http://127.0.0.1:8000",
                path_style=True,
                passwd_file="/etc/keys",  # noqa: S106 -- a path
                profile="me",
            ),
        ),
    ],
)
def test_s3fs(tmp_path: Path, command: list[str], expected: MountedBucket) -> None:
    assert found(tmp_path, "fuse.s3fs", command) == expected


@pytest.mark.parametrize(
    "command",
    [
        ["s3fs", "clips", "/mnt/others"],
        ["s3fs", "clips", "videos-not"],
        ["s3fs"],
        ["s3fs", "clips"],
        ["s3fs", "clips", MNT, "--what=is this"],
        ["s3fs-wrapper", "clips", MNT],
        [],
    ],
)
def test_what_tells_nothing_of_this_mount_names_no_bucket(
    tmp_path: Path, command: list[str]
) -> None:
    assert found(tmp_path, "fuse.s3fs", command) == MountedBucket("s3fs")


def test_a_process_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    assert found(tmp_path, "fuse.s3fs", ["s3fs", "evil", MNT]) == MountedBucket("s3fs", "evil")
    others = backing("fuse.s3fs", owner=os.getuid() + 1)
    assert mounted_bucket(others, tmp_path) == MountedBucket("s3fs")


def test_of_several_mounts_the_right_one_is_found(tmp_path: Path) -> None:
    commands = [["s3fs", "one", "/mnt"], ["s3fs", "two", MNT], ["s3fs", "three", "/mnt/v"]]
    bucket = found(tmp_path, "fuse.s3fs", *commands)
    assert bucket is not None
    assert bucket.bucket == "two"


def test_mountpoint_s3(tmp_path: Path) -> None:
    command = ["mount-s3", "--allow-delete", "--region", "eu-west-1", "--prefix=raw/", "clips", MNT]
    command += ["--endpoint-url", "https://store.example", "--force-path-style"]
    assert found(tmp_path, "fuse.mountpoint-s3", command) == MountedBucket(
        "mount-s3",
        "clips",
        "raw/",
        endpoint="https://store.example",
        region="eu-west-1",
        path_style=True,
    )


def test_mountpoint_s3_with_an_address(tmp_path: Path) -> None:
    bucket = found(tmp_path, "fuse.mountpoint-s3", ["mount-s3", "s3://clips/raw", MNT])
    assert bucket == MountedBucket("mount-s3", "clips", "raw/")


def test_goofys(tmp_path: Path) -> None:
    command = ["goofys", "--endpoint", "https://store.example", "clips:raw", MNT]
    assert found(tmp_path, "fuse.goofys", command) == MountedBucket(
        "goofys", "clips", "raw/", endpoint="https://store.example", path_style=True
    )


def test_the_mount_table_will_do_where_it_names_the_bucket(tmp_path: Path) -> None:
    bucket = found(tmp_path, "fuse.goofys", source="clips:raw")
    assert bucket == MountedBucket("goofys", "clips", "raw/")


RCLONE = """
[store]
type = s3
provider = Ceph
access_key_id = KEY
secret_access_key = VERY SECRET
endpoint = store.example:8000
region = here

[disk]
type = local
"""


def test_rclone(tmp_path: Path) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(RCLONE)
    command = ["rclone", "mount", "store:clips/raw", MNT, "--config", str(config), "--daemon"]
    bucket = found(tmp_path, "fuse.rclone", command)
    assert bucket == MountedBucket(
        "rclone",
        "clips",
        "raw/",
        endpoint="https://store.example:8000",
        region="here",
        path_style=True,
        keys=("KEY", "VERY SECRET"),
    )
    assert "SECRET" not in repr(bucket)


@pytest.mark.parametrize("remote", ["disk:clips", "nowhere:clips", ":s3,env_auth:clips"])
def test_rclone_that_shows_something_else(tmp_path: Path, remote: str) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(RCLONE)
    command = ["rclone", "mount", f"--config={config}", remote, MNT]
    assert found(tmp_path, "fuse.rclone", command) == MountedBucket("rclone")


def test_rclone_without_a_configuration_that_can_be_read(tmp_path: Path) -> None:
    config = tmp_path / "rclone.conf"
    config.write_bytes(b"RCLONE_ENCRYPT_V0:\n\xff\xfe")
    command = ["rclone", "mount", "store:clips", MNT, f"--config={config}"]
    assert found(tmp_path, "fuse.rclone", command) == MountedBucket("rclone")


@pytest.mark.parametrize(
    ("prefix", "folder", "expected"),
    [
        ("", MNT, ""),
        ("raw/", MNT, "raw/"),
        ("", f"{MNT}/talks/de", "talks/de/"),
        ("raw/", f"{MNT}/talks", "raw/talks/"),
    ],
)
def test_a_folder_below_the_mount_is_a_longer_prefix(
    prefix: str, folder: str, expected: str
) -> None:
    bucket = MountedBucket("s3fs", "clips", prefix)
    assert below(bucket, Backing(MNT, "fuse.s3fs"), folder) == expected
