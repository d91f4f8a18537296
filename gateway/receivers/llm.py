"""Takes calls on the proxy port: finds their provider, makes them exchanges, and hands them through the pipeline."""

import re
import ssl
import time
from base64 import b64decode
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from posixpath import normpath
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gateway.contracts import Provider, Spoken
from gateway.model.exchange import Captured, Connection, Exchange, Headers, Refusal
from gateway.model.randomness import random_bytes
from gateway.pipeline import Pipeline
from gateway.proxy.handler import Origin, Plan, RequestHead, Talk
from gateway.proxy.headers import NOT_FORWARDED, crossing, for_a_plain_answer, lower_names, named_in_connection
from gateway.proxy.routes import GOOGLES, Routes
from gateway.proxy.upgrades import asks_websocket
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
from gateway.receivers.llm_config import LlmConfig, ProviderConfig
from gateway.receivers.llm_usage import USAGE_API, UsageInjection
from gateway.receivers.websocket import OpaqueTalk, UnderstoodTalk
from gateway.receivers.websocket_plan import NOT_UNDERSTOOD, handshake_headers

_OURS = frozenset(
    {
        b"x-session-end",
        b"x-user-id",
        b"x-participant",
        b"x-origin",
        b"x-service",
        b"x-workspace",
    }
)
_TRACE_CONTEXT = frozenset({b"traceparent", b"tracestate", b"baggage"})
_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"ocp-apim-subscription-key"})
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_REPLACED = _CREDENTIALS | {b"x-amz-security-token"}
"""What a client may authenticate itself with: goes where the gateway holds the key."""
_MAY_CARRY_KEY = _REPLACED | {b"cookie"}
_COOKIE = frozenset({b"cookie"})
_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})
_GATEWAY_KEY = re.compile(rb"(?<![A-Za-z0-9_-])sg-", re.IGNORECASE)
"""Behind a scheme, a comma, a quote or a cookie's name: wherever a value or a part of one may begin."""
_BASIC = re.compile(rb"\s*basic\s+([A-Za-z0-9+/=_-]+)", re.IGNORECASE)
_ABOVE = re.compile(r"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){2}(?:$|[/\\;#]|%2f|%5c|%23)", re.IGNORECASE)
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "subscription-key"})
_SECRET_PARAMETERS = _KEY_PARAMETERS | {
    *("x-amz-credential", "x-amz-signature", "x-amz-security-token", "x-goog-credential", "x-goog-signature"),
    *("awsaccesskeyid", "signature", "sig"),
}
"""Also what signs a URL, as the OpenTelemetry conventions have it for `url.query`."""
_OUR_PARAMETERS = frozenset(
    {"key", "apikey", "xapikey", "xgoogapikey", "accesstoken", "subscriptionkey", "token", "authorization", "auth"}
)
"""Where a gateway key may be, without what is no letter; anybody else's token is none of our business."""
_HELD_PARAMETERS = _OUR_PARAMETERS - {"token", "authorization", "auth"}
_KEY_IN_VALUE = re.compile(r"(?<![A-Za-z0-9_-])sg-", re.IGNORECASE)
_NO_LETTERS = re.compile(r"[^a-z0-9]+")
_SECRET = _OUR_PARAMETERS | {_NO_LETTERS.sub("", name) for name in _SECRET_PARAMETERS}
"""What is not shown, without what is no letter."""
_PATH = re.compile(r"[^?;#]*")
_SEGMENT_PARAMETERS = re.compile(r";[^/]*")
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_MAY_HIDE = re.compile(r"[;#%]")
_PAIR_ENDS = re.compile(r"([?&;#])")
_GOOGLE_KEY = re.compile(r"(?:^|&)key=", re.IGNORECASE)
_CALLS_REMEMBERED, _LONGEST_REMEMBERED = 1024, 256


@dataclass(slots=True, frozen=True)
class _Upstream:
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


