from __future__ import annotations

import pytest

from posewatch.base.errors import UnavailableError
from posewatch.storage.s3_listing import page_of
from posewatch.storage.s3_objects import Listed

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.example/">'
OWNER = "<Owner>\n<ID>Key</ID><DisplayName>a &amp; b</DisplayName></Owner>"


def contents(key: str, size: str = "5", etag: str = "&quot;e1&quot;") -> str:
    # with fields that nobody asked for, and white space wherever a server may leave some
    return (
        f"<Contents>\n  <Key>{key}</Key>\n<LastModified>2026-01-01T00:00:00Z</LastModified>"
        f"<ETag>{etag}</ETag><Size>{size}</Size>{OWNER}\n</Contents>\n"
    )


def page(*parts: str, end: str = "</ListBucketResult>") -> bytes:
    return "".join((HEAD, *parts, end)).encode()


def test_an_empty_page() -> None:
    found = page_of(page("<Name>b</Name><Prefix></Prefix><IsTruncated>false</IsTruncated>"))
    assert (list(found.objects), found.following) == ([], None)


def test_objects_in_their_order() -> None:
    found = page_of(page(contents("b"), contents("a &lt;é☃", size="0", etag="bare-2")))
    assert found.objects == [Listed("b", 5, "e1"), Listed("a <é☃", 0, "bare-2")]


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("a%2Fb%2Fc.mp4", "a/b/c.mp4"),
        ("a/b", "a/b"),
        ("a+b%2Bc%20d", "a b+c d"),
        ("%252F", "%2F"),
        ("100%25%2F%0A", "100%/\n"),
        ("%E2%98%83", "☃"),
        ("caf%E9.mp4", "caf\udce9.mp4"),
    ],
)
def test_names_are_decoded_where_the_server_says_that_they_are_encoded(sent: str, key: str) -> None:
    kind = "<EncodingType>url</EncodingType>"
    for parts in ((kind, contents(sent)), (contents(sent), kind)):
        assert [one.key for one in page_of(page(*parts)).objects] == [key]
    assert [one.key for one in page_of(page(contents(sent))).objects] == [sent]


def test_the_next_page_is_asked_for_only_where_there_is_one() -> None:
    following = "<NextContinuationToken>a%2Fb+</NextContinuationToken>"
    kind = "<EncodingType>url</EncodingType>"
    more = page_of(page("<IsTruncated>true</IsTruncated>", following, kind))
    assert more.following == "a%2Fb+"
    assert page_of(page("<IsTruncated>false</IsTruncated>", following, kind)).following is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        page(contents("a"), end=""),
        page("<Contents><Key>a</Key></Contents>"),
        page(contents("a", size="many")),
        b"<Error><Code>InternalError</Code></Error>",
    ],
)
def test_what_is_no_listing_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(UnavailableError, match="listing"):
        page_of(body)
