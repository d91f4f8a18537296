from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import Field

from gateway.config.load import load, load_extension
from gateway.config.schema import Config, ConfigErrors, Registry
from gateway.config.source import Source
from gateway.units import ConfigModel, Duration, Endpoint, Secret, Size


class ListenerConfig(ConfigModel):
    endpoint: Endpoint = "127.0.0.1:4000"
    limit: Size = 1024
    names: tuple[str, ...] = ()


class NestedConfig(ConfigModel):
    wait: Duration = 1.0
    retries: int = 1


class SenderConfig(ConfigModel):
    endpoint: str = "http://collector:4318"
    api_key: Secret | None = None
    headers: dict[str, Secret] = Field(default_factory=dict)
    nested: NestedConfig = Field(default_factory=NestedConfig)
    label: str = ""
    active: bool = False


class FilesConfig(ConfigModel):
    files: tuple[str, ...] = ()


class EmptyConfig(ConfigModel):
    pass


class Type(NamedTuple):
    config: type[ConfigModel]
    inline: bool = False
    needs: str = ""


REGISTRY: Registry = {
    "extensions": {"page": Type(ListenerConfig)},
    "receivers": {"in": Type(ListenerConfig)},
    "processors": {"judge": Type(FilesConfig, inline=True), "plain": Type(EmptyConfig)},
    "exporters": {"out": Type(SenderConfig), "nop": Type(EmptyConfig), "kept": Type(EmptyConfig, needs="page")},
}
BASE = """
receivers: {in: {}}
processors: {judge: {}}
exporters: {out: {}}
service: {pipelines: {traces: {receivers: [in], processors: [judge], exporters: [out]}}}
"""


def loaded(*texts: str, sets: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> Config:
    sources = [Source(f"file{number}", text) for number, text in enumerate((BASE, *texts))]
    return load(REGISTRY, sources, sets, environment or {})


def errors_of(*texts: str, sets: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(*texts, sets=sets, environment=environment)
    assert str(caught.value) == "\n".join(caught.value.errors)
    return caught.value.errors


def out(config: Config) -> SenderConfig:
    found = config.exporters["out"]
    assert isinstance(found, SenderConfig)
    return found


# Merging


def test_later_files_win_maps_merge_and_lists_are_replaced() -> None:
    config = loaded(
        "exporters: {out: {label: first, nested: {retries: 7}}}\nreceivers: {in: {names: [a, b]}}",
        "exporters: {out: {label: second}}\nreceivers: {in: {names: [c]}}",
    )
    assert (out(config).label, out(config).nested.retries) == ("second", 7)
    listener = config.receivers["in"]
    assert isinstance(listener, ListenerConfig)
    assert listener.names == ("c",)


@pytest.mark.parametrize(
    ("override", "label"),
    [
        ("exporters.out.label=new", "new"),
        ("exporters::out::label=new", "new"),
        ("exporters.out.label=a=b", "a=b"),
        ("exporters.out.label=", ""),
        ("exporters.out={label: map}", "map"),
    ],
)
def test_an_override_comes_last(override: str, label: str) -> None:
    assert out(loaded("exporters: {out: {label: file}}", sets=(override,))).label == (label or "")


@pytest.mark.parametrize("override", ["exporters.out.label", "=x", "exporters..label=x"])
def test_an_override_that_is_none_is_told(override: str) -> None:
    assert "is not path=value; write one such as" in errors_of(sets=(override,))[0]


def test_a_component_without_settings_has_its_defaults() -> None:
    config = loaded("exporters: {out: , nop: }\nreceivers: {in: {limit: }}")
    assert out(config).label == ""
    assert config.receivers["in"] == ListenerConfig()


# Expansion

ENVIRONMENT = {"WORD": "value", "DIGITS": "0123", "ON": "true", "LIST": "[a, b]", "EMPTY": "", "COLON": "a: b"}


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("${env:WORD}", "value"),
        ("${WORD}", "value"),
        ("${env:NOPE:-other}", "other"),
        ("${NOPE:-other}", "other"),
        ("${env:EMPTY:-other}", "other"),
        ("${env:NOPE:-http://x:1}", "http://x:1"),
        ("<${WORD}-${env:DIGITS}>", "<value-0123>"),
        ("${env:DIGITS}", "0123"),
        ("${env:COLON}", "a: b"),
        ("$${env:WORD}", "${env:WORD}"),
        ("a$$b", "a$b"),
        ("$WORD", "$WORD"),
        ("${env:NOPE}", ""),
        ("x${env:NOPE}", "x"),
    ],
)
def test_references_are_expanded(written: str, label: str) -> None:
    assert out(loaded(f"exporters: {{out: {{label: '{written}'}}}}", environment=ENVIRONMENT)).label == label


