"""Sessions found by what requests repeat, through the real processor, state and readers."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.model.exchange import Captured, End, Exchange
from gateway.model.session import SessionRef
from gateway.pipeline import Pipeline
from gateway.processors.session import SessionConfig, SessionProcessor
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache
from gateway.state.memory import MemoryState

SECOND = 1_000_000_000
START_NS = 1_790_000_000 * SECOND
Json = dict[str, Any]
Sent = dict[str, str]
TOOLS: Json = {"tools": [{"type": "function", "function": {"name": "look"}}]}


class Gateway:
    """A pipeline with sessions, whose clock is the caller's. `ask` is one whole exchange."""

    def __init__(self, api: str = "openai_chat", **config: Any) -> None:
        self.api = api
        self.state = MemoryState()
        self.sessions = SessionProcessor(
            SessionConfig(**config),
            self.state,
            lambda exchange: self.pipeline.reading(exchange),
            b"secret",
            lambda exchange, at_most: self.pipeline.answered(exchange, at_most),
        )
        providers = {provider.name: provider for provider in formats()}
        self.pipeline = Pipeline([self.sessions], [], providers, KnownMessageCache())
        self.count = 0

    def begin(self, body: Json, after_s: float = 0, sent: Sent | None = None, **headers: str) -> Exchange:
        """`sent`: as `headers`; underscores for hyphens."""
        self.count += 1
        headers |= sent or {}
        key = headers.pop("key", "k")
        fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        fields[b"authorization"] = f"Bearer {key}".encode()
        fields[b"content-type"] = b"application/json"
        now_ns = START_NS + round(after_s * SECOND)
        captured = Captured(10**7)
        captured.chunks = []
        captured.add(json.dumps(body).encode())
        exchange = Exchange(
            f"e-{self.count}", now_ns, "POST", "/v1/x", [], captured, b"t" * 16, b"s" * 8, header_map=fields
        )
        exchange.api = self.api
        waiting = self.pipeline.ready(exchange)
        assert waiting is None  # the memory engine never waits
        return exchange

    def finish(
        self, exchange: Exchange, answer: Json | bytes, status: int = 200, settle: bool = True, end: End = "finished"
    ) -> None:
        body = Captured(10**7)
        body.chunks = []
        body.add(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        exchange.response_body = body
        exchange.response_header_map = {b"content-type": b"application/json"}
        exchange.status = status
        exchange.end = end if status < 400 else "upstream_error"
        self.pipeline.end(exchange)
        if settle:
            self.pipeline.drain()

    def ask(
        self,
        body: Json,
        answer: Json,
        after_s: float = 0,
        sent: Sent | None = None,
        status: int = 200,
        **headers: str,
    ) -> SessionRef:
        exchange = self.begin(body, after_s, sent, **headers)
        self.finish(exchange, answer, status)
        assert exchange.session is not None
        assert not self.pipeline.failures
        return exchange.session


def chat(*texts: str, **more: Any) -> Json:
    roles = ("user", "assistant")
    return {"model": "m", "messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)], **more}


def answer(text: str | None, **more: Any) -> Json:
    message = {"role": "assistant", "content": text, **more}
    return {"id": "c-1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


async def test_a_request_that_repeats_a_turn_continues_its_session_however_late() -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer("Hello, who are you?"))
    second = gateway.ask(chat("hi", "Hello, who are you?", "Ann"), answer("Ann, well."), after_s=20 * 3600)
    third = gateway.ask(chat("hi", "Hello, who are you?", "Ann", "Ann, well.", "bye"), answer("Bye"), 40 * 3600)
    assert {first.id, second.id, third.id} == {first.id}
    assert (second.source, second.sequence, second.parent_exchange) == ("lineage", 2, "e-1")
    assert (third.source, third.sequence, third.parent_exchange, third.new_from) == ("lineage", 3, "e-2", 3)
    assert (first.source, first.header, second.header) == ("new", True, False)


async def test_openings_that_are_the_same_stay_apart() -> None:
    gateway = Gateway()
    openings = [gateway.ask(chat("hi"), answer(f"reply {number}")) for number in range(5)]
    assert len({session.id for session in openings}) == 5
    for number, opening in enumerate(openings):
        assert gateway.ask(chat("hi", f"reply {number}", "go on"), answer("ok")).id == opening.id


@pytest.mark.parametrize("other", [{"key": "other"}, {"x_workspace": "research"}])
async def test_what_somebody_else_repeats_is_not_theirs(other: dict[str, str]) -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer("Hello"))
    assert gateway.ask(chat("hi", "Hello", "go on"), answer("ok"), sent=other).id != first.id


async def test_an_edited_history_is_a_fork_of_the_turn_it_keeps() -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer("one"))
    gateway.ask(chat("hi", "one", "a"), answer("two"))
    fork = gateway.ask(chat("hi", "one", "b"), answer("three"))
    assert (fork.id, fork.parent_exchange) == (first.id, "e-1")
    deeper = gateway.ask(chat("hi", "one", "b", "three", "c"), answer("four"))
    assert deeper.parent_exchange == "e-3"
    edited = gateway.ask(chat("hi", "one", "b", "three, edited", "c"), answer("five"))
    assert (edited.id, edited.parent_exchange) == (first.id, "e-1")
    assert edited.confidence < deeper.confidence
    assert edited.new_from == 0, "more than what its parent was asked stands in it"


