"""A body that begins as an earlier one is read as it would be alone, from less of it."""

import json
import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from gateway.model.message import RequestReading
from gateway.providers.built_in import formats
from gateway.providers.histories import LEAST, Histories
from gateway.providers.known import KnownMessageCache
from gateway.sessions.lineage import history_of
from tests.providers.test_golden import REMEMBERED

PROVIDERS = {provider.name: provider for provider in formats()}

Write = Callable[[Any], bytes]


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def spaced(value: Any) -> bytes:
    return json.dumps(value).encode()


class Reader:
    """Reads as the gateway does, and keeps count of what it went through."""

    def __init__(self, api: str = "openai_chat", limit_bytes: int = 1 << 24) -> None:
        self.provider = PROVIDERS[api]
        self.known = KnownMessageCache()
        self.histories = Histories(limit_bytes)
        self.seen = 0

    def read(self, body: bytes) -> RequestReading:
        self.seen = 0
        return self.histories.read(self.provider.name, body, self._read)

    def _read(self, body: bytes) -> RequestReading:
        self.seen += len(body)
        return self.provider.read_request(body, self.known)


def alone(api: str, body: bytes) -> dict[str, Any]:
    return said(PROVIDERS[api].read_request(body, KnownMessageCache()))


def said(reading: RequestReading) -> dict[str, Any]:
    found = {name: getattr(reading, name) for name in RequestReading.__struct_fields__ if name not in REMEMBERED}
    for name in ("messages", "system", "definitions"):
        found[name] = [(entry.role, entry.json, entry.texts) for entry in found[name]]
    return found


def message(rng: Random) -> dict[str, Any]:
    text = "".join(rng.choices('abc "\\{}[],é\n', k=rng.randint(0, 900)))
    role = rng.choice(["user", "assistant", "user", "tool"])
    if role == "tool":
        return {"role": role, "tool_call_id": f"call_{rng.randrange(10**6)}", "content": text}
    if rng.random() < 0.2:
        return {"role": role, "content": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}
    return {"role": role, "content": text}


def request(messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"model": "m", "tools": [{"type": "function", "function": {"name": "f"}}], "messages": messages, **more}


def talk(rng: Random, least: int = 3 * LEAST) -> list[dict[str, Any]]:
    messages = [message(rng)]
    while len(compact(messages)) < least:
        messages.append(message(rng))
    return messages


