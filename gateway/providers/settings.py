"""Request settings under their semantic-convention names and value types; a wrong type is left out, not guessed.

Names: OpenTelemetry GenAI conventions, client-inference. `gen_ai.request.stream` is the reading's `stream`, not here.
"""

from collections.abc import Callable, Sequence
from math import isfinite

from gateway.model import semconv as sc
from gateway.model.message import Entry, RequestReading

Attributes = list[tuple[str, str | int | float | bool | tuple[str, ...]]]

TEMPERATURE = sc.GEN_AI_REQUEST_TEMPERATURE
TOP_P = sc.GEN_AI_REQUEST_TOP_P
TOP_K = sc.GEN_AI_REQUEST_TOP_K
MAX_TOKENS = sc.GEN_AI_REQUEST_MAX_TOKENS
FREQUENCY_PENALTY = sc.GEN_AI_REQUEST_FREQUENCY_PENALTY
PRESENCE_PENALTY = sc.GEN_AI_REQUEST_PRESENCE_PENALTY
SEED = sc.GEN_AI_REQUEST_SEED
STOP_SEQUENCES = sc.GEN_AI_REQUEST_STOP_SEQUENCES
CHOICE_COUNT = sc.GEN_AI_REQUEST_CHOICE_COUNT
REASONING_LEVEL = sc.GEN_AI_REQUEST_REASONING_LEVEL
OUTPUT_TYPE = sc.GEN_AI_OUTPUT_TYPE
PREVIOUS_RESPONSE = sc.GEN_AI_REQUEST_PREVIOUS_RESPONSE_ID
STREAM_CURSOR = sc.GEN_AI_REQUEST_STREAM_CURSOR
RESPONSE_STATUS = sc.GEN_AI_RESPONSE_STATUS
PROMPT_NAME = sc.GEN_AI_PROMPT_NAME
PROMPT_VERSION = sc.GEN_AI_PROMPT_VERSION
DIMENSIONS = sc.GEN_AI_EMBEDDINGS_DIMENSION_COUNT
ENCODING_FORMATS = sc.GEN_AI_REQUEST_ENCODING_FORMATS
COMPACTED = sc.GEN_AI_CONVERSATION_COMPACTED
AGENT_ID = sc.GEN_AI_AGENT_ID
GUARDRAIL_ID = sc.AWS_BEDROCK_GUARDRAIL_ID
COUNTED_TOKENS = sc.SPANGATE_COUNTED_INPUT_TOKENS
REQUEST_TIER = sc.OPENAI_REQUEST_SERVICE_TIER
RESPONSE_TIER = sc.OPENAI_RESPONSE_SERVICE_TIER
FINGERPRINT = sc.OPENAI_RESPONSE_SYSTEM_FINGERPRINT
GENERATE = sc.SPANGATE_REQUEST_GENERATE


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