async def test_where_an_answer_was_rewritten_what_was_asked_before_is_known_all_the_same() -> None:
    gateway = Gateway()
    gateway.ask(chat("hi"), answer("one"), x_session_id="talk")
    second = gateway.ask(chat("hi", "one, rewritten", "a"), answer("two"), x_session_id="talk")
    third = gateway.ask(chat("hi", "one, rewritten", "a", "two, too", "b"), answer("three"), x_session_id="talk")
    assert [(place.parent_exchange, place.new_from) for place in (second, third)] == [("e-1", 1), ("e-2", 3)]


async def test_two_conversations_side_by_side_keep_their_threads() -> None:
    gateway = Gateway()
    said: dict[str, list[str]] = {name: [f"I am {name}"] for name in ("ann", "bob")}
    parents: dict[str, list[str | None]] = {name: [] for name in said}
    for turn in range(4):
        for name, texts in said.items():
            session = gateway.ask(chat(*texts), answer(f"{name} {turn}"), x_session_id="shared")
            parents[name].append(session.parent_exchange)
            texts += [f"{name} {turn}", "next"]
    assert parents == {"ann": [None, "e-1", "e-3", "e-5"], "bob": ["e-1", "e-2", "e-4", "e-6"]}


@pytest.mark.parametrize(("after_s", "joins"), [(10, True), (10.001, False)])
async def test_the_same_bytes_again_after_a_failure_are_a_retry(after_s: float, joins: bool) -> None:
    gateway = Gateway()
    error = {"error": {"message": "busy", "type": "overloaded"}}
    first = gateway.ask(chat("hi"), error, status=503)
    again = gateway.ask(chat("hi"), answer("Hello"), after_s)
    assert (again.id == first.id) is joins


async def test_the_same_bytes_after_a_good_answer_are_a_retry_only_if_the_client_says_so() -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer("Hello"))
    assert gateway.ask(chat("hi"), answer("Hello!"), 1).id != first.id
    retried = Gateway()
    first = retried.ask(chat("hi"), answer("Hello"))
    assert retried.ask(chat("hi"), answer("Hello!"), 60, x_stainless_retry_count="1").id == first.id
    assert retried.ask(chat("hey"), answer("Hello!"), 60, x_stainless_retry_count="1").id != first.id
    assert retried.ask(chat("hi"), answer("Hello!"), 60, x_stainless_retry_count="0").id != first.id


async def test_one_failure_is_retried_once() -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), {"error": {"message": "busy"}}, status=503)
    assert gateway.ask(chat("hi"), answer("Hello"), 1).id == first.id
    assert gateway.ask(chat("hi"), answer("Hello"), 2).id != first.id


async def test_a_summary_that_replaces_the_history_continues_it() -> None:
    gateway = Gateway()
    summary = "The user asked about sessions.\n" + "They want to know how a summary is found again, word by word. " * 8
    gateway.ask(chat("hi"), answer("one"))
    first = gateway.ask(chat("hi", "one", "summarise"), answer(summary))
    opening = f"This session is being continued from an earlier one. Here is what was said in it:\n{summary}\nGo on."
    found = gateway.ask(chat(opening), answer("Sure"))
    assert (found.id, found.parent_exchange, found.source) == (first.id, "e-2", "lineage")


async def test_a_sub_agent_is_found_by_the_order_it_got() -> None:
    gateway = Gateway()
    order = "Look through every file of the project and report where the word session is used, and why.\n" * 6
    call = {"id": "call_0123456789", "type": "function", "function": {"name": "Task", "arguments": ""}}
    call["function"]["arguments"] = json.dumps({"prompt": order})  # type: ignore[index]
    first = gateway.ask(chat("hi"), answer(None, tool_calls=[call]))
    sub = gateway.ask(chat(order), answer("Found it"))
    assert (sub.id, sub.parent_exchange) == (first.id, "e-1")


