"""Takes calls on the proxy port: finds their provider, makes them exchanges, and hands them through the pipeline."""

import re
import time
from collections.abc import Awaitable, Mapping, Sequence
from itertools import compress
from posixpath import normpath
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

from gateway.contracts import Provider, Spoken
from gateway.model.exchange import Captured, Connection, Exchange, Headers, Refusal
from gateway.model.randomness import random_bytes
from gateway.pipeline import Pipeline
from gateway.proxy.handler import Plan, RequestHead, Talk
from gateway.proxy.headers import (
    MANY,
    NOT_FORWARDED,
    crossing,
    for_a_plain_answer,
    known_crossing,
    lower_names,
    named_in_connection,
)
from gateway.proxy.routes import Routes
from gateway.proxy.upgrades import asks_websocket
from gateway.receivers.header_keys import (
    COOKIE,
    REPLACED,
    carries_gateway_key,
    known_places,
    places,
    without_key_cookies,
)
from gateway.receivers.llm_config import LlmConfig
from gateway.receivers.llm_usage import USAGE_API, UsageInjection
from gateway.receivers.target_keys import has_astray_key, masked, path_without_keys, without_keys
from gateway.receivers.trace_context import as_parent, join_trace
from gateway.receivers.upstreams import Upstream, above_its_base, climbs, upstream_of, with_signature
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
_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})
_SEGMENT_PARAMETERS = re.compile(r";[^/]*")
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_CALLS_REMEMBERED, _LONGEST_REMEMBERED = 1024, 256


class _Call(NamedTuple):
    """What a method and a target come to: the same for every request that repeats them."""

    upstream: Upstream
    provider: Provider
    target: str
    """Path and query below the provider's base URL, keys masked: what may be remembered of them."""
    sent: bytes
    """Path and query for the upstream."""


_KEY_IN_PATH = Refusal(
    400,
    "bad_request",
    "The path has a key in it. Send the path without it: a gateway key in the header x-spangate-key, a provider's own "
    "in the header of its API, where the gateway holds none.",
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
        self._upstreams = {name: upstream_of(name, provider, environ) for name, provider in config.providers.items()}
        self._routes = Routes(
            {name: provider.api for name, provider in config.providers.items()}, config.default_provider
        )
        self._capture = config.capture_max
        self._propagate = config.propagate
        self._usage = UsageInjection(pipeline.counters)
        self._dropped = NOT_FORWARDED | _OURS | (frozenset() if config.propagate else _TRACE_CONTEXT)
        self._withheld = self._dropped | REPLACED
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
        if self._pipeline.gates:
            plan.gate = self._pipeline.gate(exchange)
        if upstream.aws:
            plan = with_signature(plan, upstream)
        if asks_websocket(head.header_map):
            self._plan_websocket(plan, exchange, upstream)
        return plan

    def _plan_websocket(self, plan: Plan, exchange: Exchange, upstream: Upstream) -> None:
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
        if match is None or (match.path == path and query and self._key_astray(match.provider, query)):
            return Plan(self._exchange(head, masked(target)), refusal=self._unknown_route(path))
        upstream = self._upstreams[match.provider]
        below = path_without_keys(match.path, every=upstream.credential is not None)
        if not below:
            return Plan(self._exchange(head, "/***"), refusal=_KEY_IN_PATH)
        if upstream.base_path and climbs(match.path):
            return Plan(self._exchange(head, masked(target)), refusal=above_its_base(upstream))
        provider = self._format(head.method, below)
        sent = upstream.base_path + below.encode("latin-1")
        if query:
            shown = masked(f"{below}?{query}")
            if upstream.credential is not None or "sg-" in query.lower() or "%" in query:
                query = without_keys(query, every=upstream.credential is not None)
            return _Call(upstream, provider, shown, sent + b"?" + query.encode("latin-1") if query else sent)
        call = _Call(upstream, provider, masked(below), sent)
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

    def _key_astray(self, provider: str, query: str) -> bool:
        """SECURITY: told by path alone, `?key=` may be a Google key that is on its way to somebody else."""
        return has_astray_key(query, self._upstreams[provider].family)

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
        return self._exchange(head, masked(head.target.decode("latin-1")))

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
            join_trace(exchange, traceparent, head.header_map.get(b"tracestate"))
        return exchange

    def _forward(self, head: RequestHead, upstream: Upstream, exchange: Exchange) -> Headers:
        dropped = self._dropped if upstream.credential is None else self._withheld
        fields, headers = head.header_map, head.headers
        names = lower_names(headers, fields)
        few = len(names) <= MANY
        slots, host = known_places(names) if few else places(names)
        carrying = [name for at, name in slots if carries_gateway_key(headers[at][1])] if slots else ()
        if carrying:
            # SECURITY: a gateway key is for the gateway, in whichever slot it came.
            dropped = dropped.union(carrying) - COOKIE
            if b"cookie" in carrying:
                headers = without_key_cookies(headers)
                names = lower_names(headers, {})
                host = places(names).host
        if b"connection" in fields:
            dropped |= named_in_connection(fields[b"connection"])
        authority = upstream.authority
        if host is None:
            headers, names = [(b"Host", authority), *headers], (b"host", *names)
        else:
            headers = headers.copy()
            headers[host] = (headers[host][0], authority)
        passed = list(compress(headers, known_crossing(names, dropped) if few else crossing(names, dropped)))
        if upstream.credential is not None:
            passed.append(upstream.credential)
        if self._propagate:
            passed = as_parent(passed, exchange)
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


def _plain(path: str) -> str:
    """As servers that clean up before they look for a route see it: no fragment, no parameters of a segment, no empty
    segments, no slash or blank at the end."""
    return normpath(_SEGMENT_PARAMETERS.sub("", path.partition("#")[0]).strip())
