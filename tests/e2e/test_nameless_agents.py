"""The real Claude Code and Codex, whose names for their sessions are taken out on the way: found by lineage alone.

Needs Node.js; without it these tests fail, they are not skipped.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.e2e import test_codex as codex
from tests.e2e.gateway_process import Gateway
from tests.e2e.nameless import Nameless
from tests.e2e.npm import bare, installed, run
from tests.e2e.outside import Outside
from tests.e2e.span_sink import SpanSink, attributes_of
from tests.e2e.test_claude_code import COUNT, DELEGATION, LAUNCHER, OPTIONS, WITHIN_S

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


class Talk(NamedTuple):
    """What one project's runs of the CLI were to the gateway."""

    spans: list[dict[str, Any]]
    """In the order of their requests."""

    @property
    def sessions(self) -> set[str]:
        return {span["session.id"] for span in self.spans}

    @property
    def parents(self) -> list[int | None]:
        """Of each exchange the place of the one it continues."""
        ids = [span["spangate.exchange.id"] for span in self.spans]
        told = [span.get("spangate.exchange.parent_id") for span in self.spans]
        return [ids.index(parent) if parent is not None else None for parent in told]


class Talks(NamedTuple):
    ann: Talk
    """A turn with a tool; continued; continued with a sub-agent."""
    bob: Talk
    """The same opening at the same time; resumed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talks(exporting: Gateway, sink: SpanSink, tmp_path_factory: pytest.TempPathFactory) -> Talks:
    launcher = await installed("claude-code") / LAUNCHER

    async def talk(outside: Outside, name: str, *turns: tuple[str, ...]) -> Talk:
        project, home = tmp_path_factory.mktemp(f"{name}-project"), tmp_path_factory.mktemp(f"{name}-home")
        async with Nameless(exporting.url) as nameless:
            for turn in turns:
                await _told(launcher, f"{nameless.url}/anthropic", outside, project, home, *turn)
            exchanges = [told["x-spangate-exchange"] for told in nameless.told]
        return Talk([attributes_of(await sink.span(exchange)) for exchange in exchanges])

    async with Outside() as outside:
        delegate = f"Call the tool Agent with {json.dumps(DELEGATION)}"
        ann, bob = await asyncio.gather(
            talk(outside, "ann", (COUNT,), ("--continue", "Thanks"), ("--continue", delegate)),
            talk(outside, "bob", (COUNT,), ("--continue", "Thanks")),
        )
    return Talks(ann, bob)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codex_talks(exporting: Gateway, sink: SpanSink, tmp_path_factory: pytest.TempPathFactory) -> list[Talk]:
    """A turn with a tool, then resumed; twice, side by side."""
    launcher = await installed("codex") / codex.LAUNCHER

    async def talk(outside: Outside, name: str) -> Talk:
        cli = codex.Codex(launcher, tmp_path_factory.mktemp(f"{name}-project"), outside)
        home = tmp_path_factory.mktemp(f"{name}-home")
        async with Nameless(exporting.url) as nameless:
            url = f"{nameless.url}/openai/v1"
            provider = f'{{name = "Gateway", base_url = "{url}", wire_api = "responses", env_key = "CODEX_API_KEY"}}'
            elsewhere = f'chatgpt_base_url="{nameless.url}/nowhere"'
            settings = ["-c", 'model_provider="gateway"', "-c", f"model_providers.gateway={provider}", "-c", elsewhere]
            await cli.run(home, settings, codex.COUNT)
            await cli.run(home, settings, "resume", "--last", "Thanks")
            exchanges = [told["x-spangate-exchange"] for told in nameless.told]
        return Talk([attributes_of(await sink.span(exchange)) for exchange in exchanges])

    async with Outside() as outside:
        return list(await asyncio.gather(talk(outside, "carl"), talk(outside, "dora")))


async def _told(launcher: Path, url: str, outside: Outside, project: Path, home: Path, *arguments: str) -> None:
    quiet = {"IS_SANDBOX": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", **outside.environ}
    environ = bare(home, ANTHROPIC_API_KEY="any", ANTHROPIC_BASE_URL=url, **quiet)
    ended = await run(["node", str(launcher), "-p", *arguments, *OPTIONS], project, environ, WITHIN_S)
    assert ended.code == 0, ended.errors + ended.out


async def test_each_conversation_is_one_session(talks: Talks) -> None:
    assert [len(talk.spans) for talk in talks] == [7, 3]
    assert [len(talk.sessions) for talk in talks] == [1, 1]
    assert talks.ann.sessions != talks.bob.sessions


async def test_all_but_the_opening_is_found_by_lineage(talks: Talks) -> None:
    for talk in talks:
        sources = [span["spangate.session.source"] for span in talk.spans]
        assert sources == ["new"] + ["lineage"] * (len(sources) - 1)
        assert not any("gen_ai.conversation.id" in span for span in talk.spans)


async def test_the_sub_agent_hangs_on_the_exchange_that_ordered_it(talks: Talks) -> None:
    assert talks.ann.parents == [None, 0, 1, 2, 3, 4, 3]
    assert talks.bob.parents == [None, 0, 1]


async def test_codex_is_found_too(codex_talks: list[Talk]) -> None:
    for talk in codex_talks:
        assert len(talk.sessions) == 1
        assert [span["spangate.session.source"] for span in talk.spans] == ["new", "lineage", "lineage"]
        assert talk.parents == [None, 0, 1]
    assert codex_talks[0].sessions != codex_talks[1].sessions
