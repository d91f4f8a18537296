"""What is asked of the store is answered from what was put in, once."""

import msgspec
import pytest

from gateway.link.records import MessageRecord
from gateway.model.verdict import Assessment
from gateway.store.cursors import BadCursorError, SessionCursor, TurnCursor
from gateway.store.found import MessageRow, SessionRow
from gateway.store.queries import Reader
from gateway.store.views import traces_of
from tests.link.fakes import PROTECTED, a_message, a_record
from tests.store.conftest import Put

_DIGEST = 16


def test_the_same_exchange_twice_changes_nothing(put: Put, reader: Reader) -> None:
    put([a_record("a"), a_record("b")])
    put([a_record("b"), a_record("c"), a_record("c")])
    (session,) = reader.sessions().sessions
    assert (session.exchanges, session.input_tokens, session.output_tokens) == (3, 9, 12)
    assert [row.id for row in reader.since(0)] == ["a", "b", "c"]
    turn = reader.turn("b")
    assert turn is not None
    assert len(turn.assessments) == 1


def test_a_session_sums_up_its_exchanges(put: Put, reader: Reader) -> None:
    put([a_record("a", started_ns=10, ended_ns=20, model="m1", preview="hello")])
    put(
        [
            a_record("b", started_ns=30, ended_ns=40, model="m2", outcome="flagged", user="ann", preview=""),
            a_record("c", started_ns=50, ended_ns=60, model="m1", outcome="allowed", end="client_gone", preview=""),
            a_record("d", started_ns=70, ended_ns=80, input_tokens=None, session_end=True, preview=""),
        ]
    )
    session = reader.session("s1")
    assert session is not None
    assert (session.first_ns, session.last_ns, session.exchanges, session.failures) == (10, 80, 4, 1)
    assert (session.input_tokens, session.outcome, session.user, session.preview) == (9, "flagged", "ann", "hello")
    assert session.models.split("\n") == ["gpt-4o", "m1", "m2"]
    assert session.providers == "openai"
    assert session.lifecycle == "closed"


def test_workspaces_do_not_share_sessions(put: Put, reader: Reader) -> None:
    put([a_record("a", workspace="red"), a_record("b", workspace="blue"), a_record("c", workspace="blue")])
    red, blue = reader.session("s1", "red"), reader.session("s1", "blue")
    assert red is not None
    assert blue is not None
    assert (red.exchanges, blue.exchanges) == (1, 2)
    assert [turn.exchange.id for turn in reader.turns(blue).turns] == ["b", "c"]


