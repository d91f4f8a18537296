"""Nothing a client or upstream sends makes reading raise, and nothing unreadable becomes invisible to agents."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts import Provider
from gateway.model.message import RequestReading, ResponseReading
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.bedrock_converse import BedrockConverse
from gateway.providers.bedrock_invoke import BedrockInvoke
from gateway.providers.built_in import formats
from gateway.providers.cohere_chat import CohereChat
from gateway.providers.eventstream import encoded
from gateway.providers.gemini_count import GeminiCount
from gateway.providers.gemini_embed import GeminiEmbed
from gateway.providers.gemini_generate import GeminiGenerate
from gateway.providers.generic import Generic
from gateway.providers.known import KnownMessageCache
from gateway.providers.ollama_chat import OllamaChat
from gateway.providers.openai_chat import OpenAIChat


def words(text: str) -> list[str]:
    return text.split()


CHATS: list[Provider] = [OpenAIChat(), AnthropicMessages(), BedrockConverse(), OllamaChat(), CohereChat()]
GOOGLE: list[Provider] = [GeminiGenerate(), GeminiCount(), GeminiEmbed()]
ALL: list[Provider] = list(formats())
PROMPTED = {f"openai_{name}" for name in words("responses responses_poll completions images transcriptions")}
PROMPTED |= {"ollama_embeddings", "mistral_fim", "openai_responses_count"}
"""APIs that may have a prompt where others have messages."""
DEEP = b"[" * 10_000 + b"]" * 10_000
WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    "text",
    [],
    [[]],
    [None, 1, "x"],
    {},
    {"type": 1},
    {"a": {"b": []}},
]
REQUEST_FIELDS = words(
    """model messages system tools functions stream stream_options temperature top_p top_k max_tokens
max_completion_tokens frequency_penalty presence_penalty seed stop stop_sequences n reasoning_effort reasoning
response_format service_tier user safety_identifier metadata session_id conversation_id thread_id prompt_cache_key
litellm_session_id chat_id output_config output_format toolConfig inferenceConfig additionalModelRequestFields
outputConfig guardrailConfig promptVariables anthropic_version schemaVersion prompt inputText textGenerationConfig"""
)
MESSAGE_FIELDS = words(
    """role content name refusal reasoning_content reasoning tool_calls tool_call_id function_call
audio"""
)
PART_FIELDS = words(
    """text image_url video_url audio_url input_audio file refusal thinking source content tool_use_id input id
name title context file_id toolUse toolResult video audio reasoningContent guardContent citationsContent
cachePoint"""
)
KINDS = words(
    """text image_url video_url input_audio file refusal thinking redacted_thinking tool_use tool_result image document
