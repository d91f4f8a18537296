"""What OpenAI's Responses offer besides answers, as the built-in model speaks it: compaction, token counts. No I/O.

Shapes: openai 3.54's types (`types/responses/compacted_response.py`, `input_token_count_response.py`). Neither streams.
"""

from dataclasses import replace

import msgspec

from gateway.demo.conversation import Ask, Reply
from gateway.demo.openai_chat import CREATED
from gateway.demo.openai_responses import OpenAIResponses, usage_of

_to_json = msgspec.json.Encoder().encode


class _Unstreamed(OpenAIResponses):
    def read(self, body: bytes, seed: str) -> Ask:
        return replace(super().read(body, seed), stream=False)

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        raise NotImplementedError  # nobody can ask for them


class OpenAICompaction(_Unstreamed):
    """Every message of the user's, and an item in the place of all the rest."""

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        kept = [
            {
                "id": f"msg_{ask.seed}_{index}",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": turn.text}],
            }
            for index, turn in enumerate(ask.turns)
            if turn.speaker == "user"
        ]
        compaction = {"id": f"cmp_{ask.seed}", "type": "compaction", "encrypted_content": f"builtin-{ask.seed}"}
        compacted = {
            "id": f"resp_{ask.seed}",
            "object": "response.compaction",
            "created_at": CREATED,
            "output": [*kept, compaction],
        }
        return _to_json(compacted | ({"usage": usage_of(reply.tokens)} if usage else {}))


class OpenAIInputTokens(_Unstreamed):
    """The input tokens that a response would report."""

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        return _to_json({"object": "response.input_tokens", "input_tokens": reply.tokens.prompt})
