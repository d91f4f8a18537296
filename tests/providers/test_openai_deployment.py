"""Azure's deployments: the path names the model, whatever the body says."""

import pytest

from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.openai_deployment import model_of


@pytest.mark.parametrize(
    ("said", "target", "model"),
    [
        ("gpt", "/v1/chat/completions", "gpt"),
        ("gpt", "/openai/deployments/mine/chat/completions?api-version=1", "mine"),
        (None, "/deployments/my%20own/chat/completions", "my own"),
        (None, "/openai/v1/chat/completions", ""),
        (7, "", ""),
        ("gpt", "/openai/deployments/", "gpt"),
        ("gpt", "/v1/chat/completions?x=/deployments/mine/y", "gpt"),
    ],
)
def test_a_deployment_in_the_path_is_the_model(said: object, target: str, model: str) -> None:
    assert model_of(said, target) == model


def test_a_chat_at_azures_path_has_its_deployment_for_a_model() -> None:
    target = "/openai/deployments/mine/chat/completions?api-version=2026-01-01"
    reading = OpenAIChat().read_request(b'{"messages": [], "model": "ignored"}', KnownMessageCache(), target)
    assert reading.model == "mine"
