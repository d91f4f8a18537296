"""What is said on a WebSocket, as exchanges: one for each response, all of one session. Knows no wire format itself."""

import time
from collections.abc import Callable

from gateway.contracts import Dialogue, Step
from gateway.model.exchange import Captured, Connection, End, Exchange
from gateway.model.randomness import random_bytes
from gateway.model.verdict import Verdict

_MOST_OPEN = 64
"""Responses that may be awaited on one connection; the oldest is given up for another."""
_CLEAN = frozenset({"closed_1000", "closed_1001", "closed_1005"})
_EVENTS = {b"content-type": b"text/event-stream"}
"""How the events of a response are kept: as the HTTP form of the API has them."""
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")

Finish = Callable[[Exchange], None]


class OpaqueTalk:
    """Implements `Talk` for an API that is not understood: its connection is one exchange."""

    held = False

    def __init__(self, exchange: Exchange, finish: Finish) -> None:
        self._exchange = exchange
        self._finish = finish
        self.busy = True
        exchange.upstream_started_ns = time.perf_counter_ns()

    def client_said(self, message: bytes, whole: bool, sound: bool) -> Exchange | None:
        return None

    def client_unread(self, said: bytes, missing: int) -> Exchange | None:
        return None

    def sent(self, exchange: Exchange) -> None: ...

    def refused(self, exchange: Exchange) -> bytes:
        return b""

    def upstream_said(self, message: bytes, whole: bool, sound: bool) -> Exchange | None:
        return None

    def not_understood(self, size: int) -> None: ...

    def ended(self, end: End, error_type: str) -> None:
        clean = error_type in _CLEAN
        self.busy = False
        _finish(self._exchange, "finished" if clean else end, None if clean else error_type)
        self._finish(self._exchange)


