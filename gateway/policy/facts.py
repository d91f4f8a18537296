"""What a rule may ask about an exchange: names, types, and how each is found. Looks nothing up before it is asked.

No fact is content, and none is a credential or made of one.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from gateway.contracts import Fact
from gateway.model import semconv as sc
from gateway.model.exchange import Exchange
from gateway.model.message import ResponseReading
from gateway.model.verdict import Direction
from gateway.policy.memory import SessionMemory
from gateway.policy.tool_calls import calls_in, offered_tools

Kind = Literal["string", "int", "double", "bool", "timestamp", "strings", "counts", "times"]
"""CEL's types; `strings` is a list of them, `counts` a map from strings to integers, `times` one to timestamps."""


class Asked(NamedTuple):
    """What facts are about."""

    exchange: Exchange
    direction: Direction
    memory: SessionMemory | None


class FactType(NamedTuple):
    kind: Kind
    about: str
    of: Callable[[Asked], Fact]


def _response_status(asked: Asked) -> int:
    return asked.exchange.status if asked.direction == "response" else 0


def _response(asked: Asked) -> ResponseReading | None:
    """None on the inlet, also on the tail: a rule says the same whether a client waits for it or not."""
    return asked.exchange.response if asked.direction != "inlet" else None


def _finish_reasons(asked: Asked) -> Sequence[str]:
    response = _response(asked)
    return response.finish_reasons if response is not None else []


def _model(asked: Asked) -> str:
    return asked.exchange.request.model if asked.exchange.request is not None else ""


def _response_model(asked: Asked) -> str:
    response = _response(asked)
    return (response.model or "") if response is not None else ""


def _tokens(field: Literal["input_tokens", "output_tokens"]) -> Callable[[Asked], int]:
    def of(asked: Asked) -> int:
        response = _response(asked)
        return (getattr(response.usage, field) or 0) if response is not None else 0

    return of


def _cost(asked: Asked) -> float:
    return (asked.exchange.cost_nusd or 0) / 1e9 if asked.direction != "inlet" else 0.0


def _called(asked: Asked) -> list[str]:
    exchange = asked.exchange
    reading = exchange.response if asked.direction == "response" else exchange.request
    return [call.name for call in calls_in(reading.messages)] if reading is not None else []


def _offered(asked: Asked) -> list[str]:
    return offered_tools(asked.exchange.request.tools) if asked.exchange.request is not None else []


def _findings(asked: Asked) -> Mapping[str, int]:
    return asked.memory.findings(asked.exchange) if asked.memory is not None else {}


def _first_seen(asked: Asked) -> Mapping[str, datetime]:
    return asked.memory.first_seen(asked.exchange) if asked.memory is not None else {}


def _session(
    field: Literal["id", "source", "sequence", "header", "confidence"], unknown: Fact
) -> Callable[[Asked], Fact]:
    def of(asked: Asked) -> Fact:
        session = asked.exchange.session
        found: Fact = getattr(session, field) if session is not None else unknown
        return found

    return of


FACTS: Mapping[str, FactType] = {
    "direction": FactType("string", "`inlet` or `response`", lambda asked: asked.direction),
    "provider": FactType("string", "the configured provider's name", lambda asked: asked.exchange.provider),
    "model": FactType("string", "the model that was asked for", _model),
    "user": FactType("string", "who speaks, where known", lambda asked: asked.exchange.user or ""),
    "workspace": FactType("string", "whose call it is", lambda asked: asked.exchange.workspace),
    "participant": FactType(
        "string", "`user`, `agent`, `tool` …: who sent the input", lambda asked: asked.exchange.participant
    ),
    "origin": FactType("string", "the client's family, or `x-origin`", lambda asked: asked.exchange.origin),
    "service": FactType("string", "`x-service`, else the provider", lambda asked: asked.exchange.service),
    "time": FactType(
        "timestamp", "when the call began", lambda asked: datetime.fromtimestamp(asked.exchange.started_ns / 1e9, UTC)
    ),
    "tools": FactType("strings", "names of the tools that the model is offered", _offered),
    "tools.called": FactType("strings", "names of the tools called in what is assessed, oldest first", _called),
    "tokens.input": FactType("int", "as the API counted them; 0 on the inlet", _tokens("input_tokens")),
    "tokens.output": FactType("int", "the same of the answer", _tokens("output_tokens")),
    "cost": FactType("double", "US dollars, where the `cost` processor knows; 0 on the inlet", _cost),
    "request.provider": FactType("string", "as `provider`", lambda asked: asked.exchange.provider),
    "request.model": FactType("string", "as `model`", _model),
    "request.api": FactType(
        "string", "the wire format: `openai_chat`, `anthropic_messages` …", lambda asked: asked.exchange.api
    ),
    "request.operation": FactType(
        "string", "`chat`, `embeddings` …; empty where unknown", lambda asked: asked.exchange.operation
    ),
    "request.method": FactType("string", "the HTTP method", lambda asked: asked.exchange.method),
    "request.path": FactType(
        "string", "the path below the provider's base URL", lambda asked: asked.exchange.target.partition("?")[0]
    ),
    "request.bytes": FactType("int", "size of the body", lambda asked: asked.exchange.request_body.size),
    "request.stream": FactType(
        "bool",
        "whether a stream was asked for",
        lambda asked: asked.exchange.request is not None and asked.exchange.request.stream,
    ),
    "request.messages": FactType(
        "int",
        "how many messages it has, history included",
        lambda asked: len(asked.exchange.request.messages) if asked.exchange.request is not None else 0,
    ),
    "response.status": FactType(
        "int", "HTTP status; 0 on the inlet, as are the other facts of a response", _response_status
    ),
    "response.model": FactType("string", "the model that answered", _response_model),
    "response.finish_reasons": FactType("strings", "one a choice", _finish_reasons),
    sc.SESSION_ID: FactType("string", "the session's id", _session("id", "")),
    "session.source": FactType(
        "string", "what named the session: `explicit`, `client`, `lineage` …", _session("source", "")
    ),
    "session.confidence": FactType("double", "how sure that is, 0 to 1", _session("confidence", 0.0)),
    "session.sequence": FactType("int", "1, 2, 3 … in the session", _session("sequence", 0)),
    "session.header": FactType("bool", "whether this is the session's first input", _session("header", False)),
    "session.findings": FactType(
        "counts", "by category, how many requests and answers of the session had it until now", _findings
    ),
    "session.first_seen": FactType("times", "by category, when the session had it first", _first_seen),
}
"""By name. A name is a whole: `request.model` is one fact, not a field of another."""


def unknown(kind: Kind) -> Fact:
    """What a fact of this kind is where nothing is known."""
    kinds: dict[Kind, Fact] = {
        "string": "",
        "int": 0,
        "double": 0.0,
        "bool": False,
        "timestamp": datetime.fromtimestamp(0, UTC),
        "strings": [],
        "counts": {},
        "times": {},
    }
    return kinds[kind]
