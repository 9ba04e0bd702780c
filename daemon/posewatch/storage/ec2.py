"""Stopping the very machine that this runs on, where that is an instance of EC2.

Which instance it is, the instance metadata service tells (version 2: every question needs a token
first, which no web page and no careless proxy can get). The credentials are those that AWS's tools
would take; usually those of the instance's role, which needs `ec2:StopInstances` or
`ec2:TerminateInstances` for this one instance.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final
from urllib.request import ProxyHandler, Request, build_opener

from posewatch.base.errors import PosewatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA: Final = "http://169.254.169.254"
"""Link-local, and so answered by the machine's own host; `AWS_EC2_METADATA_SERVICE_ENDPOINT`, as
AWS's tools have it, names another."""

TIMEOUT: Final = 5.0
"""Seconds for one question."""

TOKEN_SECONDS: Final = 60
"""How long a token is good for."""


def stop_this_instance(*, terminate: bool, environ: Mapping[str, str] = os.environ) -> None:
    """Stop this instance, or terminate it for good, through the API. Returns when that has begun.

    Args:
        terminate: whether its disks may go as well.
        environ: of this process.

    Raises:
        PosewatchError: this is no instance of EC2, or the API refuses.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- see `aws`
    from botocore.session import Session  # noqa: PLC0415 -- see `aws`

    instance, region = _this_instance(environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or METADATA)
    permission = "ec2:TerminateInstances" if terminate else "ec2:StopInstances"
    try:
        client = Session().create_client("ec2", region_name=region)
        act = client.terminate_instances if terminate else client.stop_instances
        act(InstanceIds=[instance])
    except ClientError as error:
        told = error.response.get("Error", {})
        raise PosewatchError(
            f"EC2 refuses to stop {instance}: {told.get('Code')}: {told.get('Message')}",
            hint=f"The role of the instance needs {permission}; a spot instance of one request "
            "can only be terminated",
        ) from error
    except BotoCoreError as error:
        raise PosewatchError(
            f"EC2 cannot be asked to stop {instance}: {error}",
            hint="Give the instance a role, and the service the way to the network",
        ) from error


def _this_instance(endpoint: str) -> tuple[str, str]:
    """Id and region of the instance that this runs on."""
    base = endpoint.rstrip("/")
    # No proxy knows which machine is asking.
    opener = build_opener(ProxyHandler({}))
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
    ask = Request(f"{base}/latest/api/token", method="PUT", headers=ttl)  # noqa: S310 -- as set
    try:
        with opener.open(ask, timeout=TIMEOUT) as answer:
            token = answer.read(4096).decode("ascii")
        document = Request(  # noqa: S310 -- as set
            f"{base}/latest/dynamic/instance-identity/document",
            headers={"X-aws-ec2-metadata-token": token},
        )
        with opener.open(document, timeout=TIMEOUT) as answer:
            told = json.loads(answer.read(65_536))
        instance, region = told["instanceId"], told["region"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PosewatchError(
            f"the instance metadata service does not tell which instance this is: {error}",
            hint="It must be an instance of EC2 with the metadata service on (IMDSv2)",
        ) from error
    if not isinstance(instance, str) or not isinstance(region, str):
        raise PosewatchError("the instance metadata service does not tell which instance this is")
    return instance, region
