"""`inlet: parallel`: the check runs beside the upstream call; nothing of the answer passes before it has."""

import json

import pytest

from tests.processors.holding import outcomes, policy, post, talking, whole

PARALLEL = "directions: [inlet]\ninlet: parallel\nintent: block\ndetect: {codenames: {keywords: [nightjar]}}\n"
ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"nightjars fly"}}]}'


def asking(word: str) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": f"a {word} flies"}]}).encode()


async def test_a_clean_request_is_not_kept_waiting_and_its_answer_is_not_looked_at() -> None:
    async with talking(policy(PARALLEL)) as model:
        await model.gateway.wire.send(post(body=asking("plane"), more=b"Accept-Encoding: br\r\n"))
        model.say(whole(ANSWER))
        _, body = await model.gateway.wire.answer()
        assert body == ANSWER
        assert b"Accept-Encoding: br" in model.gateway.upstream.requests[0]
        exchange, _ = await model.finished()
        assert outcomes(exchange) == [("inlet", "allow", "allowed", "evaluated")]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_blocked_request_gets_a_refusal_and_the_upstream_is_cancelled(at_once: bool) -> None:
    async with talking(policy(PARALLEL)) as model:
        if at_once:
            model.say(whole(ANSWER))
        await model.gateway.wire.send(post(body=asking("nightjar")))
        head, body = await model.gateway.wire.answer()
        assert head.startswith(b"HTTP/1.1 403")
        assert json.loads(body)["error"]["code"] == "blocked_by_policy"
        exchange, _ = await model.finished()
        assert (exchange.end, exchange.status, exchange.response) == ("blocked", 403, None)
        assert outcomes(exchange) == [("inlet", "block", "blocked", "evaluated")]
        # The client's connection goes on; the upstream's was given up.
        model.gateway.upstream.answers(whole(ANSWER))
        await model.gateway.wire.send(post(body=asking("plane")))
        assert (await model.gateway.wire.answer())[1] == ANSWER
        assert model.gateway.upstream.connections >= 2


async def test_who_must_be_waited_for_comes_first_and_a_block_of_theirs_sends_nothing() -> None:
    waiting = PARALLEL.replace("inlet: parallel\n", "")
    async with talking(policy(PARALLEL, waiting)) as model:
        await model.gateway.wire.send(post(body=asking("nightjar")))
        head, _ = await model.gateway.wire.answer()
        assert head.startswith(b"HTTP/1.1 403")
        assert model.gateway.upstream.requests == []
