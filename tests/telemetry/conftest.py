"""Three exchanges every test here can start from: answered, failed, blocked."""

from collections.abc import Callable

import pytest

from gateway.model.exchange import Captured, Exchange, Refusal
from gateway.model.message import Message, RequestReading, ResponseReading, Text, Usage
from gateway.model.session import SessionRef
from gateway.model.verdict import Assessment
from gateway.providers.known import entry_of

SECOND = 1_000_000_000


def _base() -> Exchange:
    exchange = Exchange(
        id="01JDX0",
        started_ns=1_764_000_000 * SECOND,
        method="POST",
        target="/v1/chat/completions?key=masked",
        request_headers=[],
        request_body=Captured(1024),
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
    )
    exchange.provider = exchange.provider_name = "openai"
    exchange.api, exchange.operation = "openai_chat", "chat"
    exchange.server_address, exchange.server_port = "api.openai.com", 443
    exchange.opened_ns, exchange.ended_ns = 5 * SECOND, 7 * SECOND
    exchange.overhead_ns = 125_000
    exchange.session = SessionRef("session-1", "new", 1.0, header=True)
    request = exchange.request = RequestReading()
    request.model = "gpt-4o"
    request.system = [entry_of(Message("system", (Text("Be brief."),)))]
    request.messages = [entry_of(Message("user", (Text("Grüße – 你好?"),)))]
    request.tools = b'[{"type":"function","name":"look_up"}]'
    request.attributes = [("gen_ai.request.temperature", 1.0), ("gen_ai.request.max_tokens", 100)]
    return exchange


@pytest.fixture
def answered() -> Exchange:
    exchange = _base()
    exchange.user = "alice"
    exchange.upstream_started_ns, exchange.first_byte_ns = 5_100_000_000, 6_350_000_000
    response = exchange.response = ResponseReading()
    response.id, response.model = "chatcmpl-1", "gpt-4o-2024-08-06"
    response.messages = [entry_of(Message("assistant", (Text("Hello."),), finish_reason="stop"))]
    response.finish_reasons, response.raw_finish_reasons = ["stop"], ["stop"]
    response.usage = Usage("reported", 20, 2, 10, 0, None)
    exchange.status, exchange.end = 200, "finished"
    return exchange


@pytest.fixture
def failed() -> Exchange:
    exchange = _base()
    exchange.upstream_started_ns = 5_100_000_000
    response = exchange.response = ResponseReading()
    response.error_type = "rate_limit_exceeded"
    exchange.status, exchange.end, exchange.error_type = 429, "finished", "429"
    return exchange


@pytest.fixture
def blocked() -> Exchange:
    exchange = _base()
    exchange.verdict.add(
        Assessment(
            agent="data-protector",
            version="abc",
            role="enforcer",
            direction="inlet",
            intent="block",
            outcome="blocked",
            reason="credentials: secret:openai_key ×1",
            categories=("credentials",),
            risk="high",
            took_ms=0.5,
        )
    )
    exchange.refusal = Refusal(403, "blocked_by_policy", "data-protector: remove the secret and try again.")
    exchange.status, exchange.end = 403, "blocked"
    return exchange


Named = Callable[[str], Exchange]


@pytest.fixture
def exchange_named(answered: Exchange, failed: Exchange, blocked: Exchange) -> Named:
    return {"answered": answered, "failed": failed, "blocked": blocked}.__getitem__
