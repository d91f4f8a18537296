"""`response: hold`: nobody gets a byte of an answer before an agent has seen all of it."""

import asyncio
import gzip
import json
import time

import pytest
import zstandard

from gateway.model.message import Entry
from gateway.policy.engine import Held, PolicySet
from tests.processors.holding import JSON, LAST_CHUNK, SSE, chunk, keeper, outcomes, policy, post, talking, whole
from tests.proxy.conftest import dechunked

CLEAN = b'{"choices":[{"message":{"role":"assistant","content":"the plane flies"},"finish_reason":"stop"}]}'
CAUGHT = CLEAN.replace(b"plane", b"nightjar")
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"the "}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"WORD flies"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


async def test_a_clean_answer_arrives_as_it_was_and_only_once_it_is_whole() -> None:
    async with talking(policy(keeper("hold"))) as model:
        await model.gateway.wire.send(post())
        answer = whole(CLEAN)
        model.say(answer[:-5])
        await model.asked.wait()
        assert b"accept-encoding: identity" in model.gateway.upstream.requests[0].lower()
        model.say(answer[-5:])
        head, body = await model.gateway.wire.answer()
        assert (head[:15], body) == (b"HTTP/1.1 200 OK", CLEAN)
        assert b"x-spangate-outcome: allowed" in head
        assert head.lower().count(b"content-length") == 1
        exchange, _ = await model.finished()
        assert (exchange.end, exchange.status, outcomes(exchange)) == (
            "finished",
            200,
            [("response", "allow", "allowed", "evaluated")],
        )
        # The connections are kept on both sides.
        model.gateway.upstream.answers(whole(CLEAN))
        await model.gateway.wire.send(post())
        assert (await model.gateway.wire.answer())[1] == CLEAN


async def test_a_blocked_answer_is_refused_in_the_apis_own_shape() -> None:
    async with talking(policy(keeper("hold", more="message: Ask again.\n"))) as model:
        await model.gateway.wire.send(post())
        model.say(whole(CAUGHT))
        head, body = await model.gateway.wire.answer()
        assert head.startswith(b"HTTP/1.1 403 Forbidden")
        assert b"x-spangate-code: blocked_by_policy" in head
        assert b"x-spangate-outcome: blocked" in head
        assert json.loads(body)["error"] == {
            "message": "Blocked by policy agent keeper0: codenames: keyword:0. Ask again.",
            "type": "permission_error",
            "param": None,
            "code": "blocked_by_policy",
        }
        assert b"nightjar" not in head + body
        exchange, span = await model.finished()
        assert (exchange.end, exchange.status) == ("blocked", 403)
        assert outcomes(exchange) == [("response", "block", "blocked", "evaluated")]
        assert exchange.response_body is not None
        assert exchange.response_body.joined() == CAUGHT
        assert b"spangate.released_bytes" not in span
        await model.gateway.wire.send(post())
        model.gateway.upstream.answers(whole(CLEAN))
        assert (await model.gateway.wire.answer())[0].startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("word", [b"plane", b"nightjar"])
async def test_a_stream_is_held_as_a_whole(word: bytes) -> None:
    async with talking(policy(keeper("hold"))) as model:
        events = EVENTS.replace(b"WORD", word)
        await model.gateway.wire.send(post())
        model.say(SSE, chunk(events[:50]), chunk(events[50:]), LAST_CHUNK)
        head, body = await model.gateway.wire.answer()
        if word == b"plane":
            assert dechunked(body) == events
        else:
            assert head.startswith(b"HTTP/1.1 403")
            assert json.loads(body)["error"]["code"] == "blocked_by_policy"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("said", [CLEAN, CAUGHT])