@pytest.mark.parametrize("write", [compact, spaced])
@pytest.mark.parametrize("api", ["openai_chat", "anthropic_messages", "cohere_chat", "ollama_chat", "bedrock_converse"])
def test_however_conversations_go_on_they_are_read_as_alone(api: str, write: Write) -> None:
    rng = Random(api)
    reader = Reader(api)
    talks = [talk(rng) for _ in range(4)]
    for _ in range(120):
        messages = rng.choice(talks)
        match rng.randrange(6):
            case 0:  # edited
                messages[rng.randrange(len(messages))] = message(rng)
            case 1:  # taken back
                del messages[rng.randint(len(messages) // 2, len(messages)) :]
            case 2:  # a fork
                talks[rng.randrange(len(talks))] = [*messages, message(rng)]
            case _:
                messages += [message(rng) for _ in range(rng.randint(0, 3))]
        body = write(request(messages, temperature=rng.choice([0.1, 1])))
        assert said(reader.read(body)) == alone(api, body)
    assert reader.histories.hits > 60


@pytest.mark.parametrize("write", [compact, spaced])
def test_only_what_is_new_is_gone_through(write: Write) -> None:
    rng, reader = Random(1), Reader()
    messages = talk(rng, 20 * LEAST)
    reader.read(write(request(messages)))
    new = [message(rng), message(rng)]
    reader.read(write(request(messages + new)))
    assert reader.seen < len(write(new)) + 200
    reader.read(write(request(messages + new)))
    assert reader.seen < 200, "the same again"


def test_what_a_client_marks_in_its_latest_messages_is_read_anew_and_no_more() -> None:
    reader = Reader("anthropic_messages")
    messages = [{"role": "user" if at % 2 == 0 else "assistant", "content": "x" * 500} for at in range(200)]

    def marked(count: int) -> bytes:
        *before, last = messages[:count]
        mark = {"type": "text", "text": last["content"], "cache_control": {"type": "ephemeral"}}
        return compact(request([*before, {**last, "content": [mark]}]))

    reader.read(marked(101))
    for count in range(103, 199, 2):
        reader.read(marked(count))
        assert reader.seen < 3_000


SAME = '[{"role": "user", "content": "A"}]'
PADDING = "x" * LEAST


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # The same list stands further in, ahead of the request's own: what follows there is not the conversation's.
        (
            f'{{"metadata": {{"pad": "{PADDING}", "messages": {SAME}}}, "messages": {SAME}}}',
            f'{{"metadata": {{"pad": "{PADDING}", "messages": {SAME[:-1]}, "x"]}}, "messages": {SAME}}}',
        ),
        # A second list behind the first: which of them counts is not clear.
        (
            f'{{"pad": "{PADDING}", "messages": {SAME}}}',
            f'{{"pad": "{PADDING}", "messages": {SAME}, "messages": []}}',
        ),
        (
            f'{{"pad": "{PADDING}", "messages": {SAME}}}',
            f'{{"pad": "{PADDING}", "messages": {SAME}, "Messages": []}}',
        ),
        # Behind the history comes what is no JSON, or no list's end.
        (f'{{"pad": "{PADDING}", "messages": {SAME}}}', f'{{"pad": "{PADDING}", "messages": {SAME[:-1]} nonsense'),
        (f'{{"pad": "{PADDING}", "messages": {SAME}}}', f'{{"pad": "{PADDING}", "messages": {SAME[:-1]}, NaN]}}'),
        (f'{{"pad": "{PADDING}", "messages": {SAME}}}', f'{{"pad": "{PADDING}", "messages": {SAME[:-1]},]}}'),
        (f'{{"pad": "{PADDING}", "messages": [12]}}', f'{{"pad": "{PADDING}", "messages": [123]}}'),
        (f'{{"pad": "{PADDING}", "messages": []}}', f'{{"pad": "{PADDING}", "messages": {SAME}}}'),
    ],
)
def test_what_only_looks_like_a_known_history_is_read_as_alone(first: str, second: str) -> None:
    reader = Reader()
    reader.read(first.encode())
    assert said(reader.read(second.encode())) == alone("openai_chat", second.encode())


def numbers(at: int) -> list[Any]:
    return [*range(100_000 + 20_000 * at, 100_000 + 20_000 * (at + 1))]


def words(at: int) -> list[Any]:
    return [{"role": "user", "x": [f"{at}{number}" for number in range(20_000)]}]


def turns(at: int) -> list[Any]:
    return [{"role": ["user", "assistant"][some % 2], "content": f"{at}{some}"} for some in range(10_000)]


def one(at: int) -> list[Any]:
    return [{"role": "user", "content": f"{at}" * LEAST}]


@pytest.mark.parametrize(
    "asked",
    [
        lambda at: request(numbers(at)),
        lambda at: request(words(at)),
        lambda at: request(turns(at)),
        lambda at: request(one(at), system=words(at)[0]["x"][:5_000]),
        lambda at: request(one(at), more=f"{at}" * 1_000_000),
    ],
    ids=["numbers", "words", "turns", "instructions", "a field"],
)
def test_what_is_kept_is_weighed_as_what_it_takes(asked: Callable[[int], dict[str, Any]]) -> None:
    reader = Reader("anthropic_messages", limit_bytes=1 << 28)
    reader.known = KnownMessageCache(limit_bytes=0)
    bodies = [compact(asked(at)) for at in range(3)]
    tracemalloc.start()
    try:
        for body in bodies:
            history_of(reader.read(body))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * held < reader.histories.bytes < 2 * held


