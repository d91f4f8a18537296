"""What an exchange has in common with the one it continues, as digests. Pure.

A chat request carries its history: a request continues the exchange whose request and answer it begins with. Openings,
which have no turn of the model, have nothing to tell them apart, and are never joined for being the same.
"""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import msgspec

from gateway.model.message import Entry, RequestReading, ResponseReading
from gateway.model.session import Key, SessionSource
from gateway.sessions.said import digests_of, lines, said

CHAINS = ("previous_response_id", "thread.previous_message_id", "previous_interaction_id")
"""Hints that name the response which a request continues."""
CHAINED_APIS = frozenset({"openai_responses", "openai_responses_poll", "anthropic_messages"})
"""Those of whose responses a later request can name one: elsewhere a response's id is not worth a digest."""
RETRIED_NS = 10 * 1_000_000_000
"""How long the same request is taken for a retry of an attempt that got no good answer."""
RETRY_SAID_NS = 600 * 1_000_000_000
"""The same where the client says so: its own time-out may have been long."""
_EMPTY = blake2b(digest_size=16)
_LONG, _ASKED_KEPT = 8, 4
"""Messages of a history that is worth remembering, and how many of its lengths are."""
_CALLS, _LINES_LEARNT, _LINES_ASKED, _CHOICES = 3, 4, 8, 4
_FIRST_USER_MESSAGES = 2
_LONG_OPENING = 512
"""Bytes of a message that is looked through although no tools are offered with it: with all it costs too much."""
_LONG_ID = 12
"""Characters; shorter ids of calls are counted up by their server, and say nothing."""


class Clue(NamedTuple):
    """A digest, and how sure what is found by it is."""

    digest: bytes
    source: SessionSource
    confidence: float
    within_ns: int = 0

    @property
    def key(self) -> Key:
        return Key(self.digest, self.within_ns)


class Run(NamedTuple):
    """One turn of the model in a history: `messages[start:end]`."""

    start: int
    end: int


def scope_of(workspace: str, principal: str, secret: bytes) -> bytes:
    """SECURITY: 16 bytes, mixed into every digest: nobody finds, or aims at, what another principal said."""
    return blake2b(f"{workspace}\n{principal}".encode(), digest_size=16, key=secret).digest()


class History(msgspec.Struct, eq=False):
    """What a request's messages say, as hashes over their digests: of a repeated history only what is new is hashed."""

    digests: list[bytes]
    """Of what each message says; empty where it says nothing."""
    turns: list[Run]
    """The model's, oldest first, those that say nothing left out."""
    said: list[blake2b]
    """Of all that was said up to the end of each turn."""
    asked: list[tuple[int, blake2b]] = []
    """Of so many first messages, to the byte: the latest few of these."""


def history_of(reading: RequestReading) -> History:
    """Made once a request, from what was made of the one that it repeats."""
    history: History | None = reading.history
    if history is None:
        earlier = reading.earlier
        known: History | None = earlier.history if earlier is not None else None
        if known is None:
            history = _extended(History([], [], []), 0, reading.messages)
        else:
            history = _extended(known, reading.repeated, reading.messages)
        reading.history = history
        reading.earlier = None
    return history


def _extended(known: History, count: int, messages: Sequence[Entry]) -> History:
    """`known`: of messages of which these begin with the first `count`."""
    digests = known.digests[:count] + digests_of(messages[count:]) if count else digests_of(messages)
    kept = len(known.turns)
    while kept and known.turns[kept - 1].end >= count:  # the last one may go on
        kept -= 1
    history = History(digests, known.turns[:kept], known.said[:kept])
    history.asked = [(some, hasher) for some, hasher in known.asked if some <= count]
    at, hasher = (history.turns[-1].end, history.said[-1]) if kept else (0, _EMPTY)
    start = -1
    for index in range(at, len(messages)):
        if messages[index].role == "assistant":
            start = index if start < 0 else start
        elif start >= 0:
            at, hasher = _add_turn(history, start, index, at, hasher)
            start = -1
    if start >= 0:
        _add_turn(history, start, len(messages), at, hasher)
    return history


