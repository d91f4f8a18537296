"""What finding its session adds to an exchange: the real processor on requests that are read already. Not a server."""

import json
import time
from random import Random

from gateway.contracts import SessionState
from gateway.model.exchange import Captured, Exchange
from gateway.model.message import Entry, ResponseReading
from gateway.pipeline import Pipeline
from gateway.processors.session import SessionConfig, SessionProcessor
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache

MESSAGES = 20
_CHARACTERS = 300
_HEADERS = {b"authorization": b"Bearer of the benchmark", b"content-type": b"application/json"}


class Conversations:
    """Each is new, and goes on once without its name: with what it said before, an answer and a prompt."""

    def __init__(self, state: SessionState, secret: bytes, seed: int) -> None:
        self._random = Random(seed)
        self._sessions = SessionProcessor(
            SessionConfig(lineage=True), state, lambda exchange: self._pipeline.reading(exchange), secret
        )
        providers = {provider.name: provider for provider in formats()}
        self._pipeline = Pipeline([self._sessions], [], providers, KnownMessageCache())
        self._count = 0

    def found_ns(self) -> int:
        """How long the second exchange of a new conversation was looked for; all its messages are read before."""
        roles = ["system", *["user", "assistant"] * MESSAGES][:MESSAGES]
        said = [{"role": role, "content": self._random.randbytes(_CHARACTERS // 2).hex()} for role in roles]
        begun, later = self._read(said[:-2], {b"x-session-id": b"%d" % self._count}), self._read(said, {})
        waiting = self._sessions.on_request(begun)
        assert waiting is None
        assert later.request is not None
        self._over(begun, later.request.messages[-2])
        before = time.perf_counter_ns()
        waiting = self._sessions.on_request(later)
        took_ns = time.perf_counter_ns() - before
        assert waiting is None
        assert later.session is not None
        assert later.session.source == "lineage"
        self._over(later, later.request.messages[2])
        return took_ns

    def _read(self, said: list[dict[str, str]], named: dict[bytes, bytes]) -> Exchange:
        self._count += 1
        body = Captured(1 << 20)
        body.chunks = []
        body.add(json.dumps({"model": "m", "messages": said}).encode())
        identity = f"{self._count:024x}", time.time_ns(), "POST", "/v1/chat/completions"
        exchange = Exchange(*identity, [], body, bytes(16), bytes(8), header_map=_HEADERS | named)
        exchange.api = "openai_chat"
        self._pipeline.reading(exchange)
        return exchange

    def _over(self, exchange: Exchange, answer: Entry) -> None:
        exchange.status, exchange.end = 200, "finished"
        exchange.response = ResponseReading(messages=[answer])
        self._sessions.on_tail(exchange)
