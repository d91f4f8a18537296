"""Request settings under their semantic-convention names and value types; a wrong type is left out, not guessed.

Names: OpenTelemetry GenAI conventions, client-inference. `gen_ai.request.stream` is the reading's `stream`, not here.
"""

from collections.abc import Callable, Sequence
from math import isfinite

from gateway.model.message import Entry, RequestReading

Attributes = list[tuple[str, str | int | float | bool | tuple[str, ...]]]

TEMPERATURE = "gen_ai.request.temperature"
TOP_P = "gen_ai.request.top_p"
TOP_K = "gen_ai.request.top_k"
MAX_TOKENS = "gen_ai.request.max_tokens"
FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
SEED = "gen_ai.request.seed"
STOP_SEQUENCES = "gen_ai.request.stop_sequences"
CHOICE_COUNT = "gen_ai.request.choice.count"
REASONING_LEVEL = "gen_ai.request.reasoning.level"
OUTPUT_TYPE = "gen_ai.output.type"
PREVIOUS_RESPONSE = "gen_ai.request.previous_response.id"
STREAM_CURSOR = "gen_ai.request.stream_cursor"
RESPONSE_STATUS = "gen_ai.response.status"
PROMPT_NAME = "gen_ai.prompt.name"
PROMPT_VERSION = "gen_ai.prompt.version"
DIMENSIONS = "gen_ai.embeddings.dimension.count"
ENCODING_FORMATS = "gen_ai.request.encoding_formats"
COMPACTED = "gen_ai.conversation.compacted"
"""True where what the model had before it was a shorter view of the conversation; never false."""
AGENT_ID = "gen_ai.agent.id"
GUARDRAIL_ID = "aws.bedrock.guardrail.id"
COUNTED_TOKENS = "spangate.counted.input_tokens"
"""What a token-counting call answered. No usage: nothing was generated, and totals must not grow by asking."""

GENERATE = "spangate.request.generate"
"""False where no answer was asked for: over a WebSocket a client has the model get ready (`generate: false`)."""


def add_double(attributes: Attributes, name: str, value: object) -> None:
    """JSON does not tell 1 from 1.0, the convention does."""
    if type(value) is float or (type(value) is int and abs(value) < 2**63):
        number = float(value)
        if isfinite(number):
            attributes.append((name, number))


def add_int(attributes: Attributes, name: str, value: object) -> None:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and abs(value) < 2**63:
        attributes.append((name, value))


def add_text(attributes: Attributes, name: str, value: object) -> None:
    if isinstance(value, str) and value:
        attributes.append((name, value))


def add_texts(attributes: Attributes, name: str, value: object) -> None:
    """One string counts as a list of one."""
    texts = (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    kept = tuple(text for text in texts if isinstance(text, str))
    if kept:
        attributes.append((name, kept))


_USUAL: tuple[tuple[str, str, Callable[[Attributes, str, object], None]], ...] = (
    ("temperature", TEMPERATURE, add_double),
    ("top_p", TOP_P, add_double),
    ("p", TOP_P, add_double),
    ("k", TOP_K, add_int),
    ("max_tokens", MAX_TOKENS, add_int),
    ("frequency_penalty", FREQUENCY_PENALTY, add_double),
    ("presence_penalty", PRESENCE_PENALTY, add_double),
    ("seed", SEED, add_int),
    ("random_seed", SEED, add_int),
    ("stop", STOP_SEQUENCES, add_texts),
    ("stop_sequences", STOP_SEQUENCES, add_texts),
)


def add_usual(attributes: Attributes, body: object) -> None:
    """What of a request's body has a name that several APIs have for the same."""
    for field, name, add in _USUAL:
        add(attributes, name, getattr(body, field, None))


def add_compacted(attributes: Attributes, messages: Sequence[Entry]) -> None:
    """Of a request's messages."""
    if [entry for entry in messages if entry.compacts]:
        attributes.append((COMPACTED, True))


def says_compacted(request: RequestReading | None) -> bool:
    """Then the answer need not say it again."""
    return request is not None and (COMPACTED, True) in request.attributes


def add_hint(hints: dict[str, str], path: str, value: object) -> None:
    """An id that may name a session, by its path in the body."""
    if isinstance(value, str) and value:
        hints[path] = value
