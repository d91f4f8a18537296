"""Sends finished exchanges to the control plane's store: Exchange → ExchangeRecord. Keeps content out as configured."""

import re
from collections.abc import Callable, Container, Iterable
from typing import Literal

import msgspec

from gateway.link.records import PREVIEW_CHARACTERS, ExchangeRecord, MessageRecord
from gateway.link.uplink import Uplink
from gateway.model.exchange import Exchange
from gateway.model.message import Entry, RequestReading, ResponseReading, ServerToolCall, ToolCall
from gateway.model.session import SessionRef
from gateway.model.span import Span
from gateway.providers.known import ROLES
from gateway.telemetry.tool_spans import tool_parts
from gateway.units import ConfigModel

ContentSetting = Literal["full", "redacted", "none"]
_NO_REQUEST, _NO_RESPONSE = RequestReading(), ResponseReading()
_NO_TOOLS = (0, "")


class StoreConfig(ConfigModel):
    """`exporters.store`: nothing to say; where and how much is the storage extension's matter."""


class StoreExporter:
    """Implements `Exporter`. `redact` gives a message's JSON as it may be stored, `clean` a model, user or path.

    Both are used where content is `redacted`.
    """

    def __init__(
        self,
        name: str,
        uplink: Uplink,
        content: ContentSetting,
        redact: Callable[[Entry], bytes],
        clean: Callable[[str], str] = str,
    ) -> None:
        self.name = name
        self._uplink = uplink
        self._content_of = _content_reader(content, redact)
        self._words_of = str if content == "full" else clean
        self._failed = 0

    def export(self, exchange: Exchange, span: Span) -> None:
        if not self._uplink.has_room():
            self._uplink.refuse()
            return
        try:
            record = record_of(exchange, self._uplink.sent, self._content_of, self._words_of)
        except Exception:
            # The boundary towards the pipeline: a redactor that fails must neither leak nor stop the tail. Counted.
            self._failed += 1
            return
        self._uplink.send(record)

    def export_tool(self, span: Span) -> None:
        """The store has call and result in its exchanges' messages."""

    async def start(self) -> None:
        self._uplink.start()

    async def drain(self, deadline_s: float) -> None:
        await self._uplink.drain(deadline_s)

    def counters(self) -> dict[str, int]:
        counters = self._uplink.counters()
        counters["failed"] += self._failed
        return counters


def record_of(
    exchange: Exchange,
    sent: Container[bytes],
    content_of: Callable[[Entry], bytes],
    words_of: Callable[[str], str] = str,
) -> ExchangeRecord:
    """The record of an exchange that has ended, with the messages that are not among `sent`."""
    # Nothing was read where the exchange was refused early; empty readings say the same without a branch a field.
    request = exchange.request or _NO_REQUEST
    response = exchange.response or _NO_RESPONSE
    # Refused before its session was resolved: it stands alone, under an id that no client can have sent for another.
    session = exchange.session or SessionRef(f"x-{exchange.id}", "new", 0.0)
    inputs = request.system + request.messages if request.system else request.messages
    usage = response.usage
    opened = exchange.opened_ns
    tool_calls, tools = _tools(response.messages, words_of) if response.messages else _NO_TOOLS
    # By position: keywords for fifty fields cost as much again as the record.
    return ExchangeRecord(
        exchange.id,
        exchange.trace_id,
        exchange.span_id,
        exchange.workspace,
        session.id,
        session.source,
        session.confidence,
        session.sequence,
        session.header,
        exchange.session_end,
        session.previous_id,
        session.parent_exchange,
        words_of(exchange.user) if exchange.user else exchange.user,
        exchange.participant,
        exchange.origin,
        exchange.service,
        exchange.provider,
        exchange.api,
        exchange.operation,
        words_of(request.model),
        words_of(response.model) if response.model else response.model,
        exchange.method,
        words_of(exchange.target.partition("?")[0].partition("#")[0]),
        request.stream,
        exchange.status,
        exchange.end or "shutdown",
        response.error_type or exchange.error_type,
        exchange.verdict.outcome,
        exchange.capture,
        exchange.started_ns,
        exchange.started_ns + exchange.duration_ns,
        (exchange.first_byte_ns - opened) / 1e6 if exchange.first_byte_ns else None,
        exchange.overhead_ns / 1e6,
        usage.state,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        ",".join(response.finish_reasons),
        b"".join([entry.digest for entry in inputs]),
        b"".join([entry.digest for entry in response.messages]),
        _preview(request, content_of) if session.header or session.sequence <= _TITLING else "",
        _unsent(inputs, response.messages, sent, content_of),
        tuple(exchange.verdict.assessments),
        exchange.refusal.code if exchange.refusal is not None else None,
        # Where the history is known, so are the instructions ahead of it.
        len(request.system) + session.new_from if session.new_from else 0,
        tool_calls,
        tools,
        exchange.cost_nusd,
    )


