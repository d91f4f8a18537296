"""`response: window`: whole events leave once a window of what they say was looked at, in every framing."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.policy.streaming import OVERLAP, WINDOW
from gateway.providers.eventstream import EventStreamDecoder, encoded
from tests.processors.holding import LAST_CHUNK, Talking, chunk, keeper, outcomes, policy, post, talking
from tests.proxy.conftest import dechunked

WORDS = "a plain word or two "


def sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def named(event: dict[str, Any]) -> bytes:
    return b"event: %b\r\ndata: %b\r\n\r\n" % (event["type"].encode(), json.dumps(event).encode())


def line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def frame(event: dict[str, Any], name: str = "contentBlockDelta") -> bytes:
    headers = {":message-type": "event", ":event-type": name, ":content-type": "application/json"}
    return encoded(headers, json.dumps(event).encode())


def packed_frame(event: dict[str, Any]) -> bytes:
    return frame({"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abc"}, "chunk")


class Api:
    def __init__(self, name: str, path: str, content_type: str, says: Callable[[str], bytes], error: str) -> None:
        self.name = name
        self.path = path
        self.head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        self.says = says
        self.error = error
        """What the error event has."""


APIS = [
    Api(
        "openai",
        "/openai/v1/chat/completions",
        "text/event-stream",
        lambda text: sse({"id": "c1", "choices": [{"index": 0, "delta": {"content": text}}]}),
        '"code":"blocked_by_policy"',
    ),
    Api(
        "tool arguments",
        "/openai/v1/chat/completions",
        "text/event-stream; charset=utf-8",
        lambda text: sse(
            {"choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": text}}]}, "index": 0}]}
        ),
        '"code":"blocked_by_policy"',
    ),
    Api(
        "responses",
        "/openai/v1/responses",
        "text/event-stream",
        lambda text: named({"type": "response.output_text.delta", "item_id": "m1", "output_index": 0, "delta": text}),
        "event: error",
    ),
    Api(
        "anthropic",
        "/anthropic/v1/messages",
        "text/event-stream",
        lambda text: named({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": text}}),
        "event: error",
    ),
    Api(
        "tool input",
        "/anthropic/v1/messages",
        "text/event-stream",
        lambda text: named(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}}
        ),
        "event: error",
    ),
    Api(
        "gemini",
        "/gemini/v1beta/models/g:streamGenerateContent?alt=sse",
        "text/event-stream",
        lambda text: sse({"candidates": [{"content": {"parts": [{"text": text}]}, "index": 0}]}),
        "PERMISSION_DENIED",
    ),
    Api(
        "ollama",
        "/ollama/api/chat",
        "application/x-ndjson",
        lambda text: line({"model": "m", "message": {"role": "assistant", "content": text}, "done": False}),
        '"error"',
    ),
    Api(
        "converse",
        "/bedrock/model/m/converse-stream",
        "application/vnd.amazon.eventstream",
        lambda text: frame({"contentBlockIndex": 0, "delta": {"text": text}, "p": "abcdefg"}),
        "validationException",
    ),
    Api(
        "invoke",
        "/bedrock/model/anthropic.claude-3/invoke-with-response-stream",
        "application/vnd.amazon.eventstream",
        lambda text: packed_frame(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        ),
        "validationException",
    ),
]
every_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


def told(events: Sequence[bytes]) -> list[bytes]:
    return [chunk(event) for event in events]


async def begun(model: Talking, api: Api, keys: bytes = b"") -> None:
    await model.gateway.wire.send(post(api.path))
    model.say(api.head)
    await model.asked.wait()


@every_api
async def test_a_clean_stream_arrives_byte_for_byte_and_a_window_behind(api: Api) -> None:
    async with talking(policy(keeper("window"))) as model:
        events = [api.says(WORDS) for _ in range(40)]
        await begun(model, api)
        model.say(*told(events[: WINDOW // len(WORDS) + 1]))  # as much as there is in a window, and no more
        head = await model.gateway.wire.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        first = await model.gateway.wire.exactly(4)
        assert first == b"%x" % len(events[0]) + first[-2:] or first
        model.say(*told(events[WINDOW // len(WORDS) + 1 :]), LAST_CHUNK)
        rest = await model.gateway.wire.until(b"\r\n0\r\n\r\n")
        assert dechunked(first + rest) == b"".join(events)
        exchange, _ = await model.finished()
        assert outcomes(exchange) == [("response", "allow", "allowed", "evaluated")]


@every_api
@pytest.mark.parametrize("before", [0, 40])
async def test_a_word_split_over_events_is_found_and_cut_off_with_the_apis_own_event(api: Api, before: int) -> None:
    async with talking(policy(keeper("window"))) as model:
        await begun(model, api)
        clean = [api.says(WORDS) for _ in range(before)]
        model.say(*told([*clean, api.says("a nigh"), api.says("tj"), api.says("ar flies. "), *[api.says(WORDS)] * 20]))
        head, body = await model.gateway.wire.answer()
        await model.hung_up.wait()
        exchange, span = await model.finished()
        [said] = exchange.verdict.assessments
        assert (said.outcome, said.state, exchange.end) == ("blocked", "evaluated", "blocked")
        if not before:
            assert head.startswith(b"HTTP/1.1 403")
            assert said.released_bytes == 0
            return
        assert head.startswith(b"HTTP/1.1 200")
        got = dechunked(body)
        released = said.released_bytes
        assert released
        assert released % len(clean[0]) == 0
        assert got[:released] == b"".join(clean)[:released]
        # Behind it stay the characters of the overlap, so that nothing of the word has left.
        assert len(b"".join(clean)) - released >= OVERLAP // len(WORDS) * len(clean[0]) - len(clean[0])
        assert api.error in got[released:].decode("utf-8", "replace")
        assert "nightjar" not in got.decode("utf-8", "replace")
        assert exchange.status == 200
        assert b"spangate.released_bytes" in span
        # The client's connection goes on.
        model.gateway.upstream.answers(api.head + chunk(api.says("hi")) + LAST_CHUNK)
        await model.gateway.wire.send(post(api.path))
        assert dechunked((await model.gateway.wire.answer())[1]) == api.says("hi")


@every_api
async def test_of_a_stream_that_breaks_off_whole_events_arrive_and_half_a_one_does_not(api: Api) -> None:
    async with talking(policy(keeper("window"))) as model:
        await begun(model, api)
        clean = b"".join(api.says(WORDS) for _ in range(40))
        model.say(chunk(clean))
        got = await model.gateway.wire.until(b"\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 200")
        model.say(chunk(api.says("x nightjar x")[:-1]), None)
        assert dechunked(await model.gateway.wire.rest()) == clean
        exchange, _ = await model.finished()
        assert exchange.end == "upstream_gone"


@every_api
async def test_the_last_event_may_lack_its_end(api: Api) -> None:
    for word, status in (("plane", b"200"), ("nightjar", b"403")):
        async with talking(policy(keeper("window"))) as model:
            await begun(model, api)
            said = api.says(f"the {word} flies").rstrip()
            model.say(chunk(said), LAST_CHUNK)
            head, body = await model.gateway.wire.answer()
            assert head[9:12] == status
            assert status == b"403" or dechunked(body) == said


async def test_google_arrays_are_cut_at_elements_and_stay_json() -> None:
    api = Api("array", "/gemini/v1beta/models/g:streamGenerateContent", "application/json", lambda text: b"", "")

    def element(text: str) -> bytes:
        return json.dumps({"candidates": [{"content": {"parts": [{"text": text}]}, "index": 0}]}).encode()

    for last, status in (("flies", None), ("nightjar", 403)):
        async with talking(policy(keeper("window"))) as model:
            await begun(model, api)
            body = b"[" + b",\r\n".join([*[element(WORDS)] * 40, element(last)]) + b"]"
            model.say(chunk(body[:100]), chunk(body[100:-100]))
            await model.gateway.wire.until(b"\r\n\r\n")
            model.say(chunk(body[-100:]), LAST_CHUNK)
            got = await model.gateway.wire.until(b"\r\n0\r\n\r\n")
            said = json.loads(dechunked(got))
            if status is None:
                assert dechunked(got) == body
            else:
                assert said[-1]["error"]["code"] == status
                assert len(said) > 20


async def test_two_choices_side_by_side_are_two_texts() -> None:
    api = APIS[0]

    def says(choice: int, text: str) -> bytes:
        return sse({"choices": [{"index": choice, "delta": {"content": text}}]})

    mixed = [says(0, "night"), says(1, "jar "), says(0, "ly "), says(1, "and so on ")]
    split = [says(0, "night"), says(1, "ly and "), says(0, "jar "), says(1, "so on ")]
    for events, outcome in ((mixed, "allowed"), (split, "blocked")):
        async with talking(policy(keeper("window"))) as model:
            await begun(model, api)
            model.say(*told(events), LAST_CHUNK)
            await model.gateway.wire.answer()
            assert (await model.finished())[0].outcome == outcome


async def test_what_an_api_says_about_an_answer_does_not_count_as_text_and_arguments_of_any_name_do() -> None:
    api = APIS[0]
    ids = [sse({"id": f"chatcmpl-{'x' * 300}", "choices": [{"index": 0, "delta": {}}]})] * 5
    async with talking(policy(keeper("window"))) as model:
        await begun(model, api)
        model.say(*told(ids))
        call = {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": {"arguments": {"id": "nightjar"}}}]}}]}
        model.say(*told([sse(call)]), LAST_CHUNK)
        head, _ = await model.gateway.wire.answer()
        assert head.startswith(b"HTTP/1.1 403")


async def test_a_whole_answer_is_held_as_a_whole() -> None:
    async with talking(policy(keeper("window"))) as model:
        await model.gateway.wire.send(post())
        body = b'{"choices":[{"message":{"content":"nightjar"}}]}'
        model.say(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert (await model.gateway.wire.answer())[0].startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(("oversize", "end"), [("allow", "finished"), ("block", "blocked")])
async def test_an_event_too_large_to_hold(oversize: str, end: str) -> None:
    api = APIS[0]
    async with talking(policy(keeper("window"), oversize=oversize), capture_max=4000) as model:
        await begun(model, api)
        event = api.says("word " * 2000)
        model.say(*[chunk(event[at : at + 1000]) for at in range(0, len(event), 1000)], LAST_CHUNK)
        head, body = await model.gateway.wire.answer()
        assert head[9:12] == (b"200" if end == "finished" else b"403")
        assert end == "blocked" or dechunked(body) == event
        assert (await model.finished())[0].end == end


async def test_a_client_that_reads_nothing_stops_the_upstream_and_one_that_leaves_ends_it() -> None:
    api = APIS[0]
    async with talking(policy(keeper("window"))) as model:
        await begun(model, api)
        for _ in range(300):
            model.say(chunk(api.says("word " * 10_000)))
        await model.gateway.wire.until(b"\r\n\r\n")
        model.gateway.wire.abort()
        exchange, _ = await model.finished()
        assert exchange.end == "client_gone"
        assert exchange.response_body is not None
        await model.hung_up.wait()


async def test_the_usage_that_was_asked_for_in_the_clients_place_stays_hidden() -> None:
    usage = sse({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}})
    async with talking(policy(keeper("window")), providers={"openai": {"include_usage": True}}) as model:
        await model.gateway.wire.send(post(body=b'{"model":"m","stream":true,"messages":[]}'))
        events = [APIS[0].says(WORDS) for _ in range(30)]
        model.say(APIS[0].head, *told([*events, usage, b"data: [DONE]\n\n"]), LAST_CHUNK)
        _, body = await model.gateway.wire.answer()
        assert dechunked(body) == b"".join(events) + b"data: [DONE]\n\n"
        exchange, _ = await model.finished()
        assert exchange.response is not None
        assert exchange.response.usage.output_tokens == 5


async def test_what_is_flagged_is_told_of_the_whole_answer() -> None:
    api = APIS[0]
    async with talking(policy(keeper("window", "flag"))) as model:
        await begun(model, api)
        events = [api.says(WORDS + "nightjar ") for _ in range(30)]
        model.say(*told(events), LAST_CHUNK)
        _, body = await model.gateway.wire.answer()
        assert dechunked(body) == b"".join(events)
        exchange, _ = await model.finished()
        [said] = exchange.verdict.assessments
        assert (said.outcome, said.reason) == ("flagged", "codenames: keyword:0 x30")


async def test_frames_are_what_an_aws_client_understands() -> None:
    api = next(each for each in APIS if each.name == "converse")
    async with talking(policy(keeper("window"))) as model:
        await begun(model, api)
        model.say(*told([api.says(WORDS)] * 30 + [api.says("nightjar")]), LAST_CHUNK)
        _, body = await model.gateway.wire.answer()
        decoder = EventStreamDecoder()
        events = decoder.feed(dechunked(body))
        assert decoder.corrupt == 0
        assert [event.event for event in events][-1] == "validationException"
