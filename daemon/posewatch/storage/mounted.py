"""Which bucket a mounted folder shows, as far as this machine can tell.

The kernel's mount table names the program behind a FUSE mount, and seldom the bucket. The rest is
in the arguments that the program was started with, which every user may read in `/proc`, whether
somebody typed them or mount(8) took them from `/etc/fstab`; rclone's are in its own configuration.
Only processes of the user who mounted it are believed: anybody can start a program of that name.

Nothing here asks the bucket, and nothing raises: what cannot be found out has to be set.
"""

from __future__ import annotations

import configparser
import getopt
import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from posewatch.storage.backing import BUCKET_PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from posewatch.storage.backing import Backing

PROC = Path("/proc")

AWS = "https://s3.amazonaws.com"
"""What s3fs takes for its endpoint unless it is told another: AWS, wherever the bucket is."""


@dataclass(frozen=True, slots=True)
class MountedBucket:
    """What a mount says about the bucket that it shows.

    Attributes:
        program: which shows it.
        bucket: its name; empty where that could not be found out.
        prefix: of the keys that the mount shows, with a `/` at its end; or empty.
        endpoint: URL of the store; empty for AWS.
        region: empty where it was not told.
        path_style: whether the bucket is to be named in the path of each request; None: not told.
        passwd_file: where s3fs has its keys from; empty for its default places.
        profile: of the AWS configuration; empty for the default one.
        keys: access key and secret key, where the program's own configuration has them.
    """

    program: str
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool | None = None
    passwd_file: str = ""
    profile: str = ""
    keys: tuple[str, str] | None = None

    def __repr__(self) -> str:
        """Without the keys, which must not end up in a log."""
        return f"MountedBucket({self.program} {self.bucket}/{self.prefix} at {self.endpoint})"


def mounted_bucket(backing: Backing, proc: Path = PROC) -> MountedBucket | None:
    """The bucket behind a mount; None where none is.

    Args:
        backing: the mount that the watched folder is on.
        proc: where the kernel tells of processes.
    """
    program = BUCKET_PROGRAMS.get(backing.fstype)
    if program is None:
        return None
    for arguments in _processes(program, proc, backing.owner):
        found = _read(program, arguments, backing)
        if found is not None:
            return found
    if program in {"goofys", "geesefs"}:
        bucket, prefix = _split(backing.source)
        return MountedBucket(program, bucket, prefix)
    return MountedBucket(program)


def below(found: MountedBucket, backing: Backing, folder: str) -> str:
    """The prefix of a folder somewhere below the mount point, as keys of the bucket have it.

    Args:
        found: the bucket.
        backing: the mount.
        folder: an absolute, resolved path on it.
    """
    inside = posixpath.relpath(folder, backing.mount_point)
    parts = [found.prefix.strip("/"), "" if inside == "." else inside]
    prefix = "/".join(part for part in parts if part)
    return f"{prefix}/" if prefix else ""


def _read(program: str, arguments: Sequence[str], backing: Backing) -> MountedBucket | None:
    """What a process was told; None where it shows another mount."""
    match program:
        case "s3fs":
            return _s3fs(arguments, backing)
        case "rclone":
            return _rclone(arguments, backing)
        case "mount-s3":
            return _mount_s3(arguments, backing)
        case _:
            return _goofys(program, arguments, backing)


