"""Whatever format a request has: an enforcer blocks a word in it wherever it stands, also where no reader looks."""

import json
from base64 import b64encode, encodebytes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.contracts import Provider, Spoken
from gateway.model.exchange import Captured, Exchange
from gateway.policy.engine import PolicySet
from gateway.policy.load import read_agent
from gateway.processors.policy import PolicyConfig, PolicyProcessor
from gateway.providers.built_in import formats, sockets
from gateway.providers.generic import Generic
from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_realtime import OpenAIRealtime
from gateway.providers.openai_realtime_socket import RealtimeSocket
from gateway.providers.parts import OPAQUE

DATA = Path(__file__).parent.parent / "data"
PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in formats()}
NOT_ASKED = DATA / "openai_realtime" / "beside" / "request.json"
"""Its items are of a conversation that the model is not shown."""
REQUESTS = sorted(path for name in PROVIDERS for path in DATA.glob(f"{name}/*/request.json") if path.stat().st_size)
REQUESTS.remove(NOT_ASKED)
HIDDEN = OPAQUE | {"body"}
"""What only the provider can read; and base64 of a body that is read as one."""
WORD = "nightjar"
AGENT = read_agent(
    "keeper.yaml", b"agent: keeper\nrole: enforcer\ndetect: {codenames: {keywords: [nightjar]}}\nintent: block"
)


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written: a name may come twice."""


Place = Callable[[Any], Iterator[Any]]
"""Puts the word into a value of a request, in each way there is."""


def written(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{written(held)}" for name, held in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def variants(value: Any, place: Place) -> Iterator[Any]:
    """The value with the word in one place, for every place below it that is not for the provider's eyes alone."""
    yield from place(value)
    if isinstance(value, Pairs):
        for at, (name, held) in enumerate(value):
            if name not in HIDDEN and not (name == "data" and ("type", "redacted_thinking") in value):
                for changed in variants(held, place):
                    yield Pairs([*value[:at], (name, changed), *value[at + 1 :]])
    elif isinstance(value, list):
        for at, held in enumerate(value):
            for changed in variants(held, place):
                yield [*value[:at], changed, *value[at + 1 :]]


def in_a_field_nobody_knows(value: Any) -> Iterator[Any]:
    if isinstance(value, Pairs):
        yield Pairs([*value, ("zz", [Pairs([("deep", WORD)])])])


def in_a_name(value: Any) -> Iterator[Any]:
    if isinstance(value, Pairs):
        yield Pairs([*value, (WORD, 1)])


def in_the_first_of_two_fields(value: Any) -> Iterator[Any]:
    if isinstance(value, Pairs):
        for name, _ in value:
            yield Pairs([(name, WORD), *value])


def in_the_last_of_two_fields(value: Any) -> Iterator[Any]:
    if isinstance(value, Pairs):
        for name, _ in value:
            yield Pairs([*value, (name, WORD)])


def in_a_name_in_other_letters(value: Any) -> Iterator[Any]:
    if isinstance(value, Pairs):
        for name, _ in value:
            yield Pairs([*value, (name.capitalize() if name[:1].islower() else name.lower(), WORD)])


def in_place_of_a_text(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        yield WORD


PLACES = [
    in_a_field_nobody_knows,
    in_a_name,
    in_the_first_of_two_fields,
    in_the_last_of_two_fields,
    in_a_name_in_other_letters,
    in_place_of_a_text,
]


def blocked(provider: Provider, body: bytes, target: str = "") -> bool:
    captured = Captured(len(body))
    captured.add(body)
    exchange = Exchange("e", 0, "POST", "/", [], captured, b"t" * 16, b"s" * 8)
    exchange.request = provider.read_request(body, KnownMessageCache(), target, "application/json")
    PolicyProcessor(PolicyConfig(), PolicySet([AGENT], sensitive=())).on_request(exchange)
    return exchange.refusal is not None


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: f"{path.parts[-3]}/{path.parts[-2]}")
def test_an_enforcer_blocks_a_word(path: Path, place: Place) -> None:
    provider = PROVIDERS[path.parts[-3]]
    target = path.with_name("target.txt")
    target_text = target.read_text().strip() if target.exists() else ""
    request = json.loads(path.read_bytes(), object_pairs_hook=Pairs)
    unseen = [
        body
        for value in variants(request, place)
        if not blocked(provider, (body := written(value)).encode(), target_text)
    ]
    assert unseen == []


PICTURE = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4).decode()
ADDRESS = f"data:image/png;base64,{PICTURE}"


@pytest.mark.parametrize(
    ("name", "request_body"),
    [
        ("openai_responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": ADDRESS}]}]}),
        ("gemini_generate_content", {"contents": [{"parts": [{"inline_data": {"data": PICTURE}}]}]}),
        ("gemini_embeddings", {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}]}}),
        ("bedrock_converse", {"messages": [{"content": [{"image": {"source": {"bytes": PICTURE}}}]}]}),
        ("ollama_chat", {"messages": [{"role": "user", "content": "x", "images": [PICTURE]}]}),
        ("ollama_generate", {"model": "m", "prompt": "x", "images": [PICTURE]}),
        ("cohere_embeddings", {"images": [ADDRESS]}),
        ("vertex_predict", {"instances": [{"image": {"bytesBase64Encoded": PICTURE}}]}),
        ("openai_images", {"prompt": "x", "image": PICTURE, "images": [{"image_url": ADDRESS}]}),
        ("openai_moderations", {"input": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}),
        ("openai_realtime", {"session": {}, "response": {}, "items": [{"content": [{"audio": PICTURE}]}]}),
    ],
)
def test_a_pictures_bytes_are_shown_to_nobody(name: str, request_body: Any) -> None:
    reading = PROVIDERS[name].read_request(json.dumps(request_body).encode(), KnownMessageCache())
    assert reading.state == "full"
    for entry in [*reading.messages, *reading.system, *reading.definitions]:
        assert not any(PICTURE[:40] in text for text in entry.texts)