async def test_an_answer_that_is_packed_all_the_same_is_seen_unpacked_and_released_as_it_came(
    coding: str, said: bytes
) -> None:
    packed = gzip.compress(said) if coding == "gzip" else zstandard.compress(said)
    async with talking(policy(keeper("window"))) as model:
        await model.gateway.wire.send(post(more=b"Accept-Encoding: gzip, zstd\r\n"))
        model.say(whole(packed, JSON + b"Content-Encoding: %b\r\n" % coding.encode()))
        head, body = await model.gateway.wire.answer()
        assert (body == packed) == (said == CLEAN)
        assert head.startswith(b"HTTP/1.1 200" if said == CLEAN else b"HTTP/1.1 403")


@pytest.mark.parametrize(
    ("unreadable", "body", "coding", "state"),
    [
        ("allow", b"no gzip", b"gzip", "failed_open"),
        ("block", b"no gzip", b"gzip", "failed_closed"),
        ("allow", CLEAN, b"rot13", "failed_open"),
        ("block", CLEAN, b"rot13", "failed_closed"),
        ("allow", b"no JSON", b"identity", "failed_open"),
        ("block", b"no JSON", b"identity", "failed_closed"),
    ],
)
async def test_an_answer_nobody_can_read_is_let_go_or_refused_as_named(
    unreadable: str, body: bytes, coding: bytes, state: str
) -> None:
    async with talking(policy(keeper("hold"), unreadable=unreadable)) as model:
        await model.gateway.wire.send(post())
        model.say(whole(body, JSON + b"Content-Encoding: %b\r\n" % coding))
        head, got = await model.gateway.wire.answer()
        exchange, _ = await model.finished()
        assert [each.state for each in exchange.verdict.assessments] == [state]
        if unreadable == "allow":
            assert (head[:12], got, exchange.outcome) == (b"HTTP/1.1 200", body, "flagged")
        else:
            assert (head[:12], exchange.outcome, exchange.end) == (b"HTTP/1.1 403", "blocked", "blocked")


