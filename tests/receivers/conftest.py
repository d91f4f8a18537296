"""A receiver with its providers, and a pipeline that only takes what it is given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from gateway.contracts import Processor, Provider
from gateway.pipeline import Pipeline
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.generic import Generic
from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_chat import OpenAIChat
from gateway.proxy.handler import RequestHead
from gateway.receivers.llm import LlmReceiver
from gateway.receivers.llm_config import LlmConfig

HELD_KEY = "sk-held-by-the-gateway"
MakeReceiver = Callable[..., LlmReceiver]


def head_of(target: str, *headers: tuple[str, str], method: str = "POST") -> RequestHead:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    fields = {name.lower(): value for name, value in raw}
    if b"connection" in fields:  # of this one the relay gives all, joined
        fields[b"connection"] = b",".join(value for name, value in raw if name.lower() == b"connection")
    return RequestHead(method, target.encode("latin-1"), raw, fields, 1, "127.0.0.1", opened_ns=1)


@pytest.fixture
def make_receiver() -> MakeReceiver:
    def make(
        formats: Sequence[Provider] = (OpenAIChat(), AnthropicMessages(), Generic()),
        environ: Mapping[str, str] | None = None,
        processors: Sequence[Processor] = (),
        **written: Any,
    ) -> LlmReceiver:
        providers = {
            "openai": {"base_url": "https://api.openai.com"},
            "anthropic": {"base_url": "https://api.anthropic.com"},
            "local": {"api": "openai", "base_url": "http://127.0.0.1:11434/tenant", "api_key": HELD_KEY},
            "claude": {"api": "anthropic", "base_url": "http://[::1]:8080", "api_key": HELD_KEY},
        }
        config = LlmConfig.model_validate({"providers": providers} | written)
        pipeline = Pipeline(processors, [], {each.name: each for each in formats}, KnownMessageCache())
        return LlmReceiver(config, pipeline, formats, environ or {})

    return make


@pytest.fixture
def receiver(make_receiver: MakeReceiver) -> LlmReceiver:
    return make_receiver()