async def test_a_short_order_is_looked_for_where_tools_are_offered() -> None:
    told = "Count the plums in the garden behind the house and tell me how many are ripe."
    tools = [{"type": "function", "function": {"name": "count"}}]
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer(None, tool_calls=[order(told)]))
    assert gateway.ask(chat(told), answer("Twelve")).id != first.id
    assert gateway.ask(chat(told, tools=tools), answer("Twelve")).id == first.id


async def test_an_answer_is_learnt_before_the_tail_where_an_agent_is_faster() -> None:
    gateway = Gateway()
    first = gateway.begin(chat("hi"))
    gateway.finish(first, answer("Hello"), settle=False)
    assert gateway.pipeline.tail_length == 1
    second = gateway.begin(chat("hi", "Hello", "go on"))
    assert first.session is not None
    assert second.session is not None
    assert (second.session.id, second.session.parent_exchange) == (first.session.id, "e-1")
    gateway.finish(second, answer("ok"))
    assert first.session.parent_exchange is None  # not itself: it is learnt once
    assert gateway.ask(chat("hi", "Hello", "go on", "ok", "more"), answer("x")).parent_exchange == "e-2"


async def test_a_summary_is_learnt_before_the_tail_too() -> None:
    gateway = Gateway()
    summary = "A summary that is long enough to be told from every other line that anybody may say." * 8
    first = gateway.begin(chat("hi"))
    gateway.finish(first, answer(summary), settle=False)
    second = gateway.begin(chat(f"Go on from this:\n{summary}"))
    assert first.session is not None
    assert second.session is not None
    assert second.session.id == first.session.id


async def test_what_waits_in_the_tail_is_learnt_early_for_its_own_key_alone() -> None:
    gateway = Gateway()
    gateway.finish(gateway.begin(chat("hi"), key="other"), answer("Hello"), settle=False)
    found = gateway.begin(chat("hi", "Hello", "go on"))
    assert found.session is not None
    assert found.session.sequence == 1
    assert len(gateway.state) == 1  # its own


async def test_nothing_stays_noted_of_what_waited_in_the_tail() -> None:
    gateway = Gateway()
    asked, empty = gateway.begin(chat("hi")), gateway.begin(chat("none"))
    empty.request, empty.request_body = None, Captured(0)
    for ended in (asked, empty):
        gateway.finish(ended, answer("Hello"), settle=False)
    gateway.begin(chat("hi", "Hello", "go on"))
    threads = gateway.sessions._threads
    assert threads._early == {asked.id}
    gateway.pipeline.drain()
    assert threads._early == set()


async def test_a_tool_loop_is_one_session() -> None:
    gateway = Gateway()
    call = {"id": "call_0123456789", "type": "function", "function": {"name": "ls", "arguments": '{"a": 1, "b": 2}'}}
    first = gateway.ask(chat("hi"), answer("", tool_calls=[call]))
    # Sent back as clients do: null for an empty text, arguments formatted anew.
    call = call | {"function": {"name": "ls", "arguments": '{"b":2,"a":1}'}}
    history = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0123456789", "content": "file.txt"},
    ]
    second = gateway.ask({"model": "m", "messages": history}, answer("One file."))
    assert (second.id, second.parent_exchange, second.confidence) == (first.id, "e-1", 0.9)
    cut = gateway.ask({"model": "m", "messages": history[1:]}, answer("One file."))
    assert (cut.id, cut.parent_exchange) == (first.id, "e-1")


async def test_a_response_chain_is_followed() -> None:
    gateway = Gateway("openai_responses")
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}]
    for number in (1, 2):
        gateway.ask({"model": "m", "input": "hi"}, {"id": f"resp_{number}", "status": "completed", "output": output})
    chained = {"model": "m", "input": "more", "previous_response_id": "resp_1"}
    found = gateway.ask(chained, {"id": "resp_3", "status": "completed", "output": output})
    assert (found.source, found.parent_exchange, found.client_supplied) == ("response_chain", "e-1", False)
    other = gateway.ask(chained, {"id": "resp_4", "status": "completed", "output": output}, key="other")
    assert other.source == "new"


