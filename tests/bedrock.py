"""What the tests of Bedrock share: a boto3 client that keeps its hands off the machine's own AWS settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

KEY, SECRET, REGION = "AKIDCLIENT", "the-clients-own-secret", "eu-central-1"


@contextmanager
def bedrock(
    url: str, bearer: str | None = None, headers: dict[str, str] | None = None, retries: int = 0, **more: Any
) -> Iterator[Any]:
    """A `bedrock-runtime` client: signs with a key of its own, or sends `bearer`. Blocks: use it in a thread.

    boto3's own bearer signer refuses plain HTTP, whatever the host: the header it would send is added by hand.
    """
    session = botocore.session.Session()
    session.set_config_variable("config_file", "/nonexistent")
    session.set_config_variable("credentials_file", "/nonexistent")
    if bearer is not None:
        more["signature_version"] = UNSIGNED
    config = Config(retries={"total_max_attempts": 1 + retries}, connect_timeout=30, read_timeout=30, **more)
    client: Any = boto3.Session(botocore_session=session, region_name=REGION).client(
        "bedrock-runtime", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, config=config
    )
    client.meta.events.register(
        "before-call.bedrock-runtime", lambda params, **_: params["headers"].update(headers or {})
    )
    if bearer is not None:
        client.meta.events.register(
            "request-created.bedrock-runtime",
            lambda request, **_: request.headers.add_header("Authorization", f"Bearer {bearer}"),
        )
    try:
        yield client
    finally:
        client.close()


def events_of(stream: Any) -> list[Any]:
    """Everything in an event stream; its connection is closed also where it ends in an exception."""
    try:
        return list(stream)
    finally:
        stream.close()
