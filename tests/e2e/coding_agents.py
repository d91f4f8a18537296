"""Claude Code, Codex and OpenCode, each the same way: a prompt, the session it goes on with, the session it names."""

import json
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.e2e import test_claude_code as claude
from tests.e2e import test_codex as codex
from tests.e2e import test_opencode as opencode
from tests.e2e.npm import bare, installed, run
from tests.e2e.outside import Outside


class Place(NamedTuple):
    """Where one user runs an agent."""

    url: str
    """The gateway's, or of what stands before it."""
    home: Path
    project: Path
    outside: Outside


class CodingAgent(Protocol):
    count: str
    """A prompt that makes it use a tool, which says "apples"."""

    def delegate(self, where: str) -> str:
        """A prompt that makes it have a sub-agent use a tool, which says "plums", and wait for that."""

    async def install(self) -> None:
        """Before its first turn, once."""

    async def turn(self, place: Place, prompt: str, resumed: str) -> str:
        """Runs the CLI once, in the session `resumed` unless that is ""; its own name for the session."""


class ClaudeCode:
    count = claude.COUNT

    def delegate(self, where: str) -> str:
        picking = {"command": _plums(where), "description": "Count the plums"}
        order = claude.DELEGATION | {"prompt": f"Call the tool Bash with {json.dumps(picking)}"}
        return f"Call the tool Agent with {json.dumps(order)}"

    async def install(self) -> None:
        self._launcher = await installed("claude-code") / claude.LAUNCHER

    async def turn(self, place: Place, prompt: str, resumed: str) -> str:
        quiet = {"IS_SANDBOX": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", **place.outside.environ}
        environ = bare(place.home, ANTHROPIC_API_KEY="any", ANTHROPIC_BASE_URL=f"{place.url}/anthropic", **quiet)
        resume = ("--resume", resumed) if resumed else ()
        command = ["node", str(self._launcher), "-p", *resume, prompt, *claude.OPTIONS]
        ended = await run(command, place.project, environ, claude.WITHIN_S)
        assert ended.code == 0, ended.errors + ended.out
        return str(json.loads(ended.out)["session_id"])


class Codex:
    """With the sub-agents that it has for models it knows: they begin with all that was said to their parent."""

    count = codex.COUNT

    def delegate(self, where: str) -> str:
        picking = f"Call the tool exec_command with {json.dumps({'cmd': _plums(where)})}"
        spawning = {"task_name": "plums", "message": picking}
        waiting = {"timeout_ms": 60_000}
        return f"Call the tool spawn_agent with {json.dumps(spawning)}, then call the tool wait_agent with {json.dumps(waiting)}"

    async def install(self) -> None:
        self._launcher = await installed("codex") / codex.LAUNCHER

    async def turn(self, place: Place, prompt: str, resumed: str) -> str:
        cli = codex.Codex(self._launcher, place.project, place.outside)
        url = f"{place.url}/openai/v1"
        provider = f'{{name = "Gateway", base_url = "{url}", wire_api = "responses", env_key = "CODEX_API_KEY"}}'
        settings = ['model_provider="gateway"', f"model_providers.gateway={provider}", "features.multi_agent_v2=true"]
        settings.append(f'chatgpt_base_url="{place.url}/nowhere"')
        resume = ("resume", resumed) if resumed else ()
        words = [word for setting in settings for word in ("-c", setting)]
        return (await cli.run(place.home, words, *resume, prompt)).thread


class OpenCode:
    count = f"Call the tool bash with {json.dumps({'command': 'echo ripe apples', 'description': 'Count'})}"

    def delegate(self, where: str) -> str:
        picking = {"command": _plums(where), "description": "Count the plums"}
        order = {
            "description": "Count the plums",
            "subagent_type": "general",
            "prompt": f"Call the tool bash with {json.dumps(picking)}",
        }
        return f"Call the tool task with {json.dumps(order)}"

    async def install(self) -> None:
        self._program = await opencode.program()

    async def turn(self, place: Place, prompt: str, resumed: str) -> str:
        config = json.dumps(opencode.config("openai_chat", place.url))
        environ = bare(place.home, OPENCODE_CONFIG_CONTENT=config, **opencode.QUIET, **place.outside.environ)
        resume = ("--session", resumed) if resumed else ()
        # A word an argument: OpenCode puts those with spaces in quotes.
        command = [str(self._program), "run", "--format", "json", *resume, *prompt.split(" ")]
        ended = await run(command, place.project, environ, opencode.WITHIN_S)
        assert ended.code == 0, ended.errors
        [session] = {json.loads(line)["sessionID"] for line in ended.out.splitlines()}
        return str(session)


def _plums(where: str) -> str:
    return f"echo In the basket by the {where} are ripe plums, $((5 * 5)) of them in all"
