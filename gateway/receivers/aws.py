"""Signs requests to AWS with the gateway's own credentials, by botocore's signer. Logs nothing, shows no key.

A client's signature covers the host it called, which is the gateway's: it cannot be passed on. Nothing here blocks the
loop: credentials that have to be looked up or renewed are, in a thread, by one request for all that wait.
"""

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from gateway.model.exchange import Headers, Refusal
from gateway.proxy.handler import Origin
from gateway.receivers.aws_config import AwsConfig

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

SERVICE = "bedrock"
LOOKUP_S = 15.0
_log = structlog.get_logger("gateway.aws")
_SIGNATURE = frozenset({b"authorization", b"x-amz-date", b"x-amz-security-token", b"x-amz-content-sha256"})
_FORWARDING = frozenset({b"forwarded", b"via", b"x-real-ip"})
_TRACE_ID = b"x-amzn-trace-id"


def signed_by_client(authorization: bytes | None) -> bool:
    """AWS4-HMAC-SHA256, and AWS4-ECDSA-P256-SHA256 of many regions."""
    return authorization is not None and authorization[:5].upper() == b"AWS4-"


def presigned(target: bytes) -> bool:
    """Whether the signature stands in the query, as in an address that was signed to be handed on."""
    return b"x-amz-signature=" in target.lower()


def without_presigning(target: bytes) -> bytes:
    path, _, query = target.partition(b"?")
    kept = b"&".join([pair for pair in query.split(b"&") if not pair.lower().startswith(b"x-amz-")])
    return path + b"?" + kept if kept else path


def without_signature(headers: Headers) -> Headers:
    """What a client's signature consists of; its session token is a credential."""
    return [header for header in headers if header[0].lower() not in _SIGNATURE]


def _is_forwarding(name: bytes) -> bool:
    """What proxies on the way to us added: it is about them, and those behind us may change it."""
    return name in _FORWARDING or name[:12] == b"x-forwarded-"


def _bare(headers: Headers) -> Headers:
    return [header for header in without_signature(headers) if not _is_forwarding(header[0].lower())]


def nothing_to_sign_with(provider: str) -> Refusal:
    return Refusal(
        401,
        "unauthorized",
        "An AWS signature covers the host that was called, so a gateway cannot pass it on, and this one has nothing to "
        f"sign with itself. Configure receivers::llm::providers::{provider}::aws (credentials to sign with) or its "
        "api_key (a Bedrock API key), or let the client use a Bedrock API key (AWS_BEARER_TOKEN_BEDROCK).",
    )


class AwsSigner:
    """Implements `Sign` for one upstream."""

    def __init__(self, name: str, config: AwsConfig, region: str, origin: Origin) -> None:
        self._name = name
        self._config = config
        self._region = region
        self._base_url = f"{'https' if origin.tls else 'http'}://{origin.authority.decode()}"
        # Here, at start: importing it takes longer than a request may wait.
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import ReadOnlyCredentials

        self._make_request = AWSRequest
        self._make_signer = SigV4Auth
        self._written: ReadOnlyCredentials | None = None
        if config.access_key_id is not None and config.secret_access_key is not None:
            token = config.session_token.get_secret_value() if config.session_token is not None else None
            key, secret = config.access_key_id.get_secret_value(), config.secret_access_key.get_secret_value()
            self._written = ReadOnlyCredentials(key, secret, token)
        self._source: Any = None
        """botocore's credentials, which know how to renew themselves; made at the first request."""
        self._looking: asyncio.Task[ReadOnlyCredentials | None] | None = None

    async def __call__(self, method: str, target: bytes, headers: Headers, body: bytes) -> Headers | Refusal:
        credentials = self._written or await self._looked_up()
        if credentials is None:
            return self._no_credentials()
        return self._signed(credentials, method, target, _bare(headers), body)

    async def _looked_up(self) -> "ReadOnlyCredentials | None":
        """One thread for all that wait; a client that goes does not stop it for the others."""
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(self._look_up), name=f"AWS credentials {self._name}")
            self._looking.add_done_callback(self._looked)
        try:
            return await asyncio.wait_for(asyncio.shield(self._looking), LOOKUP_S)
        except TimeoutError:
            return None

    def _looked(self, task: "asyncio.Task[ReadOnlyCredentials | None]") -> None:
        self._looking = None
        if not task.cancelled():
            task.exception()  # seen by those who wait, where any still do

    def _look_up(self) -> "ReadOnlyCredentials | None":
        """In a thread: files, processes, the network."""
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        try:
            if self._source is None:
                self._source = Session(profile=self._config.profile).get_credentials()
            return self._source.get_frozen_credentials() if self._source is not None else None
        except BotoCoreError as error:
            _log.warning("AWS credentials were not found", provider=self._name, error=type(error).__name__)
            return None

    def _no_credentials(self) -> Refusal:
        return Refusal(
            503,
            "upstream_unreachable",
            f"The gateway found no AWS credentials to sign with for provider '{self._name}'. Write access_key_id and "
            f"secret_access_key under receivers::llm::providers::{self._name}::aws, or check its profile, the "
            "environment or the role that the gateway runs with.",
        )

    def _signed(
        self, credentials: "ReadOnlyCredentials", method: str, target: bytes, headers: Headers, body: bytes
    ) -> Headers:
        request = self._make_request(method, self._base_url + target.decode("latin-1"), data=body)
        for name, value in headers:
            if _is_signed(name.lower()):
                request.headers[name.decode("latin-1")] = value.decode("utf-8", "replace")
        before = set(request.headers.keys())
        self._make_signer(credentials, SERVICE, self._region).add_auth(request)
        added = [(name, value) for name, value in request.headers.items() if name not in before]
        return [*headers, *((name.encode("latin-1"), value.encode("latin-1")) for name, value in added)]


def _is_signed(name: bytes) -> bool:
    """What AWS wants signed and no more: whatever else passes, a proxy behind us may change."""
    return name in (b"host", b"content-type") or (
        (name[:6] == b"x-amz-" or name[:7] == b"x-amzn-") and name != _TRACE_ID
    )