def _add_turn(history: History, start: int, end: int, at: int, hasher: blake2b) -> tuple[int, blake2b]:
    if not any(history.digests[start:end]):
        return at, hasher
    hasher = hasher.copy()
    hasher.update(b"".join(history.digests[at:end]))
    history.turns.append(Run(start, end))
    history.said.append(hasher)
    return end, hasher


def stands_alone(reading: RequestReading) -> bool:
    """Nothing in the request can have come before, as far as a quick look tells. Most small calls are such."""
    if reading.tools is not None and reading.messages:
        return False
    for entry in reading.messages:
        if entry.role == "assistant" or len(entry.json) >= _LONG_OPENING:
            return False
    return not (reading.session_hints and _chained(reading))


def _chained(reading: RequestReading) -> bool:
    return any(name in reading.session_hints for name in CHAINS)


def clues(
    scope: bytes, ahead: Sequence[bytes], reading: RequestReading, history: History, retries: bool, failures: bool
) -> list[Clue]:
    """By what the exchange may be found that this request continues, the surest first.

    `ahead`: digests of instructions and tools; `retries`: the client says that it sends this again; `failures`: an
    attempt may have failed lately.
    """
    messages, turns = reading.messages, history.turns
    found = [
        Clue(_scoped(scope, b"response", hint.encode("utf-8", "replace")), "response_chain", 0.95)
        for name in CHAINS
        if (hint := reading.session_hints.get(name))
    ]
    if not found:
        found = [
            Clue(digest, "lineage", 0.9 if index == 0 else 0.85)
            for index, digest in enumerate(_prefixes(scope, history))
        ]
        if turns:
            found += [Clue(digest, "lineage", 0.8) for digest in _calls(scope, messages[turns[-1].start :])]
        found += [Clue(digest, "lineage", 0.6) for digest in _first_lines(scope, reading)]
    if (retries or failures) and messages:
        found.append(Clue(failed(scope, messages), "lineage", 0.75, RETRY_SAID_NS if retries else RETRIED_NS))
        if retries:
            again = _request(scope, ahead, messages, history).digest()
            found.append(Clue(again, "lineage", 0.7, RETRY_SAID_NS))
    return found


def _prefixes(scope: bytes, history: History) -> list[bytes]:
    """Of the history up to the latest turn of the model, then up to earlier ones in growing steps: O(log turns)."""
    count = len(history.turns)
    if not count:
        return []
    wanted = {count - 1, 0}
    step = 1
    while count - 1 - step > 0:
        wanted.add(count - 1 - step)
        step *= 2
    return [_closed(history.said[index], scope, b"prefix") for index in sorted(wanted, reverse=True)]


def _calls(scope: bytes, messages: Sequence[Entry]) -> list[bytes]:
    """Of the tools that the model's latest turn called, or whose results came since."""
    ids = dict.fromkeys(each for entry in messages for each in (*said(entry).calls, *said(entry).results))
    return [_scoped(scope, b"call", call.encode()) for call in islice(filter(_tells, ids), _CALLS)]


def _tells(call: str) -> bool:
    return len(call) >= _LONG_ID and call.isascii()


def _first_lines(scope: bytes, reading: RequestReading) -> list[bytes]:
    users = islice((entry for entry in reading.messages if entry.role == "user"), _FIRST_USER_MESSAGES)
    found = dict.fromkeys(line for entry in users if _may_go_on(entry, reading) for line in lines(entry))
    return [_scoped(scope, b"line", line) for line in islice(found, _LINES_ASKED)]


def failed(scope: bytes, messages: Sequence[Entry]) -> bytes:
    """Learnt of an attempt that got no good answer."""
    return _scoped(scope, b"failed", b"".join([entry.digest for entry in messages]))


def _may_go_on(entry: Entry, reading: RequestReading) -> bool:
    """Whether it may hold a summary or an order: it is long, or an agent's."""
    return len(entry.json) >= _LONG_OPENING or reading.tools is not None


class Exact(NamedTuple):
    digests: list[bytes]
    known: int
    """How many messages the exchange's request had that these digests are of."""


