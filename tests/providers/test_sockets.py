"""Which events of a WebSocket begin, belong to and end a response; and that no event, however odd, is too much."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts import Dialogue, Step
from gateway.model.exchange import Refusal
from gateway.providers import openai_realtime_memory
from gateway.providers.built_in import sockets
from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_realtime import OpenAIRealtime
from gateway.providers.openai_realtime_socket import RealtimeSocket
from gateway.providers.openai_responses_socket import ResponsesSocket

REFUSAL = Refusal(403, "blocked_by_policy", "not here")


def client(dialogue: Dialogue, kind: str, **fields: Any) -> Step | None:
    return dialogue.client_event(json.dumps({"type": kind} | fields).encode(), True)


def server(dialogue: Dialogue, kind: str, **fields: Any) -> Step | None:
    return dialogue.server_event(json.dumps({"type": kind} | fields).encode(), True)


def ended(step: Step | None) -> tuple[int, bool, bool]:
    assert step is not None
    return step.number, step.ends, step.failed


class TestResponses:
    def test_a_response_ends_with_its_terminal_event(self) -> None:
        dialogue = ResponsesSocket().dialogue(strict=False)
        step = client(dialogue, "response.create", model="m")
        assert step is not None
        assert (step.number, json.loads(step.request or b"")["model"]) == (1, "m")
        assert ended(server(dialogue, "response.created")) == (1, False, False)
        assert server(dialogue, "codex.rate_limits") is None
        assert ended(server(dialogue, "response.incomplete")) == (1, True, False)
        assert server(dialogue, "response.output_text.delta") is None

    def test_lanes_run_beside_each_other(self) -> None:
        dialogue = ResponsesSocket().dialogue(strict=False)
        client(dialogue, "response.create", stream_id="a")
        client(dialogue, "response.create", stream_id="b")
        client(dialogue, "response.create", stream_id="a")
        assert ended(server(dialogue, "response.created", stream_id="b")) == (2, False, False)
        assert ended(server(dialogue, "response.completed", stream_id="a")) == (1, True, False)
        assert ended(server(dialogue, "response.created", stream_id="a")) == (3, False, False)

    def test_an_error_is_whose_lane_it_names_else_whoever_waits_longest(self) -> None:
        dialogue = ResponsesSocket().dialogue(strict=False)
        client(dialogue, "response.create", stream_id="a")
        client(dialogue, "response.create", stream_id="b")
        assert ended(server(dialogue, "error", stream_id="b")) == (2, True, True)
        assert ended(server(dialogue, "error")) == (1, True, True)
        assert server(dialogue, "error") is None

    def test_a_steer_is_an_exchange_and_so_is_what_it_brings_about(self) -> None:
        dialogue = ResponsesSocket().dialogue(strict=False)
        client(dialogue, "response.create")
        steer = client(dialogue, "response.steer", input="Shorter.", previous_response_id="r")
        assert steer is not None
        assert steer.request is not None
        assert ended(server(dialogue, "response.steer.accepted")) == (2, True, False)
        assert ended(server(dialogue, "response.incomplete")) == (1, True, False)
        successor = server(dialogue, "response.created")
        assert successor is not None
        assert json.loads(successor.request or b"")["input"] == "Shorter."
        assert ended(server(dialogue, "response.completed")) == (3, True, False)

    @pytest.mark.parametrize(
        "event", [b'{"type":"response.create","model":"m","input":"aaaa', b"not JSON", b"", b"\xff\xfe{"]
    )
    def test_who_cannot_be_read_may_ask_all_the_same(self, event: bytes) -> None:
        step = ResponsesSocket().dialogue(strict=False).client_event(event, event[:1] != b"{")
        assert step is not None
        assert step.request == event

    def test_what_is_cut_off_is_known_by_its_beginning(self) -> None:
        dialogue = ResponsesSocket().dialogue(strict=False)
        assert dialogue.client_event(b'{"type":"something.else","input":"aaaa', False) is None
        client(dialogue, "response.create")
        step = dialogue.server_event(b'{"type":"response.completed","response":{"output":[{"te', False)
        assert ended(step) == (1, True, False)

    def test_where_somebody_must_read_first_a_type_that_may_be_a_decoy_is_none(self) -> None:
        decoy = b'{"input":[{"type":"response.steer"}],"much":"aaaa'
        for spoken in sockets():
            step = spoken.dialogue(strict=True).client_event(decoy, False)
            assert step is not None
            assert step.request == decoy

    def test_where_somebody_must_read_first_an_event_that_we_do_not_know_is_seen(self) -> None:
        step = client(ResponsesSocket().dialogue(strict=True), "response.inject", input="hidden")
        assert step is not None
        assert b"hidden" in (step.request or b"")
        assert step.passes
        assert client(ResponsesSocket().dialogue(strict=False), "response.inject", input="seen by nobody") is None

    def test_a_refusal_has_both_forms_of_the_error(self) -> None:
        event = json.loads(ResponsesSocket().dialogue(strict=False).refusal(1, REFUSAL))
        assert (event["type"], event["code"], event["error"]["code"]) == ("error", REFUSAL.code, REFUSAL.code)
        assert (event["status"], event["error"]["type"]) == (403, "permission_error")


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]} | fields


def asked(step: Step | None) -> list[str]:
    """What the model has before it."""
    assert step is not None
    assert step.request is not None
    reading = OpenAIRealtime().read_request(step.request, KnownMessageCache())
    return [text for entry in reading.messages for text in entry.texts]


class TestRealtime:
    def test_responses_run_beside_each_other(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        client(dialogue, "response.create")
        client(dialogue, "response.create", response={"conversation": "none"})
        assert ended(server(dialogue, "response.created", response={"id": "a"})) == (1, False, False)
        assert ended(server(dialogue, "response.created", response={"id": "b"})) == (2, False, False)
        assert ended(server(dialogue, "response.output_text.delta", response_id="a", delta="x")) == (1, False, False)
        assert ended(server(dialogue, "response.done", response={"id": "b"})) == (2, True, False)
        assert dialogue.left(2) == b""
        assert server(dialogue, "response.done", response={"id": "b"}) is None

    def test_the_server_may_answer_speech_by_itself(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        client(dialogue, "input_audio_buffer.append", audio=b64encode(bytes(100)).decode())
        server(dialogue, "input_audio_buffer.committed", item_id="item_1")
        spoken = {"type": "input_audio", "transcript": None}
        server(dialogue, "conversation.item.added", item=message("", id="item_1", status="completed", content=[spoken]))
        step = server(dialogue, "response.created", response={"id": "a"})
        assert step is not None
        assert b'"size":100' in (step.request or b"")
        server(
            dialogue,
            "conversation.item.input_audio_transcription.completed",
            item_id="item_1",
            content_index=0,
            transcript="Hi",
        )
        server(dialogue, "conversation.item.done", item=message("", id="item_1", status="completed", content=[spoken]))
        assert asked(client(dialogue, "response.create")) == ["Hi"]

    def test_an_item_is_there_before_the_server_repeats_it_and_once_when_it_has(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        client(dialogue, "conversation.item.create", item=message("one"))
        client(dialogue, "conversation.item.create", item=message("two", id="item_2"))
        assert asked(client(dialogue, "response.create")) == ["one", "two"]
        for kind in ("created", "added", "done"):
            server(dialogue, f"conversation.item.{kind}", item=message("one", id="i1", status="completed"))
            server(dialogue, f"conversation.item.{kind}", item=message("two", id="item_2", status="completed"))
        assert asked(client(dialogue, "response.create")) == ["one", "two"]
        server(dialogue, "conversation.item.deleted", item_id="i1")
        assert asked(client(dialogue, "response.create")) == ["two"]

    def test_an_error_ends_the_response_that_it_is_about(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        client(dialogue, "response.create", event_id="e1")
        client(dialogue, "response.create", event_id="e2")
        assert server(dialogue, "error", error={"code": "x", "event_id": None}) is None
        assert ended(server(dialogue, "error", error={"code": "x", "event_id": "e2"})) == (2, True, True)
        assert ended(server(dialogue, "response.created", response={"id": "a"})) == (1, False, False)
        client(dialogue, "response.create")
        assert server(dialogue, "error", error={"code": "input_audio_buffer_commit_empty"}) is None
        assert ended(server(dialogue, "error", error={"code": "x"})) == (3, True, True)

    def test_a_long_conversation_loses_its_beginning_and_says_so(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        long = "x" * (openai_realtime_memory.LIMIT // 4)
        for number in range(6):
            client(dialogue, "conversation.item.create", item=message(f"{number}{long}"))
        step = client(dialogue, "response.create")
        assert [text[0] for text in asked(step)] == ["3", "4", "5"]
        assert step is not None
        assert OpenAIRealtime().read_request(step.request or b"", KnownMessageCache()).state == "truncated"

    def test_what_cannot_be_kept_marks_the_request(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        deep = b"[" * 5000 + b"]" * 5000
        dialogue.client_event(
            b'{"type":"conversation.item.create","item":{"type":"message","content":' + deep + b"}}", True
        )
        step = client(dialogue, "response.create")
        assert step is not None
        reading = OpenAIRealtime().read_request(step.request or b"", KnownMessageCache())
        assert reading.state != "full" or reading.messages

    def test_a_text_named_by_reference_is_seen(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=True)
        client(dialogue, "conversation.item.create", item=message("hidden", id="item_1"))
        by_id = [{"type": "item_reference", "id": "item_1"}, message("plain")]
        assert asked(client(dialogue, "response.create", response={"input": by_id})) == ["hidden", "plain"]
        step = client(dialogue, "response.create", response={"input": [{"type": "item_reference", "id": "other"}]})
        assert step is not None
        reading = OpenAIRealtime().read_request(step.request or b"", KnownMessageCache())
        assert reading.state == "truncated"

    def test_an_item_is_not_hidden_by_another_of_its_name(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=True)
        client(dialogue, "conversation.item.create", item=message("hidden", id="item_1"))
        client(dialogue, "conversation.item.create", item=message("plain", id="item_1"))
        assert asked(client(dialogue, "response.create")) == ["hidden", "plain"]

    @pytest.mark.parametrize("where", ["session", "response"])
    def test_what_fills_a_template_is_seen(self, where: str) -> None:
        dialogue = RealtimeSocket().dialogue(strict=True)
        said = {"prompt": {"id": "pmpt_1", "variables": {"name": "hidden"}}}
        if where == "session":
            client(dialogue, "session.update", session=said)
        step = client(dialogue, "response.create", response=said if where == "response" else {})
        assert step is not None
        reading = OpenAIRealtime().read_request(step.request or b"", KnownMessageCache())
        assert any("hidden" in text for entry in reading.definitions for text in entry.texts)

    @pytest.mark.parametrize(
        "event",
        [
            b'{"type":"response.create","type":"input_audio_buffer.clear"}',
            b'{"type":"conversation.item.create","item":{"type":"message","role":"user","role":"system","content":[]}}',
        ],
    )
    def test_what_parsers_may_read_differently_is_seen_as_it_is(self, event: bytes) -> None:
        for spoken in sockets():
            step = spoken.dialogue(strict=True).client_event(event, True)
            assert step is not None
            assert (step.request, step.passes) == (event, True)

    @pytest.mark.parametrize("strict", [True, False])
    def test_an_event_too_long_to_be_understood_waits_for_no_response(self, strict: bool) -> None:
        dialogue = RealtimeSocket().dialogue(strict=strict)
        step = dialogue.client_event(b'{"item":{"type":1},"much":"aaaa', False)
        assert step is not None
        assert step.passes
        dialogue.left(step.number)
        begun = server(dialogue, "response.created", response={"id": "a"})
        assert begun is not None
        assert begun.number == 2
        reading = OpenAIRealtime().read_request(begun.request or b"", KnownMessageCache())
        assert reading.state == "truncated"

    def test_where_somebody_must_read_first_each_text_is_asked_about_on_its_own(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=True)
        assert client(dialogue, "input_audio_buffer.append", audio="AAAA") is None
        first = client(dialogue, "conversation.item.create", item=message("one"))
        assert first is not None
        assert (asked(first), first.passes) == (["one"], True)
        dialogue.left(first.number)
        second = client(dialogue, "conversation.item.create", item=message("two"))
        assert asked(second) == ["two"]
        dialogue.refusal(second.number if second else 0, REFUSAL)  # it does not leave, so it is no part of what follows
        dialogue.left(second.number if second else 0)
        assert asked(client(dialogue, "response.create")) == ["one"]
        told = client(dialogue, "session.update", session={"instructions": "three"})
        assert told is not None
        reading = OpenAIRealtime().read_request(told.request or b"", KnownMessageCache())
        assert [text for entry in reading.system for text in entry.texts] == ["three"]
        assert reading.state == "full"

    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            ("session.update", {"session": {"tool_choice": {"name": "hidden"}}}),
            ("session.update", {"session": "hidden"}),
            ("session.update", {"session": {"audio": {"input": {"transcription": {"prompt": "hidden"}}}}}),
            ("conversation.item.create", {"item": {"type": "message", "name": "hidden", "content": []}}),
            ("conversation.item.create", {"item": {"type": "new", "content": [{"text": "a", "new": "hidden"}]}}),
            ("conversation.item.create", {"item": {"type": "message", "content": []}, "new": {"a": ["hidden"]}}),
            ("conversation.item.create", {"item": ["hidden"]}),
            ("response.create", {"response": {"metadata": {"a": "hidden"}}}),
            ("response.create", {"response": {"input": None}, "new": "hidden"}),
            ("response.create", {"response": "hidden"}),
            ("conversation.item.truncate", {"item_id": "hidden"}),
            ("response.create ", {"response": {"instructions": "hidden"}}),
            ("conversation.message.create", {"text": "hidden"}),
        ],
    )
    def test_where_somebody_must_read_first_all_that_an_event_says_is_seen(self, kind: str, fields: Any) -> None:
        step = client(RealtimeSocket().dialogue(strict=True), kind, **fields)
        assert step is not None
        reading = OpenAIRealtime().read_request(step.request or b"", KnownMessageCache())
        seen = [*reading.messages, *reading.system, *reading.definitions]
        assert any("hidden" in text for entry in seen for text in entry.texts)
        assert (reading.state == "full") == (kind != "response.create " and "message.create" not in kind)

    def test_text_in_the_data_of_an_image_is_seen(self) -> None:
        hidden = f"data:text/plain;base64,{b64encode(b'hidden').decode()}"
        item = {"type": "message", "content": [{"type": "input_image", "image_url": hidden}]}
        dialogue = RealtimeSocket().dialogue(strict=True)
        beside = client(dialogue, "response.create", response={"input": [item]})
        for step in (client(dialogue, "conversation.item.create", item=item), beside):
            reading = OpenAIRealtime().read_request(step.request or b"" if step else b"", KnownMessageCache())
            assert any("hidden" in text for entry in reading.messages for text in entry.texts)

    def test_an_input_of_null_is_none(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        client(dialogue, "conversation.item.create", item=message("one"))
        assert asked(client(dialogue, "response.create", response={"input": None})) == ["one"]

    def test_where_somebody_only_watches_no_text_is_asked_about(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        assert client(dialogue, "conversation.item.create", item=message("one")) is None

    def test_a_response_is_rather_his_who_asked_for_sure(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=True)
        dialogue.client_event(b'{"type":"input_audio_buffer.append","audio":"AAAA', False)
        client(dialogue, "response.create")
        assert ended(server(dialogue, "response.created", response={"id": "a"})) == (2, False, False)

    def test_a_refusal_answers_the_event_that_asked(self) -> None:
        dialogue = RealtimeSocket().dialogue(strict=False)
        client(dialogue, "response.create", event_id="mine")
        event = json.loads(dialogue.refusal(1, REFUSAL))
        assert (event["type"], event["error"]["event_id"]) == ("error", "mine")
        assert (event["error"]["type"], event["error"]["code"]) == ("permission_error", "blocked_by_policy")


KINDS = st.sampled_from(
    [
        "response.create",
        "response.steer",
        "session.update",
        "conversation.item.create",
        "input_audio_buffer.append",
        "input_audio_buffer.clear",
        "session.created",
        "session.updated",
        "conversation.item.created",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.deleted",
        "input_audio_buffer.committed",
        "response.created",
        "response.done",
        "conversation.item.input_audio_transcription.completed",
        "error",
        "response.output_audio.delta",
        "response.output_item.done",
        "response.completed",
        "response.failed",
        "response.steer.accepted",
        "response.steer.failed",
        "nonsense",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b", "message", "input_audio", "completed"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["id", "type", "role", "content", "audio", "status", "output", "pieces", "item_id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
FIELDS = [
    "item",
    "item_id",
    "session",
    "response",
    "response_id",
    "audio",
    "delta",
    "error",
    "event_id",
    "stream_id",
    "content_index",
    "transcript",
]
EVENTS = st.tuples(st.booleans(), KINDS, st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))


@pytest.mark.parametrize("spoken", sockets(), ids=lambda spoken: spoken.name)
@pytest.mark.parametrize("strict", [False, True])
@given(st.lists(EVENTS, max_size=25), st.binary(max_size=20))
def test_whatever_is_said_each_exchange_begins_once_and_ends_once(
    spoken: Any, strict: bool, events: list[tuple[bool, str, dict[str, Any]]], garbage: bytes
) -> None:
    dialogue: Dialogue = spoken.dialogue(strict=strict)
    dialogue.client_event(garbage, True)
    dialogue.server_event(garbage, True)
    begun: set[int] = {1}
    over: set[int] = set()
    for from_client, kind, fields in events:
        step = (client if from_client else server)(dialogue, kind, **fields)
        if step is None:
            continue
        if step.request is not None:
            assert step.number not in begun
            begun.add(step.number)
        assert step.number in begun
        assert step.number not in over
        if step.ends:
            over.add(step.number)
            dialogue.left(step.number)
