"""What several gateways make of one Valkey: they agree, find what others learnt, and leave nothing there for ever."""

import asyncio

import pytest

from gateway.model.session import Place
from gateway.state.valkey_url import ValkeyUrl
from tests.state.conftest import SERVERS, Servers
from tests.state.test_contract import asked, claim, digest, explicit, key, lesson, place, unnamed
from tests.state.valkey_servers import PROGRAMS, Cluster
from tests.state.valkey_tools import opened, told, until


@pytest.fixture(params=sorted(SERVERS))
def url(request: pytest.FixtureRequest, servers: Servers) -> ValkeyUrl:
    return servers.empty(request.param)


async def test_who_names_one_session_at_the_same_moment_is_counted_in_one(url: ValkeyUrl) -> None:
    async with opened(url) as one, opened(url) as other:
        found = await asyncio.gather(*(place(state, claim()) for _ in range(8) for state in (one, other)))
        assert {each.session_id for each in found} == {"talk"}
        assert sorted(each.sequence for each in found) == [*range(1, 17)]
        assert not any(each.local for each in found)


async def test_two_prompts_of_a_user_at_the_same_moment_begin_one_session(url: ValkeyUrl) -> None:
    async with opened(url) as one, opened(url) as other:
        for number in range(20):
            asking = [unnamed(f"{name}-{number}", window_key=f"user {number}") for name in ("a", "b")]
            found = await asyncio.gather(place(one, asking[0]), place(other, asking[1]))
            assert len({each.session_id for each in found}) == 1
            assert sorted(each.sequence for each in found) == [1, 2]
            assert sorted(each.how for each in found) == ["new", "window"]


async def test_a_session_that_was_begun_in_vain_is_gone(servers: Servers) -> None:
    for name in SERVERS:
        url = servers.empty(name)
        async with opened(url) as one, opened(url) as other:
            for number in range(20):
                key_ = f"user {number}"
                await asyncio.gather(
                    place(one, unnamed(f"a-{number}", window_key=key_)),
                    place(other, unnamed(f"b-{number}", window_key=key_)),
                )
        assert sum(name.startswith(b"sg:s:") for name in servers.names(name)) == 20


async def test_what_one_has_learnt_the_other_finds(url: ValkeyUrl) -> None:
    async with opened(url) as one, opened(url) as other:
        await place(one, claim())
        one.learn(lesson(lasting=(digest("answer"),), passing=(digest("call"),)))
        await told(one)
        for name in ("answer", "call"):
            found = await place(other, unnamed(keys=(key("unknown"), key(name)), window_key="alice"))
            assert (found.session_id, found.parent, found.key) == ("talk", "e-1", 1)
        assert (await place(one, claim())).sequence == 4


async def test_who_comes_before_the_other_has_learnt_waits_for_it(url: ValkeyUrl) -> None:
    async with opened(url) as one, opened(url, patience_s=(0.01,) * 5000) as other:
        await place(one, claim())
        asking = asyncio.create_task(place(other, unnamed("s-2", keys=(key("answer"),), history=True)))
        await until(lambda: other.counters["waited"])
        one.learn(lesson(lasting=(digest("answer"),)))
        assert (await asking).session_id == "talk"
        assert not other.counters["waited_in_vain"]


async def test_a_retry_is_joined_by_one_of_two(url: ValkeyUrl) -> None:
    async with opened(url) as one, opened(url) as other:
        for number in range(10):
            failed = f"failed {number}"
            one.learn(lesson(f"s-{number}", begins=True, passing=(digest(failed),)))
            await told(one)
            asking = [unnamed(f"{name}-{number}", keys=(key(failed, within_s=10),)) for name in ("a", "b")]
            found = await asyncio.gather(place(one, asking[0]), place(other, asking[1]))
            assert sorted(each.how for each in found) == ["key", "new"]


async def test_what_both_learn_of_a_session_at_the_same_moment_is_kept(url: ValkeyUrl) -> None:
    async with opened(url) as one, opened(url) as other, opened(url) as third:
        for state in (one, other):
            await place(state, claim())
        for turn in range(30):
            for name, state in (("one", one), ("other", other)):
                state.learn(lesson(exchange_id=f"{name}-{turn}", lasting=(digest(f"{name} {turn}"),)))
            await asyncio.sleep(0)
        await told(one, other)
        for name in ("one", "other"):
            for turn in range(30):
                found = await place(third, unnamed(keys=(key(f"{name} {turn}"),)))
                assert (found.session_id, found.parent) == ("talk", f"{name}-{turn}")


