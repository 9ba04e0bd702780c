"""Places, credentials, and the pages of a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import SettingsError, UnavailableError
from posewatch.storage.s3_listing import page_of
from posewatch.storage.s3_objects import Listed, Page
from posewatch.storage.s3_place import Addressing, Credentials, S3Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "bucket", "prefix", "shown"),
    [
        ("s3://videos", "videos", "", "s3://videos"),
        ("s3://videos/", "videos", "", "s3://videos"),
        ("s3://videos/in/2026", "videos", "in/2026/", "s3://videos/in/2026"),
        ("s3://my.videos-1/in it/", "my.videos-1", "in it/", "s3://my.videos-1/in it"),
    ],
)
def test_a_place_from_its_url(url: str, bucket: str, prefix: str, shown: str) -> None:
    place = S3Place.parse(url)
    assert (place.bucket, place.prefix, str(place)) == (bucket, prefix, shown)


@pytest.mark.parametrize(
    "url",
    ["", "videos", "s3://", "s3:///in", "s3://a", "https://videos/in", "s3://v/a//b", "s3://v/.."],
)
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(SettingsError):
        S3Place.parse(url)


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://host", "https://", "host"])
def test_what_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="is no endpoint"):
        S3Place.parse("s3://videos", endpoint=endpoint)


@pytest.mark.parametrize(
    ("endpoint", "addressing", "style"),
    [
        (None, Addressing.AUTO, "auto"),
        ("https://s3.eu-central-1.amazonaws.com", Addressing.AUTO, "auto"),
        ("https://s3.cn-north-1.amazonaws.com.cn", Addressing.AUTO, "auto"),
        ("https://account.r2.cloudflarestorage.com", Addressing.AUTO, "path"),
        ("https://amazonaws.com.example.org", Addressing.AUTO, "path"),
        ("https://account.r2.cloudflarestorage.com", Addressing.VIRTUAL, "virtual"),
        (None, Addressing.PATH, "path"),
    ],
)
def test_where_the_name_of_the_bucket_goes(
    endpoint: str | None, addressing: Addressing, style: str
) -> None:
    assert S3Place.parse("s3://videos", endpoint=endpoint, addressing=addressing).style == style


def test_credentials_as_s3fs_has_them(tmp_path: Path) -> None:
    path = tmp_path / "passwd-s3fs"
    path.write_text("# for all\nAKIA:secret\n\nvideos:AKIV:its secret\n")
    assert Credentials.of_passwd_file(path, "videos") == Credentials("AKIV", "its secret")
    assert Credentials.of_passwd_file(path, "others") == Credentials("AKIA", "secret")
    path.write_text("videos:AKIV:its secret\nnonsense\n")
    with pytest.raises(SettingsError, match="no credentials for the bucket 'others'"):
        Credentials.of_passwd_file(path, "others")
    with pytest.raises(SettingsError, match="cannot be read"):
        Credentials.of_passwd_file(tmp_path / "none", "videos")


def test_no_secret_is_ever_shown() -> None:
    who = Credentials("AKIA", "very secret", "token")
    assert "very secret" not in repr(who)
    assert "'token'" not in repr(who)


LISTING = (
    "<ListBucketResult{space}><Name>b</Name><EncodingType>url</EncodingType>"
    "<IsTruncated>true</IsTruncated><NextContinuationToken>1/+=</NextContinuationToken>"
    "<Contents><Key>a%2Fb+c%2B%0A%F0%9F%8E%A5.mp4</Key><Size>5000000000</Size>"
    "<ETag>&quot;0123-9&quot;</ETag><Owner><ID>x</ID></Owner></Contents>"
    "<CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes></ListBucketResult>"
)


@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_a_page_of_a_listing(space: str) -> None:
    listed = Listed("a/b c+\n\N{MOVIE CAMERA}.mp4", 5_000_000_000, "0123-9")
    text = LISTING.format(space=space)
    assert page_of(text.encode()) == Page([listed], "1/+=")
    last = page_of(text.replace("true", "false").replace("url", "none").encode())
    assert last == Page([listed._replace(key="a%2Fb+c%2B%0A%F0%9F%8E%A5.mp4")], None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<ListBucketResult>",
        b"<Error><Code>InternalError</Code></Error>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size><ETag/></Contents></ListBucketResult>",
    ],
)
def test_a_page_that_cannot_be_read_is_no_empty_one(body: bytes) -> None:
    with pytest.raises(UnavailableError):
        page_of(body)
