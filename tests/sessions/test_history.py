"""What lineage makes of a repeated history is what it makes of the whole."""

from random import Random
from typing import Any

import pytest

from gateway.model.message import RequestReading
from gateway.providers.known import KnownMessageCache
from gateway.sessions.lineage import exact, history_of, learnt
from tests.providers.test_histories import PROVIDERS, Reader, compact, message, request, talk

SCOPE = b"s" * 16


def hashed(reading: RequestReading) -> list[Any]:
    """Everything by which an exchange is found, and the numbers beside it."""
    history = history_of(reading)
    turns = [(run, hasher.digest()) for run, hasher in zip(history.turns, history.said, strict=True)]
    answer = learnt(SCOPE, [b"tools"], reading, history, None, True, "openai_chat")
    return [history.digests, turns, exact(SCOPE, [b"tools"], reading.messages, history), answer]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("asked", [1.0, 0.7], ids=["of each", "of some"])
def test_however_a_conversation_goes_on(seed: int, asked: float) -> None:
    rng = Random(seed)
    reader, known = Reader(), KnownMessageCache()
    talks = [talk(rng) for _ in range(3)]
    extended = 0
    for _ in range(100):
        messages = rng.choice(talks)
        match rng.randrange(5):
            case 0:
                messages[rng.randrange(len(messages) // 2, len(messages))] = message(rng)
            case 1:
                del messages[rng.randint(len(messages) // 2, len(messages)) :]
            case _:
                messages += [message(rng) for _ in range(rng.randint(0, 3))]
        body = compact(request(messages))
        reading = reader.read(body)
        extended += reading.earlier is not None and reading.earlier.history is not None
        if rng.random() < asked:
            assert hashed(reading) == hashed(PROVIDERS["openai_chat"].read_request(body, known))
    assert extended > 20


def test_readings_do_not_keep_each_other() -> None:
    rng, reader = Random(9), Reader()
    messages = talk(rng)
    readings = []
    for _ in range(5):
        messages.append(message(rng))
        readings.append(reader.read(compact(request(messages))))
        history_of(readings[-1])
    assert all(reading.earlier is None for reading in readings)