def _content_reader(content: ContentSetting, redact: Callable[[Entry], bytes]) -> Callable[[Entry], bytes]:
    if content == "redacted":
        return redact
    if content == "none":
        return lambda entry: b""
    return lambda entry: entry.json


def _unsent(
    inputs: list[Entry], outputs: list[Entry], sent: Container[bytes], content_of: Callable[[Entry], bytes]
) -> tuple[MessageRecord, ...]:
    # One dict holds each digest once, though a history may repeat a message.
    new = {entry.digest: entry for entry in inputs if entry.digest not in sent}
    for entry in outputs:
        if entry.digest not in sent:
            new[entry.digest] = entry
    return tuple([MessageRecord(entry.digest, _role(entry), content_of(entry)) for entry in new.values()])


def _role(entry: Entry) -> str:
    """SECURITY: a role that is none is somebody's text, and belongs to the content."""
    return entry.role if entry.role in ROLES else ""


class _ReadablePart(msgspec.Struct):
    content: str | msgspec.UnsetType = msgspec.UNSET


class _ReadableMessage(msgspec.Struct):
    parts: list[_ReadablePart] = []


_read_message = msgspec.json.Decoder(_ReadableMessage).decode


_CALLS = (ToolCall, ServerToolCall)
_NAMES, _NAME_CHARACTERS = 20, 100


def _tools(outputs: list[Entry], words_of: Callable[[str], str]) -> tuple[int, str]:
    """How many calls of tools an answer asks for, and their names, one a line."""
    if not any(map(tool_parts, outputs)):
        return _NO_TOOLS
    names = [part.name for entry in outputs for part in tool_parts(entry) if isinstance(part, _CALLS)]
    # A name with a line break in it is somebody's text.
    lines = {" ".join(words_of(name)[:_NAME_CHARACTERS].split()) for name in set(names)}
    return len(names), "\n".join(sorted(filter(None, lines))[:_NAMES])


_TITLING = 2
"""A session is called by its first exchange, or the second: by the first Codex only has the model get ready."""
_WRAPPED = re.compile(r"\s*<[A-Za-z][\w-]*>")


def _preview(request: RequestReading, content_of: Callable[[Entry], bytes]) -> str:
    """The start of the latest thing a user said, from what may be stored of it."""
    for entry in reversed(request.messages):
        if entry.role == "user":
            return _first_said(entry, content_of(entry))
    return ""


def _first_said(entry: Entry, content: bytes) -> str:
    """Of several texts one that is not between tags: agents put there what they add to the user's words."""
    texts: Iterable[str] = ()
    if content is entry.json:
        texts = entry.texts
    elif content:
        texts = [part.content for part in _read_message(content).parts if isinstance(part.content, str)]
    wrapped = ""
    for text in texts:
        beginning = text[:PREVIEW_CHARACTERS]
        if not beginning or beginning.isspace() or "\0" in beginning:  # a binary body opens with nothing to read
            continue
        if not _WRAPPED.match(beginning):
            return beginning
        wrapped = wrapped or beginning
    return wrapped