def order(text: str) -> Json:
    call = {"id": "call_0123456789", "type": "function", "function": {"name": "Task", "arguments": ""}}
    return call | {"function": {"name": "Task", "arguments": json.dumps({"prompt": text})}}


async def test_a_tree_of_named_agents_is_a_tree_of_threads() -> None:
    gateway = Gateway()
    order_a, order_b = (
        f"You are agent {name}. Find every place in the project that names sessions.\n" * 9 for name in "ab"
    )
    main = gateway.ask(chat("hi"), answer(None, tool_calls=[order(order_a)]), x_claude_code_session_id="cc")
    a = {"x_claude_code_session_id": "cc", "x_claude_code_agent_id": "a"}
    b = a | {"x_claude_code_agent_id": "b", "x_claude_code_parent_agent_id": "a"}
    spawned = gateway.ask(chat(order_a), answer("I look around"), sent=a)
    deeper = gateway.ask(chat(order_a, "I look around", "so?"), answer(None, tool_calls=[order(order_b)]), sent=a)
    nested = gateway.ask(chat(order_b), answer("Nothing"), sent=b)
    goes_on = gateway.ask(chat(order_b, "Nothing", "sure?"), answer("Yes"), sent=b)
    assert {each.id for each in (main, spawned, deeper, nested, goes_on)} == {"cc"}
    parents = [each.parent_exchange for each in (main, spawned, deeper, nested, goes_on)]
    assert parents == [None, "e-1", "e-2", "e-3", "e-4"]


@pytest.mark.parametrize(
    ("own", "parent"),
    [
        ({"x_claude_code_agent_id": "a"}, {}),
        ({"thread_id": "a", "x_codex_parent_thread_id": "root"}, {"thread_id": "root"}),
        ({"x_openai_subagent": "review", "x_codex_parent_thread_id": "root"}, {}),
    ],
)
async def test_an_agents_first_request_follows_its_parents_latest_and_then_its_own(
    own: dict[str, str], parent: dict[str, str]
) -> None:
    gateway = Gateway()
    named = {"x_claude_code_session_id": "cc"}
    gateway.ask(chat("one"), answer("a"), sent=named | parent)
    gateway.ask(chat("two"), answer("b"), sent=named | parent)
    first = gateway.ask(chat("order"), answer("c"), sent=named | own)
    main = gateway.ask(chat("three"), answer("d"), sent=named | parent)
    second = gateway.ask(chat("another order"), answer("e"), sent=named | own)
    assert [each.parent_exchange for each in (first, main, second)] == ["e-2", "e-2", "e-3"]


@pytest.mark.parametrize(
    ("root", "spawned"),
    [
        (
            {"session_id": "root", "thread_id": "root"},
            {"session_id": "root", "x_codex_parent_thread_id": "root", "thread_id": "{}"},
        ),
        (
            {"x_session_id": "root", "x_session_affinity": "root"},
            {"x_session_id": "{}", "x_session_affinity": "{}", "x_parent_session_id": "root"},
        ),
    ],
)
async def test_an_agent_that_the_root_spawned_follows_the_root_though_another_was_there_before(
    root: dict[str, str], spawned: dict[str, str]
) -> None:
    gateway = Gateway()
    a, b = ({name: value.format(agent) for name, value in spawned.items()} for agent in "ab")
    sent = [root, a, b, a]
    told = [gateway.ask(chat(str(turn)), answer("so"), sent=names) for turn, names in enumerate(sent)]
    assert {each.id for each in told} == {"root"}
    assert [each.parent_exchange for each in told] == [None, "e-1", "e-1", "e-2"]


@pytest.mark.parametrize("lineage", [True, False])
async def test_an_agent_that_begins_to_talk_continues_no_title_that_it_asked_for_before(lineage: bool) -> None:
    gateway = Gateway(lineage=lineage)
    named = {"x_session_id": "ses_1", "x_session_affinity": "ses_1"}
    title = gateway.ask(chat("Give this a title", "hi"), answer("Greeting"), sent=named)
    opening = gateway.ask(chat("hi") | TOOLS, answer("Hello"), sent=named)
    aside = gateway.ask(chat("Sum up this page"), answer("It is short"), sent=named)
    goes_on = gateway.ask(chat("hi", "Hello", "go on") | TOOLS, answer("Well"), sent=named)
    assert {each.id for each in (title, opening, aside, goes_on)} == {"ses_1"}
    parents = [each.parent_exchange for each in (title, opening, aside, goes_on)]
    assert parents == [None, None, "e-2", "e-2"]


