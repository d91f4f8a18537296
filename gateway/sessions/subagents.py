"""Which agent of a tree of agents speaks, as its headers say. Pure.

Claude Code names a sub-agent and its parent (code.claude.com/docs/en/llm-gateway-protocol), new for each spawn; Codex a
sub-agent's thread and the thread that spawned it; they share their root's session. OpenCode has a session for each
sub-agent and names its parent's beside it.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

HeaderMap = Mapping[bytes, bytes]
CLAUDES_AGENT, CODEXS_SUB_AGENT = b"x-claude-code-agent-id", b"x-openai-subagent"
PARENT_SESSION = b"x-parent-session-id"
"""These only sub-agents send."""
OPENCODE = frozenset({b"x-session-affinity", b"x-opencode-session"})
"""One of these stands beside each of its sessions."""
_CLAUDES_PARENT, _CODEXS_PARENT = b"x-claude-code-parent-agent-id", b"x-codex-parent-thread-id"
_NAMES = (
    (CLAUDES_AGENT, _CLAUDES_PARENT),
    (b"thread-id", _CODEXS_PARENT),
    (CODEXS_SUB_AGENT, _CODEXS_PARENT),
    (b"x-session-id", PARENT_SESSION),
    (b"x-opencode-session", PARENT_SESSION),
)
_SESSION = {_CODEXS_PARENT: b"session-id", PARENT_SESSION: PARENT_SESSION}
"""Where a session has the id of its root, the header that names it."""
_PARENTS = frozenset({CLAUDES_AGENT, CODEXS_SUB_AGENT, _CODEXS_PARENT, PARENT_SESSION})
_ATTEMPT = re.compile(rb"attempt=(\d{1,3})")
_COUNTS = (b"x-stainless-retry-count", b"x-retry-count", b"x-retry-attempt")
_AGAIN = frozenset({*_COUNTS, b"amz-sdk-request"})
_LONGEST = 200


class AgentHeaders(NamedTuple):
    agent: bytes
    """b"": the root itself."""
    parent: bytes = b""
    """b"": the root, too."""


ROOT = AgentHeaders(b"")


def agent_of(headers: HeaderMap) -> AgentHeaders:
    if _PARENTS.isdisjoint(headers):
        return ROOT
    for own, parents in _NAMES:
        agent, parent = headers.get(own, b""), headers.get(parents, b"")
        if agent and len(agent) <= _LONGEST and (parent or parents == _CLAUDES_PARENT):
            if parent and parent == headers.get(_SESSION.get(parents, b"")):
                return AgentHeaders(agent)
            return AgentHeaders(agent, parent[:_LONGEST])
    return ROOT


def sent_again(headers: HeaderMap) -> bool:
    """Whether the client says that this is not its first attempt: OpenAI's and Anthropic's SDKs, AWS's, and others."""
    if _AGAIN.isdisjoint(headers):
        return False
    for name in _COUNTS:
        count = headers.get(name)
        if count is not None:
            return count.isdigit() and int(count[:4]) > 0
    attempt = _ATTEMPT.search(headers.get(b"amz-sdk-request", b""))
    return attempt is not None and int(attempt[1]) > 1
