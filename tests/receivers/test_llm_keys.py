"""Keys, for every family of providers: the client's own passes, or the gateway's goes in its place; never both."""

import pytest
import structlog

from gateway.proxy.headers import lines
from gateway.receivers.families import FAMILIES, Family
from gateway.receivers.target_keys import has_astray_key
from tests.receivers.conftest import HELD_KEY, MakeReceiver, head_of
from tests.receivers.relaying import relaying

OWN = "own-key-of-the-client"
SLOTS = ["Authorization", "x-api-key", "X-Goog-Api-Key", "api-key", "X-Amz-Security-Token"]
SLOTS += ["Ocp-Apim-Subscription-Key"]
EVERY_SLOT = [(slot, f"{OWN}-{number}") for number, slot in enumerate(SLOTS)]
SLOT_OF = {  # by the APIs' own documentation, and not by the table that is tested
    "openai": (b"Authorization", b"Bearer "),
    "anthropic": (b"x-api-key", b""),
    "gemini": (b"x-goog-api-key", b""),
    "vertex": (b"Authorization", b"Bearer "),
    "bedrock": (b"Authorization", b"Bearer "),
    "azure": (b"api-key", b""),
    "mistral": (b"Authorization", b"Bearer "),
    "cohere": (b"Authorization", b"Bearer "),
    "ollama": (b"Authorization", b"Bearer "),
    "generic": (b"Authorization", b"Bearer "),
}
PATH_OF = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-x:generateContent",
    "vertex": "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
    "bedrock": "/model/m/converse",
    "azure": "/openai/deployments/d/chat/completions",
    "mistral": "",
    "cohere": "/v2/chat",
    "ollama": "/api/chat",
    "generic": "",
}
"""A path that tells the family; none where only a prefix does."""
OWN_SLOTS = {
    "anthropic": {"x-api-key"},
    "gemini": {"X-Goog-Api-Key"},
    "vertex": {"X-Goog-Api-Key"},
    "bedrock": {"X-Amz-Security-Token"},
    "azure": {"api-key", "Ocp-Apim-Subscription-Key"},
}
TOLD_BY_PATH = [family for family, path in PATH_OF.items() if path]
ALL = {family: {"api": family} for family in FAMILIES}


def test_no_family_is_left_out() -> None:
    assert set(SLOT_OF) == set(PATH_OF) == set(FAMILIES)


@pytest.mark.parametrize(("name", "family"), FAMILIES.items())
def test_each_family_has_its_own_slot(name: str, family: Family) -> None:
    assert (family.slot, family.scheme) == SLOT_OF[name]


def _request(path: str, *headers: tuple[str, str]) -> bytes:
    sent = lines([(name.encode(), value.encode()) for name, value in headers])
    return b"POST %b HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n%b\r\n{}" % (path.encode(), sent)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("slot", "value"), [(slot, f"Bearer {OWN}") for slot in SLOTS])
