"""The real list of components, the embedded default and the example, as users meet them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml

from gateway.config.defaults import embedded
from gateway.config.load import load
from gateway.config.schema import KINDS, Config, ConfigErrors, ServiceConfig
from gateway.config.source import Source
from gateway.exporters.otlp_http import OtlpHttpConfig
from gateway.processors.policy import PolicyConfig
from gateway.receivers.aws_config import region_of
from gateway.receivers.llm_config import LlmConfig
from gateway.registry import REGISTRY, describe
from gateway.units import ConfigModel

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
MINIMAL = """
receivers: {llm: %s}
exporters: {nop: {}}
service: {pipelines: {traces: {receivers: [llm], exporters: [nop]}}}
"""


def llm(written: str, **environment: str) -> LlmConfig:
    found = load(REGISTRY, [Source("test", MINIMAL % written)], [], environment).receivers["llm"]
    assert isinstance(found, LlmConfig)
    return found


def default(folder: Path, **environment: str) -> Config:
    return load(REGISTRY, [embedded(environment, folder)], ["processors.policy.files=[]"], environment)


def test_every_registered_type_has_its_config_class() -> None:
    for kind in KINDS:
        for name, component in REGISTRY[kind].items():
            assert issubclass(component.config, ConfigModel), name
            assert component.about in describe(REGISTRY)


def test_the_embedded_default_listens_where_the_contract_says(tmp_path: Path) -> None:
    config = default(tmp_path)
    assert config.warnings == ()
    assert config.service.pipelines["traces"].exporters == ("store",)
    found = config.receivers["llm"]
    assert isinstance(found, LlmConfig)
    assert (found.endpoint, found.default_provider) == ("127.0.0.1:4000", "openai")
    assert {name: provider.base_url for name, provider in found.providers.items()} == {
        "openai": "https://api.openai.com",
        "anthropic": "https://api.anthropic.com",
        "gemini": "https://generativelanguage.googleapis.com",
        "mistral": "https://api.mistral.ai",
        "cohere": "https://api.cohere.com",
        "ollama": "http://127.0.0.1:11434",
    }


@pytest.mark.parametrize("workers", ["2", "auto"])
def test_several_workers_must_share_their_sessions(tmp_path: Path, workers: str) -> None:
    written = [f"service.workers={workers}"]
    assert load(REGISTRY, [embedded({}, tmp_path)], written, {}).warnings == ()
    with pytest.raises(ConfigErrors) as caught:
        load(REGISTRY, [embedded({}, tmp_path)], [*written, "extensions.session_state.url='memory:'"], {})
    (error,) = caught.value.errors
    assert error.startswith("service::workers: ")
    assert "lmdb:./data/state" in error


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("lmdb:", "names no folder"),
        ("etcd://h", "valid: memory:, lmdb:PATH"),
        ("memory:/x", "valid: memory:"),
        ("valkey://cache:x", "valkey://HOST:6379"),
    ],
)
def test_an_engine_that_is_none_is_told(tmp_path: Path, url: str, says: str) -> None:
    with pytest.raises(ConfigErrors, match=says) as caught:
        load(REGISTRY, [embedded({}, tmp_path)], [f"extensions.session_state.url='{url}'"], {})
    assert caught.value.errors[0].startswith("extensions::session_state::url: ")


def test_several_workers_without_sessions_have_nothing_to_share() -> None:
    text = (MINIMAL % "{}").replace("pipelines", "workers: '${N}', pipelines")
    config = load(REGISTRY, [Source("test", text)], [], {"N": "4"})
    assert (config.service.workers, config.warnings) == (4, ())


def test_the_embedded_default_has_agents_where_there_are_policy_files(tmp_path: Path) -> None:
    assert "policy: {files: []}" in embedded({}, tmp_path).text
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").touch()
    assert "policy: {files: [policies/*.yaml]}" in embedded({}, tmp_path).text


def test_without_agents_the_policy_processor_has_no_files(tmp_path: Path) -> None:
    assert default(tmp_path).processors["policy"] == PolicyConfig()


def test_the_environment_names_where_spans_go_too(tmp_path: Path) -> None:
    config = default(
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20a$b",
        OTEL_EXPORTER_OTLP_TIMEOUT="2500",
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
    )
    assert config.service.pipelines["traces"].exporters == ("store", "otlp_http")
    found = config.exporters["otlp_http"]
    assert isinstance(found, OtlpHttpConfig)
    assert found.traces_url == "http://collector:4318/v1/traces"
    assert (found.timeout, found.compression) == (2.5, "none")
    assert found.headers["authorization"].get_secret_value() == "Bearer a$b"


def test_an_environment_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}
    with pytest.raises(ConfigErrors, match="http/protobuf"):
        embedded(endpoint | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, tmp_path)
    with pytest.raises(ConfigErrors, match=r"OTEL_EXPORTER_OTLP_\*: compression"):
        embedded(endpoint | {"OTEL_EXPORTER_OTLP_COMPRESSION": "middle-out"}, tmp_path)


def test_otlphttp_is_accepted_for_otlp_http() -> None:
    text = (
        (MINIMAL % "{}").replace("nop: {}", "otlphttp/b: {endpoint: 'http://c:4318'}").replace("[nop]", "[otlphttp/b]")
    )
    assert isinstance(load(REGISTRY, [Source("test", text)], [], {}).exporters["otlphttp/b"], OtlpHttpConfig)


def test_a_providers_own_list_replaces_the_built_in_one() -> None:
    found = llm("{default_provider: local, providers: {local: {api: openai, base_url: 'http://h:1/base/'}}}")
    assert list(found.providers) == ["local"]
    assert found.providers["local"].base_url == "http://h:1/base"


def test_the_name_says_the_api_of_a_known_provider() -> None:
    found = llm("{providers: {openai: {base_url: 'http://h:1'}, generic: {base_url: 'http://h:2'}}}")
    assert [provider.api for provider in found.providers.values()] == ["openai", "generic"]


def test_the_gateway_can_hold_a_key() -> None:
    written = "{providers: {openai: {base_url: 'http://h:1', api_key: '${KEY}'}}}"
    key = llm(written, KEY="sk-1").providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"


@pytest.mark.parametrize(
    ("written", "base_url", "region"),
    [
        ("{base_url: 'https://bedrock-runtime.eu-west-1.amazonaws.com', aws: {}}", "", "eu-west-1"),
        ("{base_url: 'https://vpce-1.bedrock-runtime.us-gov-west-1.vpce.amazonaws.com', aws: {}}", "", "us-gov-west-1"),
        ("{base_url: 'https://bedrock-runtime-fips.us-east-1.amazonaws.com', aws: {}}", "", "us-east-1"),
        ("{base_url: 'http://127.0.0.1:1', aws: {region: us-east-2}}", "http://127.0.0.1:1", "us-east-2"),
        ("{aws: {region: us-east-2}}", "https://bedrock-runtime.us-east-2.amazonaws.com", "us-east-2"),
    ],
)
def test_region_and_address_of_bedrock_say_each_other(written: str, base_url: str, region: str) -> None:
    found = llm(f"{{providers: {{bedrock: {written}}}, default_provider: bedrock}}").providers["bedrock"]
    assert found.aws is not None
    assert region_of(found.aws, found.base_url) == region
    assert found.base_url == base_url or not base_url


@pytest.mark.parametrize(
    ("aws", "path", "says"),
    [
        ("{region: 'us east'}", "::aws::region", "write one such as us-east-1"),
        ("{region: us-east-1, access_key_id: pwAKID}", "::aws", "half a key"),
        ("{region: us-east-1, session_token: pw}", "::aws", "without its key"),
        ("{region: us-east-1, access_key_id: pwA, secret_access_key: pwB, profile: p}", "::aws", "a key and a profile"),
        ("{region: us-east-1, access_key_id: 'pw A', secret_access_key: pwB}", "::aws::access_key_id", "no key has"),
        ("{region: us-east-1, role: x}", "::aws::role", "unknown"),
        ("{}", "", "names no AWS region"),
        ("{region: us-east-1}, api_key: pwKey", "", "keep one of them"),
        ("{region: us-east-1}, api: openai", "", "which is for bedrock"),
    ],
)
def test_wrong_aws_credentials_are_told(aws: str, path: str, says: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        llm(f"{{providers: {{bedrock: {{base_url: 'http://h', aws: {aws}}}}}, default_provider: bedrock}}")
    (error,) = caught.value.errors
    assert error.startswith(f"receivers::llm::providers::bedrock{path}: ")
    assert says in error
    assert "pw" not in error


@pytest.mark.parametrize(
    ("written", "path", "says"),
    [
        ("{default_provider: opnai}", "default_provider", 'references provider "opnai" which is not configured'),
        ("{providers: {local: {api: openai, base_url: 'http://h'}}}", "default_provider", "valid: local"),
        ("{providers: {v1: {api: openai, base_url: 'http://h'}}}", "providers::v1", "an API's own paths"),
        ("{providers: {v1beta: {api: openai, base_url: 'http://h'}}}", "providers::v1beta", "an API's own paths"),
        ("{providers: {a/b: {api: openai, base_url: 'http://h'}}}", "providers::a/b", "is not a path segment"),
        ("{providers: {openai: {base_url: 'ftp://h'}}}", "providers::openai::base_url", "is not a base URL"),
        ("{providers: {openai: {base_url: 'http://h:x'}}}", "providers::openai::base_url", "is not a base URL"),
        ("{providers: {openai: {base_url: 'http://u:pw@h'}}}", "providers::openai::base_url", "put a key into api_key"),
        ("{providers: {azure: }}", "providers::azure::base_url", "is missing; add it"),
        ("{providers: {mine: {base_url: 'http://h'}}}", "providers::mine::api", "is missing; add it"),
        ("{providers: {}}", "providers", "has too few entries; write at least 1"),
        (
            "{providers: {openai: {base_url: 'http://h', api_key: ' a b'}}}",
            "providers::openai::api_key",
            "characters",
        ),
        (
            "{providers: {openai: {base_url: 'http://h', ca_file: none.pem}}}",
            "providers::openai::ca_file",
            "no such file",
        ),
        ("{endpoint: nowhere}", "endpoint", "write host:port"),
        ("{timeouts: {connect: 0}}", "timeouts::connect", "is too small; write more than 0"),
        ("{max_unfinished: 1MiB}", "max_unfinished", "write capture_max or more"),
        ("{max_connections: 0}", "max_connections", "is too small; write 1 or more"),
    ],
)
def test_a_wrong_receiver_is_told(written: str, path: str, says: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        llm(written)
    (error,) = caught.value.errors
    assert error.startswith(f"receivers::llm::{path}: ")
    assert says in error
    assert "pw" not in error


def test_who_reads_or_writes_the_store_needs_a_storage() -> None:
    text = (MINIMAL % "{}").replace("nop: {}", "store: {}").replace("[nop]", "[store]")
    with pytest.raises(ConfigErrors) as caught:
        load(
            REGISTRY,
            [Source("test", "extensions: {console: {}}"), Source("more", text)],
            ["service.extensions=[console]"],
            {},
        )
    assert caught.value.errors == [
        f"{who}: needs the extension storage; configure it and name it in service::extensions"
        for who in ("extensions::console", "exporters::store")
    ]


@pytest.mark.parametrize(("processors", "warned"), [("[session, policy, cost]", True), ("[cost, policy]", False)])
def test_cost_behind_policy_is_a_warning_since_agents_would_see_none(processors: str, warned: bool) -> None:
    text = EXAMPLE.read_text().replace('"policies/*.yaml"', f'"{EXAMPLE}"')
    sets = [f"service.pipelines.traces.processors={processors}"]
    warnings = load(REGISTRY, [Source("config.example.yaml", text)], sets, {}).warnings
    told = [
        warning for warning in warnings if warning.startswith("service::pipelines::traces::processors: cost stands")
    ]
    assert bool(told) is warned


# The example


def test_the_example_is_valid() -> None:
    text = EXAMPLE.read_text().replace('"policies/*.yaml"', f'"{EXAMPLE}"')
    config = load(REGISTRY, [Source("config.example.yaml", text)], [], {})
    unused = ["processors::cost", "exporters::otlp_http", "exporters::debug", "exporters::nop"]
    assert [warning.split(": ")[0] for warning in config.warnings] == unused


def test_the_example_lists_the_built_in_providers() -> None:
    [listed] = re.findall(r"the built-in list: ([a-z, ]+), each with its\n", EXAMPLE.read_text())
    assert listed.split(", ") == [*llm("{}").providers]


def test_the_example_shows_every_key_of_every_component() -> None:
    commented_in = re.sub(r"^(\s+)# ([a-z_]+: )", r"\1\2", EXAMPLE.read_text(), flags=re.MULTILINE)
    written = yaml.safe_load(commented_in)
    for kind in KINDS:
        for name, component in REGISTRY[kind].items():
            if name != "otlphttp":
                assert missing_keys(component.config, [written[kind][name]]) == [], name
    assert missing_keys(ServiceConfig, [written["service"]]) == []


def missing_keys(model: type[ConfigModel], written: list[Any]) -> list[str]:
    """The fields of `model` that none of these maps has, by name; those of nested models too."""
    missing = []
    for name, field in model.model_fields.items():
        values = [value[name] for value in written if name in value]
        if not values:
            missing.append(name)
        for nested, in_a_map in models_in(field.annotation):
            entries = [entry for value in values for entry in value.values()] if in_a_map else values
            missing += [f"{name}.{key}" for key in missing_keys(nested, entries)]
    return missing


def models_in(annotation: Any, in_a_map: bool = False) -> Iterator[tuple[type[ConfigModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        yield annotation, in_a_map
    for argument in get_args(annotation):
        yield from models_in(argument, in_a_map or get_origin(annotation) is dict)
