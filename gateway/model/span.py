"""A finished span, before it is bytes."""

from dataclasses import dataclass, field
from typing import NamedTuple

AttributeValue = str | int | float | bool | tuple[str, ...]
Attributes = list[tuple[str, AttributeValue]]

KIND_SERVER, KIND_CLIENT = 2, 3
STATUS_UNSET, STATUS_ERROR = 0, 2


class SpanEvent(NamedTuple):
    time_ns: int
    name: str
    attributes: tuple[tuple[str, AttributeValue], ...]
    """Not to be changed in place: equal events share it, and its bytes are remembered."""


class Content(NamedTuple):
    """An opt-in JSON attribute, kept in pieces so that each exporter can cut it to its own limit and stay valid JSON.

    The attribute's value is `[` + `,`.join(items) + `]`; a limit keeps the newest items.
    """

    key: str
    items: list[bytes]
    new_from: int = 0
    """Index of the first item the parent exchange did not have (`capture.messages: new`)."""


@dataclass(slots=True)
class Span:
    name: str
    kind: int
    trace_id: bytes
    span_id: bytes
    start_ns: int
    end_ns: int
    parent_span_id: bytes = b""
    trace_state: str = ""
    flags: int = 1
    status: int = STATUS_UNSET
    status_message: str = ""
    attributes: Attributes = field(default_factory=list)
    """In order: identity, session, usage, outcome first."""
    events: list[SpanEvent] = field(default_factory=list)
    contents: list[Content] = field(default_factory=list)
    """Messages and the like, last, so that a limit cuts content."""
    encoded: bytes | None = None
    """Everything but the contents as OTLP bytes, once an exporter needed it. Who changes the span later clears it."""
