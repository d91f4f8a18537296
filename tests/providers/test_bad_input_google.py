"""Google's shapes with anything in any place: reading never raises, and nothing becomes invisible to agents."""

import json
from typing import Any

import pytest

from gateway.contracts import Provider
from gateway.providers.cohere_chat import CohereChat
from gateway.providers.gemini_generate import GeminiGenerate
from gateway.providers.known import KnownMessageCache
from gateway.providers.ollama_chat import OllamaChat
from gateway.providers.ollama_generate import OllamaGenerate
from tests.providers.test_bad_input import DEEP, GOOGLE, WRONG, answer, name_of, read, seen, words

PARTS = words(
    """text thought inlineData fileData functionCall functionResponse executableCode codeExecutionResult toolCall
toolResponse videoMetadata nonsense inline_data function_call"""
)
HELD = words(
    "id name args partialArgs willContinue response parts data mimeType mime_type fileUri code language output outcome toolType"
)
REQUEST = words("systemInstruction system_instruction tools generationConfig labels toolConfig cachedContent")
SETTINGS = words(
    """temperature topP topK maxOutputTokens frequencyPenalty presencePenalty seed stopSequences candidateCount
thinkingConfig responseMimeType responseModalities"""
)
ANSWER = words("candidates promptFeedback usageMetadata error responseId modelVersion")
CANDIDATE = words("content finishReason index")
KNOWN = KnownMessageCache()
SAID = {"role": "user", "parts": [{"text": "nightjar"}]}


def google_body(provider: Provider, content: object) -> bytes:
    """The content where this call has it."""
    return json.dumps({"content" if provider.name == "gemini_embeddings" else "contents": content}).encode()


@pytest.mark.parametrize("provider", GOOGLE, ids=name_of)
@pytest.mark.parametrize(
    "body",
    [
        b"plain words: nightjar",
        b'{"contents": [{"parts": [{"text": "nightjar"',
        b'{"contents": "nightjar", "content": 1, "requests": "x"}',
        b'{"prompt": "nightjar"}',
        b'["nightjar"]',
        b'{"contents": ' + DEEP + b', "requests": 1, "x": "nightjar"}',
        b'{"messages": "\\u006eight\\u006aar"}',
    ],
)
def test_an_unreadable_request_is_shown_as_raw_text(provider: Provider, body: bytes) -> None:
    reading = provider.read_request(body, KNOWN, "/v1beta/models/gemini-x:generateContent")
    assert "nightjar" in seen(reading)
    assert reading.model == "gemini-x"


@pytest.mark.parametrize(
    "target",
    [
        "/v1beta/models/gemini-x:streamGenerateContent",
        "/v1beta/models/gemini-x:streamGenerateContent?alt=sse&key=***",
        "/v1beta/models/gemini%2dx%3AstreamGenerateConten%74?alt=sse",
        "/v1/projects/p/locations/l/publishers/google/models/gemini-x:streamGenerateContent",
    ],
)
def test_the_path_says_model_and_stream_whatever_is_escaped_in_it(target: str) -> None:
    reading = GeminiGenerate().read_request(json.dumps({"contents": [SAID]}).encode(), KNOWN, target)
    assert (reading.model, reading.stream) == ("gemini-x", True)


@pytest.mark.parametrize("provider", GOOGLE, ids=name_of)
def test_json_that_google_may_accept_is_understood(provider: Provider) -> None:
    plain = google_body(provider, SAID if provider.name == "gemini_embeddings" else [SAID]).decode()
    for body in (
        b"\xef\xbb\xbf" + plain.encode(),
        plain.encode("utf-16"),
        plain.replace("nightjar", "nightjar é").encode("latin-1"),
        plain.replace("nightjar", "\\ud800 nightjar").encode(),
        plain.replace("{", '{"temperature": NaN, ', 1).encode(),
    ):
        reading = read(provider, body)
        assert reading.state == "full"
        assert [entry.role for entry in reading.messages] == ["user"]
        assert "nightjar" in seen(reading)


@pytest.mark.parametrize("kind", PARTS)
def test_wrong_types_in_a_part_never_raise(kind: str) -> None:
    parts: list[Any] = [{kind: wrong} for wrong in WRONG]
    parts += [{kind: {field: wrong}} for field in HELD for wrong in WRONG]
    parts += [{kind: wrong, "text": "nightjar"} for wrong in WRONG if kind != "text"]
    contents = [{"role": "user", "parts": [part]} for part in parts] + [{"parts": wrong} for wrong in WRONG]
    reading = read(GeminiGenerate(), json.dumps({"contents": [*contents, *WRONG]}).encode())
    assert len(reading.messages) == len(contents) + len(WRONG)
    answer(GeminiGenerate(), json.dumps({"candidates": [{"content": each} for each in contents]}).encode())


