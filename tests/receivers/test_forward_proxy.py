"""Which forward proxy an upstream has: its own, the environment's, or none."""

from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from gateway.proxy.handler import ForwardProxy
from gateway.receivers.forward_proxy import chosen_proxy, proxy_of
from gateway.receivers.llm_config import LlmConfig
from tests.receivers.conftest import MakeReceiver, head_of

HTTPS = urlsplit("https://api.openai.com/v1")
HTTP = urlsplit("http://models.corp.example:8080")
PROXY = ForwardProxy("proxy", 3128)
ELSEWHERE = {"https_proxy": "http://proxy:3128", "http_proxy": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy:3128", PROXY),
        ("http://proxy:3128/", PROXY),
        ("proxy:3128", PROXY),
        ("HTTP://Proxy", ForwardProxy("proxy", 80)),
        ("http://[::1]:3128", ForwardProxy("::1", 3128)),
        ("http://user:pass@proxy:3128", ForwardProxy("proxy", 3128, b"Basic dXNlcjpwYXNz")),
        ("http://us%40er:p%3Ass%C3%A9@proxy:3128", ForwardProxy("proxy", 3128, b"Basic dXNAZXI6cDpzc8Op")),
        ("http://token@proxy:3128", ForwardProxy("proxy", 3128, b"Basic dG9rZW46")),
    ],
)
def test_a_proxys_url_says_where_it_is_and_who_we_are(url: str, proxy: ForwardProxy) -> None:
    assert proxy_of(url) == proxy


BAD = [
    "",
    "https://user:hunter2@proxy:443",
    "socks5://user:hunter2@proxy:1080",
    "http://user:hunter2@proxy:0",
    "http://user:hunter2@proxy:99999",
    "http://user:hunter2@proxy:port",
    "http://user:hunter2@",
    "http://user:hunter2@[::1",
    "http://user:hunter2@pro xy:3128",
    "http://user:hunter2@proxy:3128/path",
    "http://user:hunter2@proxy:3128?query",
]


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_http_proxy_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        proxy_of(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", BAD[1:])
def test_a_bad_variable_is_named_without_its_value(url: str) -> None:
    with pytest.raises(ValueError, match="environment variable HTTPS_PROXY ") as caught:
        chosen_proxy(HTTPS, None, {"HTTPS_PROXY": url})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", BAD)
def test_a_bad_proxy_in_the_configuration_is_told_with_its_path(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LlmConfig.model_validate({"providers": {"openai": {"proxy": url}}})
    assert caught.value.errors()[0]["loc"] == ("providers", "openai", "proxy")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, PROXY, None),
        ({"https_proxy": "http://proxy:3128"}, PROXY, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, None, PROXY),
        ({"http_proxy": "http://proxy:3128"}, None, PROXY),
        ({"https_proxy": "http://proxy:3128", "HTTPS_PROXY": "http://other:1"}, PROXY, None),
        ({"https_proxy": "", "HTTPS_PROXY": "http://other:1"}, None, None),
        (ELSEWHERE | {"NO_PROXY": "*"}, None, None),
        (ELSEWHERE | {"no_proxy": "", "NO_PROXY": "*"}, PROXY, PROXY),
    ],
)
def test_the_environment_decides_by_the_upstreams_scheme(
    environ: dict[str, str], https: ForwardProxy | None, http: ForwardProxy | None
) -> None:
    assert chosen_proxy(HTTPS, None, environ) == https
    assert chosen_proxy(HTTP, None, environ) == http


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("https://api.openai.com", "api.openai.com"),
        ("https://api.openai.com", "openai.com"),
        ("https://api.openai.com", ".openai.com"),
        ("https://api.openai.com", "*.openai.com"),
        ("https://API.OpenAI.com", "other.example, OPENAI.COM"),
        ("https://api.openai.com", "other.example openai.com"),
        ("https://api.openai.com", "api.openai.com:443"),
        ("http://models:8080", "models:8080"),
        ("http://10.1.2.3", "10.1.2.3"),
        ("http://10.1.2.3", "10.0.0.0/8"),
        ("http://10.1.2.3:8080", "10.1.2.3:8080"),
        ("http://[fd00::1]", "fd00::1"),
        ("http://[fd00::1]", "[fd00::1]"),
        ("http://[fd00::1]:8080", "[fd00::1]:8080"),
        ("http://[fd00::1]", "fd00::/8"),
        ("http://localhost:11434", ""),
        ("http://model.localhost", ""),
        ("http://127.0.0.1:11434", ""),
        ("http://127.8.8.8", ""),
        ("http://[::1]:8080", ""),
    ],
)
def test_what_is_exempt_or_on_this_machine_goes_straight(url: str, listed: str) -> None:
    assert chosen_proxy(urlsplit(url), None, ELSEWHERE | {"no_proxy": listed}) is None


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("https://api.openai.com", "penai.com"),
        ("https://api.openai.com", "api.openai.com:80"),
        ("https://api.openai.com", "api.openai.com.evil.example"),
        ("https://openai.com", "api.openai.com"),
        ("http://10.1.2.3", "11.0.0.0/8"),
        ("http://10.1.2.3", "0.1.2.3"),
        ("http://[fd00::1]", "fe80::/10"),
        ("http://1270.0.0.1.example", ""),
        ("https://api.openai.com", ", ,. *. :443"),
    ],
)
def test_what_only_looks_exempt_goes_through_the_proxy(url: str, listed: str) -> None:
    assert chosen_proxy(urlsplit(url), None, ELSEWHERE | {"no_proxy": listed}) == PROXY


def test_what_the_configuration_says_beats_the_environment() -> None:
    everything = ELSEWHERE | {"no_proxy": "*"}
    assert chosen_proxy(HTTPS, "http://own:1", everything) == ForwardProxy("own", 1)
    assert chosen_proxy(urlsplit("http://127.0.0.1:8080"), "http://own:1", everything) == ForwardProxy("own", 1)
    assert chosen_proxy(HTTPS, "direct", ELSEWHERE) is None


def test_each_provider_has_its_own_way(make_receiver: MakeReceiver) -> None:
    providers = {
        "openai": {},
        "straight": {"api": "openai", "base_url": "https://straight.example", "proxy": "direct"},
        "own": {"api": "openai", "base_url": "http://127.0.0.1:9", "proxy": "http://u:hunter2@own:1"},
    }
    receiver = make_receiver(providers=providers, environ={"HTTPS_PROXY": "http://u:hunter2@proxy:3128"})
    ways = {}
    for name in providers:
        plan = receiver.open(head_of(f"/{name}/v1/models"))
        assert plan.origin is not None
        ways[name] = plan.origin.proxy and plan.origin.proxy.host
        assert "hunter2" not in repr(plan)
    assert ways == {"openai": "proxy", "straight": None, "own": "own"}
