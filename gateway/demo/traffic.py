"""Sample conversations through the gateway, by the real SDKs. Sends nothing anywhere but to the base URL it is given.

The SDKs are no run-time dependency: `make demo` installs the test extras; where they are missing, a line says so.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

_WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
_FORECAST = '{"city": "Porto", "forecast": "17 degrees, wind from the west", "rain": false}'


@dataclass(slots=True, frozen=True)
class Clients:
    openai: "AsyncOpenAI"
    anthropic: "AsyncAnthropic"


@dataclass(slots=True, frozen=True)
class Conversation:
    title: str
    hold: Callable[[Clients], Awaitable[str]]
    """Runs it; returns how it ended, in a few words."""


def run_traffic(base_url: str, out: TextIO) -> None:
    """Hold every sample conversation through the gateway at `base_url`; prints one line each.

    `base_url` is the gateway's, without a provider: `http://127.0.0.1:4000`. An error that the gateway or the model
    answers is a conversation's end like any other.
    """
    asyncio.run(hold_conversations(base_url, lambda line: print(line, file=out, flush=True)))


async def hold_conversations(base_url: str, out: Callable[[str], None]) -> None:
    """The same on a running loop."""
    try:
        import anthropic
        import openai
    except ImportError:
        out("No sample conversations: they need the openai and anthropic SDKs, which `make demo` installs.")
        return
    openai_client = openai.AsyncOpenAI(base_url=f"{base_url}/openai/v1", api_key="demo", max_retries=0)
    anthropic_client = anthropic.AsyncAnthropic(base_url=f"{base_url}/anthropic", api_key="demo", max_retries=0)
    async with openai_client, anthropic_client:
        clients = Clients(openai_client, anthropic_client)
        for conversation in CONVERSATIONS:
            try:
                ended = await conversation.hold(clients)
            except (openai.APIStatusError, anthropic.APIStatusError) as error:
                ended = f"{error.status_code} {type(error).__name__}{_code(error.response.headers)}"
            except (openai.APIError, anthropic.APIError) as error:
                ended = type(error).__name__
            out(f"{conversation.title}: {ended}")


def _code(headers: Any) -> str:
    code = headers.get("x-spangate-code")
    return f" ({code})" if code else ""


async def _small_talk(clients: Clients) -> str:
    """Three turns without any session id: the gateway knows them by their user and their timing."""
    return await _chat(clients, "ada", ["Hello there", "What is a session?", "Thanks, that helps"])


async def _chat(clients: Clients, user: str, said: list[str], **headers: str) -> str:
    messages: list[Any] = []
    for text in said:
        messages.append({"role": "user", "content": text})
        answer = await clients.openai.chat.completions.create(
            model="demo", messages=messages, user=user, extra_headers=headers
        )
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
    return f"{len(said)} turns"


async def _tool_loop(clients: Clients) -> str:
    tools: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": _WEATHER}}]
    messages: list[Any] = [{"role": "user", "content": "How is the weather in Porto over 3 days?"}]
    first = await clients.openai.chat.completions.create(
        model="demo-tools", messages=messages, tools=tools, user="grace"
    )
    message = first.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    calls = message.tool_calls or []
    messages += [{"role": "tool", "tool_call_id": call.id, "content": _FORECAST} for call in calls]
    await clients.openai.chat.completions.create(model="demo-tools", messages=messages, tools=tools, user="grace")
    return f"{len(calls)} tool call, then an answer"


async def _agent_tool_loop(clients: Clients) -> str:
    tools: list[Any] = [{"name": "weather", "description": "The forecast of a city", "input_schema": _WEATHER}]
    messages: list[Any] = [{"role": "user", "content": "Plan my day in Porto around the weather"}]
    headers = {"x-session-id": "demo-agent-porto", "x-user-id": "linus"}
    first = await clients.anthropic.messages.create(
        model="demo-tools", max_tokens=500, messages=messages, tools=tools, extra_headers=headers
    )
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": json.dumps(_FORECAST)}
        for block in first.content
        if block.type == "tool_use"
    ]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    await clients.anthropic.messages.create(
        model="demo-tools", max_tokens=500, messages=messages, tools=tools, extra_headers=headers
    )
    return f"{len(results)} tool call, then an answer"


async def _stream(clients: Clients) -> str:
    pieces = 0
    async with clients.anthropic.messages.stream(
        model="demo-slow-20ms+reasoning",
        max_tokens=500,
        messages=[{"role": "user", "content": "Write a haiku about a gateway"}],
        extra_headers={"x-user-id": "edsger"},
    ) as stream:
        async for _ in stream.text_stream:
            pieces += 1
    return f"{pieces} pieces of text"


async def _card_number(clients: Clients) -> str:
    """The card industry's test number: it passes the checksum, and belongs to nobody."""
    said = ["I want a refund on my card 4111 1111 1111 1111, please", "Thanks"]
    return await _chat(clients, "barbara", said, **{"x-session-id": "demo-refund"})


async def _overloaded(clients: Clients) -> str:
    await clients.openai.chat.completions.create(
        model="demo-error-429", messages=[{"role": "user", "content": "Are you there?"}], user="alan"
    )
    return "answered, against expectation"


CONVERSATIONS: tuple[Conversation, ...] = (
    Conversation("small talk (openai, no session id)", _small_talk),
    Conversation("tool loop (openai)", _tool_loop),
    Conversation("agent with a tool (anthropic, session id)", _agent_tool_loop),
    Conversation("stream with thinking (anthropic)", _stream),
    Conversation("refund with a card number (openai, session id)", _card_number),
    Conversation("rate-limited model (openai)", _overloaded),
)