def _processes(program: str, proc: Path, owner: int | None) -> Iterator[list[str]]:
    """The arguments of each process of a program and a user, its own name left out."""
    try:
        found = sorted((path for path in proc.iterdir() if path.name.isdigit()), key=_number)
    except OSError:
        return
    for process in found:
        try:
            if process.stat().st_uid != owner:
                continue
            line = (process / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        first, *arguments = os.fsdecode(line).split("\0")[:-1] or [""]
        if posixpath.basename(first) in {program, f"mount.{program}"}:
            yield arguments


def _number(process: Path) -> int:
    return int(process.name)


def _shows(path: str, backing: Backing) -> bool:
    """Whether a mount point, as it was typed, is that of the mount.

    A relative one was relative to a folder that nobody knows any more.
    """
    path = path.rstrip("/")
    if path.startswith("/"):
        return os.path.realpath(path) == backing.mount_point
    return bool(path) and backing.mount_point.endswith("/" + posixpath.normpath(path))


def _split(text: str) -> tuple[str, str]:
    """Bucket and prefix of `bucket`, `bucket:prefix`, `bucket:/prefix`, `s3://bucket/prefix`."""
    bucket, _, prefix = text.removeprefix("s3://").replace(":", "/", 1).partition("/")
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def _s3fs(arguments: Sequence[str], backing: Backing) -> MountedBucket | None:
    options: dict[str, str] = {}
    try:
        flags, places = getopt.gnu_getopt(list(arguments), "dfso:h")
    except getopt.GetoptError:
        return None
    for flag, value in flags:
        if flag == "-o":
            options.update(_options(value))
    bucket, prefix = _split(options.get("bucket") or (places.pop(0) if len(places) > 1 else ""))
    if not places or not _shows(places[0], backing):
        return None
    endpoint = options.get("url", AWS).rstrip("/")
    return MountedBucket(
        "s3fs",
        bucket,
        prefix,
        endpoint="" if endpoint == AWS else endpoint,
        region=options.get("endpoint", options.get("region", "")),
        path_style="use_path_request_style" in options or None,
        passwd_file=options.get("passwd_file", ""),
        profile=options.get("profile", ""),
    )


def _options(text: str) -> dict[str, str]:
    """The options behind `-o`."""
    pairs = (option.partition("=") for option in text.split(",") if option)
    return {name: value for name, _, value in pairs}


def _long(arguments: Iterable[str], flags: frozenset[str]) -> tuple[dict[str, str], list[str]]:
    """Options of the form `--name value`, `--name=value` and `--flag`; and what is none."""
    options: dict[str, str] = {}
    places: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            places.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        options[name] = value if equals or name in flags else next(rest, "")
    return options, places


_MOUNT_S3_FLAGS = frozenset(
    {"read-only", "auto-unmount", "allow-root", "allow-other", "allow-delete", "allow-overwrite",
     "foreground", "f", "debug", "debug-crt", "no-log", "log-metrics", "force-path-style",
     "transfer-acceleration", "dual-stack", "requester-pays", "no-sign-request",
     "incremental-upload"}
)  # fmt: skip


def _mount_s3(arguments: Sequence[str], backing: Backing) -> MountedBucket | None:
    options, places = _long(arguments, _MOUNT_S3_FLAGS)
    if len(places) < 2 or not _shows(places[1], backing):
        return None
    bucket, prefix = _split(places[0])
    return MountedBucket(
        "mount-s3",
        bucket,
        options.get("prefix", prefix),
        endpoint=options.get("endpoint-url", ""),
        region=options.get("region", ""),
        path_style="force-path-style" in options or None,
        profile=options.get("profile", ""),
    )


_GOOFYS_FLAGS = frozenset(
    {"f", "cheap", "no-implicit-dir", "debug_fuse", "debug_s3", "use-content-type", "subdomain"}
)


def _goofys(program: str, arguments: Sequence[str], backing: Backing) -> MountedBucket | None:
    options, places = _long(arguments, _GOOFYS_FLAGS)
    if len(places) < 2 or not _shows(places[1], backing):
        return None
    bucket, prefix = _split(places[0])
    return MountedBucket(
        program,
        bucket,
        prefix,
        endpoint=options.get("endpoint", ""),
        region=options.get("region", ""),
        path_style="subdomain" not in options or None,
        profile=options.get("profile", ""),
    )


def _rclone(arguments: Sequence[str], backing: Backing) -> MountedBucket | None:
    words = [argument for argument in arguments if not argument.startswith("-")]
    remotes = [word for word in words if re.match(r"[^/:]+:", word)]
    if not remotes or not any(_shows(word, backing) for word in words):
        return None
    name, _, path = remotes[0].partition(":")
    configs = [
        value
        for one, two in zip(arguments, [*arguments[1:], ""], strict=True)
        for value in [two if one == "--config" else one.removeprefix("--config=")]
        if one == "--config" or one.startswith("--config=")
    ]
    remote = _rclone_remote(configs[0] if configs else None, name)
    if remote.get("type") != "s3":
        return MountedBucket("rclone")
    key, secret = remote.get("access_key_id", ""), remote.get("secret_access_key", "")
    bucket, prefix = _split(path)
    return MountedBucket(
        "rclone",
        bucket,
        prefix,
        endpoint=_url(remote.get("endpoint", "")),
        region=remote.get("region", ""),
        path_style=remote.get("force_path_style", "true") == "true" or None,
        profile=remote.get("profile", ""),
        keys=(key, secret) if key and secret else None,
    )


def _url(endpoint: str) -> str:
    return endpoint if not endpoint or "://" in endpoint else f"https://{endpoint}"


def _rclone_remote(path: str | None, name: str) -> dict[str, str]:
    """A section of rclone's configuration; empty where it is not there or encrypted."""
    file = Path(path) if path else Path("~/.config/rclone/rclone.conf").expanduser()
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}
    return dict(parser[name]) if parser.has_section(name) else {}