def exact(scope: bytes, ahead: Sequence[bytes], messages: Sequence[Entry], history: History) -> Exact | None:
    """By what a request is found that this one repeats to the byte, with its instructions and tools, `ahead`: first
    with its answer, then whatever was answered."""
    if not history.turns:
        return None
    start, end = history.turns[-1]
    request = _request(scope, ahead, messages[:start], history)
    return Exact([_answered(request, b"".join(history.digests[start:end])), request.digest()], start)


def _request(scope: bytes, ahead: Sequence[bytes], messages: Sequence[Entry], history: History | None) -> blake2b:
    at, hasher, asked = 0, _EMPTY, history.asked if history is not None else []
    for some, known in asked:
        if at < some <= len(messages):
            at, hasher = some, known
    hasher = hasher.copy()
    if at < len(messages):
        hasher.update(b"".join([entry.digest for entry in messages[at:]]))
        if history is not None and len(messages) >= _LONG:
            history.asked = [*asked[1 - _ASKED_KEPT :], (len(messages), hasher.copy())]
    hasher.update(b"request%b%b" % (scope, b"".join(ahead)))
    return hasher


def _answered(request: blake2b, answer: bytes) -> bytes:
    hasher = request.copy()
    hasher.update(b"answered" + answer)
    return hasher.digest()


def repeating(scope: bytes, ahead: Sequence[bytes], messages: Sequence[Entry]) -> tuple[Exact | None, bytes]:
    """The same without a look at what the messages say: by what a request is found that this one repeats up to the
    model's latest turn, and by what this one is."""
    start = len(messages)
    while start and messages[start - 1].role != "assistant":
        start -= 1
    while start and messages[start - 1].role == "assistant":
        start -= 1
    before = Exact([_request(scope, ahead, messages[:start], None).digest()], start) if start else None
    return before, _request(scope, ahead, messages, None).digest()


class Learnt(NamedTuple):
    lasting: list[bytes]
    passing: list[bytes]


def learnt(
    scope: bytes,
    ahead: Sequence[bytes],
    request: RequestReading,
    history: History,
    response: ResponseReading | None,
    good: bool,
    api: str,
) -> Learnt:
    """By what an exchange is found later. `good`: the client got a good answer."""
    messages = request.messages
    lasting: list[bytes] = []
    passing: list[bytes] = []
    asked = _request(scope, ahead, messages, history)
    if response is not None:
        if response.id and api in CHAINED_APIS:
            # Who sends the history is found by it: there the response's id need not last as long.
            chain = _scoped(scope, b"response", response.id.encode("utf-8", "replace"))
            (passing if history.turns else lasting).append(chain)
        before = None
        if not (request.session_hints and _chained(request)):
            at, hasher = (history.turns[-1].end, history.said[-1]) if history.turns else (0, _EMPTY)
            before = hasher.copy()
            before.update(b"".join(history.digests[at:]))
        for entry in response.messages[:_CHOICES]:
            answer = said(entry)
            if not answer.digests:
                continue
            # A short answer is no summary, and gives no order where it calls no tool.
            if answer.calls or len(entry.json) >= _LONG_OPENING:
                passing += [_scoped(scope, b"line", line) for line in lines(entry)[:_LINES_LEARNT]]
                told = islice(filter(_tells, answer.calls), _CALLS)
                passing += [_scoped(scope, b"call", call.encode()) for call in told]
            if before is not None:
                prefix = before.copy()
                prefix.update(b"%bprefix%b" % (answer.digests, scope))
                lasting.append(prefix.digest())
                passing.append(_answered(asked, answer.digests))
    if messages:
        passing.append(asked.digest() if good else failed(scope, messages))
    return Learnt(lasting, passing)


def _closed(hasher: blake2b, scope: bytes, kind: bytes) -> bytes:
    closed = hasher.copy()
    closed.update(kind + scope)
    return closed.digest()


def _scoped(scope: bytes, kind: bytes, what: bytes) -> bytes:
    return blake2b(b"%b%b\n%b" % (scope, kind, what), digest_size=16).digest()