def test_what_comes_from_outside_is_read_by_the_fields_own_type() -> None:
    text = "exporters: {out: {active: '${ON}', nested: {retries: '${DIGITS}'}}}\nreceivers: {in: {names: '${LIST}'}}"
    config = loaded(text, environment=ENVIRONMENT)
    assert out(config).active is True
    assert out(config).nested.retries == 123
    assert config.receivers["in"] == ListenerConfig(names=("a", "b"))


def test_files_are_read_and_a_map_in_one_becomes_that_map(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-123\n")
    (tmp_path / "out.yaml").write_text(f"label: ${{WORD}}\napi_key: ${{file:{tmp_path}/key}}\n")
    found = out(loaded(f"exporters: {{out: '${{file:{tmp_path}/out.yaml}}'}}", environment=ENVIRONMENT))
    assert found.label == "value"
    assert found.api_key is not None
    assert found.api_key.get_secret_value() == "sk-123"


def test_a_file_that_names_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").write_text(f"nested: ${{file:{tmp_path}/loop.yaml}}\n")
    errors = errors_of(f"exporters: {{out: '${{file:{tmp_path}/loop.yaml}}'}}")
    assert any("does one name itself?" in error for error in errors)


def test_an_unset_variable_is_a_warning_and_for_a_key_an_error() -> None:
    config = loaded("exporters: {out: {label: '${env:NOPE}'}}")
    assert config.warnings == (
        "exporters::out::label: environment variable NOPE is not set or empty; ${env:NOPE:-…} gives a default",
    )
    for environment in ({}, {"NOPE": ""}):
        assert errors_of("exporters: {out: {api_key: '${env:NOPE}'}}", environment=environment) == [
            "exporters::out::api_key: environment variable NOPE is not set or empty; set it, or leave this key out"
        ]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("${vault:x}", "is not a known source; write ${env:NAME} or ${file:path}"),
        ("${env:1X}", "is not the name of an environment variable"),
        ("${}", "is not the name of an environment variable"),
        ("${file:/nowhere/x}", "cannot be read (No such file or directory)"),
    ],
)
def test_a_wrong_reference_is_told(written: str, says: str) -> None:
    (error,) = errors_of(f"exporters: {{out: {{label: '{written}'}}}}")
    assert error.startswith("exporters::out::label: ")
    assert says in error


