"""What each answer of an S3 server means for a watched folder."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    FullError,
    MissingError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    UnmountedError,
    UnsupportedError,
)
from posewatch.base.requests import Answer, Request
from posewatch.storage.s3_sure import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from posewatch.storage.s3_place import S3Place


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error code means.

    Attributes:
        kind: of error.
        reason: in words; `{...}` are the fields of the place, and `region` as the server says it.
        hint: what to do about it.
    """

    kind: type[StorageError]
    reason: str
    hint: str = ""


_KEY_HINT: Final = (
    "Check the access key and its secret: [folder] passwd_file or profile, AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, or the passwd file of s3fs"
)
_UNKNOWN_KEY: Final = Meaning(
    MisconfiguredError, "the server does not know this access key", _KEY_HINT
)
_WRONG_SECRET: Final = Meaning(
    MisconfiguredError, "the secret does not belong to the access key", _KEY_HINT
)
_EXPIRED: Final = Meaning(
    MisconfiguredError,
    "the session's token has expired",
    "Renew the credentials; a role of the machine, or a profile with sso or role_arn, is renewed "
    "by itself",
)
_REGION: Final = Meaning(
    MisconfiguredError,
    "the bucket is in the region {found}, not in {region}",
    'Set region = "{found}" ([folder] region, or AWS_REGION)',
)
_CLOCK: Final = Meaning(
    MisconfiguredError,
    "the clock of this machine differs too much from that of the server",
    "Set the clock: timedatectl set-ntp true",
)
_SLOW: Final = Meaning(UnavailableError, "the server asks to slow down")
_BUSY: Final = Meaning(UnavailableError, "another write to the same object is under way")
_CHANGED: Final = Meaning(ChangedError, "it was changed by somebody else")
_FULL: Final = Meaning(
    FullError, "the server has no room, or the quota is used up", "Make room, or raise the quota"
)

MEANING: Final[Mapping[str, Meaning]] = {
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": Meaning(
        MisconfiguredError, "the session's token does not belong to the access key", _KEY_HINT
    ),
    "AccountProblem": Meaning(MisconfiguredError, "there is a problem with the account"),
    "PermanentRedirect": _REGION,
    "MovedPermanently": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "NoSuchBucket": Meaning(
        UnmountedError,
        "there is no bucket {bucket}",
        "Check the bucket's name ([folder] bucket) and the endpoint",
    ),
    "NoSuchKey": Meaning(MissingError, "there is no such object"),
    "404": Meaning(MissingError, "there is no such object"),
    "NotFound": Meaning(MissingError, "there is no such object"),
    "PreconditionFailed": _CHANGED,
    "412": _CHANGED,
    "InvalidRange": _CHANGED,
    "416": _CHANGED,
    "BadDigest": Meaning(UnavailableError, "what arrived at the server was not what was sent"),
    "ConditionalRequestConflict": _BUSY,
    "OperationAborted": _BUSY,
    "SlowDown": _SLOW,
    "SlowDownRead": _SLOW,
    "SlowDownWrite": _SLOW,
    "Throttling": _SLOW,
    "ThrottlingException": _SLOW,
    "RequestLimitExceeded": _SLOW,
    "TooManyRequests": _SLOW,
    "429": _SLOW,
    "QuotaExceeded": _FULL,
    "XAmzQuotaExceeded": _FULL,
    "507": _FULL,
    "KeyTooLongError": Meaning(
        DeniedError, "the name is too long for the server", "Give the video a shorter name"
    ),
    "InvalidObjectState": Meaning(
        DeniedError,
        "it is in an archive (Glacier)",
        "Restore it, or keep videos that are to be worked on in another storage class",
    ),
    "EntityTooLarge": Meaning(UnsupportedError, "it is larger than the server takes in one write"),
    "NotImplemented": Meaning(UnsupportedError, "the server cannot do this"),
    "XNotImplemented": Meaning(UnsupportedError, "the server cannot do this"),
    "501": Meaning(UnsupportedError, "the server cannot do this"),
}

DENIED: Final[Mapping[Request, Meaning]] = {
    Request.PUT: Meaning(
        ReadOnlyError,
        "these credentials may not write to the bucket",
        "Allow s3:PutObject to them",
    ),
    Request.DELETE: Meaning(
        ReadOnlyError,
        "these credentials may not delete in the bucket",
        "Allow s3:DeleteObject to them",
    ),
    Request.LIST: Meaning(
        MisconfiguredError,
        "these credentials may not list the bucket",
        "Allow s3:ListBucket to them",
    ),
    Request.GET: Meaning(
        DeniedError,
        "these credentials may not read it",
        "Allow s3:GetObject to them, and s3:ListBucket, without which what is missing looks denied",
    ),
}
"""What `AccessDenied` means for each request; for HEAD it means the same as for GET."""

THROTTLED: Final = frozenset({"429", "503"}) | {
    code for code, meaning in MEANING.items() if meaning is _SLOW
}


def meaning_of(code: str, request: Request, status: int) -> Meaning:
    """What an error code means, or the HTTP status where the code is not known."""
    known = MEANING.get(code) or MEANING.get(str(status))
    if known is not None:
        return known
    if code in {"AccessDenied", "AllAccessDisabled", "403"} or status in {401, 403}:
        return DENIED.get(request, DENIED[Request.GET])
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return Meaning(UnavailableError, f"the server answered {status} {code}".rstrip())
    if status == HTTPStatus.CONFLICT:
        return _BUSY
    return Meaning(MisconfiguredError, f"the server answered {status} {code}".rstrip())


def translate(
    response: Mapping[str, Any], request: Request, key: str, place: S3Place
) -> StorageError:
    """The error of ours for an answer that is one.

    Args:
        response: `botocore.exceptions.ClientError.response`.
        request: what was asked for.
        key: of which object.
        place: the bucket.
    """
    error, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, status = str(error.get("Code", "")), int(metadata.get("HTTPStatusCode", 0))
    meaning = meaning_of(code, request, status)
    headers = metadata.get("HTTPHeaders", {})
    fields = {
        "found": headers.get("x-amz-bucket-region") or error.get("Region") or "another one",
        "region": place.region or "the one that is set",
        "bucket": place.bucket,
    }
    detail = str(error.get("Message", ""))
    unknown = code not in MEANING and status >= 400 and meaning.kind is MisconfiguredError
    reason = meaning.reason.format(**fields) + (f" ({detail})" if unknown and detail else "")
    return meaning.kind(
        f"could not {request.value} {key or place.bucket!r} in {place}: {reason}",
        hint=meaning.hint.format(**fields),
    )


def answer_of(error: StorageError, response: Mapping[str, Any] | None) -> Answer:
    """How a failure is counted; `response` is None where no answer came."""
    if response is None:
        return Answer.LOST
    code = str(response.get("Error", {}).get("Code", ""))
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in THROTTLED or status in THROTTLED:
        return Answer.THROTTLED
    if isinstance(error, MissingError):
        return Answer.MISSING
    if isinstance(error, ChangedError):
        return Answer.REFUSED
    if isinstance(error, MisconfiguredError | DeniedError | ReadOnlyError | UnmountedError):
        return Answer.DENIED
    return Answer.FAILED