@pytest.mark.parametrize("field", REQUEST)
def test_wrong_types_in_a_request_never_hide_its_contents(field: str) -> None:
    for wrong in [*WRONG, *([{name: each} for name in SETTINGS for each in WRONG])]:
        assert "nightjar" in seen(read(GeminiGenerate(), json.dumps({"contents": [SAID], field: wrong}).encode()))


@pytest.mark.parametrize(
    "tools",
    [
        [{"functionDeclarations": [{"name": "f", "description": "nightjar"}]}],
        [{"function_declarations": [{"name": {"nightjar": 1}}, 1]}],
        [{"functionDeclarations": "nightjar"}, 1],
        [{"googleSearch": {"text": "nightjar"}}],
        {"name": "nightjar"},
        "nightjar",
    ],
)
def test_tools_are_seen_whatever_they_are(tools: object) -> None:
    reading = read(GeminiGenerate(), json.dumps({"contents": [SAID], "tools": tools}).encode())
    assert "nightjar" in "".join(text for entry in reading.definitions for text in entry.texts)


@pytest.mark.parametrize(
    "part",
    [
        {"hologram": {"label": "nightjar"}},
        {"text": {"value": "nightjar"}},
        {"functionResponse": {"name": "f", "response": {"a": "nightjar"}}},
        {"codeExecutionResult": {"output": "nightjar"}},
        {"executable_code": {"code": "nightjar"}},
        {"toolResponse": {"response": {"a": ["nightjar"]}}},
        {"thought": True, "text": "nightjar"},
        {"nothing": "nightjar"},
        "nightjar",
        ["nightjar"],
    ],
)
def test_a_part_of_any_kind_is_seen(part: object) -> None:
    assert "nightjar" in seen(read(GeminiGenerate(), google_body(GeminiGenerate(), [{"parts": [part]}])))


def test_bytes_of_a_part_never_get_into_a_reading() -> None:
    data = "QUJD" * 100
    parts: list[Any] = [
        {"inlineData": {"mimeType": "image/png", "data": data}},
        {"inline_data": {"mime_type": "audio/wav", "data": data}},
        {"functionResponse": {"name": "f", "response": {}, "parts": [{"inlineData": {"data": data}}]}},
    ]
    reading = read(GeminiGenerate(), google_body(GeminiGenerate(), [{"parts": parts}]))
    assert data.encode() not in reading.messages[0].json
    assert reading.messages[0].json.count(b'"size":300') == 3


@pytest.mark.parametrize(
    "body",
    [
        {"contents": [SAID], "systemInstruction": {"parts": [SAID]}, "system_instruction": {"parts": []}},
        {"contents": [{"parts": [{"functionCall": {"args": {"a": "nightjar"}}, "function_call": {"name": "f"}}]}]},
        {"contents": [{"parts": [{"function_call": {"name": "f"}, "functionCall": {"name": "nightjar"}}]}]},
    ],
)
def test_a_field_in_both_spellings_hides_nothing(body: object) -> None:
    assert "nightjar" in seen(read(GeminiGenerate(), json.dumps(body).encode()))


@pytest.mark.parametrize("field", [*ANSWER, *CANDIDATE])
def test_wrong_types_in_an_answer_never_raise(field: str) -> None:
    for wrong in WRONG:
        candidate = {"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP", field: wrong}
        whole = {"candidates": [candidate, wrong], "usageMetadata": {"promptTokenCount": wrong}, field: wrong}
        raw = json.dumps(whole).encode()
        for body, content_type in (
            (raw, "application/json"),
            (b"[" + raw + b"," + json.dumps(wrong).encode() + b"]", "application/json"),
            (b"data: " + raw + b"\n\n", "text/event-stream"),
        ):
            reading = answer(GeminiGenerate(), body, content_type)
            assert len(reading.finish_reasons) == len(reading.raw_finish_reasons)


@pytest.mark.parametrize("provider", [OllamaChat(), OllamaGenerate(), CohereChat()], ids=name_of)
@pytest.mark.parametrize(
    "field", words("type index delta message response thinking done done_reason eval_count error id usage model")
)
def test_wrong_types_in_events_never_raise(provider: Provider, field: str) -> None:
    for wrong in WRONG:
        message = {"role": wrong, "content": wrong, "tool_calls": wrong, "tool_plan": wrong, "images": wrong}
        for kind in ("message-start", "content-start", "content-delta", "tool-call-start", "message-end"):
            event = {"type": kind, "message": message, "delta": {"message": message, "usage": wrong}, field: wrong}
            raw = json.dumps(event).encode()
            answer(provider, raw)
            answer(provider, raw + b"\n", "application/x-ndjson")
            answer(provider, b"data: " + raw + b"\n\n", "text/event-stream")
