"""What a user writes about the AWS credentials that the gateway signs with."""

import re
from importlib.util import find_spec
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from gateway.units import ConfigModel, Secret

_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+")
_REGION_IN_HOST = re.compile(rf"(?:^|\.)bedrock-runtime(?:-fips)?\.({_REGION.pattern})\.")


class AwsConfig(ConfigModel):
    """Keys written here, a profile of the AWS files, or what botocore finds itself (environment, files, role)."""

    region: str | None = None
    """Part of the signature. May be left out where the base URL names it."""
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("region")
    @classmethod
    def _like_a_region(cls, region: str | None) -> str | None:
        if region is not None and not _REGION.fullmatch(region):
            raise ValueError(f"{region!r} is not an AWS region; write one such as us-east-1")
        return region

    @field_validator("access_key_id", "secret_access_key", "session_token")
    @classmethod
    def _sendable(cls, key: Secret | None) -> Secret | None:
        text = key.get_secret_value() if key is not None else "x"
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("is empty or has characters that no key has; check for spaces and line ends")
        return key

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("has half a key; write access_key_id and secret_access_key, or neither of them")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("has a session_token without its key; write access_key_id and secret_access_key too")
        if self.profile is not None and self.access_key_id is not None:
            raise ValueError("has a key and a profile; write one of them")
        if find_spec("botocore") is None:
            raise ValueError(
                "needs botocore, which is not installed beside the gateway; run: python -m pip install botocore"
            )
        return self


def region_of(config: AwsConfig, base_url: str) -> str | None:
    """The written region, else the one in a host such as bedrock-runtime.us-east-1.amazonaws.com."""
    if config.region is not None:
        return config.region
    match = _REGION_IN_HOST.search(urlsplit(base_url).hostname or "")
    return match[1] if match is not None else None