class _Call(NamedTuple):
    """What a method and a target come to: the same for every request that repeats them."""

    upstream: _Upstream
    provider: Provider
    target: str
    """Path and query below the provider's base URL, keys masked: what may be remembered of them."""
    sent: bytes
    """Path and query for the upstream."""


_KEY_IN_PATH = Refusal(
    400,
    "bad_request",
    "The path has a gateway key in it. Send the key in the header x-spangate-key, and the path without it.",
)


class LlmReceiver:
    """The relay's `Handler`."""

    def __init__(
        self,
        config: LlmConfig,
        pipeline: Pipeline,
        providers: Sequence[Provider],
        environ: Mapping[str, str] = _NO_ENVIRONMENT,
        sockets: Sequence[Spoken] = (),
    ) -> None:
        """`providers`: wire formats, the most specific first; the last one matches everything.

        `environ` may name forward proxies. Raises ValueError where it does so badly. `sockets`: the APIs that are
        understood on a WebSocket.
        """
        self._pipeline = pipeline
        self._sockets = sockets
        self._providers = {provider.name: provider for provider in providers}
        self._formats = list(providers)
        self._generic = self._formats[-1]
        self._upstreams = {name: _upstream(name, provider, environ) for name, provider in config.providers.items()}
        self._routes = Routes(
            {name: provider.api for name, provider in config.providers.items()}, config.default_provider
        )
        self._capture = config.capture_max
        self._propagate = config.propagate
        self._usage = UsageInjection(pipeline.counters)
        self._dropped = NOT_FORWARDED | _OURS | (frozenset() if config.propagate else _TRACE_CONTEXT)
        self._withheld = self._dropped | _REPLACED
        self._calls: dict[tuple[str, bytes], _Call] = {}

    # Handler

    def open(self, head: RequestHead) -> Plan:
        call = self._calls.get((head.method, head.target)) or self._call(head)
        if isinstance(call, Plan):
            return call
        upstream, provider, target, sent = call
        exchange = self._exchange(head, target)
        exchange.provider = upstream.name
        exchange.provider_name = upstream.provider_name
        exchange.api = provider.name
        exchange.operation = provider.operation
        exchange.server_address = upstream.origin.host
        exchange.server_port = upstream.origin.port
        forward = self._forward(head, upstream, exchange)
        amendment = self._usage if upstream.include_usage and provider.name == USAGE_API else None
        plan = Plan(exchange, upstream.origin, sent, forward=forward, withheld=self._withheld, amendment=amendment)
        if upstream.aws:
            plan = _with_signature(plan, upstream)
        if asks_websocket(head.header_map):
            self._plan_websocket(plan, exchange, upstream)
        return plan

    def _plan_websocket(self, plan: Plan, exchange: Exchange, upstream: _Upstream) -> None:
        inline = self._pipeline.reads_inline or self._pipeline.reads_answers
        spoken = self._spoken(exchange)
        if spoken is not None:
            provider = self._providers.get(spoken.name, self._generic)
            exchange.api = provider.name
            exchange.operation = provider.operation
            exchange.connection = Connection()
        elif inline:
            plan.refusal = NOT_UNDERSTOOD
        plan.forward = handshake_headers(plan.forward, inline, upstream.credential is not None)

    def _spoken(self, exchange: Exchange) -> Spoken | None:
        path = exchange.target.partition("?")[0]
        return next((each for each in self._sockets if each.spoken_at(path)), None)

    def joined(self, exchange: Exchange) -> Talk:
        spoken = self._spoken(exchange)
        if spoken is None:
            return OpaqueTalk(exchange, self.end)
        held = self._pipeline.reads_inline
        return UnderstoodTalk(exchange, spoken.dialogue(held), held, self.end, self._pipeline.counted)

    def _call(self, head: RequestHead) -> _Call | Plan:
        """Where the request goes, or the plan to answer it here."""
        target = head.target.decode("latin-1")
        path, _, query = target.partition("?")
        if path == "/" and head.method in ("GET", "HEAD"):
            return Plan(None, answer=200)
        match = self._routes.match(path, head.header_map)
        if match is None or (match.path == path and query and self._google_key_astray(match.provider, query)):
            return Plan(self._exchange(head, _masked(target)), refusal=self._unknown_route(path))
        upstream = self._upstreams[match.provider]
        below = _path_without_keys(match.path, every=upstream.credential is not None)
        if not below:
            return Plan(self._exchange(head, "/***"), refusal=_KEY_IN_PATH)
        if upstream.base_path and ("." in match.path or "%" in match.path) and _ABOVE.search(match.path):
            return Plan(self._exchange(head, _masked(target)), refusal=_above_its_base(upstream))
        provider = self._format(head.method, below)
        sent = upstream.base_path + below.encode("latin-1")
        if query:
            shown = _masked(f"{below}?{query}")
            if upstream.credential is not None or "sg-" in query.lower() or "%" in query:
                query = _without_keys(query, every=upstream.credential is not None)
            return _Call(upstream, provider, shown, sent + b"?" + query.encode("latin-1") if query else sent)
        call = _Call(upstream, provider, _masked(below), sent)
        # SECURITY: a route told by path depends on the credentials too, and a query may hold some: not remembered.
        if match.path != path and len(target) <= _LONGEST_REMEMBERED:
            if len(self._calls) >= _CALLS_REMEMBERED:
                self._calls.clear()
            self._calls[head.method, head.target] = call
        return call

    def _format(self, method: str, path: str) -> Provider:
        """SECURITY: servers are lenient about paths, each in its own way: a call must not be unread for that."""
        path = unquote(path)
        for asked in (method,) if method in _WITHOUT_BODY else (method, "POST"):
            for meant in (path, _plain(path), _plain(path).lower()):
                for provider in self._formats:
                    if provider is not self._generic and provider.matches(asked, meant):
                        return provider
        return self._generic

    def _google_key_astray(self, provider: str, query: str) -> bool:
        """SECURITY: told by path alone, `?key=` is a Google key that may be on its way to somebody else."""
        return self._upstreams[provider].family not in GOOGLES and _GOOGLE_KEY.search(unquote(query)) is not None

    def ready(self, exchange: Exchange) -> Awaitable[None] | None:
        return self._pipeline.ready(exchange)

    def response_headers(self, exchange: Exchange) -> bytes:
        session = exchange.session
        return (
            b"%bx-spangate-exchange: %b\r\nx-spangate-trace-id: %b\r\n"
            b"x-spangate-outcome: %b\r\nserver-timing: gateway;dur=%.2f\r\n"
            % (
                b"x-spangate-session: %b\r\n" % session.id.encode() if session is not None else b"",
                exchange.id.encode(),
                exchange.trace_id.hex().encode(),
                exchange.verdict.outcome.encode(),
                exchange.overhead_ns / 1e6,
            )
        )

    def refusal_body(self, exchange: Exchange | None, refusal: Refusal) -> bytes:
        provider = self._generic if exchange is None else self._providers.get(exchange.api, self._generic)
        return provider.refusal(refusal)

    def malformed(self, head: RequestHead | None, refusal: Refusal) -> Exchange | None:
        if head is None:
            head = RequestHead("_OTHER", b"/", [], {}, 1, "", opened_ns=time.perf_counter_ns())
        return self._exchange(head, _masked(head.target.decode("latin-1")))

    def end(self, exchange: Exchange) -> None:
        self._pipeline.end(exchange)

    # Parts

    def _exchange(self, head: RequestHead, target: str) -> Exchange:
        now_ns = time.time_ns()
        random = random_bytes(30)
        exchange = Exchange(
            f"{now_ns // 1_000_000:012x}{random[:6].hex()}",
            now_ns,
            head.method,
            target,
            head.headers,
            Captured(self._capture),
            random[6:22],
            random[22:],
            client_address=head.client_address,
            header_map=head.header_map,
            opened_ns=head.opened_ns,
        )
        traceparent = head.header_map.get(b"traceparent")
        if traceparent is not None:
            _join_trace(exchange, traceparent, head.header_map.get(b"tracestate"))
        return exchange

    def _forward(self, head: RequestHead, upstream: _Upstream, exchange: Exchange) -> Headers:
        dropped = self._dropped if upstream.credential is None else self._withheld
        fields, headers = head.header_map, head.headers
        names = lower_names(headers, fields)
        slots, host = _places(names)
        carrying = [name for at, name in slots if _carries_gateway_key(headers[at][1])] if slots else ()
        if carrying:
            # SECURITY: a gateway key is for the gateway, in whichever slot it came.
            dropped = dropped.union(carrying) - _COOKIE
            if b"cookie" in carrying:
                headers = _without_key_cookies(headers)
                names = lower_names(headers, {})
                host = _places(names).host
        if b"connection" in fields:
            dropped |= named_in_connection(fields[b"connection"])
        authority = upstream.authority
        if host is None:
            headers, names = [(b"Host", authority), *headers], (b"host", *names)
        else:
            headers = headers.copy()
            headers[host] = (headers[host][0], authority)
        passed = list(compress(headers, crossing(names, dropped)))
        if upstream.credential is not None:
            passed.append(upstream.credential)
        if self._propagate:
            passed = _as_parent(passed, exchange)
        if self._pipeline.reads_answers:
            passed = for_a_plain_answer(passed)
        return passed

    def _unknown_route(self, path: str) -> Refusal:
        prefixes = " ".join(self._routes.prefixes)
        return Refusal(
            404,
            "unknown_route",
            f"No provider is configured for this path and credential. Configured prefixes: {prefixes}. "
            "Use one of them in your client's base URL, such as http://<gateway>/openai/v1.",
        )


