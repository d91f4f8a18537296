"""The requests the load is made of, from a seed: small chat calls, and agents that repeat their history. No I/O."""

import json
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

PATH = "/openai/v1/chat/completions"
STAMP = b"@@@@@@@@@@@@"
"""Twelve bytes that the load generator overwrites with a number, so that no two messages it sends are the same."""

TURNS = 84
"""From about 40 KB (instructions and tools) by about 4 KB a turn: 190 KB on average over a conversation's life."""

_VOCABULARY = (
    "the a this value returns request response handler session buffer stream index cache token window config error "
    "module import async await def class self result list table query commit branch merge release build test failed "
    "passed expected actual line column file path read write open close retry timeout deadline queue worker process "
    "memory limit count total average first last next previous user account order invoice report customer région für "
    "because therefore however should could must when where which whose after before between within without across"
)
WORDS = _VOCABULARY.split()


class Turn(NamedTuple):
    end: int
    """Bytes of the body up to and including this turn's last message."""
    stamps: tuple[int, ...]
    """Where in the body this turn's stamps begin."""


class Conversation(NamedTuple):
    body: bytes
    """Every turn, without the tail that closes the JSON."""
    turns: tuple[Turn, ...]


def small_body() -> bytes:
    """About 0.3 KB, one stamp."""
    return _json(
        {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "You answer questions about orders in one short sentence, in English."},
                {
                    "role": "user",
                    "content": f"Order {STAMP.decode()}: has it left the warehouse, and when will it be here?",
                },
            ],
            "temperature": 0.2,
            "max_tokens": 64,
        }
    )


def medium_body(size: int, rng: Random) -> bytes:
    """One question of about `size` bytes, one stamp."""
    text = f"Note {STAMP.decode()}. " + _prose(rng, size)
    return _json({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "max_tokens": 64})


def answer() -> bytes:
    """A chat completion of about 0.4 KB, as the upstream gives it to everyone."""
    return _json(
        {
            "id": "chatcmpl-BenchAnswer0000000000000001",
            "object": "chat.completion",
            "created": 1764000000,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "It left on Monday and should arrive on Thursday."},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 58, "completion_tokens": 11, "total_tokens": 69},
            "system_fingerprint": "fp_0123456789",
        }
    )


CONVERSATION_TAIL = b'],"parallel_tool_calls":true,"temperature":0.2}'


def conversations(count: int, seed: int, turns: int = TURNS) -> Iterator[Conversation]:
    """One agent's conversations: the same instructions and tools, different work."""
    head = _head(Random(seed))
    for number in range(count):
        yield _conversation(head, Random(f"{seed}/{number}"), turns)


def _head(rng: Random) -> bytes:
    system = {"role": "system", "content": _prose(rng, 16_000)}
    tools = _json([_tool(rng, number) for number in range(24)])
    return b'{"model":"gpt-4o","tools":' + tools + b',"messages":[' + _json(system)


def _tool(rng: Random, number: int) -> dict[str, object]:
    properties = {
        f"{rng.choice(WORDS)}_{index}": {
            "type": rng.choice(["string", "integer", "boolean"]),
            "description": _prose(rng, 90),
        }
        for index in range(5)
    }
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:2]}
    description = _prose(rng, 260)
    return {
        "type": "function",
        "function": {"name": f"tool_{number}", "description": description, "parameters": parameters},
    }


def _conversation(head: bytes, rng: Random, turns: int) -> Conversation:
    body, ends = bytearray(head), []
    for number in range(turns):
        begin = len(body)
        for message in _messages_of(rng, number):
            body += b"," + _json(message)
        ends.append(Turn(len(body), _stamps(body, begin)))
    return Conversation(bytes(body), tuple(ends))


def _messages_of(rng: Random, turn: int) -> list[dict[str, object]]:
    """What one turn adds: a question, or a tool's call and result; now and then an answer and the next question."""
    if turn == 0:
        return [_question(rng)]
    messages: list[dict[str, object]] = []
    if turn % 9 == 0:
        messages += [{"role": "assistant", "content": f"{STAMP.decode()} done. {_prose(rng, 700)}"}, _question(rng)]
    return [*messages, *_tool_round(rng)]


def _question(rng: Random) -> dict[str, object]:
    return {"role": "user", "content": f"Ticket {STAMP.decode()}: {_prose(rng, rng.randint(300, 1500))}"}


def _tool_round(rng: Random) -> list[dict[str, object]]:
    call_id = f"call_{STAMP.decode()}"
    arguments = json.dumps({"path": f"src/{rng.choice(WORDS)}.py", "change": _code(rng, rng.randint(100, 900))})
    function = {"name": f"tool_{rng.randrange(24)}", "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    size = min(12_000, int(rng.lognormvariate(7.75, 0.6)))
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": _result(rng, size)},
    ]


def _result(rng: Random, size: int) -> str:
    """What tools give back: a file, a log, a JSON document."""
    kind = rng.randrange(3)
    if kind == 0:
        return _code(rng, size)
    if kind == 1:
        lines = (f"2026-11-23T10:{rng.randrange(60):02}:07 INFO {_prose(rng, 60)}" for _ in range(max(1, size // 90)))
        return "\n".join(lines)
    rows = [
        {"id": rng.randrange(10**6), "name": _prose(rng, 20), "note": _prose(rng, 60)}
        for _ in range(max(1, size // 130))
    ]
    return json.dumps({"rows": rows, "next": None})


def _code(rng: Random, size: int) -> str:
    lines, length = [], 0
    while length < size:
        line = (
            "    " * rng.randrange(4)
            + f'{rng.choice(WORDS)} = {rng.choice(WORDS)}("{rng.choice(WORDS)}", {rng.randrange(999)})'
        )
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines)


def _prose(rng: Random, size: int) -> str:
    return " ".join(rng.choices(WORDS, k=max(1, size // 7)))


def _stamps(body: bytearray, begin: int) -> tuple[int, ...]:
    found, at = [], body.find(STAMP, begin)
    while at >= 0:
        found.append(at)
        at = body.find(STAMP, at + len(STAMP))
    return tuple(found)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