server_tool_use mcp_tool_use web_search_tool_result container_upload search_result nonsense toolUse toolResult video
audio reasoningContent guardContent citationsContent cachePoint"""
)


def read(provider: Provider, body: bytes) -> RequestReading:
    return provider.read_request(body, KnownMessageCache())


def answer(
    provider: Provider, body: bytes, content_type: str = "application/json", status: int = 200
) -> ResponseReading:
    reader = provider.response_reader(None, status, content_type)
    reader.feed(body)
    return reader.end(complete=True)


def seen(reading: RequestReading | ResponseReading) -> str:
    return "\n".join(text for entry in reading.messages for text in entry.texts)


def name_of(provider: Provider) -> str:
    return provider.name


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize(
    "body",
    [
        b"plain words: nightjar",
        b'{"model": "m", "messages": [{"role": "user", "content": "nightjar"',
        b'{"model": "m", "messages": "nightjar"}',
        b'{"model": "m", "messages": {"0": "nightjar"}}',
        b'{"model": "m", "prompt": "nightjar"}',
        b'["nightjar"]',
        b'"nightjar"',
        b'{"messages": ' + DEEP + b', "x": "nightjar"}',
        b'{"messages": "\\u006eight\\u006aar"}',
        b"\xff\xfe\xffnightjar",
        b'{"messages": [{"role": "user", "content": "nightjar"}]} trailing',
    ],
)
def test_an_unreadable_request_is_shown_as_raw_text(provider: Provider, body: bytes) -> None:
    reading = read(provider, body)
    assert reading.state == "unreadable"
    assert len(reading.messages) == 1
    assert "nightjar" in seen(reading)


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"messages": [{"role": "user", "content": "nightjar"}]}',
        '{"messages": [{"role": "user", "content": "nightjar"}]}'.encode("utf-16"),
        '{"messages": [{"role": "user", "content": "nightjar é"}]}'.encode("latin-1"),
        b'{"messages": [{"role": "user", "content": "\\ud800 nightjar"}]}',
        b'{"messages": [{"role": "user", "content": "\\u006eight\\u006aar"}]}',
        b'{"temperature": NaN, "messages": [{"role": "user", "content": "nightjar"}]}',
        b'{"temperature": 1e999, "messages": [{"role": "user", "content": "nightjar"}]}',
        b' {"messages" : [ {"role": "user", "content": "nightjar"} ] } \n',
    ],
)
def test_json_that_some_upstream_may_accept_is_understood(provider: Provider, body: bytes) -> None:
    reading = read(provider, body)
    assert reading.state == "full"
    assert [entry.role for entry in reading.messages] == ["user"]
    assert "nightjar" in seen(reading)


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
def test_one_bad_message_does_not_spoil_the_others(provider: Provider) -> None:
    body = (
        b'{"messages": [{"role": "user", "content": "fine"}, {"role": "user", "content": ' + b"[" * 800 + b'"nightjar"'
    )
    reading = read(provider, body + b"]" * 800 + b"}]}")
    assert seen(reading).startswith("fine")
    assert "nightjar" in seen(reading)


@pytest.mark.parametrize("provider", ALL, ids=name_of)
@pytest.mark.parametrize("field", REQUEST_FIELDS)
def test_wrong_types_in_a_request_never_raise(provider: Provider, field: str) -> None:
    for wrong in WRONG:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], field: wrong}
        reading = read(provider, json.dumps(body).encode())
        if provider.name != "ollama_generate":  # whose request without a prompt is one: it loads the model
            assert "hi" in seen(reading) or field == "messages" or (field == "prompt" and provider.name in PROMPTED)


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize("field", MESSAGE_FIELDS)
def test_wrong_types_in_a_message_never_raise(provider: Provider, field: str) -> None:
    for wrong in WRONG:
        for role in ("user", "assistant", "tool"):
            message = {"role": role, "content": "hi", field: wrong}
            reading = read(provider, json.dumps({"messages": [message, wrong]}).encode())
            assert len(reading.messages) == 2
            assert all(isinstance(entry.role, str) for entry in reading.messages)


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_types_in_a_part_never_raise(provider: Provider, kind: str) -> None:
    parts = [{"type": kind, field: wrong} for field in [*PART_FIELDS, kind] for wrong in WRONG]
    reading = read(provider, json.dumps({"messages": [{"role": "user", "content": [part]} for part in parts]}).encode())
    assert len(reading.messages) == len(parts)


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize(
    "part",
    [
        {"type": "hologram", "label": "nightjar"},
        {"type": "text", "text": {"value": "nightjar"}},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "nightjar"}]},
        {"nothing": "nightjar"},
        "nightjar",
        ["nightjar"],
    ],
)
def test_a_part_of_an_unknown_kind_is_still_seen(provider: Provider, part: object) -> None:
    assert "nightjar" in seen(read(provider, json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode()))


@pytest.mark.parametrize("provider", ALL, ids=name_of)
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/event-stream",
        "application/x-ndjson",
        "",
        "text/html",
        "application/vnd.amazon.eventstream",
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_no_response_bytes_raise(provider: Provider, content_type: str, status: int) -> None:
    bodies = [
        b"",
        b"\xff",
        b"{",
        DEEP,
        b'{"choices":' + DEEP + b"}",
        b"data: " + DEEP + b"\n\n",
        b"data: [DONE]\n\n" * 2,
    ]
    bodies += [json.dumps(wrong).encode() for wrong in WRONG]
    bodies += [b"data: " + json.dumps(wrong).encode() + b"\n\n" for wrong in WRONG]
    for body in bodies:
        reading = answer(provider, body, content_type, status)
        assert len(reading.finish_reasons) == len(reading.raw_finish_reasons)


def test_wrong_types_in_openai_answers_never_raise() -> None:
    for wrong in WRONG:
        for path in (
            "choices",
            "choice",
            "message",
            "content",
            "tool_calls",
            "index",
            "finish_reason",
            "usage",
            "id",
            "error",
        ):
            for field in ("message", "delta"):
                message: dict[str, Any] = {"role": "assistant", path: wrong}
                choice: Any = {"index": 0, field: wrong if path == "message" else message, path: wrong}
                body = {"choices": wrong if path == "choices" else [wrong if path == "choice" else choice], path: wrong}
                raw = json.dumps(body).encode()
                answer(OpenAIChat(), raw)
                answer(OpenAIChat(), b"data: " + raw + b"\n\n", "text/event-stream")


def test_wrong_types_in_anthropic_events_never_raise() -> None:
    for kind in ("message_start", "content_block_start", "content_block_delta", "message_delta", "error", "new_event"):
        for field in ("message", "content_block", "delta", "index", "usage", "error", "type"):
            for wrong in WRONG:
                for inner in (
                    {field: wrong},
                    {field: {"type": wrong, "text": wrong, "usage": wrong, "content": wrong}},
                ):
                    raw = json.dumps({"type": kind, **inner}).encode()
                    answer(AnthropicMessages(), b"data: " + raw + b"\n\n", "text/event-stream")
                    answer(AnthropicMessages(), raw)


@pytest.mark.parametrize(
    "name",
    words(
        """messageStart contentBlockStart contentBlockDelta messageStop metadata throttlingException newEvent chunk"""
    ),
)
def test_wrong_types_in_bedrock_events_never_raise(name: str) -> None:
    fields = words(
        "contentBlockIndex start delta stopReason usage trace role toolUse toolResult reasoningContent image"
    )
    for outer in fields:
        for inner in [*fields, "text", "input", "source", "inputTokens", "promptRouter"]:
            for wrong in WRONG:
                for said in ({outer: wrong}, {outer: {inner: wrong}}, {outer: {inner: {inner: wrong}}}):
                    raw = json.dumps(said).encode()
                    chunk = json.dumps({"bytes": b64encode(json.dumps({name: said}).encode()).decode()}).encode()
                    for provider, data in ((BedrockConverse(), raw), (BedrockInvoke(), raw), (BedrockInvoke(), chunk)):
                        frame = encoded({":message-type": "event", ":event-type": name}, data)
                        answer(provider, frame, "application/vnd.amazon.eventstream")


@pytest.mark.parametrize("field", words("output results outputs generations images embedding choices generation type"))
def test_wrong_types_in_native_answers_never_raise(field: str) -> None:
    for wrong in WRONG:
        for said in (
            {field: wrong},
            {field: [wrong, {"text": wrong, "outputText": wrong}]},
            {field: {"message": wrong}},
        ):
            raw = json.dumps(said).encode()
            answer(BedrockInvoke(), raw)
            answer(BedrockConverse(), raw)
            frame = encoded({":event-type": "chunk"}, json.dumps({"bytes": b64encode(raw).decode()}).encode())
            answer(BedrockInvoke(), frame, "application/vnd.amazon.eventstream")


@given(body=st.binary(max_size=300))
def test_no_bytes_raise(body: bytes) -> None:
    for provider in ALL:
        read(provider, body)
        answer(provider, body)
        answer(provider, body, "text/event-stream")
        answer(provider, body, "application/vnd.amazon.eventstream")


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
def test_an_unreadable_answer_is_shown_as_raw_text(provider: Provider) -> None:
    for content_type in ("application/json", "text/event-stream"):
        reading = answer(provider, b"data: nightjar\n\n" if content_type[0] == "t" else b"nightjar", content_type)
        assert reading.state == "unreadable"
        assert seen(reading) == "nightjar"
        assert reading.finish_reasons == ["error"]


def test_after_a_thousand_events_of_noise_nothing_is_taken_for_an_answer() -> None:
    said = json.dumps({"message": {"role": "assistant", "content": "nightjar"}, "done": True}).encode()
    for noise, state in ((999, "truncated"), (1000, "unreadable")):
        reading = answer(OllamaChat(), b"1\n" * noise + said + b"\n", "application/x-ndjson")
        assert reading.state == state
        assert "nightjar" in seen(reading)


def test_arguments_nested_too_deeply_stay_text() -> None:
    arguments = '{"a":' * 500 + '"nightjar"' + "}" * 500
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body = {"choices": [{"index": 0, "message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    assert seen(answer(OpenAIChat(), json.dumps(body).encode())) == f"{arguments}\nf"


TOOLS: list[Any] = [
    [{"type": "function", "function": {"name": "nightjar"}}],
    [{"type": "function", "function": {"name": "f", "description": "a\nnightjar"}}],
    [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"description": "nightjar"}}}}}],
    [{"name": "f", "input_schema": {"properties": {"a": {"enum": ["nightjar"]}}}}],
    [{"type": "custom", "custom": {"name": "f", "format": {"grammar": "nightjar"}}}],
    [1, {"name": {"nightjar": 1}}],
    {"name": "nightjar"},
    "nightjar",
]


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize("tools", TOOLS)
def test_all_of_a_tool_list_is_shown_to_agents_and_read_once(provider: Provider, tools: Any) -> None:
    known = KnownMessageCache()
    asked = {"messages": [], "tools": tools, "toolConfig": {"tools": tools}}
    body = json.dumps(asked).encode().replace(b"night", b"\\u006eight")
    first, second = provider.read_request(body, known), provider.read_request(body, known)
    definitions, *_ = first.definitions
    assert re.search(r"\bnightjar\b", definitions.texts[0])
    assert second.definitions[0] is definitions


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"input": "key:\\nnightjar"}', '{"input": "key:\nnightjar"}'),
        (b"name=nightjar&x=1", "name=nightjar&x=1"),
        ('{"a": "nightjar"}'.encode("utf-16-le"), '{"a": "nightjar"}'),
    ],
)
def test_any_other_api_is_shown_as_text(body: bytes, shown: str) -> None:
    assert seen(read(Generic(), body)) == shown


def test_an_empty_body_of_another_api_is_no_message() -> None:
    assert read(Generic(), b"").messages == []


def test_a_binary_body_of_another_api_is_shown_to_agents_and_to_nobody_else() -> None:
    body = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and a word"
    for reading in (read(Generic(), body), answer(Generic(), body, "image/png")):
        [entry] = reading.messages
        assert "and a word" in entry.texts[0]
        shown = json.loads(entry.json)["parts"]
        assert shown == [{"type": "blob", "modality": "file", "sha256": sha256(body).hexdigest(), "size": len(body)}]


def test_an_escaped_nul_hides_nothing_of_another_apis_text() -> None:
    reading = read(Generic(), b'{"input":"the word","user":"\\u0000"}')
    assert "the word" in seen(reading)
    assert b"the word" in reading.messages[0].json


@pytest.mark.parametrize("provider", [OpenAIChat(), AnthropicMessages()])
def test_more_messages_than_any_conversation_has_are_one_raw_text(provider: Provider) -> None:
    body = b'{"messages":[' + b'{"role":"user","content":"the word"},' * 20_000 + b"1]}"
    reading = read(provider, body)
    assert reading.state == "unreadable"
    assert len(reading.messages) == 1
    assert seen(reading).count("the word") == 20_000


def test_what_fills_a_managed_prompt_of_bedrock_is_seen() -> None:
    body = b'{"promptVariables": {"who": {"text": "nightjar"}, "odd": ["x"], "none": null, "other": {"image": 1}}}'
    reading = read(BedrockConverse(), body)
    assert reading.state == "full"
    assert seen(reading).split("\n")[:4] == ["nightjar", '["x"]', "null", '{"image": 1}']


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_media_in_native_bodies_of_bedrock_nobody_explains_are_not_stored(prefix: str) -> None:
    picture = prefix + b64encode(bytes(range(256)) * 10).decode()
    body = json.dumps({"task": "nightjar", "params": {"image": picture}}).replace("/", "\\/").encode()
    reading = read(BedrockInvoke(), body)
    assert "nightjar" in seen(reading)
    assert picture in seen(reading)
    stored = reading.messages[0].json + answer(BedrockInvoke(), body).messages[0].json
    assert stored.count(b"nightjar") == 2
    assert stored.count(b"bytes of base64, sha256") == 2
    assert len(stored) < 1000