async def test_who_only_names_the_session_goes_on_from_what_was_said_last_in_it() -> None:
    gateway = Gateway()
    told = [gateway.ask(chat(text) | TOOLS, answer("so"), x_session_id="mine") for text in ("one", "two")]
    assert [each.parent_exchange for each in told] == [None, "e-1"]


async def test_a_conversation_and_its_fork_are_told_apart_under_one_name() -> None:
    gateway = Gateway()
    for texts, reply in ((["hi"], "one"), (["hi", "one", "a"], "two"), (["hi", "one", "b"], "three")):
        gateway.ask(chat(*texts), answer(reply), x_session_id="talk")
    left = gateway.ask(chat("hi", "one", "a", "two", "on"), answer("x"), x_session_id="talk")
    right = gateway.ask(chat("hi", "one", "b", "three", "on"), answer("y"), x_session_id="talk")
    assert (left.parent_exchange, right.parent_exchange) == ("e-2", "e-3")


async def test_a_session_that_ends_while_an_exchange_runs_is_continued_by_lineage() -> None:
    gateway = Gateway()
    first = gateway.begin(chat("hi"))
    gateway.finish(first, answer("Hello"))
    running = gateway.begin(chat("hi", "Hello", "go on"))
    last = gateway.begin(chat("hi", "Hello", "bye"), x_session_end="true")
    gateway.finish(last, answer("Bye"))
    gateway.finish(running, answer("ok"))
    assert first.session is not None
    assert running.session is not None
    assert running.session.id == first.session.id
    found = gateway.ask(chat("hi", "Hello", "go on", "ok", "more"), answer("x"))
    assert (found.previous_id, found.parent_exchange, found.sequence) == (first.session.id, "e-2", 1)


@pytest.mark.parametrize(("idle_s", "same"), [(86400, True), (86400.001, False)])
async def test_a_conversation_is_open_for_a_day_of_idleness(idle_s: float, same: bool) -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer("Hello"))
    found = gateway.ask(chat("hi", "Hello", "go on"), answer("ok"), idle_s)
    assert (found.id == first.id) is same
    assert found.previous_id == (None if same else first.id)
    assert found.parent_exchange == "e-1"


async def test_a_clock_that_is_set_back_breaks_no_conversation() -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer("Hello"), 90_000)
    assert gateway.ask(chat("hi", "Hello", "go on"), answer("ok"), 0).id == first.id


async def test_exchanges_that_end_out_of_order_are_found_all_the_same() -> None:
    gateway = Gateway()
    slow, quick = gateway.begin(chat("hi")), gateway.begin(chat("hi"))
    gateway.finish(quick, answer("quick"))
    gateway.finish(slow, answer("slow"))
    for exchange, reply in ((slow, "slow"), (quick, "quick")):
        assert exchange.session is not None
        assert gateway.ask(chat("hi", reply, "go on"), answer("ok")).id == exchange.session.id


async def test_what_broke_off_is_found_by_what_came() -> None:
    gateway = Gateway()
    first = gateway.begin(chat("hi", stream=True))
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}]}
    gateway.finish(first, f"data: {json.dumps(chunk)}\n\n".encode(), end="client_gone")
    assert first.session is not None
    assert gateway.ask(chat("hi", "Hel", "go on"), answer("ok")).id == first.session.id


async def test_what_was_refused_for_its_session_leaves_nothing() -> None:
    gateway = Gateway()
    gateway.ask(chat("hi"), answer("Hello"), x_session_id="talk", x_session_end="true")
    refused = gateway.begin(chat("more"), x_session_id="talk")
    assert refused.refusal is not None
    gateway.finish(refused, {"error": {"message": "closed"}}, status=410)
    assert len(gateway.state) == 1


async def test_a_session_that_its_only_exchange_ended_is_continued_by_nobody() -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer("Hello"), x_session_end="true")
    found = gateway.ask(chat("hi", "Hello", "go on"), answer("ok"))
    assert (found.source, found.sequence) == ("new", 1)
    assert found.id != first.id


async def test_a_part_of_a_chain_is_no_history() -> None:
    gateway = Gateway("openai_responses")
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Welcome"}]}]
    gateway.ask({"model": "m", "input": "hi"}, {"id": "resp_1", "status": "completed", "output": output})
    thanks = {"model": "m", "input": "thanks", "previous_response_id": "resp_1"}
    first = gateway.ask(thanks, {"id": "resp_2", "status": "completed", "output": output})
    whole = [{"role": "user", "content": "thanks"}, *output, {"role": "user", "content": "more"}]
    other = gateway.ask({"model": "m", "input": whole}, {"id": "resp_3", "status": "completed", "output": output})
    assert other.id != first.id


