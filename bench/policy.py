"""What all agents that ship add to a call, judged in line: `python -m bench.policy`. Needs no network.

Pinned to one core. Each figure is the median of calls whose new part nobody has seen before. Beside it stands what one
agent with one keyword takes for the same calls: the ratio can be compared between machines, microseconds cannot.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from statistics import median
from time import perf_counter_ns

from bench.figures import Reach, Row, percentile, table
from bench.prompts import WORDS
from gateway.model.exchange import Captured, Exchange
from gateway.model.message import Entry, Message, RequestReading, Text
from gateway.policy.engine import PolicySet
from gateway.policy.load import load_agents, read_agent
from gateway.providers.known import entry_of

ROUNDS, CALLS = 9, 200
SMALL, PROMPT, HISTORY = 300, 2_000, 200_000
_PARAGRAPHS = {
    "German": "Die Bestellung wurde gestern für den Kunden geprüft; größere Änderungen müssen wir heute noch klären. ",
    "Russian": "Заказ был проверен вчера, и сегодня мы должны обсудить все большие изменения с нашими клиентами. ",
    "Chinese": "昨天我们检查了客户的订单，今天还需要讨论所有重要的修改，请在下班之前回复这封邮件。",
}
Make = Callable[[int], list[Entry]]


def main() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(table(rows()))


def rows() -> list[Row]:
    policies = PolicySet(load_agents(["policies/*.yaml"]))
    keyword = read_agent("k", b"agent: k\nrole: observer\ndetect: {c: {keywords: [nightjar]}}")
    nothing = PolicySet([keyword], sensitive=())
    return [_row(name, make, reach, policies, nothing) for name, make, reach in _calls()]


def _calls() -> Iterator[tuple[str, Make, float]]:
    rng = Random(20261125)
    yield "300 bytes, ASCII", lambda number: _said(number, _prose(rng, SMALL)), 60
    yield "2 KB, ASCII prose", lambda number: _said(number, _prose(rng, PROMPT)), 60
    yield "2 KB, ASCII code", lambda number: _said(number, _code(rng, PROMPT)), 60
    for language, paragraph in _PARAGRAPHS.items():
        text: str = (paragraph * 40).encode()[:PROMPT].decode(errors="ignore")
        yield f"2 KB, {language}", partial(_said, text=text), 300
    history = [entry for number in range(HISTORY // PROMPT) for entry in _said(number, _prose(rng, PROMPT))]
    yield "200 KB, of which 2 KB are new", lambda number: [*history, *_said(number, _prose(rng, PROMPT))], 400


def _row(name: str, make: Make, reach: float, policies: PolicySet, nothing: PolicySet) -> Row:
    ours, theirs = [], []
    for round_ in range(ROUNDS):
        calls = [make(round_ * CALLS + number) for number in range(CALLS)]
        theirs.append(percentile(_taken(nothing, calls), 50) / 1000)
        ours.append(percentile(_taken(policies, calls), 50) / 1000)
    ratio = median(mine / other for mine, other in zip(ours, theirs, strict=True))
    detail = f"p50s of {ROUNDS} rounds: {min(ours):.1f} to {max(ours):.1f}; {ratio:.1f} times one keyword's"
    return Row(name, median(ours), Reach("≤", reach, " µs"), detail)


def _taken(policies: PolicySet, calls: list[list[Entry]]) -> list[int]:
    taken = []
    for entries in calls:
        exchange = _exchange(entries)
        began = perf_counter_ns()
        policies.assess("inlet", entries, exchange=exchange)
        taken.append(perf_counter_ns() - began)
    return taken


def _exchange(entries: list[Entry]) -> Exchange:
    made = Exchange("e", 0, "POST", "/v1/chat/completions", [], Captured(0), b"t" * 16, b"s" * 8)
    made.request = RequestReading(model="gpt-4o-mini", messages=entries)
    return made


def _said(number: int, text: str) -> list[Entry]:
    return [entry_of(Message("user", (Text(f"Note {number}. {text}"),)))]


def _prose(rng: Random, size: int) -> str:
    """ASCII words in sentences, some hyphenated, some with figures."""
    words = [word for word in WORDS if word.isascii()]
    text = ""
    while len(text) < size:
        sentence = " ".join(rng.choices(words, k=rng.randint(6, 16)))
        text += f"{sentence.capitalize()}{rng.choice(['.', '?', ', e-mail pending.', ' by 14:30.', ' (see v2.1).'])} "
    return text[:size]


def _code(rng: Random, size: int) -> str:
    words = [word for word in WORDS if word.isascii()]
    text = ""
    while len(text) < size:
        a, b, c = rng.choices(words, k=3)
        text += f'    self.{a}_{b} = get_{c}("{a}-{rng.randrange(10_000)}", retries={rng.randrange(9)})  # {b} {c}\n'
    return text[:size]


if __name__ == "__main__":
    main()
