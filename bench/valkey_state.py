"""What session state in Valkey adds to an exchange, as `bench.session_state` asks of other engines.

`python -m bench.valkey_state valkey://127.0.0.1:6379`; what is in it is overwritten. The session is found by a history
that this worker did not answer: a look-up and a commit.
"""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable

import uvloop

from bench.session_state import _KEYS, _KNOWN, _PRINCIPAL, _SECRET, _digest, _first_lesson
from gateway.model.session import Claim, Key
from gateway.state.valkey import ValkeyState
from gateway.state.valkey_url import valkey_url

_EXCHANGES, _PAUSE_S, _PATIENCE_S = 5_000, 0.001, 60.0


async def main(url: str, sessions: int) -> None:
    state = await _opened(url)
    for number in range(sessions):
        state.learn(_first_lesson(number))
        while number % 1000 == 999 and state.untold:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await state.close()
    state = await _opened(url)
    chosen = random.Random(1)
    samples: list[int] = []
    for _ in range(_EXCHANGES):
        await asyncio.sleep(_PAUSE_S)
        number = chosen.randrange(sessions)
        keys = [Key(chosen.randbytes(16)) for _ in range(_KEYS)]
        keys[_KNOWN] = Key(_digest(number))
        claim = Claim("default", _PRINCIPAL, "s-unused", False, False, None, False, False, keys=tuple(keys))
        before = time.perf_counter_ns()
        answer = state.resolve(claim, time.time_ns())
        place = await answer if isinstance(answer, Awaitable) else answer
        samples.append(time.perf_counter_ns() - before)
        assert place is not None
        assert place.how == "key"
    await state.close()
    samples.sort()
    p50, p99 = (samples[len(samples) * share // 1000] / 1000 for share in (500, 990))
    print(f"{sessions:,} sessions, one worker, 1,000 calls/s: resolve p50 {p50:.0f} µs, p99 {p99:.0f} µs")


async def _opened(url: str) -> ValkeyState:
    state = ValkeyState(valkey_url(url), _SECRET, wait_s=_PATIENCE_S)
    await state.start(lambda secret: None)
    return state


if __name__ == "__main__":
    for count in (10_000, 100_000):
        uvloop.run(main(sys.argv[1], count))