def test_pages_of_sessions_are_newest_first_and_complete(put: Put, reader: Reader) -> None:
    put([a_record(str(n), session_id=f"s{n}", ended_ns=n // 2) for n in range(25)])
    seen: list[str] = []
    cursor = None
    while True:
        page = reader.sessions(limit=10, before=cursor)
        seen += [session.id for session in page.sessions]
        if page.next is None:
            break
        cursor = SessionCursor.of(page.next.word())
    assert seen[:3] == ["s24", "s23", "s22"]
    assert sorted(seen) == sorted(f"s{n}" for n in range(25))


def test_a_page_of_turns_shows_what_is_new_and_a_turn_alone_everything(put: Put, reader: Reader) -> None:
    first, reply, second = a_message("one"), a_message("yes", "assistant"), a_message("two")
    inputs = first.digest + reply.digest + second.digest
    put([a_record("a", input_digests=inputs, messages=(first, reply, second), new_from=2)])
    session = reader.session("s1")
    assert session is not None
    (turn,) = reader.turns(session).turns
    assert [message.json for message in turn.inputs if message] == [second.json]
    alone = reader.turn("a")
    assert alone is not None
    assert [message.json for message in alone.inputs if message] == [first.json, reply.json, second.json]


def test_turns_come_in_pages(put: Put, reader: Reader) -> None:
    messages = [a_message(f"m{n}") for n in range(5)]
    put(
        [
            a_record(
                str(n), input_digests=b"".join(m.digest for m in messages[: n + 1]), messages=(messages[n],), new_from=n
            )
            for n in range(5)
        ]
    )
    session = reader.session("s1")
    assert session is not None
    page = reader.turns(session, limit=2)
    assert page.next is not None
    following = reader.turns(session, limit=2, after=TurnCursor.of(page.next.word()))
    assert [turn.exchange.id for turn in following.turns] == ["2", "3"]
    assert [turn.inputs for turn in following.turns] == [[_row(messages[2])], [_row(messages[3])]]


def test_assessments_come_out_as_they_were_said_and_in_that_order(put: Put, reader: Reader) -> None:
    found = Assessment(
        *("protector", "v2", "enforcer", "response", "redact", "redacted", "evaluated", "card ×1", "high", 0.5),
        message="No cards, please.",
        took_ms=0.25,
        categories=("cards", "\u2028odd"),
        tags=("pci",),
    )
    put([a_record("a", assessments=(PROTECTED, found)), a_record("b", assessments=())])
    said = {turn.exchange.id: turn.assessments for turn in reader.turns(_session(reader)).turns}
    assert [msgspec.structs.asdict(each) for each in said["a"]] == [
        msgspec.structs.asdict(each) for each in (PROTECTED, found)
    ]
    assert said["b"] == []


def test_an_assessment_is_given_to_programs_by_the_names_of_its_fields(put: Put, reader: Reader) -> None:
    put([a_record("a")])
    turn = reader.turn("a")
    assert turn is not None
    inlet, response = msgspec.json.decode(msgspec.json.encode(traces_of(turn)))
    assert inlet["assessments"] == [msgspec.structs.asdict(PROTECTED) | {"categories": [], "tags": []}]
    assert response["assessments"] == []


def test_a_message_that_is_gone_leaves_a_gap(put: Put, reader: Reader) -> None:
    put([a_record("a", input_digests=b"n" * _DIGEST, messages=())])
    turn = reader.turn("a")
    assert turn is not None
    assert turn.inputs == [None]


def test_the_latest_content_of_a_message_wins(put: Put, reader: Reader) -> None:
    full = a_message("secret")
    put([a_record("a", input_digests=full.digest, messages=(full,))])
    put([a_record("b", messages=(type(full)(full.digest, "user", b'{"role":"user"}'),))])
    turn = reader.turn("a")
    assert turn is not None
    assert turn.inputs[0] is not None
    assert turn.inputs[0].json == b'{"role":"user"}'


def test_a_tail_reads_on_from_where_it_was(put: Put, reader: Reader) -> None:
    assert reader.newest() == 0
    put([a_record("a")])
    newest = reader.newest()
    put([a_record("b")])
    assert [row.id for row in reader.since(newest)] == ["b"]


@pytest.mark.parametrize("word", ["", "x", "!!!", "MQ", "MS4yLjM", "LTEuMg", "MS54", "A" * 200, "é"])
def test_a_cursor_nobody_gave_out_is_refused(word: str) -> None:
    with pytest.raises(BadCursorError, match="`next` of the previous page"):
        SessionCursor.of(word)


def _session(reader: Reader) -> SessionRow:
    session = reader.session("s1")
    assert session is not None
    return session


def test_a_request_of_too_many_messages_gives_the_latest(put: Put, reader: Reader) -> None:
    one, other = a_message("one"), a_message("other")
    put([a_record("a", input_digests=one.digest * 30_000 + other.digest, messages=(one, other), new_from=10)])
    session = reader.session("s1")
    assert session is not None
    [turn] = reader.turns(session).turns
    assert turn.inputs == [_row(one)] * 499 + [_row(other)]
    assert (turn.repeated, turn.omitted) == (10, 29_491)
    alone = reader.turn("a")
    assert alone is not None
    assert len(alone.inputs) == 20_000
    assert traces_of(alone)[0].omitted_messages == 10_001


def test_a_message_weighs_as_often_as_it_is_shown(put: Put, reader: Reader) -> None:
    large = MessageRecord(b"L" * _DIGEST, "user", b'{"role":"user","x":"%b"}' % (b"x" * 1024 * 1024))
    put([a_record(str(n), input_digests=large.digest * 5, messages=(large,)) for n in range(3)])
    put([a_record("many", input_digests=large.digest * 400, messages=(large,))])
    session = reader.session("s1")
    assert session is not None
    page = reader.turns(session)
    assert [turn.exchange.id for turn in page.turns] == ["0"]
    assert page.next is not None
    many = reader.turns(session, after=TurnCursor(1, 1_000, 3)).turns[0]
    assert 1 <= len(many.inputs) < 8
    alone = reader.turn("many")
    assert alone is not None
    assert len(alone.inputs) < 32


def _row(message: MessageRecord) -> MessageRow:
    return MessageRow(message.digest, message.role, message.json)