DOCUMENT = "words " * 60 + WORD
ENCODED = {
    "plain": b64encode(DOCUMENT.encode()).decode(),
    "lines of MIME": encodebytes(DOCUMENT.encode()).decode().replace("\n", "\r\n"),
    "blanks": " \t".join(b64encode(DOCUMENT.encode()).decode()),
    "no padding": b64encode(DOCUMENT.encode() + b" ").decode().rstrip("="),
    "UTF-16": b64encode(DOCUMENT.encode("utf-16")).decode(),
}


@pytest.mark.parametrize("encoded", ENCODED.values(), ids=ENCODED)
@pytest.mark.parametrize("name", ["openai_chat", "openai_responses", "anthropic", "gemini", "bedrock"])
def test_text_in_a_documents_bytes_is_seen_and_not_kept(name: str, encoded: str) -> None:
    address = f"data:text/plain;base64,{encoded}"
    plain = {"type": "base64", "media_type": "text/plain", "data": encoded}
    part, into = {
        "openai_chat": ({"type": "file", "file": {"filename": "a.txt", "file_data": address}}, "openai_chat"),
        "openai_responses": ({"type": "input_file", "filename": "a.txt", "file_data": address}, "openai_responses"),
        "anthropic": ({"type": "document", "source": plain}, "anthropic_messages"),
        "gemini": ({"inlineData": {"mimeType": "text/plain", "data": encoded}}, "gemini_generate_content"),
        "bedrock": (
            {"document": {"name": "a", "format": "txt", "source": {"bytes": encoded}}},
            "bedrock_converse",
        ),
    }[name]
    message = {"role": "user", "parts" if name == "gemini" else "content": [part]}
    within = {"openai_responses": "input", "gemini": "contents"}.get(name, "messages")
    body = json.dumps({"model": "m", within: [message]}).encode()
    assert blocked(PROVIDERS[into], body)
    reading = PROVIDERS[into].read_request(body, KnownMessageCache())
    assert reading.state == "full"
    for entry in reading.messages:
        assert WORD.encode() not in entry.json
        assert encoded[:40].encode() not in entry.json


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [{"role": "user", "content": [{"type": "text", "text": "night"}, {"type": "text", "text": "jar"}]}]}',
        b'{"batch": [{"request": {"contents": [{"parts": [{"text": "night"}, {"text": "jar"}]}]}}]}',
        b'{"tool": "{\\"held\\": \\"{\\\\\\"as\\\\\\": \\\\\\"\\\\\\\\u006eightjar\\\\\\"}\\"}"}',
        b'[{"data": "bmln\\naHRqYXI="}]',
    ],
)
def test_of_an_api_that_nobody_knows_words_in_pieces_or_packed_are_seen(body: bytes) -> None:
    assert blocked(Generic(), body)
    assert Generic().read_request(body, KnownMessageCache()).state == "full"


def test_of_an_api_that_nobody_knows_a_forms_escapes_are_undone() -> None:
    kind = "application/x-www-form-urlencoded; charset=utf-8"
    reading = Generic().read_request(b"prompt=%6Eight%6Aar+x", KnownMessageCache(), "", kind)
    assert any(WORD in text for entry in reading.definitions for text in entry.texts)


def test_of_an_api_that_nobody_knows_a_name_that_stands_twice_is_unreadable() -> None:
    assert Generic().read_request(b'{"a": "x", "a": "y"}', KnownMessageCache()).state == "unreadable"


class TestSockets:
    @pytest.mark.parametrize("spoken", sockets(), ids=lambda spoken: spoken.name)
    @pytest.mark.parametrize(
        "event",
        [
            b'{"type":"response.create","type":"input_audio_buffer.append","instructions":"nightjar"}',
            b'{"type": "response.create", "Type": "x", "instructions": "nightjar"}',
            b'{"type":"session.update","session":{"instructions":"nightjar","instructions":""}}',
        ],
    )
    def test_an_event_that_two_parsers_read_differently_is_a_request_of_its_own(
        self, spoken: Spoken, event: bytes
    ) -> None:
        step = spoken.dialogue(strict=True).client_event(event, True)
        assert step is not None
        assert blocked(PROVIDERS[spoken.name], step.request or b"")

    def test_what_a_client_says_of_a_session_stays_whatever_the_server_makes_of_it(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=True)
        transcription = {"model": "whisper-1", "prompt": WORD}
        said = {"type": "realtime", "audio": {"input": {"transcription": transcription}}}
        dialogue.client_event(json.dumps({"type": "session.update", "session": said}).encode(), True)
        dialogue.server_event(json.dumps({"type": "session.updated", "session": {"model": "m"}}).encode(), True)
        step = dialogue.client_event(b'{"type":"response.create"}', True)
        assert step is not None
        assert blocked(OpenAIRealtime(), step.request or b"")

    def test_an_item_that_a_response_beside_the_conversation_refers_to_is_seen(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=True)
        item = {"id": "item_1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": WORD}]}
        dialogue.client_event(json.dumps({"type": "conversation.item.create", "item": item}).encode(), True)
        response = {"conversation": "none", "input": [{"type": "item_reference", "id": "item_1"}]}
        step = dialogue.client_event(json.dumps({"type": "response.create", "response": response}).encode(), True)
        assert step is not None
        assert blocked(OpenAIRealtime(), step.request or b"")
