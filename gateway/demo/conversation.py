"""What was asked and what is answered, whatever the wire format. The same conversation gets the same reply. No I/O."""

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gateway.demo.behaviour import Behaviour
from gateway.demo.phrases import answer_to, answer_with, lengthened, thought_about

Speaker = Literal["system", "user", "assistant", "tool"]
_REQUESTED = re.compile(r"\bcall the tool (\S+) with (?=\{)", re.IGNORECASE)


@dataclass(slots=True, frozen=True)
class Turn:
    speaker: Speaker
    text: str
    tool: str = ""
    """The tool whose result this is, where the request says so."""


@dataclass(slots=True, frozen=True)
class Tool:
    name: str
    schema: Mapping[str, Any]
    """JSON Schema of its arguments."""


@dataclass(slots=True, frozen=True)
class Ask:
    """A request as the model understands it."""

    seed: str
    """Hex hash of path and body: every id comes from it, so the same request gets the same bytes."""
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_required: bool = False
    stream: bool = False
    include_usage: bool = True
    reasoning: bool = False
    max_tokens: int | None = None
    caching: bool = False
    """The request marked what should be cached."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What only one API asks for, by its own name."""

    @property
    def latest(self) -> Turn:
        """What is answered: agents also put instructions after what the user said."""
        said = (turn for turn in reversed(self.turns) if turn.speaker != "system")
        return next(said, self.turns[-1] if self.turns else Turn("user", ""))


@dataclass(slots=True, frozen=True)
class Call:
    name: str
    arguments: Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class Tokens:
    history: int
    """Of everything before the newest turn: what a prompt cache would have."""
    newest: int
    output: int
    reasoning: int
    """Part of `output`."""

    @property
    def prompt(self) -> int:
        return self.history + self.newest


@dataclass(slots=True, frozen=True)
class Reply:
    text: str
    reasoning: str
    call: Call | None
    cut: bool
    """It reached the request's token limit."""
    tokens: Tokens


def reply_to(ask: Ask, behaviour: Behaviour) -> Reply:
    call = _call(ask, behaviour)
    reasoning = thought_about(ask.latest.text) if ask.reasoning or behaviour.reasoning else ""
    text = "" if call else _text(ask, behaviour)
    words = pieces(text)
    cut = ask.max_tokens is not None and len(words) > ask.max_tokens
    if cut:
        text = "".join(words[: ask.max_tokens])
    spoken = tokens_in(text) + (tokens_in(call.name) + 8 * (1 + len(call.arguments)) if call else 0)
    thought = tokens_in(reasoning)
    tokens = replace(prompt_tokens(ask), output=spoken + thought, reasoning=thought)
    return Reply(text, reasoning, call, cut, tokens)


def prompt_tokens(ask: Ask) -> Tokens:
    counts = [4 + tokens_in(turn.text) for turn in ask.turns]
    return Tokens(history=sum(counts[:-1]), newest=sum(counts[-1:]), output=0, reasoning=0)


def tokens_in(text: str) -> int:
    """About four characters a token, as real tokenizers come to for English."""
    return (len(text) + 3) // 4


def pieces(text: str) -> list[str]:
    """What a stream sends one by one: words, each with the space after it."""
    return re.findall(r"\s*\S+\s*", text)


def _text(ask: Ask, behaviour: Behaviour) -> str:
    latest = ask.latest
    text = answer_with(latest.tool, latest.text) if latest.speaker == "tool" else answer_to(latest.text)
    return lengthened(text, behaviour.words)


def _call(ask: Ask, behaviour: Behaviour) -> Call | None:
    if not ask.tools:
        return None
    if requested := _requested(ask):
        return requested
    if ask.latest.speaker == "tool" or not (behaviour.tools or ask.tool_required):
        return None
    tool = ask.tools[0]
    properties = tool.schema.get("properties", {})
    return Call(tool.name, {name: _argument(name, schema, ask.latest.text) for name, schema in properties.items()})


def _requested(ask: Ask) -> Call | None:
    """The next of the calls that the user's latest words with any ask for, of tools that the request offers."""
    results = 0
    for turn in reversed(ask.turns):
        if turn.speaker == "tool":
            results += 1
        elif turn.speaker == "user" and (calls := _calls(turn.text, {tool.name for tool in ask.tools})):
            return calls[results] if results < len(calls) else None
    return None


def _calls(text: str, offered: Set[str]) -> list[Call]:
    calls: list[Call] = []
    end = 0
    for match in _REQUESTED.finditer(text):
        if match.start() < end:
            continue  # what a call before it is to say
        try:
            arguments, end = json.JSONDecoder().raw_decode(text, match.end())
        except (ValueError, RecursionError):
            continue
        if match[1] in offered:
            calls.append(Call(match[1], arguments))
    return calls


def _argument(name: str, schema: Any, said: str) -> Any:
    """Something that fits the schema, taken from what the user said where that is easy."""
    schema = schema if isinstance(schema, dict) else {}
    if schema.get("enum"):
        return schema["enum"][0]
    number = re.search(r"\d+", said)
    match schema.get("type"):
        case "integer":
            return int(number[0][:6]) if number else 3
        case "number":
            return float(number[0][:6]) if number else 1.5
        case "boolean":
            return True
        case "array":
            return []
        case "object":
            return {}
    # A capitalised word inside the sentence is most likely what it is about.
    named = re.search(r"(?<=[a-z,] )[A-Z][a-z]+", said)
    return named[0] if named else {"city": "Lisbon", "location": "Lisbon", "order": "A-1042"}.get(name, "example")
