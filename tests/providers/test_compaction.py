"""A conversation that was made shorter: the summary is what was said, and spans say that the model had only that."""

import json
from typing import Any, get_args

import pytest
from anthropic.types.beta import BetaRawContentBlockDelta

from gateway.model.message import Compaction, Message, RequestReading, ResponseReading
from gateway.providers.anthropic_answer import _STREAMED
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache, entry_of
from gateway.providers.settings import COMPACTED

PROVIDERS = {provider.name: provider for provider in formats()}
SUMMARY = {"type": "compaction", "content": "They spoke of tides."}
OPAQUE = {"type": "compaction", "encrypted_content": "gAAAA"}
NOT_SAID = {"citations_delta", "signature_delta"}


def asked(api: str, body: dict[str, Any]) -> RequestReading:
    return PROVIDERS[api].read_request(json.dumps({"model": "m", **body}).encode(), KnownMessageCache())


def answered(api: str, body: dict[str, Any], request: RequestReading | None = None) -> ResponseReading:
    reader = PROVIDERS[api].response_reader(request, 200, "application/json")
    reader.feed(json.dumps(body).encode())
    return reader.end(complete=True)


def test_every_delta_of_anthropics_sdk_is_read_or_known_to_say_nothing() -> None:
    members = get_args(get_args(BetaRawContentBlockDelta)[0])
    kinds = {get_args(member.model_fields["type"].annotation)[0] for member in members}
    assert "compaction_delta" in kinds
    assert kinds - _STREAMED.keys() == NOT_SAID


def test_a_streamed_summary_is_kept_where_its_beginning_was_not_seen() -> None:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "compaction_delta", "content": "They spoke"}}
    reader = PROVIDERS["anthropic_messages"].response_reader(None, 200, "text/event-stream")
    reader.feed(b"data: " + json.dumps(delta).encode() + b"\n\n")
    [message] = reader.end(complete=False).messages
    assert json.loads(message.json)["parts"] == [{"type": "compaction", "content": "They spoke"}]
    assert message.texts == ("They spoke",)


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("anthropic_messages", {"messages": [{"role": "assistant", "content": [SUMMARY]}]}),
        ("openai_responses", {"input": [OPAQUE, {"role": "user", "content": "And the moon?"}]}),
    ],
)
def test_a_request_says_that_its_conversation_was_compacted(api: str, body: dict[str, Any]) -> None:
    assert (COMPACTED, True) in asked(api, body).attributes


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("anthropic_messages", {"messages": [{"role": "user", "content": '"type":"compaction"'}]}),
        ("anthropic_messages", {"messages": [{"role": "assistant", "content": [{**SUMMARY, "content": None}]}]}),
        ("openai_responses", {"input": [{"type": "compaction_trigger"}]}),
    ],
    ids=["spoken of", "failed", "asked for"],
)
def test_a_request_that_was_not_compacted_says_nothing_of_it(api: str, body: dict[str, Any]) -> None:
    assert COMPACTED not in dict(asked(api, body).attributes)


@pytest.mark.parametrize("follows", [True, False])
def test_an_answer_is_of_a_compacted_conversation_only_where_it_goes_on_after_the_summary(follows: bool) -> None:
    text, item = {"type": "text", "text": "It pulls."}, {"type": "message", "role": "assistant", "content": "It pulls."}
    content = [SUMMARY, text] if follows else [text, SUMMARY]
    output = [OPAQUE, item] if follows else [item, OPAQUE]
    anthropic = answered("anthropic_messages", {"role": "assistant", "content": content, "stop_reason": "end_turn"})
    openai = answered("openai_responses", {"status": "completed", "output": output})
    assert [(COMPACTED, True) in each.attributes for each in (anthropic, openai)] == [follows, follows]


def test_a_span_says_it_once_where_request_and_answer_both_do() -> None:
    messages = [{"role": "assistant", "content": [SUMMARY]}]
    request = asked("anthropic_messages", {"messages": messages})
    content = [SUMMARY, {"type": "text", "text": "It pulls."}]
    said = answered("anthropic_messages", {"role": "assistant", "content": content}, request)
    assert [*request.attributes, *said.attributes].count((COMPACTED, True)) == 1


def test_an_entry_knows_that_it_stands_for_what_was_before_it() -> None:
    assert entry_of(Message("assistant", (Compaction("They spoke."),))).compacts
    assert not entry_of(Message("assistant", ())).compacts
