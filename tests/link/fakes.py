"""A record to vary, and a sink that stores when it is told to."""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec

from gateway.link.records import ExchangeRecord, MessageRecord
from gateway.model.verdict import Assessment

PROTECTED = Assessment("protector", "v", "enforcer", "inlet", "allow", "allowed", took_ms=0.1)
_TEMPLATE = ExchangeRecord(
    id="e1",
    trace_id=b"t" * 16,
    span_id=b"s" * 8,
    workspace="default",
    session_id="s1",
    session_source="new",
    session_confidence=1.0,
    session_sequence=1,
    session_header=True,
    session_end=False,
    previous_session=None,
    parent_exchange=None,
    user=None,
    participant="user",
    origin="python",
    service="openai",
    provider="openai",
    api="openai_chat",
    operation="chat",
    model="gpt-4o",
    response_model=None,
    method="POST",
    path="/v1/chat/completions",
    stream=False,
    status=200,
    end="finished",
    error_type=None,
    outcome="allowed",
    capture="full",
    started_ns=1_000,
    ended_ns=2_000,
    first_byte_ms=1.0,
    overhead_ms=0.1,
    usage_state="reported",
    input_tokens=3,
    output_tokens=4,
    cache_read_tokens=None,
    cache_write_tokens=None,
    reasoning_tokens=None,
    finish_reasons="stop",
    input_digests=b"i" * 16,
    output_digests=b"o" * 16,
    preview="hello",
    messages=(MessageRecord(b"i" * 16, "user", b'{"role":"user"}'),),
    assessments=(PROTECTED,),
    refusal_code=None,
    new_from=0,
    tool_calls=0,
    tools="",
    cost_nusd=None,
)


def a_record(id: str = "e1", **changes: object) -> ExchangeRecord:  # noqa: A002 the field's name
    return msgspec.structs.replace(_TEMPLATE, id=id, **changes)


def a_message(text: str, role: str = "user") -> MessageRecord:
    json = msgspec.json.encode({"role": role, "parts": [{"type": "text", "content": text}]})
    return MessageRecord(blake2b(json, digest_size=16).digest(), role, json)


class Sink:
    """Keeps what it got; stores at once, or when `release` is called."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.records: list[ExchangeRecord] = []
        self.held: list[Callable[[], None]] = []
        self.storing = True
        self._arrived = asyncio.Event()

    def submit(self, records: Sequence[ExchangeRecord], stored: Callable[[], None]) -> None:
        self.records += records
        self.ids += [record.id for record in records]
        if self.storing:
            stored()
        else:
            self.held.append(stored)
        self._arrived.set()

    async def arrived(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.ids) < count:
                self._arrived.clear()
                await self._arrived.wait()
