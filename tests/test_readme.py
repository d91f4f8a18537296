"""What the README shows works as it stands there: its examples are run, its files exist, its commands are ours."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.cli import main
from gateway.config.defaults import embedded
from gateway.config.load import load
from gateway.config.source import Source
from gateway.demo.model import BuiltinModel
from gateway.exporters.otlp_http import OtlpHttpConfig
from gateway.pipeline import Pipeline
from gateway.policy.cases import run_cases
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache
from gateway.proxy.handler import RequestHead
from gateway.receivers.llm import LlmReceiver
from gateway.receivers.llm_config import LlmConfig
from gateway.registry import REGISTRY
from tests.e2e.gateway_process import Gateway
from tests.e2e.readme import ADDRESS, first_example

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
SESSION = "sky-questions"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def block_with(language: str, text: str) -> str:
    found = [block for block in blocks(language) if text in block]
    assert len(found) == 1, f"README.md has {len(found)} ```{language} blocks with {text!r}"
    return found[0]


def shown(*words: str) -> list[str]:
    """The commands of all bash blocks that begin with these words."""
    return [line for line in "".join(blocks("bash")).splitlines() if line.split()[: len(words)] == list(words)]


def run(command: str, folder: Path, *more: str) -> str:
    """A command as it is printed, with `.venv` where ours is; its output."""
    argv = [*shlex.split(command), *more]
    argv[0] = str(BIN / Path(argv[0]).name)
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_python(code: str) -> str:
    environ = os.environ | {"OPENAI_API_KEY": "any", "ANTHROPIC_API_KEY": "any"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader works: the database lies where the embedded default has it."""
    return tmp_path_factory.mktemp("readme")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(folder: Path) -> AsyncIterator[Gateway]:
    config = {"extensions": {"storage": {"url": f"sqlite:///{folder}/data/spangate.db"}}}
    async with BuiltinModel() as model, Gateway(folder, model.url, config) as gateway:
        yield gateway


@pytest.mark.asyncio(loop_scope="module")
async def test_first_example_answers_and_the_commands_below_it_show_its_session(gateway: Gateway, folder: Path) -> None:
    assert (await _elsewhere(first_example(gateway.url))).strip()
    await gateway.traces(SESSION, 2)
    assert SESSION in run(shown(".venv/bin/spangate", "sessions", "list")[0], folder)
    assert "Why is the sky blue?" in run(shown(".venv/bin/spangate", "sessions", "show")[0], folder)
    assert SESSION in run(shown(".venv/bin/spangate", "tail")[0], folder, "--once")


@pytest.mark.asyncio(loop_scope="module")
async def test_anthropic_example_is_a_client_of_the_gateway(gateway: Gateway) -> None:
    code = block_with("python", "Anthropic(")
    assert ADDRESS in code
    question = 'client.messages.create(model="demo", max_tokens=9, messages=[{"role": "user", "content": "Hello"}])'
    assert "text" in await _elsewhere(f"{code.replace(ADDRESS, gateway.url)}\nprint({question}.content)")


async def _elsewhere(code: str) -> str:
    """In a thread, because the model answers on this loop."""
    return await asyncio.to_thread(run_python, code)


def test_policy_example_passes_its_own_cases(tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(block_with("yaml", "agent:"))
    report = run_cases([str(file)])
    assert report.lines
    assert report.ok, report


def test_exporter_example_is_a_configuration(tmp_path: Path) -> None:
    example = Source("README.md", block_with("yaml", "exporters:"))
    used = ["service.pipelines.traces.exporters=[store, otlp_http]", "processors.policy.files=[]"]
    config = load(REGISTRY, [embedded({}, tmp_path), example], used, {})
    assert config.warnings == ()
    exporter = config.exporters["otlp_http"]
    assert isinstance(exporter, OtlpHttpConfig)
    assert exporter.capture.messages == "full"


COMPATIBLE = ("vllm", "llamacpp", "openrouter", "groq", "deepseek", "xai", "together")


@pytest.mark.parametrize("name", COMPATIBLE)
def test_compatible_server_of_the_example_is_reached_by_its_name_and_understood(tmp_path: Path, name: str) -> None:
    example = Source("README.md", block_with("yaml", "providers:"))
    config = load(REGISTRY, [embedded({}, tmp_path), example], ["processors.policy.files=[]"], {})
    assert config.warnings == ()
    llm = config.receivers["llm"]
    assert isinstance(llm, LlmConfig)
    receiver = LlmReceiver(llm, Pipeline([], [], {}, KnownMessageCache()), formats())
    for path, api in (("chat/completions", "openai_chat"), ("responses", "openai_responses"), ("models", "generic")):
        head = RequestHead("POST", f"/{name}/v1/{path}".encode(), [], {}, 1, "", opened_ns=1)
        plan = receiver.open(head)
        assert plan.exchange is not None
        assert (plan.exchange.provider, plan.exchange.api) == (name, api)
        assert plan.exchange.provider_name == {"xai": "x_ai"}.get(name, name)
        base_url = urlsplit(llm.providers[name].base_url)
        assert plan.exchange.server_address == base_url.hostname
        assert plan.target == f"{base_url.path}/v1/{path}".encode()


def test_shipped_agents_and_example_configuration_are_good_as_the_readme_checks_them() -> None:
    assert "cases passed" in run(shown(".venv/bin/spangate", "policy", "test")[0], ROOT)
    assert run(shown(".venv/bin/spangate", "validate")[0], ROOT) == ""
    for command in shown(".venv/bin/spangate", "run"):
        run(command.replace(" run ", " validate "), ROOT)


@pytest.mark.parametrize("line", [line for block in blocks("bash") for line in block.splitlines()])
def test_each_line_for_the_shell_is_a_target_of_ours_or_a_command_run_here(line: str) -> None:
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=.*", word)]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        assert words[0] == ".venv/bin/spangate"
        assert words[1] in ("sessions", "tail", "policy", "validate", "run")


@pytest.mark.parametrize("command", re.findall(r"`spangate ([a-z]+(?: [a-z]+)?)", README))
def test_each_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: spangate {command}")


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_each_link_leads_somewhere(target: str) -> None:
    assert target.startswith("https://") or (ROOT / target).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w./*-]+\.(?:yaml|md|sh)|[\w-]+/)`", README)) - {"data/"}))
def test_each_file_that_is_named_exists(name: str) -> None:
    assert any(ROOT.glob(name))
