"""Calls as official SDKs make them, answered with what was recorded: each is found and read as the SDK means it."""

import json
from pathlib import Path

import httpx
from mistralai.client import Mistral
from mistralai.client.models import UserMessage
from openai import OpenAI

from gateway.contracts import Provider
from gateway.model.message import RequestReading, ResponseReading
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache
from gateway.providers.settings import AGENT_ID, COUNTED_TOKENS

DATA = Path(__file__).parent.parent / "data"


class Recorded:
    """An upstream that answers with a recording, and keeps what it was asked."""

    def __init__(self, case: str) -> None:
        self._answer = (DATA / case / "response.json").read_bytes()
        self.client = httpx.Client(transport=httpx.MockTransport(self._take))
        self.requests: list[httpx.Request] = []

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, content=self._answer, headers={"content-type": "application/json"})

    def read(self) -> tuple[Provider, RequestReading, ResponseReading]:
        [request] = self.requests
        provider = next(each for each in formats() if each.matches(request.method, request.url.path))
        reading = provider.read_request(request.read(), KnownMessageCache(), request.url.path)
        reader = provider.response_reader(reading, 200, "application/json")
        reader.feed(self._answer)
        return provider, reading, reader.end(complete=True)


def openai(upstream: Recorded) -> OpenAI:
    return OpenAI(api_key="k", base_url="http://upstream/v1", http_client=upstream.client)  # type: ignore[arg-type]


def test_counted_tokens_are_no_usage() -> None:
    upstream = Recorded("openai_responses_count/unary")
    counted = openai(upstream).responses.input_tokens.count(model="gpt-5.6-sol", input="How many?").input_tokens
    provider, request, response = upstream.read()
    assert (provider.name, provider.operation) == ("openai_responses_count", "count_tokens")
    assert (request.model, [entry.texts for entry in request.messages]) == ("gpt-5.6-sol", [("How many?",)])
    assert dict(response.attributes) == {COUNTED_TOKENS: counted}
    assert response.usage.state == "missing"


def test_a_compacted_response_is_read_with_its_usage_and_its_reason() -> None:
    upstream = Recorded("openai_responses/compact")
    compacted = openai(upstream).responses.compact(model="gpt-5.6-sol", input="Tell me of the tides.")
    provider, request, response = upstream.read()
    assert (provider.name, request.state) == ("openai_responses", "full")
    assert (response.id, response.usage.input_tokens) == (compacted.id, compacted.usage.input_tokens)
    assert response.finish_reasons == ["compaction"]
    [message] = response.messages
    parts = json.loads(message.json)["parts"]
    assert [part["type"] for part in parts] == ["text", *(item.type for item in compacted.output[1:])]


def test_an_agent_of_mistrals_is_a_chat_without_a_model() -> None:
    upstream = Recorded("mistral_agents/unary")
    sdk = Mistral(api_key="k", server_url="http://upstream", client=upstream.client)  # type: ignore[arg-type]
    said = sdk.agents.complete(agent_id="ag_0193", messages=[UserMessage(content="When is high tide?")])
    provider, request, response = upstream.read()
    assert (provider.name, provider.operation, request.model) == ("mistral_agents", "chat", "")
    assert dict(request.attributes)[AGENT_ID] == "ag_0193"
    assert response.model == said.model
    assert response.messages[0].texts == ("At noon.",)
