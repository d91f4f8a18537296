"""What one answer has to pass where policy agents see it before its client: all of it at once, or window by window."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Literal, Protocol

from gateway.contracts import Reads, Ruling
from gateway.model.exchange import Exchange, Refusal
from gateway.model.message import ResponseReading
from gateway.model.verdict import Assessment, Direction
from gateway.policy.body_redaction import redacted_body
from gateway.policy.engine import Found
from gateway.policy.streaming import HeldEvents, NotTakenOutError
from gateway.providers.eventstream import EventStreamDecoder, reframed
from gateway.providers.framing import Framing, framing_of
from gateway.reading import is_long

_NOTHING_YET = Ruling()


class Judge(Protocol):
    """Asks the agents; adds what they say to the exchange's verdict."""

    blocks_oversize: bool

    def holding(self, exchange: Exchange) -> Literal["after", "window", "hold"]:
        """How its answer is kept back."""

    def answer(self, exchange: Exchange) -> Refusal | None:
        """Of what was understood of the answer: `exchange.response`, which is None where that failed."""

    def window(self, exchange: Exchange, texts: Sequence[str], released: int) -> Refusal | None:
        """Of a part of the answer, of which `released` bytes have gone on."""

    def oversize(self, exchange: Exchange, released: int) -> Refusal:
        """Of an answer of which more would have to be held than is kept of one."""

    def kept_in(self, exchange: Exchange, released: int) -> Refusal:
        """Of an answer with something to be taken out in a place where that cannot be."""

    def wants_out(self, exchange: Exchange, direction: Direction) -> bool:
        """Whether something was found that must be taken out."""

    def is_clean(self, exchange: Exchange, reading: ResponseReading) -> bool:
        """Whether nothing is left in it that must be taken out."""

    def redacted_request(self, exchange: Exchange, reads: Reads) -> bytes | Refusal:
        """The request's body without what must be taken out."""

    def beside(self, exchange: Exchange) -> Refusal | None:
        """Of the request, by who does not keep it waiting."""

    def asking(self, exchange: Exchange) -> Assessment | None:
        """Who wants a person to see the answer before it goes on."""

    async def reviewed(self, exchange: Exchange, asking: Assessment) -> Refusal | None:
        """Once a person has decided, or nobody in time."""

    def redacted_in(self, exchange: Exchange, direction: Direction, text: str) -> Sequence[Found]:
        """Where it holds what must be taken out."""


class _Way(Protocol):
    def feed(self, data: bytes) -> Ruling: ...

    def end(self, complete: bool) -> Ruling: ...


class AnswerGate:
    """Implements `Gate`."""

    def __init__(
        self,
        exchange: Exchange,
        judge: Judge,
        reads: Reads,
    ) -> None:
        self._exchange = exchange
        self._judge = judge
        self._reads = reads
        self._content_type = ""
        self._framing: Framing | None = None
        self._way: _Way
        self.events = False

    def request(self) -> bytes | Refusal | None:
        exchange = self._exchange
        if not self._judge.wants_out(exchange, "inlet"):
            return None
        return self._judge.redacted_request(exchange, self._reads)

    def sent(self) -> Refusal | None:
        return self._judge.beside(self._exchange)

    def holds(self) -> bool:
        exchange, fields = self._exchange, self._exchange.response_header_map
        holding = self._judge.holding(exchange)
        if holding == "after":
            return False
        self._content_type = fields.get(b"content-type", b"").decode("latin-1")
        packed = fields.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b"")
        if not packed:  # nothing of ours may stand between packed bytes, and no event of theirs ends at a byte
            self._framing = framing_of(exchange.api, exchange.target, self._content_type)
        self.events = self._framing is not None
        if self._framing is not None and holding == "window":
            self._way = Windows(exchange, self._judge, self._framing)
        else:
            self._way = Whole(exchange, self._judge, self._framing, self._reads, packed)
        return True

    def feed(self, data: bytes) -> Ruling:
        return self._way.feed(data)

    def end(self, complete: bool) -> Ruling:
        return self._way.end(complete)

    def event(self, refusal: Refusal, first: bool) -> bytes:
        return self._reads.provider(self._exchange).stream_refusal(refusal, self._content_type, first)

    def ping(self) -> bytes:
        return self._framing.ping if self._framing is not None else b""


