"""What reading a request has in common over APIs: repair, known history, tool definitions, raw text as last resort."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from gateway.contracts import KnownMessages
from gateway.model.message import Entry, Message, RequestReading, Text, Unread
from gateway.providers.histories import MAX_ENTRIES
from gateway.providers.lenient import raw_entry, raw_text, repaired
from gateway.providers.unread import unread_of

_T = TypeVar("_T")
NO_RAW = msgspec.Raw(b"")
"""The default of a raw field that is not there."""


class _Head(msgspec.Struct):
    model: Any = None
    stream: Any = None


class _Kind(msgspec.Struct):
    type: Any = None


class _Function(msgspec.Struct):
    name: Any = None
    description: Any = None
    parameters: msgspec.Raw = NO_RAW


class _Tool(msgspec.Struct):
    """OpenAI nests a function, Anthropic has its fields at the top."""

    type: Any = None
    name: Any = None
    description: Any = None
    parameters: msgspec.Raw = NO_RAW
    input_schema: msgspec.Raw = NO_RAW
    function: _Function | None = None
    custom: _Function | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_tool = msgspec.json.Decoder(_Tool).decode
_decode_any = msgspec.json.Decoder().decode
_to_json = msgspec.json.Encoder().encode


def with_repair(decode: Callable[[bytes], _T], body: bytes) -> _T | None:
    """The decoded body, repaired if need be; None where it cannot be understood."""
    try:
        return decode(body)
    except (ValueError, RecursionError):
        try:
            return decode(repaired(body))
        except (ValueError, RecursionError):
            return None


def unreadable_request(body: bytes) -> RequestReading:
    """Unreadable is not empty: agents see the raw text. Model and stream are taken if at least they can be read."""
    reading = RequestReading()
    reading.state = "unreadable"
    if body:
        reading.messages.append(raw_entry(body, "user"))
    head = with_repair(_decode_head, body)
    if head is not None:
        reading.model = head.model if isinstance(head.model, str) else ""
        reading.stream = head.stream is True
    return reading


def entries(
    reading: RequestReading,
    into: list[Entry],
    raws: Sequence[msgspec.Raw],
    read: Callable[[bytes], Message | Unread],
    known: KnownMessages,
) -> Sequence[bytes]:
    """Adds an entry for each message; one that cannot be understood is raw text and marks the reading.

    So are too many of them, together: each costs more than its bytes, and no conversation has a million messages.
    Returns the messages' bytes.
    """
    items = [*map(bytes, raws)]
    if len(items) > MAX_ENTRIES:
        reading.state = "unreadable"
        into.append(raw_entry(b"[%b]" % b",".join(items), "user"))
        return items
    try:
        into += known.entries(items, read)
    except (ValueError, RecursionError):
        into += [_entry(reading, item, read, known) for item in items]
    return items


def _entry(
    reading: RequestReading, raw: bytes, read: Callable[[bytes], Message | Unread], known: KnownMessages
) -> Entry:
    try:
        return known.entry(raw, read)
    except (ValueError, RecursionError):
        try:
            return known.entry(repaired(raw), read)
        except (ValueError, RecursionError):
            reading.state = "unreadable"
            return raw_entry(raw, "user")


def is_said(raw: msgspec.Raw) -> bool:
    """Whether a raw field is there and not null."""
    return raw is not NO_RAW and bytes(raw) != b"null"


def raws_of(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a list; what is none is a list of one."""
    data = bytes(raw)
    return (with_repair(_decode_raws, data) if data.startswith(b"[") else None) or [raw]


def kind_of(raw: msgspec.Raw) -> str:
    """The `type` of an object, "" where it has none."""
    kind = with_repair(_decode_kind, bytes(raw))
    return kind.type if kind is not None and isinstance(kind.type, str) else ""


def read_tools(raw: bytes) -> bytes:
    """`gen_ai.tool.definitions` of a list of tools as OpenAI's and Anthropic's APIs have it. Raises ValueError."""
    return _to_json([_tool(bytes(tool)) for tool in _decode_raws(raw)])


def add_tools(
    reading: RequestReading, raw: msgspec.Raw, known: KnownMessages, read: Callable[[bytes], bytes] = read_tools
) -> None:
    """`gen_ai.tool.definitions`, if they are a list, and whatever they are as text for agents."""
    data = bytes(raw)
    if data == b"null":
        return
    add_context(reading, raw, known)
    tools = with_repair(lambda data: known.blob(data, read), data)
    if tools is not None and reading.tools is None:
        reading.tools = tools


def add_context(reading: RequestReading, raw: msgspec.Raw, known: KnownMessages) -> None:
    """What the model reads beside the conversation, as text for agents."""
    reading.definitions += (known.entry(bytes(raw), _definitions),)


def add_unread(
    reading: RequestReading,
    body: bytes,
    names: frozenset[str],
    lists: Sequence[tuple[str, Sequence[bytes | msgspec.Raw]]],
    known: KnownMessages,
) -> None:
    """Whatever the body says outside messages and tools, as text for agents; `unread_of` says what is handed in.

    A body that parsers may read differently is unreadable, and shown whole beside what was understood of it.
    """
    unread, clear = unread_of(body, names, lists)
    if not clear:
        reading.state = "unreadable"
        reading.definitions += (raw_entry(body, "system"),)
    elif unread:
        reading.definitions += (known.entry(unread, _definitions),)


def add_conversation(
    reading: RequestReading,
    body: bytes,
    messages: Sequence[msgspec.Raw],
    tools: msgspec.Raw,
    read: Callable[[bytes], Message | Unread],
    names: frozenset[str],
    known: KnownMessages,
    beside: Sequence[tuple[str, Sequence[bytes | msgspec.Raw]]] = (),
) -> None:
    """Messages, tools as OpenAI has them, and whatever else the body says; `beside`: large fields shown already."""
    large = [*beside, ("messages", entries(reading, reading.messages, messages, read, known))]
    if tools is not NO_RAW:
        add_tools(reading, tools, known)
        large.insert(0, ("tools", (tools,)))
    add_unread(reading, body, names, large, known)


def _definitions(raw: bytes) -> Message:
    """One text, as it came: the model may read anything in it, described in a field we know or not."""
    return Message("system", (Text(raw_text(raw)),))


def _tool(raw: bytes) -> dict[str, Any]:
    """A function's name, description and schema as they came; of the provider's own tools only type and name."""
    try:
        tool = _decode_tool(raw)
    except msgspec.ValidationError:
        return {"type": "unknown"}
    function = tool.function
    if function is not None:
        return definition("function", function.name, function.description, function.parameters)
    if tool.custom is not None:
        return definition("custom", tool.custom.name, tool.custom.description, NO_RAW)
    schema = tool.parameters if tool.input_schema is NO_RAW else tool.input_schema
    kind = tool.type if isinstance(tool.type, str) and tool.type != "custom" else "function"
    return definition(kind, tool.name, tool.description, schema)


def definition(kind: str, name: Any, description: Any, schema: msgspec.Raw) -> dict[str, Any]:
    """One tool; whatever of it is there."""
    definition: dict[str, Any] = {"type": kind}
    if isinstance(name, str):
        definition["name"] = name
    if isinstance(description, str):
        definition["description"] = description
    if schema is not NO_RAW:
        # Decoding checks what the raw scan did not: that it is UTF-8 and JSON to the bottom.
        _decode_any(schema)
        definition["parameters"] = schema
    return definition
