"""`escalation: hold`: an exchange waits for a person, and goes on or is refused as they or the agent's file say."""

import asyncio
import json

import pytest

from gateway.model.review import Decided, Decision, Review
from gateway.policy.engine import PolicySet
from gateway.policy.load import read_agent
from gateway.processors.policy import PolicyConfig, PolicyProcessor
from gateway.review.desk import ReviewDesk
from tests.processors.holding import LAST_CHUNK, SSE, chunk, post, talking, whole
from tests.processors.test_window import APIS, WORDS, told
from tests.proxy.conftest import dechunked

ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"nightjars fly"}}]}'
CAUGHT = ANSWER.replace(b"nightjars", b"a nightjar may")
ASKING = b'{"model":"m","messages":[{"role":"user","content":"a nightjar"}]}'


class People:
    """The way to those who decide."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[Review] = asyncio.Queue()
        self.withdrawn: asyncio.Queue[str] = asyncio.Queue()

    def ask(self, review: Review) -> None:
        self.asked.put_nowait(review)

    def withdraw(self, review_id: str) -> None:
        self.withdrawn.put_nowait(review_id)


class House:
    def __init__(self, direction: str, response: str = "hold", escalation: str = "timeout: 60s") -> None:
        self.people = People()
        self.desk = ReviewDesk(self.people)
        rules = (
            f"agent: keeper\nrole: enforcer\ndirections: [{direction}]\nresponse: {response}\nintent: escalate\n"
            f"escalation: {{mode: hold, {escalation}}}\ndetect: {{codenames: {{keywords: [nightjar]}}}}\n"
        )
        policies = PolicySet([read_agent("keeper.yaml", rules.encode())], sensitive=())
        self.policy = PolicyProcessor(PolicyConfig(), policies, self.desk)

    async def decides(self, decision: Decision, reason: str = "") -> Review:
        async with asyncio.timeout(60):
            review = await self.people.asked.get()
        self.desk.decided(Decided(review.id, decision, "ada", reason))
        return review


@pytest.mark.parametrize("decision", ["approve", "decline", "change"])
async def test_a_request_waits_and_nothing_leaves_until_it_is_approved(decision: Decision) -> None:
    house = House("inlet")
    async with talking(house.policy) as model:
        await model.gateway.wire.send(post(body=ASKING))
        model.say(whole(ANSWER))
        review = await house.decides(decision, "not today")
        assert model.gateway.upstream.requests == []
        head, body = await model.gateway.wire.answer()
        exchange, span = await model.finished()
        assert (review.agent, review.direction, review.exchange_id) == ("keeper", "inlet", exchange.id)
        assert review.reason == "codenames: keyword:0"
        assert exchange.review is not None
        assert (exchange.review.decision, exchange.review.reviewer) == (decision, "ada")
        assert exchange.review.id.encode() in span
        assert exchange.outcome == "escalated"
        assert await house.people.withdrawn.get() == review.id
        if decision == "approve":
            assert (head[9:12], body, exchange.end) == (b"200", ANSWER, "finished")
            assert b"completed" in span
            return
        assert head.startswith(b"HTTP/1.1 403")
        assert b"x-spangate-code: review_declined" in head
        assert b"x-spangate-review: " + review.id.encode() in head
        error = json.loads(body)["error"]
        assert error["code"] == "review_declined"
        assert error["message"].endswith("not today.")
        assert model.gateway.upstream.requests == []
        assert exchange.end == "refused"
        assert b"rejected" in span


@pytest.mark.parametrize(("then", "status"), [("block", b"403"), ("allow", b"200")])
async def test_where_nobody_decides_the_file_does(then: str, status: bytes) -> None:
    house = House("inlet", escalation=f"timeout: 20ms, then: {then}")
    async with talking(house.policy) as model:
        model.say(whole(ANSWER))
        await model.gateway.wire.send(post(body=ASKING))
        head, _ = await model.gateway.wire.answer()
        assert head[9:12] == status
        assert (b"x-spangate-code: review_timeout" in head) == (then == "block")
        exchange, _ = await model.finished()
        assert exchange.review is not None
        assert exchange.review.decision == ""
        assert house.desk.counters["timed_out"] == 1


async def test_a_client_that_leaves_takes_its_review_along() -> None:
    house = House("inlet")
    async with talking(house.policy) as model:
        await model.gateway.wire.send(post(body=ASKING))
        review = await house.people.asked.get()
        # It reads on behind the held request, so that a client that leaves is noticed.
        model.gateway.wire.abort()
        exchange, _ = await model.finished()
        assert exchange.end == "client_gone"
        assert await house.people.withdrawn.get() == review.id
        house.desk.decided(Decided(review.id, "approve", "ada", ""))  # too late, and nothing breaks


@pytest.mark.parametrize("decision", ["approve", "decline"])
async def test_a_whole_answer_waits(decision: Decision) -> None:
    house = House("response")
    async with talking(house.policy) as model:
        await model.gateway.wire.send(post())
        model.say(whole(CAUGHT))
        review = await house.decides(decision)
        head, body = await model.gateway.wire.answer()
        assert review.direction == "response"
        assert (head[9:12], body == CAUGHT) == ((b"200", True) if decision == "approve" else (b"403", False))
        exchange, _ = await model.finished()
        assert [each.outcome for each in exchange.verdict.assessments] == ["escalated"]


@pytest.mark.parametrize("decision", ["approve", "decline"])
async def test_a_stream_waits_where_it_is_and_nobody_is_asked_twice(decision: Decision) -> None:
    house = House("response", "window")
    async with talking(house.policy) as model:
        api = APIS[0]
        await model.gateway.wire.send(post())
        clean = [api.says(WORDS) for _ in range(40)]
        model.say(SSE, *told(clean))
        got = await model.gateway.wire.until(b"\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 200")
        more = [api.says("a nightjar flies. "), *clean, api.says("another nightjar. "), *clean]
        model.say(*told(more), LAST_CHUNK)
        await house.decides(decision)
        body = dechunked(await model.gateway.wire.until(b"\r\n0\r\n\r\n"))
        if decision == "approve":
            assert body == b"".join([*clean, *more])
            assert house.people.asked.empty()
        else:
            assert b"nightjar" not in body.partition(b'data: {"error"')[0]
            assert b'"code":"review_declined"' in body
        exchange, _ = await model.finished()
        assert exchange.end == ("finished" if decision == "approve" else "refused")


async def test_a_held_stream_shows_that_somebody_is_there() -> None:
    house = House("response")
    async with talking(house.policy, ping_s=0.01) as model:
        await model.gateway.wire.send(post())
        model.say(SSE, chunk(APIS[0].says("a nightjar flies")), LAST_CHUNK)
        head = await model.gateway.wire.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await model.gateway.wire.until(b": still here\n\n")
        await house.decides("decline")
        rest = await model.gateway.wire.until(b"\r\n0\r\n\r\n")
        assert b'"code":"review_declined"' in rest