# Mistakes


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("exporters: {out: {lable: x}}", "exporters::out::lable: unknown key; valid: endpoint, api_key, headers, nested, label, active (did you mean label?)"),
        ("exporters: {out: {nested: {wiat: 3s}}}", "exporters::out::nested::wiat: unknown key; valid: wait, retries (did you mean wait?)"),
        ("exporters: {out: {nested: {foo: }}}", "exporters::out::nested::foo: unknown key; valid: wait, retries"),
        ("exporters: {out: {nested: {wait: soon}}}", "exporters::out::nested::wait: 'soon' is not a duration; write one such as 300ms, 45s, 1m30s, 24h or 30d"),
        ("exporters: {out: {nested: {retries: many}}}", "exporters::out::nested::retries: is not a whole number; write digits only"),
        ("exporters: {out: [a]}", "exporters::out: is not a map; write its settings below it, each as key: value"),
        ("exporters: {out: {label: [a]}}", "exporters::out::label: is not text; put it in quotes"),
        ("receivers: {in: {limit: 3 apples}}", "receivers::in::limit: '3 apples' is not a size; write one such as 64KiB, 10MiB or 1GB"),
        ("receivers: {in: {names: x}}", "receivers::in::names: is not a list; write [first, second]"),
        ("exporters: {kafka: {}}", 'exporters::kafka: unknown type "kafka"; valid: kept, nop, out'),
        ("exporters: {ot/b: {}}", 'exporters::ot/b: unknown type "ot"; valid: kept, nop, out (did you mean out?)'),
        ("exporters: {'out/a b': {}}", "exporters::out/a b: is not a component id; write type or type/name, without spaces"),
        ("extensions: []", "extensions: is not a map; write the extensions by name, each with its settings below it"),
        ("servce: {}", "servce: unknown key; valid: extensions, receivers, processors, exporters, workspaces, service (did you mean service?)"),
        ("service: {workers: 0}", "service::workers: 0 is no number of workers; write 1 to 256, or auto for one a core"),
        ("service: {workers: 257}", "service::workers: 257 is no number of workers; write 1 to 256, or auto for one a core"),
        ("service: {workers: true}", "service::workers: True is no number of workers; write 1 to 256, or auto for one a core"),
        ("service: {workers: many}", "service::workers: 'many' is no number of workers; write 1 to 256, or auto for one a core"),
        ("service: {telemetry: {logs: {level: loud}}}", "service::telemetry::logs::level: is none of the choices; valid: 'debug', 'info', 'warn' or 'error'"),
        ("service: {pipelines: {traces: {receivers: [inn]}}}", 'service::pipelines::traces::receivers: references receiver "inn" which is not configured; valid: in (did you mean in?)'),
        ("service: {pipelines: {traces: {exporters: []}}}", "service::pipelines::traces::exporters: is empty; name at least one of the exporters"),
        ("service: {pipelines: {traces: {exporters: [out, out]}}}", 'service::pipelines::traces::exporters: names "out" 2 times; name it once'),
        ("service: {pipelines: {metrics: {receivers: [in], exporters: [out]}}}", "service::pipelines::metrics: is not possible in this version, which runs one pipeline; name it traces"),
        ("service: {extensions: [pge]}\nextensions: {page: {endpoint: '127.0.0.1:1'}}", 'service::extensions: references extension "pge" which is not configured; valid: page (did you mean page?)'),
        ("processors: {judge/b: {}}\nservice: {pipelines: {traces: {processors: [judge, judge/b]}}}", 'service::pipelines::traces::processors: "judge" runs in line 2 times; keep one of them'),
        ("exporters: {out: {endpoint: 'http://localhost:4000'}}", "exporters::out::endpoint: points at our own receivers::in; name the collector or store that takes the spans"),
        ("extensions: {page: {}}\nservice: {extensions: [page]}", "extensions::page::endpoint: port 4000 is taken by receivers::in; choose another"),
        ("extensions: {page: {endpoint: '127.0.0.1:1'}, page/b: {endpoint: '127.0.0.1:2'}}\nservice: {extensions: [page, page/b]}", 'service::extensions: names 2 extensions of type "page", of which one can run; keep one'),
        ("exporters: {kept: {}}\nservice: {pipelines: {traces: {exporters: [out, kept]}}}", "exporters::kept: needs the extension page; configure it and name it in service::extensions"),
        ("extensions: {page: {endpoint: '127.0.0.1:1'}}\nexporters: {kept/b: {}}\nservice: {pipelines: {traces: {exporters: [kept/b]}}}", "exporters::kept/b: needs the extension page; configure it and name it in service::extensions"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_path_and_remedy(text: str, error: str) -> None:
    assert errors_of(text) == [error]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    errors = errors_of(
        """
        receivers: {in: {endpoint: nowhere}}
        exporters: {out: {lable: x, nested: {wait: soon}}, kafka: {}}
        service: {workers: none, pipelines: {traces: {exporters: [ot]}}}
        """
    )
    paths = [error.split(": ")[0] for error in errors]
    assert paths == [
        "receivers::in::endpoint",
        "exporters::out::nested::wait",
        "exporters::out::lable",
        "exporters::kafka",
        "service::workers",
        "service::pipelines::traces::exporters",
    ]


def test_what_needs_an_extension_is_content_with_a_named_one() -> None:
    config = loaded(
        "extensions: {page/b: {endpoint: '127.0.0.1:1'}}\nexporters: {kept: {}}",
        "service: {extensions: [page/b], pipelines: {traces: {exporters: [kept]}}}",
    )
    assert config.extension(ListenerConfig) == ListenerConfig(endpoint="127.0.0.1:1")
    assert not any("needs" in warning for warning in config.warnings)


def test_what_is_configured_but_not_used_needs_nothing() -> None:
    assert [warning.split(":")[0] for warning in loaded("exporters: {kept: {}}").warnings] == ["exporters"]


def test_an_inline_processor_stands_in_one_pipeline_of_a_receiver() -> None:
    errors = errors_of("service: {pipelines: {traces/b: {receivers: [in], processors: [judge], exporters: [out]}}}")
    assert any('"judge" runs in line for receiver "in" in traces too; keep it in one' in error for error in errors)


def test_a_configuration_needs_receivers_and_a_pipeline() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(REGISTRY, [Source("empty", "")], [], {})
    assert [error.split(";")[0] for error in caught.value.errors] == [
        "receivers: no receiver is configured",
        "service::pipelines: has no pipeline",
    ]


def test_what_is_configured_but_not_used_is_a_warning() -> None:
    config = loaded("exporters: {nop: {}}\nextensions: {page: {endpoint: '127.0.0.1:0'}}")
    assert config.warnings == (
        "extensions::page: is configured but not used; name it in service::extensions or leave it out",
        "exporters::nop: is configured but not used; name it in a pipeline or leave it out",
    )


def test_workspaces_say_what_agents_are_to_them() -> None:
    config = loaded("workspaces: {default: , research: {agents: configurable}, shop: {}}")
    said = {name: workspace.agents for name, workspace in config.workspaces.items()}
    assert said == {"default": "inherited", "research": "configurable", "shop": "inherited"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("workspaces: {'a b': {}}", "workspaces::a b: is not a name"),
        ("workspaces: {lab: {agents: none}}", "workspaces::lab::agents: "),
        ("workspaces: {lab: {agnets: disabled}}", "workspaces::lab::agnets: "),
        ("workspaces: [lab]", "workspaces: is not a map"),
    ],
)
def test_a_workspace_that_is_none_is_told(text: str, error: str) -> None:
    [told] = errors_of(text)
    assert told.startswith(error)


