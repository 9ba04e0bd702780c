"""The watched folder: what backs it, and the storage that is right for that.

A path may be a local disk or NFS, which keep claims safe by themselves, or a bucket that some
program shows as a folder. Through such a mount no claim is safe (`docs/storage.md`), so everything
goes to the bucket itself then, under the very keys that the mount shows; the mount only tells of
what is written on this machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from posewatch.base.errors import SettingsError
from posewatch.catalog import Share
from posewatch.formats import names
from posewatch.service.checkup import Keys
from posewatch.service.http import is_local
from posewatch.storage import s3_probe
from posewatch.storage.aws import credentials_from
from posewatch.storage.backing import Backing, backing_of
from posewatch.storage.mounted import MountedBucket, below, mounted_bucket
from posewatch.storage.posix import PosixStorage
from posewatch.storage.probe import probe
from posewatch.storage.s3 import S3Storage
from posewatch.storage.s3_client import S3Client
from posewatch.storage.s3_lone import LoneObjects
from posewatch.storage.s3_place import SCHEME, Addressing, Credentials, S3Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from posewatch.base.clock import Clock
    from posewatch.base.requests import Answer, Request
    from posewatch.config import FolderSettings
    from posewatch.storage.contract import Storage

S3FS_PASSWD = ("~/.passwd-s3fs", "/etc/passwd-s3fs")
"""Where s3fs looks for its keys when it is not told, in this order."""

SYSTEMD_CREDENTIAL = "s3"
"""`LoadCredential=s3:…` of the unit: a file as s3fs has it."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A folder that is to be watched.

    Attributes:
        name: as people write it.
        path: where it is on this machine; None for a bucket without a mount.
        backing: what the path is on.
        place: the bucket, if it is one.
        mounted: what shows the bucket as a folder, where that was found out.
    """

    name: str
    path: Path | None
    backing: Backing = field(default_factory=Backing)
    place: S3Place | None = None
    mounted: MountedBucket | None = None

    @property
    def identity(self) -> str:
        """The same for all daemons of this machine that watch it, however they call it."""
        if self.place is not None:
            return f"{self.place.endpoint} {self.place}"
        return os.path.realpath(self.path or self.name)


def find(settings: FolderSettings, given: str | None, environ: Mapping[str, str]) -> Watched:
    """Find out what is to be watched; asks the mount table, and no bucket.

    Args:
        settings: the settings.
        given: the folder, or the bucket's address; wins over the settings.
        environ: of this process.

    Raises:
        SettingsError: nothing is named, or a bucket of which too little is known.
    """
    name = given or settings.path
    if name is None and settings.bucket is None:
        raise SettingsError(
            "no folder to watch",
            hint="Name it: posewatch run FOLDER, or set folder in the settings",
        )
    if name is None or name.startswith(SCHEME):
        place = _place(settings, (name or settings.bucket or ""), environ)
        return Watched(str(place), None, place=place)
    path = Path(name)
    backing = backing_of(path)
    mounted = mounted_bucket(backing)
    if settings.bucket is not None:
        place = _place(settings, settings.bucket, environ, mounted)
    elif mounted is None:
        return Watched(name, path, backing)
    elif not mounted.bucket:
        _check_alive(path, mounted.program)
        raise SettingsError(
            f"{name} is a bucket that {mounted.program} shows, and which one cannot be found out",
            hint='Name it: [folder] bucket = "s3://BUCKET/PREFIX", with what its keys begin with '
            "in that folder",
        )
    else:
        prefix = below(mounted, backing, os.path.realpath(path))
        place = _place(settings, f"{SCHEME}{mounted.bucket}/{prefix}", environ, mounted)
    return Watched(name, path, backing, place, mounted)


def open_storage(
    watched: Watched,
    clock: Clock,
    count: Callable[[Request, Answer], None] = lambda _request, _answer: None,
) -> Storage:
    """The storage of a folder; a bucket is not asked anything yet.

    Args:
        watched: the folder.
        clock: the time.
        count: told of each request to a bucket and what became of it.

    Raises:
        SettingsError: there is no such folder.
    """
    if watched.place is None:
        return PosixStorage(watched.path or Path(watched.name))
    client = S3Client(watched.place, count)
    return S3Storage(client, watched.place.prefix, clock, names.receipt_key)


def open_safely(
    watched: Watched,
    settings: FolderSettings,
    clock: Clock,
    count: Callable[[Request, Answer], None],
) -> Storage:
    """The storage of a folder, once it was tried out that it does what claims rest on.

    Args:
        watched: the folder.
        settings: may promise that there is nobody to be safe from.
        clock: the time.
        count: told of each request to a bucket and what became of it.

    Raises:
        SettingsError: there is no such folder, or it cannot be shared safely.
        StorageError: there is no telling now; to be tried again.
    """
    if watched.place is None:
        storage = PosixStorage(watched.path or Path(watched.name))
        probe(storage, storage.backing)
        return storage
    client, prefix = S3Client(watched.place, count), watched.place.prefix
    promises = s3_probe.probe(client, prefix, clock)
    if not (settings.single_writer or settings.share):
        s3_probe.check_safe(promises, watched.name)
    store = LoneObjects(client) if promises.unsafe else client
    return S3Storage(store, prefix, clock, names.receipt_key, md5=promises.md5)


def share_of(settings: FolderSettings) -> Share:
    """The share of the videos that a daemon works on.

    Raises:
        SettingsError: it is none.
    """
    try:
        return Share.parse(settings.share or "1/1")
    except ValueError as error:
        raise SettingsError(f"folder.share: {error}") from error


def _place(
    settings: FolderSettings,
    address: str,
    environ: Mapping[str, str],
    mounted: MountedBucket | None = None,
) -> S3Place:
    """The bucket: as set, else as the program that mounts it was told."""
    told = mounted or MountedBucket("")
    addressing = Addressing(settings.addressing)
    if addressing is Addressing.AUTO and told.path_style:
        addressing = Addressing.PATH
    place = S3Place.parse(
        address,
        endpoint=settings.endpoint or told.endpoint or None,
        region=settings.region or told.region or None,
        addressing=addressing,
        profile=settings.profile or told.profile or None,
    )
    return replace(place, credentials=_credentials(settings, place.bucket, environ, told))


def _check_alive(path: Path, program: str) -> None:
    """Tell a mount whose program has died, and which tells nothing any more, from an odd one."""
    try:
        path.stat()
    except OSError as error:
        raise SettingsError(
            f"{path} is a mount of {program} that does not answer: {error.strerror}",
            hint=f"Unmount it (fusermount -u {path}), and mount it again",
        ) from error


def _credentials(
    settings: FolderSettings,
    bucket: str,
    environ: Mapping[str, str],
    told: MountedBucket,
) -> Credentials | None:
    """The keys: as set, by systemd, as the mounting program has them; else AWS's usual places."""
    file = _passwd_file(settings, environ, told)
    if file is not None:
        return Credentials.of_passwd_file(file, bucket)
    if told.keys is None or _usual(settings, environ, told):
        return None
    return Credentials(*told.keys)


