"""Configured providers as upstreams, ready to be used: address, TLS, forward proxy, the key or signer that is held."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.model.exchange import Refusal
from gateway.proxy.handler import Origin, Plan
from gateway.receivers.aws import (
    AwsSigner,
    nothing_to_sign_with,
    presigned,
    signed_by_client,
    without_presigning,
    without_signature,
)
from gateway.receivers.aws_config import region_of
from gateway.receivers.families import FAMILIES
from gateway.receivers.forward_proxy import chosen_proxy
from gateway.receivers.llm_config import ProviderConfig

_ABOVE = re.compile(r"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){2}(?:$|[/\\;#]|%2f|%5c|%23)", re.IGNORECASE)


@dataclass(slots=True, frozen=True)
class Upstream:
    """A configured provider, ready to be used."""

    name: str
    family: str
    provider_name: str
    origin: Origin
    authority: bytes
    base_path: bytes
    credential: tuple[bytes, bytes] | None
    """The header that carries the key the gateway holds, or None: the client's own passes."""
    include_usage: bool
    aws: bool = False
    """Its clients may sign what they send, which nobody can pass on."""
    signer: AwsSigner | None = None


def upstream_of(name: str, provider: ProviderConfig, environ: Mapping[str, str]) -> Upstream:
    url = urlsplit(provider.base_url)
    tls: ssl.SSLContext | None = None
    if url.scheme == "https":
        tls = ssl.create_default_context(cafile=provider.ca_file)
        tls.set_alpn_protocols(["http/1.1"])
    written = provider.proxy.get_secret_value() if provider.proxy is not None else None
    proxy = chosen_proxy(url, written, environ)
    origin = Origin(url.hostname or "", url.port or (443 if tls else 80), tls, proxy)
    credential = None
    if provider.api_key is not None:
        family = FAMILIES[provider.api]
        credential = (family.slot, family.scheme + provider.api_key.get_secret_value().encode())
    signer = None
    if provider.aws is not None and (region := region_of(provider.aws, provider.base_url)) is not None:
        signer = AwsSigner(name, provider.aws, region, origin)
    return Upstream(
        name=name,
        family=provider.api,
        provider_name=provider.provider_name or (name == provider.api and FAMILIES[name].provider_name) or name,
        origin=origin,
        authority=origin.authority,
        base_path=url.path.rstrip("/").encode(),
        credential=credential,
        include_usage=provider.include_usage,
        aws=provider.api == "bedrock",
        signer=signer,
    )


def with_signature(plan: Plan, upstream: Upstream) -> Plan:
    """A Bedrock API key passes, whoever holds it; all else is signed, where there is something to sign with."""
    in_query = presigned(plan.target)
    passing = [value for name, value in plan.forward if name.lower() == b"authorization"]
    by_client = in_query or any(map(signed_by_client, passing))
    if upstream.credential is not None:
        # SECURITY: a client's session token is a credential, and does not go beside the gateway's.
        plan.forward = [*without_signature(plan.forward), upstream.credential]
    elif upstream.signer is None:
        plan.refusal = nothing_to_sign_with(upstream.name) if by_client else None
        return plan
    elif by_client or not passing:
        plan.sign = upstream.signer
    if in_query:
        plan.target = without_presigning(plan.target)
    return plan


def above_its_base(upstream: Upstream) -> Refusal:
    """SECURITY: whoever may use one base URL may not climb to what stands beside it on the same host."""
    return Refusal(
        400,
        "bad_request",
        f"The path climbs above the base URL of provider '{upstream.name}'. Send it without '..' in it.",
    )


def climbs(path: str) -> bool:
    """Whether there is a `..` in it, in whatever way it may be written."""
    return ("." in path or "%" in path) and _ABOVE.search(path) is not None
