"""Mistral's agents as the built-in model speaks them: a chat in which the agent's id stands for the model. No I/O.

Source: mistralai 3.7 (`client/models/agentscompletionrequest.py`).
"""

from typing import Any

import msgspec

from gateway.demo.conversation import Ask
from gateway.demo.dialect import BadRequestError
from gateway.demo.openai_chat import OpenAIChat


class MistralAgents(OpenAIChat):
    def read(self, body: bytes, seed: str) -> Ask:
        try:
            fields = msgspec.json.decode(body, type=dict[str, Any])
            chat = msgspec.json.encode(fields | {"model": fields["agent_id"]})
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"The request body is not valid: {error}") from error
        except KeyError as error:
            raise BadRequestError("The request body is not valid: agent_id is missing") from error
        return super().read(chat, seed)