@pytest.mark.parametrize(
    ("oversize", "said", "status"),
    [("allow", b"a", 200), ("block", b"a", 403), ("allow", b"nightjar ", 403)],
)
async def test_an_answer_too_large_to_hold(oversize: str, said: bytes, status: int) -> None:
    body = b'{"choices":[{"message":{"role":"assistant","content":"%b"}}]}' % (said * (4000 // len(said)))
    async with talking(policy(keeper("hold"), oversize=oversize), capture_max=2000) as model:
        await model.gateway.wire.send(post())
        answer = whole(body)
        model.say(answer[:1500], answer[1500:3500])
        head = await model.gateway.wire.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d" % status)
        if status == 200:
            model.say(answer[3500:])
            assert dechunked(await model.gateway.wire.until(b"0\r\n\r\n")) == body
        else:
            async with asyncio.timeout(60):
                await model.hung_up.wait()
        exchange, _ = await model.finished()
        [said_of_it] = exchange.verdict.assessments
        assert (said_of_it.outcome, exchange.end) == (
            ("flagged", "finished") if status == 200 else ("blocked", "blocked")
        )


class Slow(PolicySet):
    """A message takes it longer than any agent here may."""

    def _seen(self, entry: Entry, last: Entry | None, known: Held | None, failed: set[int]) -> Held:
        time.sleep(0.002)
        return super()._seen(entry, last, known, failed)


async def test_time_that_runs_out_is_named() -> None:
    two = b'{"choices":[{"message":{"content":"one"}},{"index":1,"message":{"content":"two"}}]}'
    for on_error, status, outcome in (("allow", b"200", "flagged"), ("block", b"403", "blocked")):
        processor = policy(keeper("hold"), kind=Slow, timeout="1ms", on_error=on_error)
        async with talking(processor) as model:
            await model.gateway.wire.send(post())
            model.say(whole(two))
            head, _ = await model.gateway.wire.answer()
            exchange, _ = await model.finished()
            assert head[9:12] == status
            assert [(each.state, each.outcome) for each in exchange.verdict.assessments] == [("timed_out", outcome)]


async def test_a_client_that_leaves_while_its_answer_is_held_cancels_the_upstream() -> None:
    async with talking(policy(keeper("hold"))) as model:
        await model.gateway.wire.send(post())
        model.say(whole(CLEAN)[:-5])
        await model.asked.wait()
        model.gateway.wire.abort()
        exchange, _ = await model.finished()
        assert exchange.end == "client_gone"
        await model.hung_up.wait()


async def test_an_upstream_that_breaks_off_is_told_to_the_client_and_nothing_of_it_goes_on() -> None:
    async with talking(policy(keeper("hold"))) as model:
        await model.gateway.wire.send(post())
        model.say(whole(CAUGHT)[:-5], None)
        head, body = await model.gateway.wire.answer()
        assert head.startswith(b"HTTP/1.1 502")
        assert b"nightjar" not in body
        exchange, _ = await model.finished()
        assert (exchange.end, exchange.status) == ("upstream_gone", 502)


async def test_an_answer_without_a_body_and_an_error_pass() -> None:
    async with talking(policy(keeper("hold"))) as model:
        model.gateway.upstream.answers(
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}",
        )
        await model.gateway.wire.send(post())
        assert (await model.gateway.wire.answer())[0].startswith(b"HTTP/1.1 204")
        await model.gateway.wire.send(post())
        head, body = await model.gateway.wire.answer()
        assert (head[:12], body) == (b"HTTP/1.1 429", b"{}")
        assert b"Retry-After: 3" in head
        ends = [(await model.finished())[0].end for _ in range(2)]
        assert ends == ["finished", "upstream_error"]


async def test_observers_and_shadows_hold_nothing() -> None:
    assert not policy(keeper("after")).gates
    assert not policy(keeper("hold", more="shadow: true\n")).gates


async def test_a_long_answer_is_understood_in_slices_and_judged() -> None:
    events = b"".join(b'data: {"choices":[{"index":0,"delta":{"content":"word %d "}}]}\n\n' % n for n in range(6000))
    for more, status in ((b"", b"200"), (EVENTS.replace(b"WORD", b"nightjar"), b"403")):
        async with talking(policy(keeper("hold"), timeout="60s")) as model:
            await model.gateway.wire.send(post())
            model.say(SSE, chunk(events), chunk(more) if more else b"", LAST_CHUNK)
            head, body = await model.gateway.wire.answer()
            assert head[9:12] == status
            assert more or dechunked(body) == events
            exchange, _ = await model.finished()
            assert exchange.end == ("blocked" if more else "finished")


@pytest.mark.parametrize("word", [b"plane", b"nightjar"])
async def test_a_held_stream_shows_that_somebody_is_there(word: bytes) -> None:
    async with talking(policy(keeper("hold")), ping_s=0.01) as model:
        await model.gateway.wire.send(post())
        model.say(SSE, chunk(EVENTS[:50]))
        head = await model.gateway.wire.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        first = await model.gateway.wire.until(b": still here\n\n\r\n")
        model.say(chunk(EVENTS[50:].replace(b"WORD", word)), LAST_CHUNK)
        said = dechunked(first + await model.gateway.wire.until(b"\r\n0\r\n\r\n")).replace(b": still here\n\n", b"")
        if word == b"plane":
            assert said == EVENTS.replace(b"WORD", word)
            return
        event, done = said.split(b"\n\n")[:2]
        assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "blocked_by_policy"
        assert done == b"data: [DONE]"
        exchange, _ = await model.finished()
        assert (exchange.end, exchange.status) == ("blocked", 200)


async def test_agents_that_are_read_later_hold_the_next_answer() -> None:
    holding = policy(keeper("hold"))
    processor = policy(keeper("after"))
    async with talking(processor) as model:
        model.gateway.upstream.answers(whole(CAUGHT))
        await model.gateway.wire.send(post())
        assert (await model.gateway.wire.answer())[0].startswith(b"HTTP/1.1 200")
        processor.take(holding._policies)
        model.gateway.pipeline.look_again()
        await model.gateway.wire.send(post())
        assert (await model.gateway.wire.answer())[0].startswith(b"HTTP/1.1 403")
