"""Sends the requests of `posewatch.storage.s3_objects` to a server, with boto3's lower half.

botocore is imported only when a bucket is watched. It signs and sends, and tries nothing again:
what a failed write has done is for `posewatch.storage.s3_sure` to find out.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack, closing, contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    MissingError,
    UnavailableError,
)
from posewatch.base.requests import Answer, Request
from posewatch.storage.aws import connect
from posewatch.storage.s3_errors import answer_of, translate
from posewatch.storage.s3_listing import page_of
from posewatch.storage.s3_objects import Content, Found, Page
from posewatch.storage.s3_sure import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.storage.s3_objects import Body
    from posewatch.storage.s3_place import S3Place

CONNECT_TIMEOUT: Final = 5.0
"""Seconds until a connection stands."""

READ_TIMEOUT: Final = 20.0
"""Seconds without a single byte of an answer: a third of the usual `ttl`, so that one request that
hangs costs no claim."""

CONNECTIONS: Final = 64
"""Kept open: several jobs fetch by several ranges each, while others beat and scan."""

PIECE: Final = 1 << 18
"""Bytes that are read from a connection at a time; with four times as many a copy is no faster, and
takes three times the memory, 38 MB."""

MARK: Final = "posewatch-write"
"""Name of the metadata that holds `Body.mark`."""

BODY: Final = "posewatch-body"
"""Where `_unread` puts the body of an answer."""

NOTHING: Final = b"<ListBucketResult/>"
"""What botocore gets to read in its place."""


def nobody(_request: Request, _answer: Answer) -> None:
    """Counts nothing."""


class S3Client:
    """See `ObjectStore`.

    Args:
        place: the bucket.
        count: told of each request and what became of it.

    Attributes:
        conditional: whether `put` sends its condition at all.
        quoted: whether the ETag in a condition of `put` is quoted, as the standard wants it and
            Ceph does not.

    Raises:
        SettingsError: the usual settings of AWS contradict themselves.
    """

    def __init__(self, place: S3Place, count: Callable[[Request, Answer], None] = nobody) -> None:
        self.place = place
        self.quoted = True
        self.conditional = True
        self._count = count
        self._client = _connect(place)

    def put(self, key: str, body: Body, expected: str | None) -> str:
        """See `ObjectStore`."""
        condition: dict[str, str | None] = {}
        if self.conditional:
            etag = f'"{expected}"' if self.quoted else expected
            condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": etag}
        with ExitStack() as stack:
            source = body.source
            data = source if isinstance(source, bytes) else stack.enter_context(source.open("rb"))
            try:
                with self._request(Request.PUT, key):
                    answer = self._client.put_object(
                        Bucket=self.place.bucket,
                        Key=key,
                        Body=data,
                        ContentLength=body.size,
                        ContentMD5=base64.b64encode(body.md5).decode(),
                        Metadata={MARK: body.mark},
                        **condition,
                    )
            except MissingError as error:  # how AWS tells that there is nothing to replace
                raise ChangedError(f"{key!r} was removed") from error
            except ChangedError as error:
                if expected is None:
                    raise ExistsError(f"{key!r} is there already") from error
                raise
        return _bare(answer["ETag"])

    def get(self, key: str, limit: int) -> Content | None:
        """See `ObjectStore`."""
        try:
            with self._request(Request.GET, key):
                answer = self._client.get_object(Bucket=self.place.bucket, Key=key)
                with closing(answer["Body"]) as body:
                    found = _found(answer)
                    return Content(_whole(body, min(limit, found.size)), found)
        except MissingError:
            return None

    def pieces(self, key: str, etag: str, first: int, count: int) -> Iterator[bytes]:
        """See `ObjectStore`."""
        with self._request(Request.GET, key):
            answer = self._client.get_object(
                Bucket=self.place.bucket,
                Key=key,
                IfMatch=f'"{etag}"',
                Range=f"bytes={first}-{first + count - 1}",
            )
            if _bare(answer["ETag"]) != etag:
                raise ChangedError(f"{key!r} was changed")
            with closing(answer["Body"]) as body:
                # A server that knows no ranges answers with the whole.
                skip = (
                    0
                    if answer["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.PARTIAL_CONTENT
                    else first
                )
                while skip and (piece := body.read(min(skip, PIECE))):
                    skip -= len(piece)
                while count and (piece := body.read(min(count, PIECE))):
                    count -= len(piece)
                    yield piece

    def head(self, key: str) -> Found | None:
        """See `ObjectStore`."""
        try:
            with self._request(Request.HEAD, key):
                return _found(self._client.head_object(Bucket=self.place.bucket, Key=key))
        except MissingError:
            return None
        except (MisconfiguredError, DeniedError):
            # The answer to a HEAD has no body: only a GET tells what is wrong.
            content = self.get(key, 0)
            return content.found if content is not None else None

    def list(self, prefix: str, page: str | None = None) -> Page:
        """See `ObjectStore`."""
        more = {"ContinuationToken": page} if page is not None else {}
        with self._request(Request.LIST, ""):
            answer = self._client.list_objects_v2(
                Bucket=self.place.bucket, Prefix=prefix, EncodingType="url", **more
            )
            return page_of(answer[BODY])

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with suppress(MissingError), self._request(Request.DELETE, key):
            self._client.delete_object(Bucket=self.place.bucket, Key=key)

    @contextmanager
    def _request(self, request: Request, key: str) -> Iterator[None]:
        """Count a request, and translate what it raises."""
        # Only where a bucket is watched. urllib3 speaks where botocore does not translate it: when
        # the text of an error is cut off.
        from botocore import exceptions  # noqa: PLC0415 -- see above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 -- see above

        answer = Answer.LOST
        try:
            yield
            answer = Answer.OK
        except exceptions.ClientError as error:
            fault = translate(error.response, request, key, self.place)
            answer = answer_of(fault, error.response)
            raise fault from error
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            answer = Answer.DENIED
            raise MisconfiguredError(
                f"there are no credentials for {self.place}",
                hint="Set [folder] passwd_file or profile, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials",
            ) from error
        except (exceptions.BotoCoreError, HTTPError) as error:
            raise UnavailableError(
                f"could not {request.value} {key or self.place.bucket!r} in {self.place}: {error}"
            ) from error
        except ChangedError:
            answer = Answer.REFUSED
            raise
        except GeneratorExit:
            answer = Answer.OK
            raise
        finally:
            self._count(request, answer)


def _connect(place: S3Place) -> Any:  # noqa: ANN401 -- botocore has no types
    client = connect(
        "s3",
        place,
        endpoint=place.endpoint,
        s3={"addressing_style": place.style},
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        max_pool_connections=CONNECTIONS,
        # Many servers answer 400 to the checksum that botocore adds by itself.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # By this name it comes before a handler of botocore's own that parses every body in search of
    # an error: a third of the CPU time of a listing. Nothing but time depends on that.
    client.meta.events.register_first("before-parse.*.ListObjectsV2", _unread)
    client.meta.events.register("before-parameter-build.s3", _stay)
    return client


def _stay(context: dict[str, Any], **_more: object) -> None:
    """Keep botocore from asking again elsewhere, uncounted: a wrong region is a wrong setting."""
    context["s3_redirect"]["redirected"] = True


def _unread(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_more: object
) -> None:
    """Keep the body of a listing from botocore, for `page_of`."""
    if response_dict["status_code"] == HTTPStatus.OK:
        customized_response_dict[BODY] = response_dict["body"]
        response_dict["body"] = NOTHING


def _found(answer: Any) -> Found:  # noqa: ANN401 -- botocore has no types
    mark = answer.get("Metadata", {}).get(MARK, "")
    return Found(answer["ContentLength"], _bare(answer["ETag"]), mark)


def _whole(body: Any, size: int) -> bytes:  # noqa: ANN401 -- botocore has no types
    """So many bytes of an answer; botocore raises where it ends before."""
    data = bytearray()
    while len(data) < size and (piece := body.read(size - len(data))):
        data += piece
    return bytes(data)


def _bare(etag: str) -> str:
    return etag.strip('"')
