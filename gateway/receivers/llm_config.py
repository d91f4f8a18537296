"""What a user writes about the `llm` receiver: where it listens, its bounds, and the providers behind it."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.receivers.aws_config import AwsConfig, region_of
from gateway.receivers.families import FAMILIES
from gateway.receivers.forward_proxy import DIRECT, proxy_of
from gateway.tls import ServerTlsConfig
from gateway.units import ConfigModel, Endpoint, PositiveDuration, Secret, Size

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
RESERVED_NAMES = frozenset({"v1", "v1alpha", "v1beta", "v2", "api", "model", "models"})
"""First path segments of the APIs themselves: a provider of that name would swallow their calls."""
PORTS = range(1, 65536)


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port in (None, *PORTS)
    except ValueError:  # a port that is no number, a bracket that is not closed
        sound = False
    if not sound or any(character.isspace() for character in url):
        raise ValueError("is not a base URL; write one such as https://api.openai.com or http://127.0.0.1:11434")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("has a user, a query or a fragment; put a key into api_key, and leave the rest out")
    return url.rstrip("/")


def _existing_file(path: str) -> str:
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; name a PEM file, relative to the working directory")
    return path


def _sendable(key: Secret) -> Secret:
    text = key.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("is empty or has characters that no header can carry; check for spaces and line ends")
    return key


def _usable_proxy(url: Secret) -> Secret:
    if url.get_secret_value() != DIRECT:
        try:
            proxy_of(url.get_secret_value())
        except ValueError as error:
            raise ValueError(f"{error}, or {DIRECT} for none") from None  # the cause might show the URL
    return url


class ProviderConfig(ConfigModel):
    """One upstream. Its name in the map is its path prefix on the proxy port."""

    api: Literal[
        "openai", "anthropic", "gemini", "vertex", "bedrock", "azure", "mistral", "cohere", "ollama", "generic"
    ]
    """generic: relayed as it is, bodies not understood. May be left out where the name says it."""
    base_url: Annotated[str, AfterValidator(_base_url)]
    api_key: Annotated[Secret, AfterValidator(_sendable)] | None = None
    """The gateway holds the key; without it the client's own passes."""
    provider_name: str | None = Field(default=None, min_length=1, max_length=200)
    """`gen_ai.provider.name` on spans; where left out the conventions' name of a built-in provider, else its own."""
    proxy: Annotated[Secret, AfterValidator(_usable_proxy)] | None = None
    """The forward proxy that opens the way (http://user:password@host:port), or `direct`; else the environment's."""
    ca_file: Annotated[str, AfterValidator(_existing_file)] | None = None
    """PEM of the authority that signed an https upstream's certificate, instead of the system's."""
    include_usage: bool = False
    """Ask for the token usage of OpenAI Chat Completions streams where the client does not, and hide the extra chunk.

    The other chunks then have `"usage":null`, as the API says; that is harmless, and stays.
    """
    aws: AwsConfig | None = None
    """Bedrock: the gateway signs with these credentials what does not come with a client's own API key."""

    @model_validator(mode="before")
    @classmethod
    def _in_region(cls, written: Any) -> Any:
        """AWS has one address a region."""
        match written:
            case {"api": "bedrock", "aws": {"region": str(region)}} if written.get("base_url") is None:
                return {**written, "base_url": f"https://bedrock-runtime.{region}.amazonaws.com"}
        return written

    @model_validator(mode="after")
    def _signing(self) -> Self:
        if self.aws is None:
            return self
        if self.api != "bedrock":
            raise ValueError(f"has aws, which is for bedrock, and its api is {self.api}; take one of them out")
        if self.api_key is not None:
            raise ValueError("has api_key and aws; keep one of them: an API key needs no signature")
        if region_of(self.aws, self.base_url) is None:
            raise ValueError("has a base_url that names no AWS region; write aws: {region: us-east-1} or the like")
        return self


class TimeoutsConfig(ConfigModel):
    connect: PositiveDuration = 10.0
    first_byte: PositiveDuration = 600.0
    idle: PositiveDuration = 300.0
    """Between two pieces of a response."""
    header: PositiveDuration = 10.0
    """From a request's first byte to the end of its head."""
    request: PositiveDuration = 300.0
    """From the end of the head to the end of the body."""
    keep_alive: PositiveDuration = 75.0
    """Between two requests of a client."""
    write: PositiveDuration = 60.0
    """How long a client may take nothing while there is something for it."""
    websocket: PositiveDuration = 3600.0
    """A WebSocket on which nothing passes, either way."""


def _built_in() -> dict[str, ProviderConfig]:
    return {
        name: ProviderConfig.model_validate({"api": name, "base_url": family.base_url})
        for name, family in FAMILIES.items()
        if family.base_url is not None
    }


def _provider_names(providers: object) -> object:
    """Fills in the `api` of a provider whose name says it; refuses names that no path can carry."""
    if not isinstance(providers, dict):
        return providers
    return {name: _with_api(name, written) for name, written in providers.items()}


def _with_api(name: object, written: Any) -> Any:
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None or not (written is None or isinstance(written, dict)):
        return written
    known = {"api": name} if family.base_url is None else {"api": name, "base_url": family.base_url}
    return {**known, **{key: value for key, value in (written or {}).items() if value is not None}}


def _segment(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"{name} is the beginning of an API's own paths; choose another name for this provider")
    if not _NAME.fullmatch(name):
        raise ValueError("is not a path segment; use letters, digits, dot, dash and underscore, 63 at most")
    return name


class LlmConfig(ConfigModel):
    endpoint: Endpoint = "127.0.0.1:4000"
    tls: ServerTlsConfig | None = None
    """Without it clients speak plain HTTP."""
    capture_max: Size = 8 * 1024 * 1024
    """Per direction; more is relayed, not captured."""
    max_body: Size = 64 * 1024 * 1024
    max_header: Annotated[Size, Field(ge=1024)] = 64 * 1024
    max_unfinished: Size = Field(default=512 * 1024 * 1024, validate_default=True)
    """Kept of all request bodies together that are not whole yet, by each worker."""
    max_connections: int = Field(default=10_000, ge=1)
    timeouts: TimeoutsConfig = Field(default_factory=TimeoutsConfig)
    drain: PositiveDuration = 30.0
    """How long open exchanges may go on when the gateway stops."""
    propagate: bool = False
    """Whether the upstream gets the trace context."""
    providers: Annotated[
        dict[Annotated[str, AfterValidator(_segment)], ProviderConfig],
        BeforeValidator(_provider_names),
        Field(min_length=1),
    ] = Field(default_factory=_built_in)
    default_provider: str = Field(default="openai", validate_default=True)
    """Takes `/v1/…` calls whose path does not tell the provider."""

    @field_validator("max_unfinished")
    @classmethod
    def _room_for_one(cls, limit: int, info: ValidationInfo) -> int:
        one = [info.data[bound] for bound in ("capture_max", "max_body") if bound in info.data]
        if one and limit < min(one):
            raise ValueError("has no room for one body; write capture_max or more")
        return limit

    @field_validator("default_provider")
    @classmethod
    def _configured(cls, name: str, info: ValidationInfo) -> str:
        providers = info.data.get("providers")  # absent where the map itself is wrong
        if providers is not None and name not in providers:
            configured = ", ".join(providers)
            raise ValueError(f'references provider "{name}" which is not configured; valid: {configured}')
        return name