def test_what_turns_out_unreadable_is_hardly_gone_through_twice() -> None:
    reader, twice = Reader(), b',{"a":1,"a":2}'
    begin = compact(request(talk(Random(6))))[:-2]
    for count in (1, len(begin) // len(twice) - 10, 5 * len(begin) // len(twice)):
        reader.read(begin + b"]}")
        body = begin + count * twice + b"]}"
        assert said(reader.read(body)) == alone("openai_chat", body)
        assert reader.seen < 1.6 * len(body)


def test_the_same_bytes_sent_to_another_api_are_read_as_that_ones() -> None:
    reader = Reader("openai_chat")
    body = compact(request(talk(Random(3))))
    reader.read(body)
    reader.provider = PROVIDERS["anthropic_messages"]
    assert said(reader.read(body)) == alone("anthropic_messages", body)


def test_of_a_flood_of_conversations_the_latest_are_kept_within_the_bound() -> None:
    rng, reader = Random(4), Reader(limit_bytes=128 * LEAST)
    for _ in range(50):
        reader.read(compact(request(talk(rng))))
        assert reader.histories.bytes <= 128 * LEAST
    giant = compact(request([{"role": "user", "content": "x" * 64 * LEAST}]))
    reader.read(giant)
    reader.read(giant)
    assert reader.seen == len(giant), "too large to be kept"
    latest = talk(rng)
    reader.read(compact(request(latest)))
    reader.read(compact(request([*latest, message(rng)])))
    assert reader.histories.hits == 1


BLOCKS = '[{"role": "user", "content": [{"text": "A"}]}]'


@pytest.mark.parametrize(
    ("api", "first", "second"),
    [
        # What is shown of such a list stands in no message: all of it must be shown again.
        (
            api,
            f'{{{own}, "pad": "{PADDING}", "messages": {SAME}}}',
            f'{{{own}, "pad": "{PADDING}", "messages": {more}}}',
        )
        for more in (SAME[:-1] + ', {"role": "user", "content": "B"}]',)
        for api, own in {
            "generic": '"a": 1',
            "openai_responses": '"input": "C"',
            "openai_completions": '"prompt": "C"',
            "gemini_generate_content": '"contents": [{"parts": [{"text": "C"}]}]',
            "cohere_embeddings": '"texts": ["C"]',
            "anthropic_batches": '"requests": [{"params": {"messages": [{"role": "user", "content": "C"}]}}]',
            "bedrock_count_tokens": '"input": {"converse": {"messages": [{"role": "user", "content": []}]}}',
        }.items()
    ]
    # Whose body it is, what is behind the messages says.
    + [
        (
            "bedrock_invoke",
            f'{{"pad": "{PADDING}", "messages": {BLOCKS}{one}}}',
            f'{{"pad": "{PADDING}", "messages": {BLOCKS}{other}}}',
        )
        for one in ("", ', "schemaVersion": "1"', ', "anthropic_version": "1"')
        for other in ("", ', "schemaVersion": "1"', ', "anthropic_version": "1"')
    ],
)
def test_where_messages_are_not_read_one_by_one_a_body_is_read_as_a_whole(api: str, first: str, second: str) -> None:
    reader = Reader(api)
    reader.read(first.encode())
    assert said(reader.read(second.encode())) == alone(api, second.encode())


def test_anthropics_bodies_at_bedrock_are_read_on() -> None:
    rng, reader = Random(5), Reader("bedrock_invoke")
    messages = talk(rng)
    for _ in range(3):
        body = compact({"anthropic_version": "bedrock-2023-05-31", "messages": messages})
        assert said(reader.read(body)) == alone("bedrock_invoke", body)
        messages.append(message(rng))
    assert reader.histories.hits == 2