def _usual(settings: FolderSettings, environ: Mapping[str, str], told: MountedBucket) -> bool:
    """Whether somebody has said that AWS's usual places have the keys."""
    return settings.profile is not None or "AWS_ACCESS_KEY_ID" in environ or bool(told.profile)


def _passwd_file(
    settings: FolderSettings, environ: Mapping[str, str], told: MountedBucket
) -> Path | None:
    """The file that has the keys, as s3fs has it; None where they come from elsewhere."""
    systemd = Path(environ.get("CREDENTIALS_DIRECTORY", "/nowhere"), SYSTEMD_CREDENTIAL)
    if settings.passwd_file is not None or systemd.exists():
        return settings.passwd_file or systemd
    if told.keys is not None or _usual(settings, environ, told):
        return None
    usual = S3FS_PASSWD if told.program == "s3fs" else ()
    files = (told.passwd_file,) if told.passwd_file else usual
    for file in (Path(name).expanduser() for name in files):
        if told.passwd_file or os.access(file, os.R_OK):
            return file
    return None


def keys_of(watched: Watched, settings: FolderSettings, environ: Mapping[str, str]) -> Keys:
    """Where the keys of a watched bucket come from, for people; not the keys.

    Raises:
        SettingsError: the usual settings of AWS contradict themselves.
    """
    place, told = watched.place, watched.mounted or MountedBucket("")
    if place is None:
        return Keys("")
    endpoint = urlsplit(place.endpoint or "https:")
    private = endpoint.scheme == "https" or is_local(endpoint.netloc, frozenset({"localhost"}))
    file = _passwd_file(settings, environ, told)
    if file is not None:
        return Keys(f"those of {file}", file, file.stat().st_mode, encrypted=private)
    if place.credentials is not None:
        return Keys(f"those that {told.program} was given", encrypted=private)
    method = credentials_from(place)
    return Keys(f"from AWS's usual places ({method})" if method else "", encrypted=private)
