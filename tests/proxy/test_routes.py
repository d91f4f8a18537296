"""Which provider a path means, and when it means none."""

import pytest

from gateway.proxy.headers import without_authority
from gateway.proxy.routes import Match, Routes

ROUTES = Routes({"openai": "openai", "anthropic": "anthropic", "local": "openai", "gemini": "generic"}, "openai")

PREFIXED = [
    ("/openai/v1/chat/completions", "openai", "/v1/chat/completions"),
    ("/openai/v1/responses", "openai", "/v1/responses"),
    ("/openai/v1/realtime", "openai", "/v1/realtime"),
    ("/anthropic/v1/messages", "anthropic", "/v1/messages"),
    ("/anthropic/v1/messages/count_tokens", "anthropic", "/v1/messages/count_tokens"),
    ("/gemini/v1beta/models/gemini-pro:generateContent", "gemini", "/v1beta/models/gemini-pro:generateContent"),
    ("/local/v1/anything/at/all", "local", "/v1/anything/at/all"),
    ("/local/v1/messages", "local", "/v1/messages"),
    ("/openai", "openai", "/"),
    ("/openai/", "openai", "/"),
]

TOLD_BY_PATH = [
    ("/v1/messages", "anthropic"),
    ("/v1/messages/batches", "anthropic"),
    ("/v1/chat/completions", "openai"),
    ("/v1/embeddings", "openai"),
    ("/v1/messagesandmore", "openai"),
    ("/v1/unknown", "openai"),
    ("/v1", "openai"),
    ("/v1/", "openai"),
]

ODD_PATHS = [
    ("/openai/v1/files/a%2Fb", "/v1/files/a%2Fb"),
    ("/openai//v1//models", "//v1//models"),
    ("/openai/v1/../v1/models", "/v1/../v1/models"),
    ("/openai/v1/models;a=1/%zz", "/v1/models;a=1/%zz"),
    ("/openai/v1/m\xf6del", "/v1/m\xf6del"),
    ("/openai/v1/a#b", "/v1/a#b"),
]

NOWHERE = [
    "/unknown/v1/models",
    "/OpenAI/v1/models",
    "/%6fpenai/v1/models",
    "/openaix/v1/models",
    "//openai/v1/models",
    "/v10/models",
    "/favicon.ico",
    "/",
    "*",
    "",
]

NOT_CONFIGURED = [
    "/v1beta/models/gemini-pro:generateContent",
    "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
    "/model/anthropic.claude/invoke",
    "/api/chat",
    "/api/generate",
    "/v2/chat",
]


@pytest.mark.parametrize(("path", "provider", "rest"), PREFIXED)
def test_a_prefix_names_the_provider_and_is_taken_off(path: str, provider: str, rest: str) -> None:
    assert ROUTES.match(path, {}) == Match(provider, rest)


@pytest.mark.parametrize(("path", "provider"), TOLD_BY_PATH)
def test_without_a_prefix_the_path_tells_the_provider_and_stays_whole(path: str, provider: str) -> None:
    assert ROUTES.match(path, {}) == Match(provider, path)


@pytest.mark.parametrize(("path", "rest"), ODD_PATHS)
def test_an_odd_path_stays_as_it_is(path: str, rest: str) -> None:
    match = ROUTES.match(path, {})
    assert match is not None
    assert match.path == rest


@pytest.mark.parametrize("path", NOWHERE)
def test_an_unknown_path_goes_nowhere(path: str) -> None:
    assert ROUTES.match(path, {}) is None


@pytest.mark.parametrize("path", NOT_CONFIGURED)
def test_a_path_of_an_api_that_is_not_configured_goes_to_nobody_else(path: str) -> None:
    assert Routes({"openai": "openai", "anthropic": "anthropic"}, "openai").match(path, {}) is None


@pytest.mark.parametrize(
    ("path", "slot"),
    [
        ("/v1/chat/completions", b"x-api-key"),
        ("/v1/models", b"x-api-key"),
        ("/v1/chat/completions", b"x-goog-api-key"),
        ("/v1/chat/completions", b"api-key"),
        ("/v1/messages", b"x-goog-api-key"),
        ("/v1/messages", b"api-key"),
    ],
)
def test_told_by_path_a_key_reaches_only_the_provider_of_its_slot(path: str, slot: bytes) -> None:
    assert ROUTES.match(path, {slot: b"k", b"authorization": b"Bearer k"}) is None


@pytest.mark.parametrize(
    ("path", "slot"),
    [
        ("/v1/messages", b"x-api-key"),
        ("/v1/messages", b"authorization"),
        ("/v1/chat/completions", b"authorization"),
        ("/openai/v1/chat/completions", b"x-api-key"),
        ("/local/v1/models", b"api-key"),
    ],
)
def test_a_providers_own_slot_or_its_prefix_lets_a_key_through(path: str, slot: bytes) -> None:
    assert ROUTES.match(path, {slot: b"k"}) is not None


DEPLOYMENT = "/openai/deployments/d/chat/completions"


def test_azures_own_path_is_not_taken_for_the_prefix_of_openai() -> None:
    assert Routes({"openai": "openai", "az": "azure"}, "openai").match(DEPLOYMENT, {b"api-key": b"k"}) == Match(
        "az", DEPLOYMENT
    )
    assert Routes({"openai": "openai"}, "openai").match(DEPLOYMENT, {b"api-key": b"k"}) is None


def test_a_provider_named_openai_may_be_azure() -> None:
    routes = Routes({"openai": "azure"}, "openai")
    assert routes.match(DEPLOYMENT, {b"api-key": b"k"}) == Match("openai", DEPLOYMENT.removeprefix("/openai"))


def test_the_default_provider_takes_what_no_other_api_claims() -> None:
    routes = Routes({"anthropic": "anthropic", "local": "openai"}, "local")
    assert routes.match("/v1/chat/completions", {}) == Match("local", "/v1/chat/completions")


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        ("/v1beta/models/m:generateContent", "gemini"),
        ("/v1beta/tunedModels/m:generateContent", "gemini"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "vertex"),
        ("/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent", "vertex"),
        ("/api/chat", "ollama"),
        ("/api/embeddings", "ollama"),
        ("/v2/rerank", "cohere"),
    ],
)
def test_a_path_tells_its_api_where_one_is_configured(path: str, provider: str) -> None:
    routes = Routes({name: name for name in ("openai", "gemini", "vertex", "ollama", "cohere")}, "openai")
    assert routes.match(path, {}) == Match(provider, path)


def test_the_prefixes_are_listed_in_the_order_written() -> None:
    assert ROUTES.prefixes == ["/openai", "/anthropic", "/local", "/gemini"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://gw:4000/openai/v1/models?x=1", b"/openai/v1/models?x=1"),
        (b"https://gw/openai/v1/models", b"/openai/v1/models"),
        (b"http://gw:4000", b"/"),
        (b"http://gw:4000?x=/1", b"/?x=/1"),
        (b"/openai/v1/models?to=http://a/b", b"/openai/v1/models?to=http://a/b"),
        (b"/http://a/b", b"/http://a/b"),
        (b"*", b"*"),
    ],
)
def test_an_absolute_target_loses_its_scheme_and_authority(target: bytes, path: bytes) -> None:
    assert without_authority(target) == path
