"""One call of each of OpenAI's APIs, whole and streamed, and what its span has to say. Data and three small functions."""

from operator import attrgetter
from typing import Any, NamedTuple

import openai

WAV = b"RIFF\x2c\0\0\0WAVEfmt " + bytes(range(256))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
ASKED = "How is the weather in Braga?"


class Call(NamedTuple):
    method: str
    """Below the client: `responses.create`."""
    fields: dict[str, Any]
    span: str
    """Its name."""
    says: dict[str, Any]
    """Attributes that the span has to have."""
    answers: str = ""
    """A word that stands in `gen_ai.output.messages`."""


_RESPONSES: dict[str, Any] = {"openai.api.type": "responses", "gen_ai.operation.name": "chat"}

CALLS: dict[str, Call] = {
    "responses": Call(
        "responses.create",
        {"model": "demo", "input": ASKED, "instructions": "Be brief.", "previous_response_id": "resp_1"},
        "chat demo",
        _RESPONSES
        | {
            "gen_ai.request.previous_response.id": "resp_1",
            "gen_ai.usage.output_tokens": 24,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        },
        "text",
    ),
    "responses-stream": Call(
        "responses.create",
        {"model": "demo-reasoning", "input": ASKED, "stream": True, "conversation": "conv-stream"},
        "chat demo-reasoning",
        _RESPONSES
        | {"gen_ai.conversation.id": "conv-stream", "session.id": "conv-stream", "gen_ai.request.stream": True},
        "reasoning",
    ),
    "responses-tools": Call(
        "responses.create",
        {"model": "demo-tools", "input": ASKED, "tools": [TOOL]},
        "chat demo-tools",
        _RESPONSES | {"gen_ai.response.finish_reasons": ["tool_call"]},
        "Braga",
    ),
    "responses-tools-stream": Call(
        "responses.create",
        {"model": "demo-tools", "input": ASKED, "tools": [TOOL, {"type": "custom", "name": "patch"}], "stream": True},
        "chat demo-tools",
        _RESPONSES | {"gen_ai.response.finish_reasons": ["tool_call"]},
        "Braga",
    ),
    "responses-background": Call(
        "responses.create", {"model": "demo", "input": ASKED, "background": True}, "chat demo", _RESPONSES
    ),
    "responses-poll": Call(
        "responses.retrieve",
        {"response_id": "resp_0123456789ab"},
        "fetch_response",
        _RESPONSES | {"gen_ai.operation.name": "fetch_response", "gen_ai.response.status": "completed"},
        "background",
    ),
    "responses-compact": Call(
        "responses.compact",
        {
            "model": "demo",
            "input": [
                {"role": "user", "content": ASKED},
                {"role": "assistant", "content": "Mild."},
                {"role": "user", "content": "And at sea?"},
            ],
            "instructions": "Keep the numbers.",
        },
        "chat demo",
        _RESPONSES
        | {
            "gen_ai.response.finish_reasons": ["compaction"],
            "gen_ai.usage.input_tokens": 33,
            "gen_ai.usage.cache_read.input_tokens": 26,
            "gen_ai.system_instructions": [{"type": "text", "content": "Keep the numbers."}],
        },
        "compaction",
    ),
    "responses-count": Call(
        "responses.input_tokens.count",
        {"model": "demo", "input": ASKED, "tools": [TOOL]},
        "count_tokens demo",
        {
            "gen_ai.operation.name": "count_tokens",
            "spangate.counted.input_tokens": 11,
            "spangate.usage.state": "missing",
        },
    ),
    "completions": Call(
        "completions.create",
        {"model": "demo", "prompt": ["Once upon a time", "It was dark"], "max_tokens": 5},
        "text_completion demo",
        {"gen_ai.request.max_tokens": 5, "gen_ai.response.finish_reasons": ["length"], "gen_ai.usage.input_tokens": 11},
        "text",
    ),
    "completions-stream": Call(
        "completions.create",
        {"model": "demo", "prompt": "Once", "stream": True, "stream_options": {"include_usage": True}},
        "text_completion demo",
        {"gen_ai.request.stream": True, "gen_ai.response.finish_reasons": ["stop"], "spangate.usage.state": "reported"},
        "text",
    ),
    "embeddings": Call(
        "embeddings.create",
        {"model": "demo", "input": ["The sky", "The sea"], "dimensions": 16},
        "embeddings demo",
        {"gen_ai.embeddings.dimension.count": 16, "gen_ai.usage.input_tokens": 12, "spangate.usage.state": "reported"},
    ),
    "moderations": Call(
        "moderations.create", {"model": "demo", "input": ["A walk", "violence"]}, "POST openai", {}, "violence"
    ),
    "images": Call(
        "images.generate",
        {"model": "demo", "prompt": "A red pixel", "n": 2},
        "generate_content demo",
        {"gen_ai.request.choice.count": 2, "gen_ai.output.type": "image", "gen_ai.usage.output_tokens": 64},
        "sha256",
    ),
    "images-stream": Call(
        "images.generate",
        {"model": "demo", "prompt": "A red pixel", "stream": True},
        "generate_content demo",
        {"gen_ai.request.stream": True},
        "sha256",
    ),
    "images-edit": Call(
        "images.edit",
        {
            "model": "demo",
            "prompt": "Make it blue",
            "image": [("a.png", PNG, "image/png"), ("b.png", PNG, "image/png")],
        },
        "generate_content demo",
        {"gen_ai.output.type": "image"},
        "sha256",
    ),
    "speech": Call(
        "audio.speech.create",
        {"model": "demo", "input": "Good morning", "voice": "alloy", "response_format": "wav"},
        "generate_content demo",
        {"gen_ai.output.type": "speech"},
        "audio/wav",
    ),
    "transcriptions": Call(
        "audio.transcriptions.create",
        {"model": "demo", "file": ("a.wav", WAV, "audio/wav"), "prompt": "About the sky"},
        "generate_content demo",
        {"gen_ai.usage.input_tokens": 18},
        "sky",
    ),
    "transcriptions-stream": Call(
        "audio.transcriptions.create",
        {"model": "demo", "file": ("a.wav", WAV, "audio/wav"), "stream": True},
        "generate_content demo",
        {"gen_ai.request.stream": True},
        "specific",
    ),
    "translations": Call(
        "audio.translations.create",
        {"model": "demo", "file": ("a.wav", WAV, "audio/wav"), "prompt": "About the sea"},
        "generate_content demo",
        {},
        "sea",
    ),
}