class Whole:
    """All of it is here before any of it goes on."""

    def __init__(self, exchange: Exchange, judge: Judge, framing: Framing | None, reads: Reads, packed: bool) -> None:
        self._exchange = exchange
        self._judge = judge
        self._framing = framing
        self._reads = reads
        self._packed = packed
        self._held: list[bytes] = []
        self._passing = False

    def feed(self, data: bytes) -> Ruling:
        if self._passing:
            return Ruling(data)
        self._held.append(data)
        body = self._exchange.response_body
        if body is None or not body.truncated:
            return _NOTHING_YET
        self._passing = True
        return Ruling(refusal=self._judge.oversize(self._exchange, 0)) if self._judge.blocks_oversize else self._read()

    def end(self, complete: bool) -> Ruling:
        if self._passing or not complete:
            return _NOTHING_YET
        return self._read()

    def _read(self) -> Ruling:
        steps = self._reads.answer(self._exchange)
        if is_long(self._exchange):
            return Ruling(later=self._read_slowly(steps))
        for _ in steps:
            pass
        return self._judged()

    async def _read_slowly(self, steps: Iterator[None]) -> Ruling:
        """Others have their turn between any two steps."""
        for _ in steps:
            await asyncio.sleep(0)
        return self._judged()

    def _judged(self) -> Ruling:
        exchange = self._exchange
        began_ns = perf_counter_ns()
        refusal = self._judge.answer(exchange)
        if refusal is not None:
            return Ruling(refusal=refusal)
        body = b"".join(self._held)
        self._held = []
        if self._judge.wants_out(exchange, "response"):
            changed = self._redacted(body)
            if changed is None:
                return Ruling(refusal=self._judge.kept_in(exchange, 0))
            body = changed
        exchange.overhead_ns += perf_counter_ns() - began_ns
        asking = self._judge.asking(exchange)
        return Ruling(body) if asking is None else Ruling(later=self._reviewed(asking, body))

    async def _reviewed(self, asking: Assessment, body: bytes) -> Ruling:
        refusal = await self._judge.reviewed(self._exchange, asking)
        return Ruling(body) if refusal is None else Ruling(refusal=refusal)

    def _redacted(self, body: bytes) -> bytes | None:
        """None where not all of it could be taken out, or not all of the answer is here."""
        exchange = self._exchange
        find = partial(self._judge.redacted_in, exchange, "response")
        if self._packed or self._passing:
            return None
        if self._framing is None:
            changed = redacted_body(body, find)
        else:
            held = HeldEvents(reframed if isinstance(self._framing.decoder, EventStreamDecoder) else None)
            held.add(self._framing.decoder.feed(body))
            left = self._framing.decoder.end()
            held.add([left] if left is not None else ())
            try:
                changed = held.let_go(find, everything=True)
            except NotTakenOutError:
                return None
        return changed if self._judge.is_clean(exchange, self._reads.other_answer(exchange, changed)) else None


class Windows:
    """Whole events, held until a window of what they say was looked at."""

    def __init__(self, exchange: Exchange, judge: Judge, framing: Framing) -> None:
        self._exchange = exchange
        self._judge = judge
        self._decoder = framing.decoder
        self._held = HeldEvents(reframed if isinstance(framing.decoder, EventStreamDecoder) else None)
        self._fed = self._released = 0
        """Bytes that came, and that went on."""
        self._passing = False
        self._approved = False
        """A person has let it go on; nobody is asked twice about one answer."""

    def feed(self, data: bytes) -> Ruling:
        if self._passing:
            return Ruling(data)
        self._fed += len(data)
        if self._held.add(self._decoder.feed(data)):
            return self._look(everything=False)
        body = self._exchange.response_body
        if body is None or self._fed - self._held.gone <= body.limit:
            return _NOTHING_YET
        return self._too_much()

    def end(self, complete: bool) -> Ruling:
        if self._passing:
            return _NOTHING_YET
        return self._look_at_rest() if complete else self._look(everything=True)  # half an event is nobody's

    def _look(self, everything: bool) -> Ruling:
        """At what is new; the client gets what has passed."""
        began_ns = perf_counter_ns()
        exchange, judge = self._exchange, self._judge
        refusal = judge.window(exchange, self._held.texts(), self._released)
        if refusal is not None:
            return Ruling(refusal=refusal)
        asking = None if self._approved else judge.asking(exchange)
        if asking is not None:
            return Ruling(later=self._reviewed(asking, everything))
        return self._let_go(everything, began_ns)

    async def _reviewed(self, asking: Assessment, everything: bool) -> Ruling:
        refusal = await self._judge.reviewed(self._exchange, asking)
        self._approved = True
        return self._let_go(everything, perf_counter_ns()) if refusal is None else Ruling(refusal=refusal)

    def _let_go(self, everything: bool, began_ns: int) -> Ruling:
        exchange, judge = self._exchange, self._judge
        find = partial(judge.redacted_in, exchange, "response") if exchange.redactors else None
        try:
            released = self._held.let_go(find, everything)
        except NotTakenOutError:
            return Ruling(refusal=judge.kept_in(exchange, self._released))
        self._released += len(released)
        exchange.overhead_ns += perf_counter_ns() - began_ns
        return Ruling(released)

    def _look_at_rest(self) -> Ruling:
        left = self._decoder.end()
        if left is not None:
            self._held.add([left])
        return self._look(everything=True)

    def _too_much(self) -> Ruling:
        """An event that does not end, or many that say nothing: what is here is looked at, as far as it is allowed."""
        if self._judge.blocks_oversize:
            return Ruling(refusal=self._judge.oversize(self._exchange, self._released))
        ruling = self._look_at_rest()
        self._passing = ruling.refusal is None
        return ruling