def _with_signature(plan: Plan, upstream: _Upstream) -> Plan:
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


def _plain(path: str) -> str:
    """As servers that clean up before they look for a route see it: no fragment, no parameters of a segment, no empty
    segments, no slash or blank at the end."""
    return normpath(_SEGMENT_PARAMETERS.sub("", path.partition("#")[0]).strip())


def _upstream(name: str, provider: ProviderConfig, environ: Mapping[str, str]) -> _Upstream:
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
    return _Upstream(
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


def _masked(target: str) -> str:
    """SECURITY: Google's APIs take the key in the query; it must not be stored, however its name is written."""
    path = _PATH.match(target)
    assert path is not None
    begin = path.end()
    return target if begin == len(target) else path[0] + "&".join(map(_masked_pair, target[begin:].split("&")))


def _masked_pair(pair: str) -> str:
    """Where servers cut at `;` too, what is behind a secret may still be part of it: nothing of that is shown."""
    pieces = _PAIR_ENDS.split(pair)
    for at in range(0, len(pieces), 2):
        if _secret(pieces[at]):
            name = pieces[at].partition("=")[0]
            # Another pair's name and value may be escaped in a name.
            shown = f"{name}=***" if "%" not in name or _bare(unquote(name, "latin-1")) in _SECRET else "***"
            return "".join(pieces[:at]) + shown
    return pair


def _secret(pair: str) -> bool:
    """However a server may read it, as `_carries_key`; whatever the value is, for it may be anybody's key."""
    for _ in range(2):
        pair = unquote(pair, "latin-1")
        for plain in _PAIR_ENDS.split(pair)[::2]:
            name, equals, _ = plain.partition("=")
            if equals and _bare(name) in _SECRET:
                return True
    return False


def _bare(name: str) -> str:
    return _NO_LETTERS.sub("", name.lower())


def _path_without_keys(path: str, every: bool) -> str:
    """As `_without_keys`: what is behind a `#` or `;` of a path. Empty where the path cannot be told from a key."""
    if not _MAY_HIDE.search(path):
        return path
    cleaned = _without_keys(path, every)
    return cleaned if cleaned[:1] == "/" else ""


class _Places(NamedTuple):
    """Where among a request's headers something stands that must be looked at."""

    slots: tuple[tuple[int, bytes], ...]
    """Of credentials, with their names."""
    host: int | None


# As `crossing`: the same client says the same names again and again.
@lru_cache(maxsize=256)
def _places(names: tuple[bytes, ...]) -> _Places:
    slots = tuple([(at, name) for at, name in enumerate(names) if name in _MAY_CARRY_KEY])
    return _Places(slots, names.index(b"host") if b"host" in names else None)


def _without_key_cookies(headers: Headers) -> Headers:
    """Of cookies those go that carry one, and no other byte."""
    kept: Headers = []
    for name, value in headers:
        if name.lower() == b"cookie" and _carries_gateway_key(value):
            pairs = value.split(b";")
            value = b";".join(pair for pair in pairs if not _carries_gateway_key(pair)).lstrip(b" ")
            if not value or _carries_gateway_key(value):
                continue
        kept.append((name, value))
    return kept


def _carries_gateway_key(value: bytes) -> bool:
    lower = value.lower()
    if b"sg-" in lower and _GATEWAY_KEY.search(lower) is not None:
        return True
    basic = _BASIC.match(value) if b"basic" in lower else None
    return basic is not None and _GATEWAY_KEY.search(_unpacked(basic[1])) is not None


def _unpacked(base64: bytes) -> bytes:
    """`user:password` of basic authentication, as lenient as servers are; what is none is empty."""
    try:
        return b64decode(base64.translate(_URL_SAFE).rstrip(b"=") + b"==")
    except ValueError:
        return b""


def _above_its_base(upstream: _Upstream) -> Refusal:
    """SECURITY: whoever may use one base URL may not climb to what stands beside it on the same host."""
    return Refusal(
        400,
        "bad_request",
        f"The path climbs above the base URL of provider '{upstream.name}'. Send it without '..' in it.",
    )


def _without_keys(query: str, every: bool) -> str:
    """SECURITY: as in headers, a gateway key in the query never leaves; nor does a client's (`every`) beside ours.

    Servers cut at `;` too, and hand on a fragment that no client should send.
    """
    pieces = _PAIR_ENDS.split(query)
    pairs = [*zip(["", *pieces[1::2]], pieces[::2], strict=True)]
    kept = [end + pair for end, pair in pairs if not _carries_key(pair, every)]
    return query if len(kept) == len(pairs) else "".join(kept).lstrip("&;")


def _carries_key(pair: str, every: bool) -> bool:
    """However a server may read it: `key[]=`; behind a scheme, a quote or an escaped `&`; escaped twice."""
    for _ in range(2):
        pair = unquote(pair, "latin-1")
        for plain in _PAIR_ENDS.split(pair)[::2]:
            name, _, value = plain.partition("=")
            name = _bare(name)
            if (every and name in _HELD_PARAMETERS) or (name in _OUR_PARAMETERS and _KEY_IN_VALUE.search(value)):
                return True
    return False


def _join_trace(exchange: Exchange, traceparent: bytes, tracestate: bytes | None) -> None:
    """W3C trace context; an invalid one starts a new trace, as its specification says."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or traceparent[:2] == b"ff" or match[1] == b"0" * 32 or match[2] == b"0" * 16:
        return
    if match[4] is not None and traceparent[:2] == b"00":  # only later versions may say more
        return
    exchange.trace_id = bytes.fromhex(match[1].decode())
    exchange.parent_span_id = bytes.fromhex(match[2].decode())
    exchange.trace_flags = int(match[3], 16) & 1
    if tracestate is not None and len(tracestate) <= 512:
        exchange.trace_state = tracestate.decode("latin-1")


def _as_parent(headers: Headers, exchange: Exchange) -> Headers:
    """With `propagate: true` the upstream's spans become children of the exchange's."""
    parent = b"00-%b-%b-%02x" % (
        exchange.trace_id.hex().encode(),
        exchange.span_id.hex().encode(),
        exchange.trace_flags,
    )
    kept = [header for header in headers if header[0].lower() != b"traceparent"]
    return [*kept, (b"traceparent", parent)]