class Told(NamedTuple):
    exchange: str
    """The gateway's id for it; "" where none was between."""
    result: list[Any]
    """What the SDK made of the answer; of a stream each event."""


async def ask(client: openai.AsyncOpenAI, method: str, fields: dict[str, Any]) -> Told:
    raw = await _raw(client, method)(**fields)
    parsed = await raw.parse() if isinstance(raw, openai.AsyncAPIResponse) else raw.parse()
    result = [event async for event in parsed] if isinstance(parsed, openai.AsyncStream) else [_plain(parsed)]
    return Told(raw.headers.get("x-spangate-exchange", ""), result)


def ask_in_turn(client: openai.OpenAI, method: str, fields: dict[str, Any]) -> list[Any]:
    parsed = _raw(client, method)(**fields).parse()
    return list(parsed) if isinstance(parsed, openai.Stream) else [_plain(parsed)]


def _raw(client: openai.OpenAI | openai.AsyncOpenAI, method: str) -> Any:
    resource, _, name = method.rpartition(".")
    return getattr(attrgetter(resource)(client).with_raw_response, name)


def _plain(parsed: Any) -> Any:
    """Sound comes as a response of its own, which compares by identity."""
    return parsed.content if hasattr(parsed, "content") and isinstance(parsed.content, bytes) else parsed