async def test_the_clients_own_key_passes_untouched_and_is_kept_nowhere(family: str, slot: str, value: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with relaying({"it": {"api": family}}) as relay:
            sent, _ = await relay.call(_request(f"/it{PATH_OF[family] or '/v1/x'}", (slot, value)))
            _, span = await relay.finished()
    assert sent.count(f"\r\n{slot}: {value}\r\n".encode()) == 1
    assert sent.count(OWN.encode()) == 1
    assert OWN.encode() not in span
    assert OWN not in repr(logs)


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_held_key_goes_in_the_familys_own_slot_and_no_other_does(family: str) -> None:
    name, scheme = SLOT_OF[family]
    path = f"/it{PATH_OF[family] or '/v1/x'}?key={OWN}&%6bey={OWN}&access_token={OWN}&subscription-key={OWN}&alt=sse"
    with structlog.testing.capture_logs() as logs:
        async with relaying({"it": {"api": family, "api_key": HELD_KEY}}) as relay:
            sent, answered = await relay.call(_request(path, *EVERY_SLOT, ("authorization", f"Basic {OWN}")))
            exchange, span = await relay.finished()
    assert sent.count(HELD_KEY.encode()) == 1
    assert b"\r\n%b: %b%b\r\n" % (name, scheme, HELD_KEY.encode()) in sent
    assert OWN.encode() not in sent
    assert b"?alt=sse HTTP/1.1" in sent
    for kept in (span, answered, repr(logs).encode(), exchange.target.encode()):
        assert HELD_KEY.encode() not in kept
        assert OWN.encode() not in kept


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("held", [False, True])
async def test_a_gateway_key_never_leaves(family: str, held: bool) -> None:
    provider = {"api": family} | ({"api_key": HELD_KEY} if held else {})
    path = f"/it{PATH_OF[family] or '/v1/x'}?key=sg-secret"
    async with relaying({"it": provider}) as relay:
        keys = [(slot, "Bearer sg-secret") for slot in SLOTS]
        sent, _ = await relay.call(
            _request(path, *keys, ("x-spangate-key", "sg-secret"), ("X_Spangate_Key", "sg-secret"))
        )
        _, span = await relay.finished()
    assert b"sg-secret" not in sent
    assert b"sg-secret" not in span


@pytest.mark.parametrize("path", ["/it/v1/x%3Fkey=sg-secret", "/it/v1/x%3Bkey=own-secret"])
async def test_a_path_with_an_escaped_key_is_refused_whosever_the_key_is(path: str) -> None:
    async with relaying({"it": {"api": "openai", "api_key": HELD_KEY}}) as relay:
        await relay.wire.send(_request(path))
        head, said = await relay.wire.answer()
        _, span = await relay.finished()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"The path has a key in it." in said
    assert b"secret" not in said + span
    assert relay.upstream.requests == []


@pytest.mark.parametrize("family", TOLD_BY_PATH)
@pytest.mark.parametrize("slot", SLOTS[1:])
async def test_told_by_path_another_providers_credential_gets_404_and_goes_nowhere(family: str, slot: str) -> None:
    async with relaying(ALL) as relay:
        sent, answered = await relay.call(_request(PATH_OF[family], (slot, OWN)))
        exchange, span = await relay.finished()
    if slot in OWN_SLOTS.get(family, ()):
        assert f"\r\n{slot}: {OWN}\r\n".encode() in sent
        assert exchange.provider == family
    else:
        assert answered.startswith(b"HTTP/1.1 404 ")
        assert sent == b""
        assert exchange.error_type == "unknown_route"
    assert OWN.encode() not in span


@pytest.mark.parametrize("family", TOLD_BY_PATH)
@pytest.mark.parametrize(
    ("name", "owners"),
    [
        ("key", ("gemini", "vertex")),
        ("KEY", ("gemini", "vertex")),
        ("%6bey", ("gemini", "vertex")),
        ("subscription-key", ("azure",)),
        ("Subscription%2dKey", ("azure",)),
    ],
)
async def test_told_by_path_a_key_in_the_query_reaches_those_alone_whose_it_is(
    family: str, name: str, owners: tuple[str, ...]
) -> None:
    async with relaying(ALL) as relay:
        sent, answered = await relay.call(_request(f"{PATH_OF[family]}?{name}={OWN}"))
        exchange, span = await relay.finished()
    if family in owners:
        assert sent.startswith(f"POST {PATH_OF[family]}?{name}={OWN} HTTP/1.1\r\n".encode())
    else:
        assert answered.startswith(b"HTTP/1.1 404 ")
        assert sent == b""
    assert exchange.target == f"{PATH_OF[family]}?{name}=***"
    assert OWN.encode() not in span


@pytest.mark.parametrize("query", ["a=1&key=x", "a=1;key=x", "a=1%26key=x"])
def test_a_key_is_astray_wherever_a_server_may_see_it(query: str) -> None:
    assert has_astray_key(query, "openai")
    assert not has_astray_key(query, "gemini")
    assert not has_astray_key("monkey=1&keys=2&x=key=3", "openai")


@pytest.mark.parametrize("family", TOLD_BY_PATH)
async def test_told_by_path_a_bearer_token_reaches_the_family_of_the_path(family: str) -> None:
    async with relaying(ALL) as relay:
        sent, _ = await relay.call(_request(PATH_OF[family], ("Authorization", f"Bearer {OWN}")))
        exchange, _ = await relay.finished()
    assert exchange.provider == family
    assert f"\r\nAuthorization: Bearer {OWN}\r\n".encode() in sent


@pytest.mark.parametrize(
    "parameter",
    [
        "X-Amz-Signature",
        "X-Amz-Credential",
        "x-amz-security-token",
        "X-Goog-Signature",
        "sig",
        "Signature",
        "AWSAccessKeyId",
    ],
)
def test_what_signs_a_url_is_masked_in_what_is_kept_and_leaves_as_it_is(
    make_receiver: MakeReceiver, parameter: str
) -> None:
    plan = make_receiver().open(head_of(f"/openai/v1/x?a=1&{parameter}=s3cr3t&b"))
    assert plan.target == f"/v1/x?a=1&{parameter}=s3cr3t&b".encode()
    assert plan.exchange is not None
    assert plan.exchange.target == f"/v1/x?a=1&{parameter}=***&b"