async def test_a_session_that_one_ends_is_closed_for_the_other(url: ValkeyUrl) -> None:
    async with opened(url) as one, opened(url) as other:
        await place(one, explicit())
        other.end("default", "talk")
        await told(other)
        assert await asked(one, explicit()) is None


async def test_closed_sessions_are_continued_by_both_in_the_same_one(url: ValkeyUrl) -> None:
    async with opened(url) as one, opened(url) as other:
        await place(one, claim(ends=True))
        found = await asyncio.gather(place(one, claim()), place(other, claim()))
        assert sorted(found) == [Place("talk~2", "named", 1, "talk"), Place("talk~2", "named", 2, "talk")]


async def test_what_was_learnt_before_the_end_is_told(url: ValkeyUrl) -> None:
    async with opened(url) as one:
        one.learn(lesson("s-1", begins=True, lasting=(digest("answer"),)))
    async with opened(url) as other:
        assert (await place(other, unnamed("s-2", keys=(key("answer"),)))).session_id == "s-1"


async def test_all_take_the_secret_of_the_first(url: ValkeyUrl) -> None:
    agreed: list[bytes] = []
    async with opened(url, b"first") as one, opened(url, b"second") as other:
        await other.start(agreed.append)
        assert agreed == []
        assert one._secret == other._secret == b"first"
        await place(one, claim())
        assert (await place(other, claim())).sequence == 2


@pytest.mark.parametrize("name", sorted(SERVERS))
async def test_everything_but_the_secret_expires(name: str, servers: Servers) -> None:
    url = servers.empty(name)
    async with opened(url) as state:
        await place(state, unnamed(window_key="alice", history=True))
        state.learn(lesson("s-1", lasting=(digest("answer"),), passing=(digest("call"),)))
        await told(state)
    kinds = {each[:5] for each in servers.names(name)}
    assert kinds == {b"sg:s:", b"sg:w:", b"sg:h:", b"sg:k:", b"sg:se"}
    lasting = [each for each in servers.names(name) if servers.expires_ms(name, each) <= 0]
    assert lasting == [b"sg:secret"]


async def test_what_is_not_ours_is_taken_for_nothing(url: ValkeyUrl, servers: Servers) -> None:
    async with opened(url) as one, opened(url) as other:
        await place(one, unnamed("talk", window_key="alice"))
        one.learn(lesson(lasting=(digest("answer"),)))
        await told(one)
        servers.spoil()
        assert await place(other, claim()) == Place("talk", "named", 1)
        servers.spoil()
        asking = unnamed("s-2", keys=(key("answer"),), window_key="alice")
        assert await place(other, asking) == Place("s-2", "new", 1)


# A cluster


async def test_one_principals_sessions_are_spread_over_a_cluster(servers: Servers) -> None:
    url = servers.empty("valkey cluster")
    async with opened(url) as state:
        for number in range(60):
            await place(state, unnamed(f"s-{number}", keys=(key(f"k {number}"),)))
            state.learn(lesson(f"s-{number}", lasting=(digest(f"answer {number}"),)))
        await told(state)
    counts = servers.counts("valkey cluster")
    assert min(counts) >= 20
    assert sum(counts) == 121


async def test_sessions_are_found_while_their_slot_moves_and_afterwards(servers: Servers) -> None:
    url = servers.empty("valkey cluster")
    cluster = servers.cluster("valkey cluster")
    async with opened(url) as state:
        for number in range(30):
            await place(state, claim(f"talk-{number}"))
        for number in range(30):
            name = state._asking.known.names.session(f"default\ntalk-{number}")
            with cluster.moving(name) as move:
                before = await place(state, claim(f"talk-{number}"))
                move()
                after = await place(state, claim(f"talk-{number}"))
            finished = await place(state, claim(f"talk-{number}"))
            assert [each.sequence for each in (before, after, finished)] == [2, 3, 4]
            assert not any(each.local for each in (before, after, finished))


async def test_a_node_that_fails_costs_its_own_sessions_only() -> None:
    cluster = Cluster(PROGRAMS["valkey"])
    try:
        async with opened(cluster.place) as state:
            ids = [f"talk-{number}" for number in range(30)]
            there = {each: state._server.node_of(state._asking.known.names.session(f"default\n{each}")) for each in ids}
            for each in ids:
                assert not (await place(state, claim(each))).local
            dead = cluster.nodes[1]
            dead.kill()
            local = {each for each in ids if (await place(state, claim(each))).local}
            assert local == {each for each in ids if there[each].endswith(f":{dead.port}")}
            assert 0 < len(local) < len(ids)
            assert {(await place(state, claim(each))).sequence for each in ids} == {3}
    finally:
        cluster.close()
