from collections.abc import Awaitable, Callable

import pytest

from gateway.model.exchange import Participant
from gateway.model.message import RequestReading
from gateway.model.session import Claim, Place, SessionRef
from gateway.sessions.identity import Identity
from gateway.sessions.resolver import Resolution, Resolver, Rules
from gateway.sessions.sources import Sources
from gateway.state.memory import MemoryState

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
EXPLICIT = {b"x-spangate-session-id": b"talk"}
BAGGAGE = {b"baggage": b"session.id=bag"}
BORROWED = {b"x-claude-code-session-id": b"cc"}


def body(user: str | None = None, **hints: str) -> RequestReading:
    reading = RequestReading()
    reading.user = user
    reading.session_hints = {name.replace("__", "."): value for name, value in hints.items()}
    return reading


class World:
    """A resolver with its state, and a clock that stands still."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.state = MemoryState()
        self.resolver = Resolver(Sources([]), self.state, rules or Rules())

    def ask(
        self,
        headers: dict[bytes, bytes] | None = None,
        user: str | None = None,
        principal: str = "key-a",
        workspace: str = "default",
        after_s: float = 0,
        reading: Callable[[], RequestReading | None] = lambda: None,
        participant: Participant | None = None,
        ends: bool = False,
    ) -> Resolution:
        identity = Identity(workspace, principal, user, participant, "", "")
        now_ns = START + round(after_s * SECOND)
        found = self.resolver.resolve(headers or {}, False, identity, reading, ends, now_ns)
        assert isinstance(found, Resolution)  # no engine to wait for
        return found


@pytest.mark.parametrize(
    ("headers", "hints", "user", "source", "session_id"),
    [
        ({**EXPLICIT, **BORROWED}, {"session_id": "b"}, "alice", "explicit", "talk"),
        (BORROWED, {"session_id": "b"}, "alice", "client", "cc"),
        ({}, {"session_id": "b"}, "alice", "body", "b"),
        ({**BORROWED, **BAGGAGE}, {"session_id": "b"}, "alice", "client", "cc"),
        (BAGGAGE, {"session_id": "b"}, "alice", "baggage", "bag"),
        ({}, {"session_id": "b", "conversation": "conv"}, "alice", "body", "b"),
        ({}, {"conversation": "conv"}, "alice", "response_chain", "conv"),
        ({}, {"prompt_cache_key": "b"}, "alice", "window", "earlier"),
        ({}, {}, "bob", "new", None),
        ({}, {}, None, "new", None),
    ],
)
def test_what_is_surer_comes_first(
    headers: dict[bytes, bytes], hints: dict[str, str], user: str | None, source: str, session_id: str | None
) -> None:
    world = World()
    world.ask({b"x-chat-id": b"earlier"}, user="alice")
    session = world.ask(headers, user=user, after_s=10, reading=lambda: body(**hints)).session
    assert session.source == source
    assert session_id is None or session.id == session_id
    assert session.client_supplied is (source not in ("window", "new"))


class LocalState(MemoryState):
    """Stands in for an engine that fails."""

    def resolve(self, claim: Claim, now_ns: int) -> Place | None:
        place = super().resolve(claim, now_ns)
        return None if place is None else place._replace(local=True)


def test_what_this_process_alone_says_is_half_as_sure() -> None:
    world = World()
    world.resolver = Resolver(Sources([]), LocalState(), Rules())
    session = world.ask(EXPLICIT).session
    assert (session.id, session.source, session.confidence) == ("talk", "explicit", 0.5)


def test_surer_sources_have_more_confidence() -> None:
    world = World()
    found = [
        world.ask(EXPLICIT, user="alice").session,
        world.ask(BORROWED, user="alice").session,
        world.ask(user="alice", reading=lambda: body(session_id="b")).session,
        world.ask(user="alice").session,
    ]
    assert [session.source for session in found] == ["explicit", "client", "body", "window"]
    confidences = [session.confidence for session in found]
    assert confidences == sorted(confidences, reverse=True)


def test_the_body_is_not_read_where_a_header_decides() -> None:
    def unreadable() -> RequestReading:
        raise AssertionError("read although a header decides")

    assert World().ask(EXPLICIT, reading=unreadable).session.source == "explicit"
    assert World().ask(BORROWED, reading=unreadable).session.source == "client"


@pytest.mark.parametrize(("gap_s", "source"), [(45.0, "window"), (45.001, "new"), (0, "window")])
def test_timing_joins_for_45_seconds(gap_s: float, source: str) -> None:
    world = World()
    world.ask(user="alice")
    assert world.ask(user="alice", after_s=gap_s).session.source == source


@pytest.mark.parametrize(
    "other",
    [{"user": "bob"}, {"user": "alice", "principal": "key-b"}, {"user": "alice", "workspace": "research"}, {}],
    ids=["another user", "another key", "another workspace", "no user"],
)
def test_timing_joins_nobody_else(other: dict[str, str]) -> None:
    world = World()
    first = world.ask(user="alice").session
    second = world.ask(**other).session  # type: ignore[arg-type]  # only texts in the table
    assert second.source == "new"
    assert second.id != first.id


def test_a_user_in_the_body_counts_for_timing() -> None:
    world = World()
    first = world.ask(reading=lambda: body(user="alice"))
    second = world.ask(reading=lambda: body(user="alice"), after_s=30)
    assert (second.user, second.session.source) == ("alice", "window")
    assert second.session.id == first.session.id


def test_without_a_user_each_exchange_is_a_session_of_one_and_takes_no_memory() -> None:
    world = World()
    found = [world.ask().session for _ in range(3)]
    assert len({session.id for session in found}) == 3
    assert all(session.header and session.sequence == 1 for session in found)
    assert len(world.state) == 0


def test_the_key_can_stand_for_the_user() -> None:
    world = World(Rules(anonymous="principal"))
    first, second = world.ask().session, world.ask(after_s=30).session
    assert (first.id, second.source) == (second.id, "window")
    assert world.ask(principal="", after_s=31).session.source == "new"
    assert world.ask(principal="", after_s=32).session.source == "new"


def test_the_same_borrowed_id_from_another_key_is_another_session() -> None:
    world = World()
    mine, theirs = world.ask(BORROWED).session, world.ask(BORROWED, principal="key-b").session
    assert (mine.id, theirs.id) == ("cc", "cc~key-b")
    assert world.ask(BORROWED, principal="key-b").session.sequence == 2
    assert world.ask(BORROWED).session.sequence == 2


def test_an_explicit_id_is_the_workspaces() -> None:
    world = World()
    world.ask(EXPLICIT)
    assert world.ask(EXPLICIT, principal="key-b").session.sequence == 2
    assert world.ask(EXPLICIT, workspace="research").session.sequence == 1


@pytest.mark.parametrize(
    ("participant", "header"), [(None, True), ("user", True), ("agent", True), ("tool", False), ("memory", False)]
)
def test_only_a_user_or_an_agent_heads_a_session(participant: Participant | None, header: bool) -> None:
    for headers in (EXPLICIT, {}):
        world = World()
        assert world.ask(headers, participant=participant).session.header is header
    assert not world.ask(EXPLICIT, participant="tool").session.header


def test_an_id_that_cannot_be_one_is_refused() -> None:
    found = World().ask({b"x-session-id": b"caf\xc3\xa9"})
    assert found.refusal is not None
    assert (found.refusal.status, found.refusal.code) == (400, "invalid_session_id")
    assert "caf" not in found.refusal.message
    assert found.session.source == "new"


@pytest.mark.parametrize(("idle_s", "refused"), [(86400, False), (86400.001, True)])
def test_an_explicit_session_is_closed_after_a_day(idle_s: float, refused: bool) -> None:
    world = World()
    world.ask(EXPLICIT)
    assert (world.ask(EXPLICIT, after_s=idle_s).refusal is not None) is refused


def test_an_ended_explicit_session_is_refused_and_stays_as_it_was() -> None:
    world = World()
    world.ask(EXPLICIT, ends=True)
    found = world.ask(EXPLICIT)
    assert found.refusal is not None
    assert (found.refusal.status, found.refusal.code) == (410, "session_closed")
    assert (found.session.source, found.session.previous_id) == ("new", "talk")
    assert found.session.id != "talk"


def test_an_ended_borrowed_session_is_continued() -> None:
    world = World()
    world.ask(BORROWED, ends=True)
    found = world.ask(BORROWED)
    assert found.refusal is None
    assert (found.session.id, found.session.previous_id, found.session.sequence) == ("cc~2", "cc", 1)


def test_what_happens_to_closed_sessions_can_be_turned_around() -> None:
    world = World(Rules(closed_explicit="continue", closed_borrowed="reject"))
    world.ask(EXPLICIT, ends=True)
    world.ask(BORROWED, ends=True)
    assert world.ask(EXPLICIT).session.previous_id == "talk"
    assert world.ask(BORROWED).refusal is not None


def test_an_id_that_the_gateway_gave_away_can_be_sent_back() -> None:
    world = World()
    given = world.ask().session.id
    found = world.ask({b"x-spangate-session-id": given.encode()}).session
    assert (found.id, found.sequence, found.header) == (given, 2, False)


LONG = b"x" * 10_000


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({b"x-spangate-session-id": b"a\x00b"}, True),
        ({b"x-spangate-session-id": b"a\x7fb"}, True),
        ({b"x-spangate-session-id": LONG}, False),
        ({b"x-chat-id": b"a\x1bb"}, False),
        ({b"x-chat-id": LONG}, False),
        ({b"baggage": b"session.id=" + LONG}, False),
    ],
    ids=["control", "delete", "explicit 10 KB", "borrowed control", "borrowed 10 KB", "baggage 10 KB"],
)
def test_an_id_of_any_bytes_becomes_a_bounded_one_or_is_refused(headers: dict[bytes, bytes], refused: bool) -> None:
    found = World().ask(headers)
    assert (found.refusal is not None) is refused
    assert len(found.session.id) <= 200
    assert found.session.id.isascii()
    assert found.session.id.isprintable()


def test_a_long_id_is_the_same_session_each_time() -> None:
    world = World()
    assert world.ask({b"x-chat-id": LONG}).session.id == world.ask({b"x-chat-id": LONG}).session.id
    assert world.ask({b"x-chat-id": LONG + b"y"}).session.sequence == 1


def test_a_clock_that_is_set_back_neither_closes_nor_joins() -> None:
    world = World()
    world.ask(EXPLICIT, user="alice", after_s=3600)
    assert world.ask(user="alice", after_s=0).session.source == "new"
    assert world.ask(EXPLICIT, after_s=0).refusal is None


class Waiting(MemoryState):
    """An engine on a network, as far as the resolver sees."""

    def resolve(self, claim: Claim, now_ns: int) -> Awaitable[Place | None]:  # type: ignore[override]
        place = super().resolve(claim, now_ns)

        async def answer() -> Place | None:
            return place

        return answer()


@pytest.mark.parametrize(("headers", "source"), [(EXPLICIT, "explicit"), ({}, "new")])
async def test_an_engine_may_answer_later(headers: dict[bytes, bytes], source: str) -> None:
    resolver = Resolver(Sources([]), Waiting(), Rules())
    identity = Identity("default", "key-a", "alice", None, "", "")
    found = resolver.resolve(headers, False, identity, lambda: None, False, START)
    assert not isinstance(found, Resolution)
    session = (await found).session
    assert session.source == source
    again = resolver.again(session, identity, "alice", False, START)
    assert not isinstance(again, SessionRef)
    assert (await again).sequence == 2
