"""Chat traffic under one key with the truth beside it: which conversation each request belongs to. Pure.

The same seed makes the same traffic. Times are seconds from its beginning.
"""

from collections.abc import Iterator, Sequence
from math import exp, log
from random import Random
from typing import Any, NamedTuple

Json = dict[str, Any]

OPENINGS = ("hi", "Hello!", "Can you help me?", "Write a function that reverses a list.", "What is new?")
"""Shared by all conversations: nothing tells them apart before the first answer."""
FORKS, RETRIES, COMPACTIONS = 0.10, 0.10, 0.05
"""Shares of the turns."""
_SHORTEST_GAP_S, _LONGEST_GAP_S, _AT_ONCE = 0.05, 6 * 3600.0, 0.05
_WORDS = [
    "the",
    "of",
    "a",
    "session",
    "is",
    "found",
    "by",
    "what",
    "it",
    "says",
    "and",
    "who",
    "says",
    "it",
    "again",
    "when",
    "there",
    "are",
    "many",
    "side",
    "by",
    "side",
]


class Call(NamedTuple):
    """One request and its answer."""

    conversation: int
    """The truth."""
    begins_s: float
    ends_s: float
    body: Json
    answer: Json
    status: int
    headers: dict[str, str]


def traffic(seed: int, conversations: int = 200, turns: tuple[int, int] = (3, 30), users: int = 0) -> list[Call]:
    """In the order in which the requests begin. `users`: how many send their name; 0: nobody does."""
    random = Random(seed)
    calls = [
        call
        for number in range(conversations)
        for call in _conversation(number, random, random.randint(*turns), f"user-{number % users}" if users else "")
    ]
    return sorted(calls, key=lambda call: call.begins_s)


def _conversation(number: int, random: Random, turns: int, user: str) -> Iterator[Call]:
    headers = {"x-user-id": user} if user else {}
    now_s = random.uniform(0, _LONGEST_GAP_S)
    history = [_user(random.choice(OPENINGS))]
    for turn in range(turns):
        if random.random() < RETRIES:
            failed = _failed(number, now_s, random, history, headers)
            yield failed
            now_s = failed.ends_s + random.uniform(0.1, 8)
            said = random.random() < 0.5
            retried = {**headers, "x-stainless-retry-count": "1"} if said else headers
        else:
            retried = headers
        summarised = turn > 1 and random.random() < COMPACTIONS
        text = _summary(random) if summarised else _sentence(random, random.randint(3, 60))
        ends_s = now_s + random.uniform(0.2, 20)
        yield Call(number, now_s, ends_s, _body(history), _answer(text), 200, retried)
        now_s = ends_s + _gap(random)
        if summarised:
            history = [_user(f"This session is being continued from an earlier one:\n{text}\nGo on from there.")]
            continue
        history = [*history, {"role": "assistant", "content": text}, _user(_sentence(random, random.randint(1, 30)))]
        if turn > 1 and random.random() < FORKS:
            history = _fork(history, random)


def _fork(history: Sequence[Json], random: Random) -> list[Json]:
    """Goes back to one of the model's turns and asks something else."""
    answers = [index for index, message in enumerate(history) if message["role"] == "assistant"]
    return [*history[: random.choice(answers) + 1], _user(_sentence(random, 8))]


def _failed(number: int, now_s: float, random: Random, history: Sequence[Json], headers: dict[str, str]) -> Call:
    error: Json = {"error": {"message": "overloaded", "type": "server_error"}}
    return Call(number, now_s, now_s + random.uniform(0.05, 3), _body(history), error, 503, headers)


def _gap(random: Random) -> float:
    """From an agent that goes on at once to a person who comes back after lunch."""
    if random.random() < _AT_ONCE:
        return 0.0
    return exp(random.uniform(log(_SHORTEST_GAP_S), log(_LONGEST_GAP_S)))


def _body(history: Sequence[Json]) -> Json:
    return {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, *history]}


def _answer(text: str) -> Json:
    message = {"role": "assistant", "content": text}
    return {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def _sentence(random: Random, words: int) -> str:
    """Unique by the number at its end."""
    return f"{' '.join(random.choices(_WORDS, k=words))} {random.getrandbits(48)}"


def _summary(random: Random) -> str:
    return "\n".join(_sentence(random, 25) for _ in range(4))
