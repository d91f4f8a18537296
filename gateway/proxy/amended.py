"""An exchange that a setting amends: asks upstream for more than the client did, keeps the surplus from the client.

A relay of its own, so that no other has a step more for each piece of an answer.
"""

import time

import msgspec

from gateway.model.exchange import End, Exchange
from gateway.proxy.ending import Client
from gateway.proxy.handler import Filter, Handler, Plan, RequestHead
from gateway.proxy.relay import Relay, chunk
from gateway.proxy.upstream import Pool, ResponseHead, UpstreamConnection

_LENGTH = b"content-length"


class AmendedRelay(Relay):
    """Captures what the client sent and what the upstream answered, not what became of either."""

    __slots__ = ("_amended_body", "_filter")

    def __init__(
        self, head: RequestHead, plan: Plan, exchange: Exchange, client: Client, handler: Handler, pool: Pool
    ) -> None:
        super().__init__(head, plan, exchange, client, handler, pool)
        self._amended_body: bytes | None = None
        self._filter: Filter | None = None

    def _send(self, connection: UpstreamConnection) -> None:
        # It is sent a second time where a kept connection had died.
        if self._amended_body is None and self._body_complete and not self.exchange.request_body.truncated:
            self._amend()
        super()._send(connection)

    def _amend(self) -> None:
        plan = self._plan
        assert plan.amendment is not None
        amended = plan.amendment.request(self.exchange, plan.forward)
        if amended is None:
            return
        self._amended_body = amended.body
        length = b"%d" % len(amended.body)
        plan.forward = [(name, length if name.lower() == _LENGTH else value) for name, value in amended.forward]

    def _held_body(self) -> bytes:
        return super()._held_body() if self._amended_body is None else self._amended_body

    # From the upstream's connection

    def on_response(self, response: ResponseHead) -> None:
        if self._amended_body is not None:
            assert self._plan.amendment is not None
            self._filter = self._plan.amendment.answer(response.status, response.header_map)
        if self._filter is None:
            super().on_response(response)
            return
        super().on_response(without_length(response))
        self.exchange.response_headers = response.headers
        self.exchange.response_header_map = response.header_map

    def on_response_data(self, data: bytes) -> None:
        if self._filter is None:
            super().on_response_data(data)
            return
        exchange = self.exchange
        if exchange.first_byte_ns == 0:
            exchange.first_byte_ns = time.perf_counter_ns()
        exchange.response_body.add(data)  # type: ignore[union-attr]  # set by on_response
        self._release(self._filter.feed(data))

    def on_response_end(self) -> None:
        self._release_rest()
        super().on_response_end()

    def _fail(self, end: End, error_type: str, detail: str = "") -> None:
        self._release_rest()
        super()._fail(end, error_type, detail)

    def _release_rest(self) -> None:
        ending, self._filter = self._filter, None
        if ending is not None and not self.done:
            self._release(ending.end())

    def _release(self, data: bytes) -> None:
        if data:
            self._out.append(chunk(data) if self._chunking else data)


def without_length(response: ResponseHead) -> ResponseHead:
    """How long the body is without what is hidden, nobody knows before its end."""
    if response.content_length is None:
        return response
    headers = [header for header in response.headers if header[0].lower() != _LENGTH]
    fields = {name: value for name, value in response.header_map.items() if name != _LENGTH}
    return msgspec.structs.replace(response, headers=headers, header_map=fields, content_length=None)