def test_a_workspace_without_agents_is_a_warning_since_anybody_may_name_it() -> None:
    config = loaded("workspaces: {lab: {agents: disabled}}")
    [warning] = config.warnings
    assert warning.startswith("workspaces::lab: no policy agent judges there")
    assert "x-workspace: lab" in warning


def test_policy_files_that_match_nothing_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()
    loaded(f"processors: {{judge: {{files: ['{tmp_path}/*.yaml']}}}}")
    (error,) = errors_of(f"processors: {{judge: {{files: ['{tmp_path}/*.yaml', '{tmp_path}/*.yml']}}}}")
    assert error.startswith(f"processors::judge::files::1: {tmp_path}/*.yml matches no file in ")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [1\nb: 2", "file1: line 2, column 2: expected ',' or ']', but got ':'; mend the YAML there"),
        ("receivers: {in: {}}\nreceivers: {}", "receivers: file1, line 2: stands there twice, first in line 1; keep one"),
        ("receivers:\n  on: {}", "receivers::on: file1, line 2: this key is not text to YAML; put it in quotes"),
        ("- a", "file1: is not a map; begin with receivers:, exporters: and service:"),
        ("a: &x {b: *x}", "a::b: file1, line 1: contains itself by an alias; write it out"),
        ("a: !!python/object:os.system {}", "file1: line 1, column 4: could not determine a constructor for the tag …; mend the YAML there"),
        ("a: \x00", "file1: is not YAML; it may hold unprintable characters"),
        ("a: 2026-13-45", "file1: has a value that YAML cannot read, such as a date that does not exist"),
    ],
)  # fmt: skip
def test_broken_yaml_is_told_with_its_place(text: str, error: str) -> None:
    assert errors_of(text) == [error]


