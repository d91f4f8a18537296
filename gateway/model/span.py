"""A finished span, before it is bytes."""

from typing import cast

import msgspec

AttributeValue = str | int | float | bool | tuple[str, ...]
Attribute = tuple[str, AttributeValue]
Attributes = list[Attribute]

KIND_INTERNAL, KIND_CLIENT = 1, 3
STATUS_UNSET, STATUS_ERROR = 0, 2


class Block:
    """Attributes that many spans have in common; never changed, so their bytes are worked out once and kept here."""

    __slots__ = ("_attributes", "encoded")

    def __init__(self, attributes: tuple[Attribute, ...]) -> None:
        self._attributes = attributes
        self.encoded = b""
        """As OTLP bytes, once an exporter needed them. The encoder's own; says what `attributes` say."""

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return self._attributes


class EventBody:
    """What an event says, without its time; shared and remembered like a block."""

    __slots__ = ("_attributes", "_name", "encoded")

    def __init__(self, name: str, attributes: tuple[Attribute, ...]) -> None:
        self._name = name
        self._attributes = attributes
        self.encoded = b""
        """The whole event as OTLP bytes but for its time. The encoder's own."""

    @property
    def name(self) -> str:
        return self._name

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return self._attributes


class SpanEvent(msgspec.Struct, frozen=True, gc=False):
    time_ns: int
    body: EventBody
    """Equal events share it: who wants another one said makes a new one."""


class Content(msgspec.Struct, frozen=True, gc=False):
    """An opt-in JSON attribute, kept in pieces so that each exporter can cut it to its own limit and stay valid JSON.

    The attribute's value is `[` + `,`.join(items) + `]`; a limit keeps the newest items.
    """

    key: str
    items: list[bytes]
    new_from: int = 0
    """Index of the first item the parent exchange did not have (`capture.messages: new`)."""
    bare: bool = False
    """There is one item, and it is the value: no array around it."""


class Span(msgspec.Struct, gc=False):
    name: str
    kind: int
    trace_id: bytes
    """16 bytes; every span id has 8."""
    span_id: bytes
    start_ns: int
    end_ns: int
    parent_span_id: bytes = b""
    trace_state: str = ""
    flags: int = 1
    status: int = STATUS_UNSET
    status_message: str = ""
    parts: list[Attribute | Block] = []
    """The attributes, some of them in blocks. In order: identity, session, usage, outcome first."""
    events: list[SpanEvent] = []
    contents: list[Content] = []
    """Messages and the like, last, so that a limit cuts content."""
    encoded: bytes | None = None
    """Everything but the contents as OTLP bytes, once an exporter needed it. Who changes the span later clears it."""

    @property
    def attributes(self) -> Attributes:
        """All attributes in one list, to read or to change. Whoever has seen it may have changed it, so from here on
        nothing remembered is sent in its place."""
        flat: Attributes = []
        for part in self.parts:
            if isinstance(part, Block):
                flat += part.attributes
            else:
                flat.append(part)
        # The same list every time: a reader who kept it and changes it later still changes the span.
        self.parts[:] = flat
        self.encoded = None
        return cast(Attributes, self.parts)

    @attributes.setter
    def attributes(self, attributes: Attributes) -> None:
        self.parts = list(attributes)
        self.encoded = None
