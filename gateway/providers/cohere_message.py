"""Messages of Cohere's chat, version 2, to the neutral shape and nothing else: OpenAI's, with a tool plan.

Citations are left out: they repeat what was said. Source: cohere 7.3 (`types/chat_message_v2.py`, `tool_content.py`).
"""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, Message
from gateway.providers import openai_message
from gateway.providers.parts import unknown
from gateway.providers.unread import shown_whole


class WireMessage(msgspec.Struct, gc=False):
    """Fields of every role; each may be of any type."""

    role: Any = None
    content: Any = None
    tool_plan: Any = None
    tool_calls: Any = None
    tool_call_id: Any = None


_decode = msgspec.json.Decoder(WireMessage).decode
_decode_any = msgspec.json.Decoder().decode


@shown_whole
def read_message(raw: bytes) -> Message:
    """The message in this raw JSON. Raises ValueError or RecursionError for bytes that are no strict JSON."""
    try:
        return neutral(_decode(raw))
    except msgspec.ValidationError:
        return Message("", (unknown("message", _decode_any(raw)),))


def neutral(wire: WireMessage, finish_reason: FinishReason | None = None, role: str = "") -> Message:
    said = openai_message.WireMessage(
        role=wire.role,
        content=wire.content,
        reasoning=wire.tool_plan,
        tool_calls=wire.tool_calls,
        tool_call_id=wire.tool_call_id,
    )
    return openai_message.neutral(said, finish_reason, role)
