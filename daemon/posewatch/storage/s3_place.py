"""Which bucket, where, and who asks: `s3://bucket/prefix` and the settings beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from posewatch.base.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

SCHEME: Final = "s3://"

BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
"""What AWS allows, and what older servers allow beside it."""

AWS: Final = re.compile(r"(^|\.)amazonaws\.com(\.cn)?$")


class Addressing(StrEnum):
    """Where the bucket's name goes."""

    AUTO = "auto"  # as AWS wants it at AWS, as a path elsewhere
    PATH = "path"  # https://endpoint/bucket/key
    VIRTUAL = "virtual"  # https://bucket.endpoint/key


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks.

    Attributes:
        access_key: the key's id.
        secret_key: the key.
        token: of a session, where the key is one of a session.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of_passwd_file(cls, path: Path, bucket: str) -> Self:
        """What s3fs reads: lines of `KEY:SECRET`, or `bucket:KEY:SECRET` for one bucket.

        Raises:
            SettingsError: it cannot be read, or has no line for the bucket.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the credentials in {path} cannot be read: {error}") from error
        found: Self | None = None
        for line in lines:
            parts = line.strip().split(":")
            if line.lstrip().startswith("#"):
                continue
            if len(parts) == 3 and parts[0] == bucket:
                return cls(parts[1], parts[2])
            if len(parts) == 2 and found is None:
                found = cls(parts[0], parts[1])
        if found is None:
            raise SettingsError(
                f"{path} has no credentials for the bucket {bucket!r}",
                hint="A line is KEY:SECRET, or BUCKET:KEY:SECRET, as for s3fs",
            )
        return found


@dataclass(frozen=True, slots=True)
class S3Place:
    """A folder in a bucket.

    Attributes:
        bucket: its name.
        prefix: how all keys of the folder begin: empty, or with a `/` at its end.
        endpoint: URL of the server; None for AWS.
        region: None where the usual settings of AWS say it.
        addressing: where the bucket's name goes.
        credentials: None where the usual places of AWS have them: environment, `~/.aws`, the
            machine's or the container's role.
        profile: of the usual configuration of AWS; None for the default one.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    addressing: Addressing = Addressing.AUTO
    credentials: Credentials | None = None
    profile: str | None = None

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        addressing: Addressing = Addressing.AUTO,
        credentials: Credentials | None = None,
        profile: str | None = None,
    ) -> Self:
        """A place from its URL, `s3://bucket` or `s3://bucket/prefix`.

        Raises:
            SettingsError: it is none.
        """
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        prefix = prefix.strip("/")
        if not url.startswith(SCHEME) or not BUCKET.fullmatch(bucket):
            raise SettingsError(
                f"{url!r} names no bucket", hint="It should look like s3://bucket/folder"
            )
        if prefix and any(part in {"", ".", ".."} for part in prefix.split("/")):
            raise SettingsError(f"the folder in {url!r} is none that a mount could show")
        if endpoint is not None:
            parts = urlsplit(endpoint)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise SettingsError(
                    f"{endpoint!r} is no endpoint", hint="It should look like https://host:port"
                )
        prefix = f"{prefix}/" if prefix else ""
        return cls(bucket, prefix, endpoint, region, addressing, credentials, profile)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def is_aws(self) -> bool:
        """Whether the server is one of AWS."""
        return self.endpoint is None or bool(AWS.search(urlsplit(self.endpoint).hostname or ""))

    @property
    def style(self) -> str:
        """The addressing style in the words of botocore."""
        if self.addressing is Addressing.AUTO and not self.is_aws:
            return Addressing.PATH.value
        return self.addressing.value
