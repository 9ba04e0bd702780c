"""Clients of AWS's services, and of servers that speak like them, through botocore.

It is imported only when a client is made: whoever watches no bucket does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from posewatch import __version__
from posewatch.base.errors import SettingsError

if TYPE_CHECKING:
    from posewatch.storage.s3_place import S3Place

REGION: Final = "us-east-1"
"""What a server that is not of AWS is told, where no setting says it: most ignore it."""


def connect(
    service: str,
    place: S3Place,
    *,
    endpoint: str | None,
    region: str | None = None,
    **config: Any,  # noqa: ANN401 -- whatever botocore's Config takes
) -> Any:  # noqa: ANN401 -- botocore has no types
    """A client that tries nothing again: what a failed request has done is for others to find out.

    Args:
        service: as botocore calls it.
        place: the bucket, whose credentials and region count.
        endpoint: URL of the server; None for AWS.
        region: of the service, where it is not that of the bucket.
        config: see `botocore.config.Config`.

    Raises:
        SettingsError: the usual settings of AWS contradict themselves.
    """
    from botocore.config import Config  # noqa: PLC0415 -- see above

    session = _session(place)
    if place.credentials is not None:
        who = place.credentials
        session.set_credentials(who.access_key, who.secret_key, who.token)
    return session.create_client(
        service,
        region_name=region or place.region or session.get_config_variable("region") or REGION,
        endpoint_url=endpoint,
        config=Config(
            tcp_keepalive=True,
            retries={"total_max_attempts": 1, "mode": "standard"},
            user_agent_extra=f"posewatch/{__version__}",
            **config,
        ),
    )


def credentials_from(place: S3Place) -> str:
    """Which of AWS's usual places has the keys, as botocore calls it; empty where none has.

    Raises:
        SettingsError: the usual settings of AWS contradict themselves.
    """
    found = _session(place).get_credentials()
    return "" if found is None else str(found.method)


def _session(place: S3Place) -> Any:  # noqa: ANN401 -- botocore has no types
    from botocore.exceptions import ProfileNotFound  # noqa: PLC0415 -- see above
    from botocore.session import Session  # noqa: PLC0415 -- see above

    session = Session(profile=place.profile)
    try:
        session.get_scoped_config()
    except ProfileNotFound as error:
        raise SettingsError(
            f"there is no profile {place.profile!r} in the AWS configuration",
            hint="See [folder] profile and ~/.aws/config",
        ) from error
    return session
