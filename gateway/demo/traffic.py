"""Sample conversations through the gateway, by the real SDKs. Sends nothing anywhere but to the base URL it is given.

The SDKs are no run-time dependency: `make demo` installs the test extras; `run_traffic` says so where they are missing.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


class MissingSDKError(RuntimeError):
    """The official SDKs are not installed."""


async def run_traffic(base_url: str, out: Callable[[str], None]) -> None:
    """Hold every sample conversation through the gateway at `base_url`; one line each goes to `out`.

    `base_url` is the gateway's, without a provider: `http://127.0.0.1:4000`. Raises MissingSDKError, and what the SDKs
    raise where the gateway cannot be reached.
    """
    try:
        import anthropic
        import openai
    except ImportError as error:
        raise MissingSDKError("sample traffic needs the openai and anthropic SDKs: make demo installs them") from error
    async with AsyncExitStack() as stack:
        clients = Clients(
            openai=await stack.enter_async_context(
                openai.AsyncOpenAI(base_url=f"{base_url}/openai/v1", api_key="demo", max_retries=0)
            ),
            anthropic=await stack.enter_async_context(
                anthropic.AsyncAnthropic(base_url=f"{base_url}/anthropic", api_key="demo", max_retries=0)
            ),
        )
        for conversation in CONVERSATIONS:
            try:
                ended = await conversation.hold(clients)
            except (openai.APIStatusError, anthropic.APIStatusError) as error:
                # An answer all the same: a refusal by policy, or the error this conversation is about.
                ended = f"{error.status_code} {type(error).__name__}{_code(error.response.headers)}"
            out(f"{conversation.title}: {ended}")


def _code(headers: Any) -> str:
    code = headers.get("x-spangate-code")
    return f" ({code})" if code else ""


async def _small_talk(clients: Clients) -> str:
    """Three turns without any session id: the gateway finds them by their content."""
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
        model="demo-error-429", messages=[{"role": "user", "content": "Are you there?"}], user="ada"
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
