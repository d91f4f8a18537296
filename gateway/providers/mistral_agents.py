"""Mistral's agents (`POST …/agents/completions`): a chat with an agent that stands in the place of a model. No I/O.

Source: mistralai 3.7 (`client/models/agentscompletionrequest.py`); what it answers is a chat's.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages
from gateway.model.message import RequestReading
from gateway.providers import settings
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.request import with_repair


class _Body(msgspec.Struct):
    agent_id: Any = None


_decode = msgspec.json.Decoder(_Body).decode


class MistralAgents(OpenAIChat):
    """Implements `Provider`."""

    name = "mistral_agents"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/agents/completions")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        reading = super().read_request(body, known, target, content_type)
        decoded = with_repair(_decode, body)
        if decoded is not None:
            settings.add_text(reading.attributes, settings.AGENT_ID, decoded.agent_id)
        return reading