def test_a_file_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(REGISTRY, [f"{tmp_path}/none.yaml", str(tmp_path)], [], {})
    assert caught.value.errors == [
        f"{tmp_path}/none.yaml: no such file; --config takes the path of a YAML file",
        f"{tmp_path}: is a folder; --config takes the path of a YAML file",
    ]


# Secrets


@pytest.mark.parametrize(
    "text",
    [
        "exporters: {out: {api_key: [sk-secret]}}",
        "exporters: {out: {headers: {authorization: {a: sk-secret}}}}",
        "exporters: {out: {nested: {wait: '${KEY}'}}}",
        "receivers: {in: {limit: '${KEY}'}}",
        "exporters: {out: {api_key: *sk-secret}}",
        "exporters: {out: {api_key: 'sk-secret}}",
        'exporters: {out: {api_key: "\\sk-secret"}}',
    ],
)
def test_a_secret_never_stands_in_an_error(text: str) -> None:
    errors = errors_of(text, environment={"KEY": "sk-secret"})
    assert errors
    assert "sk-secret" not in "\n".join(errors)


def test_an_error_names_the_reference_that_brought_a_value() -> None:
    assert errors_of("exporters: {out: {nested: {wait: '${KEY}'}}}", environment={"KEY": "sk-secret"}) == [
        "exporters::out::nested::wait: '${KEY}' is not a duration; write one such as 300ms, 45s, 1m30s, 24h or 30d"
    ]


def test_a_configuration_does_not_print_its_secrets() -> None:
    config = loaded("exporters: {out: {api_key: '${KEY}'}}", environment={"KEY": "sk-secret"})
    assert "sk-secret" not in repr(config)


# One extension alone

PAGES = """
extensions: {page/unused: {limit: 1}, page/used: {limit: 2}, other: {wrong: '${file:/nowhere}'}}
receivers: {in: {endpoint: nowhere}}
exporters: {out: {api_key: '${env:NOPE}'}}
service: {extensions: [other, page/used]}
"""


def alone(*texts: str, sets: tuple[str, ...] = ()) -> ConfigModel | None:
    sources = [Source(f"file{number}", text) for number, text in enumerate(texts)]
    return load_extension(REGISTRY, "page", sources, sets, {})


def test_one_extension_is_read_whatever_else_is_wrong_or_unset() -> None:
    assert alone(PAGES) == ListenerConfig(limit=2)
    assert alone(PAGES, sets=("extensions.page/used.limit=3",)) == ListenerConfig(limit=3)


def test_an_extension_that_the_service_does_not_name_is_none() -> None:
    assert alone(PAGES, sets=("service.extensions=[other]",)) is None
    assert alone("") is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("extensions: {page: {limit: much}}", "extensions::page::limit"),
        ("extensions: []", "extensions"),
        ("- a", "file0"),
    ],
)
def test_what_is_wrong_with_that_extension_is_told(text: str, path: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        alone(text)
    assert [error.split(": ")[0] for error in caught.value.errors] == [path]
