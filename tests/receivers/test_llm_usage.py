"""Which exchanges are amended so that the usage of a stream is told: where it is switched on, and the API tells it on demand."""

import pytest

from gateway.receivers.llm import LlmReceiver
from gateway.receivers.llm_usage import UsageInjection
from tests.receivers.conftest import MakeReceiver, head_of

PROVIDERS = {
    "openai": {"base_url": "https://api.openai.com"},
    "anthropic": {"base_url": "https://api.anthropic.com", "include_usage": True},
    "local": {"api": "openai", "base_url": "http://127.0.0.1:11434", "include_usage": True},
}


@pytest.fixture
def receiver(make_receiver: MakeReceiver) -> LlmReceiver:
    return make_receiver(providers=PROVIDERS)


def test_chat_completions_of_a_provider_that_has_it_on_are_amended(receiver: LlmReceiver) -> None:
    assert isinstance(receiver.open(head_of("/local/v1/chat/completions")).amendment, UsageInjection)


@pytest.mark.parametrize(
    "target",
    [
        "/openai/v1/chat/completions",
        "/v1/chat/completions",
        "/local/v1/completions",
        "/local/v1/responses",
        "/local/v1/models",
        "/anthropic/v1/messages",
        "/nowhere",
    ],
)
def test_no_other_call_is_amended(receiver: LlmReceiver, target: str) -> None:
    assert receiver.open(head_of(target)).amendment is None