async def test_ids_of_calls_that_are_counted_up_say_nothing() -> None:
    gateway = Gateway()
    call = {"id": "call_1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    first = gateway.ask(chat("hi"), answer(None, tool_calls=[call]))
    cut = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "file.txt"},
    ]
    assert gateway.ask({"model": "m", "messages": cut}, answer("One file.")).id != first.id


async def test_without_lineage_nothing_is_found() -> None:
    gateway = Gateway(lineage=False)
    first = gateway.ask(chat("hi"), answer("Hello"))
    assert gateway.ask(chat("hi", "Hello", "go on"), answer("ok")).id != first.id
    assert len(gateway.state) == 0


async def test_a_new_opening_is_not_joined_by_timing_to_a_conversation_that_repeats_itself() -> None:
    gateway = Gateway()
    first = gateway.ask(chat("hi"), answer("Hello"), x_user_id="ann")
    gateway.ask(chat("hi", "Hello", "go on"), answer("ok"), 20, x_user_id="ann")
    assert gateway.ask(chat("something else"), answer("yes"), 30, x_user_id="ann").id != first.id


Case = tuple[str, Sequence[Json], Json, Json]
TEXT = "Here you are"
CASES: dict[str, tuple[str, Json, Json, Json]] = {
    "anthropic": (
        "anthropic_messages",
        {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": TEXT}],
            "stop_reason": "end_turn",
        },
        {
            "model": "m",
            "max_tokens": 1,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "<system-reminder>now</system-reminder>"},
                        {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}},
                    ],
                },
                {"role": "assistant", "content": TEXT + "\n"},
                {"role": "user", "content": "more"},
            ],
        },
    ),
    "responses, whole input": (
        "openai_responses",
        {"model": "m", "input": "hi"},
        {
            "id": "resp_1",
            "status": "completed",
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]},
            ],
        },
        {
            "model": "m",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]},
                {"role": "user", "content": [{"type": "input_text", "text": "more"}]},
            ],
        },
    ),
    "gemini": (
        "gemini_generate_content",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        {
            "candidates": [
                {"content": {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": TEXT}]}, "index": 0}
            ]
        },
        {
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [{"text": TEXT}]},
                {"role": "user", "parts": [{"text": "more"}]},
            ]
        },
    ),
    "cohere": (
        "cohere_chat",
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
        {"id": "1", "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}},
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": TEXT},
                {"role": "user", "content": "more"},
            ],
        },
    ),
    "ollama": (
        "ollama_chat",
        {"model": "m", "stream": False, "messages": [{"role": "user", "content": "hi"}]},
        {"model": "m", "message": {"role": "assistant", "content": TEXT}, "done": True},
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": TEXT},
                {"role": "user", "content": "more"},
            ],
        },
    ),
    "bedrock": (
        "bedrock_converse",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        {"output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}}, "stopReason": "end_turn"},
        {
            "messages": [
                {"role": "user", "content": [{"text": "hi"}]},
                {"role": "assistant", "content": [{"text": TEXT}]},
                {"role": "user", "content": [{"text": "more"}]},
            ]
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_every_apis_answer_is_known_again(case: str) -> None:
    api, opening, reply, repeated = CASES[case]
    gateway = Gateway(api)
    first = gateway.ask(opening, reply)
    found = gateway.ask(repeated, reply)
    assert (found.id, found.source, found.confidence) == (first.id, "lineage", 0.9)


async def test_without_lineage_threads_of_a_named_session_are_told_apart() -> None:
    gateway = Gateway(lineage=False)
    gateway.ask(chat("hi"), answer("Hello"), x_session_id="s")
    other = gateway.ask(chat("bye"), answer("Goodbye"), x_session_id="s")
    second = gateway.ask(chat("hi", "Hello", "Ann"), answer("Ann, well."), x_session_id="s")
    third = gateway.ask(chat("hi", "Hello", "Ann", "Ann, well.", "more"), answer("Well"), x_session_id="s")
    changed = gateway.ask(chat("hi", "No", "Ann"), answer("Hm"), x_session_id="s")
    assert [place.parent_exchange for place in (other, second, third, changed)] == ["e-1", "e-1", "e-3", "e-1"]
    assert [place.new_from for place in (other, second, third, changed)] == [0, 1, 3, 1]
