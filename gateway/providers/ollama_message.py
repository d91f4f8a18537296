"""Messages of Ollama's API to the neutral shape and nothing else: OpenAI's, with images and thinking beside the text.

Source: ollama 0.6 (`_types.py`, `Message`).
"""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, Message, Part
from gateway.providers import openai_message
from gateway.providers.message_reader import reader_of
from gateway.providers.parts import blob, media, unknown


class WireMessage(msgspec.Struct, gc=False):
    """Fields of every role; each may be of any type."""

    role: Any = None
    content: Any = None
    thinking: Any = None
    images: Any = None
    tool_calls: Any = None
    tool_name: Any = None
    tool_call_id: Any = None


def neutral(wire: WireMessage, finish_reason: FinishReason | None = None, role: str = "") -> Message:
    said = openai_message.WireMessage(
        role=wire.role,
        content=wire.content,
        name=wire.tool_name,
        reasoning=wire.thinking,
        tool_calls=wire.tool_calls,
        tool_call_id=wire.tool_call_id,
    )
    message = openai_message.neutral(said, finish_reason, role)
    images = images_of(wire.images)
    return msgspec.structs.replace(message, parts=(*message.parts, *images)) if images else message


read_message = reader_of(WireMessage, neutral)


def images_of(images: Any) -> tuple[Part, ...]:
    """Base64 without a type; compatible servers also take addresses."""
    if not images:
        return ()
    if not isinstance(images, list):
        return (unknown("images", images),)
    return tuple(_image(image) for image in images)


def _image(image: Any) -> Part:
    if not isinstance(image, str):
        return unknown("image", image)
    if image[:5].lower() in ("data:", "http:", "https"):
        return media("image", image)
    return blob("image", image, None)
