"""Gateways that share a Valkey, as tests open them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.model.session import Claim, Place
from gateway.state.valkey import ValkeyState
from gateway.state.valkey_url import ValkeyUrl
from tests.state.test_contract import START, asked
from tests.state.valkey_servers import DEADLINE_S

SECRET = b"of the tests"


@asynccontextmanager
async def opened(url: ValkeyUrl, secret: bytes = SECRET, **options: Any) -> AsyncIterator[ValkeyState]:
    """It answers in time, however busy the machine is, unless a shorter one is wanted."""
    written: dict[str, Any] = {"wait_s": DEADLINE_S, "tries_again_s": (0.01,)}
    state = ValkeyState(url, secret, **(written | options))
    await state.start(lambda agreed: None)
    try:
        yield state
    finally:
        await state.close()


async def told(*states: ValkeyState) -> None:
    """Until others can know all that these have learnt."""
    await until(lambda: not any(state.untold for state in states))


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not done():
            await asyncio.sleep(0.005)


async def shared_again(state: ValkeyState, claim: Claim) -> Place:
    """The first place that is everybody's."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            place = await asked(state, claim, START)
            if place is not None and not place.local:
                return place
            await asyncio.sleep(0.005)