class UnderstoodTalk:
    """Implements `Talk`."""

    def __init__(
        self, handshake: Exchange, dialogue: Dialogue, held: bool, finish: Finish, count: Callable[[str], None]
    ) -> None:
        """`handshake`: its exchange, from which all others take what they have in common; `count`: by name."""
        self.held = held
        self._first: Exchange | None = handshake
        self._like = handshake
        self._dialogue = dialogue
        self._finish = finish
        self._count = count
        self._connection = handshake.connection or Connection()
        self._connection.joined = True
        self._open: dict[int, Exchange] = {}
        self._passing: set[int] = set()
        """Of these: which are over once they have left."""
        self._own = 0
        """Exchanges that the dialogue knows nothing of: their numbers are below nought."""
        self._unread = 0
        """The one of them that holds what the client says and nobody understands, if it is open."""
        self._client_lost = False
        self._lost = False

    @property
    def busy(self) -> bool:
        return bool(self._open)

    def client_said(self, message: bytes, whole: bool, sound: bool) -> Exchange | None:
        step = self._dialogue.client_event(message, whole)
        if sound:
            return self._take(step, whole)
        if step is None and not self.held:
            return self._add_unread(message, not whole)
        exchange = self._take(step or Step(self._own_number(), request=message, passes=True), whole)
        if exchange is not None:
            exchange.unsound = True
        return exchange

    def client_unread(self, said: bytes, missing: int) -> Exchange | None:
        self._client_lost = True
        self._count_lost()
        return self._add_unread(said, missing)

    def upstream_said(self, message: bytes, whole: bool, sound: bool) -> Exchange | None:
        if not sound:
            self._miss(len(message))
        step = self._dialogue.server_event(message, whole)
        self._connection.named = self._dialogue.session
        if step is not None and step.request is not None and self._unread in self._open:
            # Nobody asked for it, as far as was understood: so what was not did.
            self._open[step.number] = self._open.pop(self._unread)
            step = step._replace(request=None)
        return self._take(step, whole)

    def sent(self, exchange: Exchange) -> None:
        exchange.upstream_started_ns = time.perf_counter_ns()
        exchange.overhead_ns = exchange.upstream_started_ns - exchange.opened_ns
        if exchange.refusal is not None:
            # It was on its way before anybody was asked: the tail assesses it as what it is, a request that passed.
            exchange.refusal = None
            exchange.verdict = Verdict()
        passing = next((number for number in self._passing if self._open[number] is exchange), None)
        if passing is not None:
            self._end(passing, "finished", None)

    def refused(self, exchange: Exchange) -> bytes:
        number, refusal = self._number(exchange), exchange.refusal
        assert refusal is not None
        exchange.overhead_ns = time.perf_counter_ns() - exchange.opened_ns
        exchange.status = refusal.status
        text = self._dialogue.refusal(number, refusal)
        self._end(number, "blocked" if refusal.code == "blocked_by_policy" else "refused", refusal.code)
        return text

    def not_understood(self, size: int) -> None:
        self._count_lost()
        self._miss(size)

    def _count_lost(self) -> None:
        if not self._lost:
            self._lost = True
            self._count("websocket_copies_lost")

    def _miss(self, size: int) -> None:
        for exchange in self._open.values():
            if exchange.response_body is None:
                exchange.response_body = Captured(0)
            exchange.response_body.size += size  # passed and not kept: whoever reads it knows that it is not whole

    def ended(self, end: End, error_type: str) -> None:
        for number in list(self._open):
            self._end(number, end, error_type)

    # Steps

    def _take(self, step: Step | None, whole: bool) -> Exchange | None:
        if step is None:
            return None
        begun = None
        if step.request is not None:
            begun = self._begin(step.number, step.request, whole and not self._client_lost)
            if step.passes:
                self._passing.add(step.number)
                begun.asks_nothing = True
        exchange = self._open.get(step.number)
        if exchange is None:
            return None
        if step.kept:
            self._keep(exchange, step.kept, whole)
        if step.ends:
            if step.failed:
                self._end(step.number, "upstream_error", "error_event")
            else:
                self._end(step.number, "finished", None)
        return begun

    def _add_unread(self, said: bytes, missing: int) -> Exchange | None:
        """One exchange for all of it, until a response begins that may be its."""
        exchange = self._open.get(self._unread)
        if exchange is not None:
            exchange.request_body.add(said)
            exchange.request_body.size += missing
            exchange.request = None  # whoever has read it has not read this
            return None
        if not (said or missing):
            return None
        self._unread = self._own_number()
        exchange = self._begin(self._unread, said, not missing)
        exchange.unsound = True
        return exchange

    def _own_number(self) -> int:
        self._own -= 1
        return self._own

    def _begin(self, number: int, request: bytes, whole: bool) -> Exchange:
        if len(self._open) >= _MOST_OPEN:
            self._end(next(iter(self._open)), "upstream_gone", "too_many_open")
        exchange = self._next()
        exchange.request_body.add(request)
        if not whole:
            exchange.request_body.size += 1
        exchange.status = 101
        exchange.response_header_map = _EVENTS
        self._open[number] = exchange
        return exchange

    def _next(self) -> Exchange:
        """The first has the ids that the handshake's answer named."""
        like, first = self._like, self._first
        self._first = None
        now_ns = time.time_ns()
        random = random_bytes(14)
        return Exchange(
            first.id if first is not None else f"{now_ns // 1_000_000:012x}{random[:6].hex()}",
            now_ns,
            like.method,
            like.target,
            like.request_headers,
            Captured(like.request_body.limit),
            like.trace_id,
            first.span_id if first is not None else random[6:],
            like.parent_span_id,
            like.trace_flags,
            like.trace_state,
            client_address=like.client_address,
            header_map=like.header_map,
            provider=like.provider,
            provider_name=like.provider_name,
            api=like.api,
            operation=like.operation,
            server_address=like.server_address,
            server_port=like.server_port,
            connection=self._connection,
            opened_ns=time.perf_counter_ns(),
        )

    def _keep(self, exchange: Exchange, event: bytes, whole: bool) -> None:
        if exchange.first_byte_ns == 0:
            exchange.first_byte_ns = time.perf_counter_ns()
        if exchange.response_body is None:
            exchange.response_body = Captured(exchange.request_body.limit)
        body = exchange.response_body
        body.add(b"data: %b\n\n" % event.translate(_LINE_ENDS))
        if not whole:
            body.size += 1

    def _number(self, exchange: Exchange) -> int:
        return next(number for number, each in self._open.items() if each is exchange)

    def _end(self, number: int, end: End, error_type: str | None) -> None:
        exchange = self._open.pop(number)
        self._passing.discard(number)
        left = self._dialogue.left(number)
        if left:
            self._keep(exchange, left, True)
        _finish(exchange, end, error_type)
        self._finish(exchange)


def _finish(exchange: Exchange, end: End, error_type: str | None) -> None:
    exchange.end = end
    exchange.error_type = error_type
    exchange.ended_ns = time.perf_counter_ns()
