"""Messages of Cohere's chat, version 2, to the neutral shape and nothing else: OpenAI's, with a tool plan.

Citations are left out: they repeat what was said. Source: cohere 7.3 (`types/chat_message_v2.py`, `tool_content.py`).
"""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, Message
from gateway.providers import openai_message
from gateway.providers.message_reader import reader_of


class WireMessage(msgspec.Struct, gc=False):
    """Fields of every role; each may be of any type."""

    role: Any = None
    content: Any = None
    tool_plan: Any = None
    tool_calls: Any = None
    tool_call_id: Any = None


def neutral(wire: WireMessage, finish_reason: FinishReason | None = None, role: str = "") -> Message:
    said = openai_message.WireMessage(
        role=wire.role,
        content=wire.content,
        reasoning=wire.tool_plan,
        tool_calls=wire.tool_calls,
        tool_call_id=wire.tool_call_id,
    )
    return openai_message.neutral(said, finish_reason, role)


read_message = reader_of(WireMessage, neutral)
