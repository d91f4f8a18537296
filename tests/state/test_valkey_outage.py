"""A Valkey that is down, hung, full or back: exchanges go on, sessions are this worker's own and say so, and recover."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.model.session import Place
from gateway.state.valkey_url import ValkeyUrl
from tests.state.test_contract import START, asked, claim, digest, explicit, key, lesson, place, unnamed
from tests.state.valkey_servers import PROGRAMS, Server
from tests.state.valkey_tools import opened, shared_again, told, until

QUICK: dict[str, Any] = {"wait_s": 0.1}
"""For tests of one that does not answer; those in which it must answer in time have the tools' own."""


@pytest.fixture(params=sorted(PROGRAMS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(PROGRAMS[request.param])
    yield server
    server.close()


async def test_one_that_is_down_at_the_start_stops_nothing_and_is_used_once_it_is_there(server: Server) -> None:
    server.kill()
    agreed: list[bytes] = []
    async with opened(server.place, b"mine") as state:
        state._agreed = agreed.append
        assert state.resolve(claim(), START) == Place("talk", "named", 1, local=True)
        state.learn(lesson(lasting=(digest("answer"),)))
        found = state.resolve(unnamed("s-2", keys=(key("answer"),)), START)
        assert found == Place("talk", "key", 2, None, "e-1", 0, local=True)
        server.start()
        with server.client() as client:
            client.set("sg:secret", b"theirs")
        await until(lambda: agreed or state._nodes.up(""))
        place_ = await shared_again(state, claim())
        assert state.counters["local"] >= 2
        assert place_.session_id == "talk"
        if agreed:
            assert agreed == [b"theirs"]


async def test_one_that_dies_leaves_sessions_going_on_and_gets_them_when_it_is_back(server: Server) -> None:
    async with opened(server.place) as state:
        assert await place(state, claim()) == Place("talk", "named", 1)
        server.kill()
        assert await asked(state, claim()) == Place("talk", "named", 2, local=True)
        assert state.resolve(claim(), START) == Place("talk", "named", 3, local=True), "at once: it is not asked again"
        state.learn(lesson(lasting=(digest("answer"),)))
        assert state.resolve(explicit("new", ends=True), START) == Place("new", "named", 1, local=True)
        assert state.resolve(explicit("new"), START) is None
        server.start()
        back = await shared_again(state, claim())
        assert (back.session_id, back.sequence >= 4) == ("talk", True)
        await told(state)
        async with opened(server.place) as other:
            assert (await place(other, unnamed("s-2", keys=(key("answer"),)))).session_id == "talk"


async def test_one_that_hangs_is_waited_for_once(server: Server) -> None:
    async with opened(server.place, **QUICK) as state:
        await shared_again(state, claim())
        server.pause()
        try:
            found = await asyncio.gather(*(asked(state, claim(f"talk-{number}")) for number in range(100)))
            assert all(each is not None and each.local for each in found)
            at_once = state.resolve(claim("another"), START)
            assert isinstance(at_once, Place)
            assert at_once.local
        finally:
            server.resume()
        assert (await shared_again(state, claim())).session_id == "talk"


async def test_what_was_learnt_meanwhile_is_told_once_it_answers(server: Server) -> None:
    async with opened(server.place, **QUICK) as state:
        await shared_again(state, claim())
        server.pause()
        try:
            state.learn(lesson(lasting=(digest("answer"),)))
            state.end("default", "talk")
            await until(lambda: state.counters["failed"])
        finally:
            server.resume()
        await told(state)
        async with opened(server.place) as other:
            found = await place(other, unnamed("s-2", keys=(key("answer"),)))
            assert (found.how, found.previous_id) == ("key", "talk")


async def test_evicted_keys_raise_nothing(server: Server) -> None:
    with server.client() as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used + (1 << 20))
        client.config_set("maxmemory-policy", "allkeys-lru")
    async with opened(server.place, limit=100) as state:
        for number in range(4000):
            talk = f"talk-{number}"
            assert (await place(state, claim(talk, window_key=talk))).sequence == 1
            state.learn(lesson(talk, f"e-{number}", lasting=(digest(talk),), passing=(digest(f"call {number}"),)))
        await told(state)
        with server.client() as client:
            assert client.info("stats")["evicted_keys"] > 0
        known = await place(state, unnamed("s-y", keys=(key("talk-3999"),)))
        assert (known.session_id, known.how) == ("talk-3999", "key"), "this worker knows it in any case"
        assert (await place(state, claim("talk-1"))).how == "named"
        # Which keys go is the server's guess: of a hundred old ones some have.
        old = {(await place(state, unnamed(f"s-{each}", keys=(key(f"talk-{each}"),)))).how for each in range(2, 102)}
        assert "new" in old
        assert old <= {"new", "key"}
        assert not state.counters["local"]


async def test_a_full_one_is_a_failure_like_any_other(server: Server) -> None:
    async with opened(server.place) as state:
        await place(state, claim())
        with server.client() as client:
            client.config_set("maxmemory", 1)
        assert (await place(state, claim())) == Place("talk", "named", 2, local=True)
        with server.client() as client:
            client.config_set("maxmemory", 0)
        assert (await shared_again(state, claim())).sequence >= 2


async def test_scripts_that_were_flushed_are_loaded_again(server: Server) -> None:
    async with opened(server.place) as state:
        await place(state, claim())
        with server.client() as client:
            client.script_flush()
        assert await place(state, claim()) == Place("talk", "named", 2)


async def test_a_password_is_sent_and_a_wrong_one_is_a_failure(server: Server) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "me", "on", ">right", "~sg:*", "+@all")
        client.execute_command("ACL", "SETUSER", "default", "off")
    (seed,) = server.place.seeds
    async with opened(ValkeyUrl((seed,), username="me", password="right", db=2)) as state:
        assert not (await place(state, claim())).local
    async with opened(ValkeyUrl((seed,), username="me", password="wrong"), **QUICK) as state:
        assert (await place(state, claim())).local


async def test_the_first_seed_that_answers_is_enough(server: Server) -> None:
    (seed,) = server.place.seeds
    async with opened(ValkeyUrl((("127.0.0.1", 1), seed))) as state:
        assert not (await place(state, claim())).local


async def test_a_client_that_leaves_while_it_is_waited_for_hurts_nobody(server: Server) -> None:
    async with opened(server.place) as state:
        await place(state, claim())
        server.pause()
        try:
            asking = asyncio.create_task(place(state, claim()))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
        finally:
            server.resume()
        assert (await place(state, claim())).sequence in (2, 3)
        assert not state.counters["local"]
