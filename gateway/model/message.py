"""The neutral shape of messages: the OpenTelemetry GenAI message schema, whatever API they came by.

Source of the shape: semantic-conventions-genai, model/gen-ai/gen-ai-input-messages.json and -output-messages.json.
Bytes of images, audio and files never stand here: a `Blob` carries size, type and hash.
"""

from sys import getsizeof
from typing import Any, Literal, NamedTuple

import msgspec

Role = str  # "system" | "user" | "assistant" | "tool" | whatever the API said
FinishReason = str
"""One of `FINISH_REASONS`, or an API's own word that nobody here knows: what it means is not guessed."""
FINISH_REASONS = frozenset({"stop", "length", "content_filter", "tool_call", "compaction", "error"})
"""The conventions' own; `error` also where one was to come and did not."""


class _Part(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False):
    """One part of a message; on the wire `{"type": <tag>, ...}`."""


class Text(_Part, frozen=True, tag="text"):
    content: str


class Reasoning(_Part, frozen=True, tag="reasoning"):
    content: str


class ToolCall(_Part, frozen=True, tag="tool_call"):
    name: str
    id: str | None = None
    arguments: Any = None
    """An object where the arguments were JSON, else the string as it came (a broken stream leaves half of one)."""


class ToolCallResponse(_Part, frozen=True, tag="tool_call_response"):
    response: Any
    id: str | None = None


class ServerToolCall(_Part, frozen=True, tag="server_tool_call"):
    name: str
    id: str | None = None
    server_tool_call: Any = None


class ServerToolCallResponse(_Part, frozen=True, tag="server_tool_call_response"):
    server_tool_call_response: Any
    id: str | None = None


class Blob(_Part, frozen=True, tag="blob"):
    modality: str
    mime_type: str | None = None
    sha256: str | None = None
    size: int | None = None
    """Decoded bytes."""


class Uri(_Part, frozen=True, tag="uri"):
    modality: str
    uri: str


class File(_Part, frozen=True, tag="file"):
    modality: str
    file_id: str


class Compaction(_Part, frozen=True, tag="compaction"):
    """Stands for the conversation before it; without content where only the provider can read it."""

    content: str | None = None


class Other(_Part, frozen=True, tag="other"):
    """A part of a kind this version does not know: kept, not interpreted."""

    kind: str
    content: Any = None


Part = (
    Text
    | Reasoning
    | ToolCall
    | ToolCallResponse
    | ServerToolCall
    | ServerToolCallResponse
    | Blob
    | Uri
    | File
    | Compaction
    | Other
)


class Message(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    role: Role
    parts: tuple[Part, ...]
    """Written also where there are none: the schema requires it."""
    name: str | None = None
    finish_reason: FinishReason | None = None


class Unread(NamedTuple):
    """A message and what else its JSON says that no part holds: addresses, names of files, fields nobody knows."""

    message: Message
    texts: tuple[str, ...]


class Entry(msgspec.Struct, eq=False, gc=False):
    """One message as the gateway knows it: read once, content-addressed, shared by every request that repeats it.

    `digest` is 16 bytes (BLAKE2b of `json`); `json` is the message in the neutral shape, complete; `texts` has one
    string a part that can be read (text, reasoning, tool arguments and results), in order, for detectors; after them
    the names a model reads (of the speaker, of tools called) and whatever else an upstream may read.
    `notes` is a cache for what was found out about this content (findings by policy version, redacted copies).
    """

    digest: bytes
    role: Role
    json: bytes
    texts: tuple[str, ...]
    compacts: bool = False
    """A part of it stands for the conversation before it."""
    plain: bool = False
    """One text is all there is: the first of `texts`."""
    notes: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes this entry roughly holds."""
        texts = self.texts  # many are short ones, each of which takes many times its letters
        return 400 + len(self.json) + (len(texts[0]) if len(texts) == 1 else sum(map(getsizeof, texts)))


class Usage(NamedTuple):
    """Tokens. None is "not said", never 0. `input_tokens` includes cached ones (GenAI convention)."""

    state: Literal["reported", "partial", "missing"] = "missing"
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


ReadingState = Literal["full", "truncated", "unreadable", "off"]


class RequestReading(msgspec.Struct, eq=False, gc=False):
    """What a provider understood of a request body."""

    state: ReadingState = "full"
    model: str = ""
    stream: bool = False
    messages: list[Entry] = msgspec.field(default_factory=list)
    """The history and the prompt, oldest first, without separate system instructions."""
    system: list[Entry] = msgspec.field(default_factory=list)
    """System instructions that the API takes apart from the history."""
    tools: bytes | None = None
    """`gen_ai.tool.definitions` as a JSON array."""
    definitions: tuple[Entry, ...] = ()
    """The tool definitions and other fields as text, complete, for detectors: nobody said them, but they are read."""
    attributes: list[tuple[str, str | int | float | bool | tuple[str, ...]]] = msgspec.field(default_factory=list)
    """Request settings under their semantic-convention names (temperature, max_tokens …)."""
    user: str | None = None
    session_hints: dict[str, str] = msgspec.field(default_factory=dict)
    """Ids in the body that may name a session, by the field's path: `metadata.user_id`, `prompt_cache_key` …"""
    reader: object = None
    """What read each of the body's `messages` by itself, where that and no more is in `messages` here."""
    earlier: "RequestReading | None" = None
    """A request whose messages this one repeats, the first `repeated` of them: what was made of them holds here too."""
    repeated: int = 0
    history: Any = None
    """What lineage makes of the messages, once it was asked for."""


class ResponseReading(msgspec.Struct, eq=False, gc=False):
    """What a provider understood of a response, complete or interrupted."""

    state: ReadingState = "full"
    id: str | None = None
    model: str | None = None
    messages: list[Entry] = msgspec.field(default_factory=list)
    """One a choice, in order; each has a finish reason in its JSON (`error` where none came)."""
    finish_reasons: list[FinishReason] = msgspec.field(default_factory=list)
    raw_finish_reasons: list[str] = msgspec.field(default_factory=list)
    """As the API spelled them, "" where none came."""
    usage: Usage = Usage()
    error_type: str | None = None
    """The API's own error type or code, from an error body or an error inside the stream."""
    attributes: list[tuple[str, str | int | float | bool | tuple[str, ...]]] = msgspec.field(default_factory=list)
    """Further facts under their names (`openai.response.service_tier` …)."""
