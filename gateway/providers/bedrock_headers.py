"""What Bedrock says in headers that others say in bodies: an InvokeModel's guardrail, and the tokens it took. No I/O.

Source: the guardrail's header from the `bedrock-runtime` model of botocore 1.44; the counts' are in no model of AWS's,
its SDKs' users read them (aws/aws-sdk-js-v3 issues 5917 and 8172). As in bodies, cached tokens are not in the input.
"""

from collections.abc import Mapping
from typing import Any

from gateway.model.message import RequestReading, ResponseReading
from gateway.providers import settings
from gateway.providers.bedrock_answer import usage_of

_GUARDRAIL = b"x-amzn-bedrock-guardrailidentifier"
_COUNTS = {
    "inputTokens": b"x-amzn-bedrock-input-token-count",
    "outputTokens": b"x-amzn-bedrock-output-token-count",
    "cacheReadInputTokens": b"x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokens": b"x-amzn-bedrock-cache-write-input-token-count",
}
_LONGEST = 18
"""Digits."""


def add_guardrail(reading: RequestReading, headers: Mapping[bytes, bytes]) -> None:
    """The guardrail that the client names, where the body has named none. `headers`: by lower-case names."""
    if not any(name == settings.GUARDRAIL_ID for name, _ in reading.attributes):
        named = headers.get(_GUARDRAIL, b"").decode("latin-1")
        settings.add_text(reading.attributes, settings.GUARDRAIL_ID, named)


def add_counts(reading: ResponseReading, headers: Mapping[bytes, bytes]) -> None:
    """Usage as the headers say it, where the body has not said all of it."""
    if reading.usage.state == "reported":
        return
    usage = usage_of({name: _count(headers.get(header, b"")) for name, header in _COUNTS.items()})
    if usage.output_tokens is None and usage.input_tokens is not None and not reading.messages:
        usage = usage._replace(state="reported")  # vectors: there is no output to count
    if usage.state == "reported" or reading.usage.state == "missing":
        reading.usage = usage


def _count(value: bytes) -> Any:
    return int(value) if value.isdigit() and len(value) <= _LONGEST else None
