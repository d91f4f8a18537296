"""How many disguises of blocked words and cards are seen through, by technique: `python -m bench.evasion`."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gateway.model.message import Entry
from gateway.policy.engine import PolicySet
from gateway.policy.load import read_agent
from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_chat import OpenAIChat

CORPUS = Path("tests/data/policy/evasion.yaml")
_GUARD = rb"""
agent: guard
role: enforcer
directions: [inlet, response]
detect:
  codenames: {keywords: [nightjar, project aurora], patterns: ['(?i)operation\s+blue\s?heron']}
  cards: {entities: [credit_card]}
intent: block
"""


class Variant(NamedTuple):
    id: str
    technique: str
    how: str
    """Where it stands: `text`, `parts`, `messages`, `arguments`, `result`, `events` or `argument_events`."""
    says: Any


def main() -> None:
    policies = guard()
    tried: Counter[str] = Counter()
    missed: list[str] = []
    for variant in variants(CORPUS):
        tried[variant.technique] += 1
        missed += [] if caught(policies, variant) else [variant.id]
    for technique, count in tried.items():
        print(f"{technique:16} {count - sum(each.startswith(f'{technique}-') for each in missed):3} of {count:3}")
    total = tried.total()
    print(f"{'all':16} {total - len(missed):3} of {total:3} = {1 - len(missed) / total:.1%}")
    print(f"missed: {', '.join(missed) or 'none'}")


def guard() -> PolicySet:
    """What blocks the corpus's words."""
    return PolicySet([read_agent("guard.yaml", _GUARD)], sensitive=())


def variants(corpus: Path) -> list[Variant]:
    read = []
    for each in yaml.safe_load(corpus.read_text()):
        [how] = each.keys() - {"id", "technique"}
        read.append(Variant(each["id"], each["technique"], how, each[how]))
    return read


def caught(policies: PolicySet, variant: Variant) -> bool:
    if variant.how in ("events", "argument_events"):
        return _blocked(policies.assess("response", _answer(variant)))
    return _blocked(policies.assess("inlet", _request(variant)))


def _blocked(assessments: Sequence[Any]) -> bool:
    return any(each.outcome == "blocked" for each in assessments)


def _request(variant: Variant) -> Sequence[Entry]:
    """As the reader of OpenAI's chat understands a request with it."""
    call: dict[str, Any] = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "look_up", "arguments": json.dumps(variant.says)},
    }
    called: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call if variant.how == "arguments" else call | _PLAIN],
    }
    match variant.how:
        case "parts":
            said: list[dict[str, Any]] = [
                {"role": "user", "content": [{"type": "text", "text": part} for part in variant.says]}
            ]
        case "messages":
            said = [{"role": "user", "content": text} for text in variant.says]
        case "arguments":
            said = [{"role": "user", "content": "Look it up."}, called]
        case "result":
            result = {"role": "tool", "tool_call_id": "call_1", "content": variant.says}
            said = [{"role": "user", "content": "Look it up."}, called, result]
        case _:
            said = [{"role": "user", "content": variant.says}]
    body = json.dumps({"model": "gpt-4o-mini", "messages": said}).encode()
    return OpenAIChat().read_request(body, KnownMessageCache()).messages


_PLAIN: dict[str, Any] = {"function": {"name": "look_up", "arguments": "{}"}}


def _answer(variant: Variant) -> Sequence[Entry]:
    """As the reader of OpenAI's streamed answers puts the pieces together, byte by byte as the network may cut them."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for number, piece in enumerate(variant.says):
        if variant.how == "events":
            deltas.append({"content": piece})
        else:
            begin = {"id": "call_1", "type": "function"} if number == 0 else {}
            function = {"arguments": piece} | ({"name": "look_up"} if number == 0 else {})
            deltas.append({"tool_calls": [{"index": 0, **begin, "function": function}]})
    reader = OpenAIChat().response_reader(None, 200, "text/event-stream")
    for delta in [*deltas, {}]:
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "choices": [choice]}
        event = b"data: " + json.dumps(chunk).encode() + b"\n\n"
        for at in range(len(event)):
            reader.feed(event[at : at + 1])
    reader.feed(b"data: [DONE]\n\n")
    return reader.end(complete=True).messages


if __name__ == "__main__":
    main()
